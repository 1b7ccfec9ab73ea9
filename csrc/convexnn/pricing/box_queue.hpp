// The boxes that wait in a branch and bound.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace convexnn::boxes {

// Rows that a box around all boxes below it cuts, by number, plus rows first, and the sum of those
// that are on. `held` counts the bytes of all sets.
struct RowSet {
    RowSet(std::size_t plus_, std::vector<std::int32_t> numbers_, std::vector<double> linear_,
           std::atomic<std::size_t>& held_)
        : plus(plus_), numbers(std::move(numbers_)), linear(std::move(linear_)), held(held_) {
        held += bytes();
    }
    ~RowSet() { held -= bytes(); }
    RowSet(const RowSet&) = delete;
    RowSet& operator=(const RowSet&) = delete;

    std::size_t bytes() const {
        return sizeof(RowSet) + numbers.size() * sizeof(std::int32_t) +
               linear.size() * sizeof(double);
    }

    const std::size_t plus;
    const std::vector<std::int32_t> numbers;
    const std::vector<double> linear;
    std::atomic<std::size_t>& held;
};

// A box that is not settled yet.
struct Node {
    double bound = 0.0;        // infinite before it is known
    std::int32_t side = 0;     // 1: plus and minus are exchanged
    std::uint32_t branch = 0;  // coordinate to halve
    std::shared_ptr<const RowSet> rows;
    std::vector<double> box;  // centre and half-widths
};

// Boxes by falling level, the last to come first.
class Queue {
public:
    bool empty() const { return heap_.empty(); }
    std::size_t size() const { return heap_.size(); }

    void push(std::int32_t level, Node node) {
        std::uint32_t place = static_cast<std::uint32_t>(nodes_.size());
        if (free_.empty()) {
            nodes_.push_back(std::move(node));
        } else {
            place = free_.back();
            free_.pop_back();
            nodes_[place] = std::move(node);
        }
        heap_.push_back({level, place, order_++});
        std::push_heap(heap_.begin(), heap_.end(), later);
    }

    Node pop() {
        std::pop_heap(heap_.begin(), heap_.end(), later);
        const std::uint32_t place = heap_.back().place;
        heap_.pop_back();
        free_.push_back(place);
        return std::move(nodes_[place]);
    }

    // Of the boxes of one side; 0 without any.
    double largest_bound(std::int32_t side) const {
        double bound = 0.0;
        for (const Entry& entry : heap_) {
            const Node& node = nodes_[entry.place];
            bound = node.side == side ? std::max(bound, node.bound) : bound;
        }
        return bound;
    }

private:
    struct Entry {
        std::int32_t level;
        std::uint32_t place;
        std::uint64_t order;
    };
    static bool later(const Entry& a, const Entry& b) {
        return a.level != b.level ? a.level < b.level : a.order < b.order;
    }

    std::vector<Entry> heap_;
    std::vector<Node> nodes_;
    std::vector<std::uint32_t> free_;
    std::uint64_t order_ = 0;
};

}  // namespace convexnn::boxes
