// What a thread does in a branch and bound: it halves a box, and its parts, some times over.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "convexnn/base/views.hpp"
#include "convexnn/pricing/box_bound.hpp"
#include "convexnn/pricing/box_queue.hpp"

namespace convexnn::boxes {

constexpr std::size_t kDive = 5;        // halvings of a box before its parts go to the queue
constexpr double kNarrowest = 0x1p-45;  // half-width below which no coordinate is halved

// Plus rows, then minus rows; row j is values[j r] and the next r - 1.
struct Rows {
    std::size_t r = 0;
    std::size_t plus = 0;
    std::size_t count = 0;
    std::vector<double> values;

    Rows(MatrixView<const double> first, MatrixView<const double> second, std::size_t length)
        : r(length), plus(first.rows), count(first.rows + second.rows), values(count * length) {
        for (std::size_t k = 0; k < r; ++k) {
            for (std::size_t j = 0; j < first.rows; ++j) {
                values[j * r + k] = first(j, k);
            }
            for (std::size_t j = 0; j < second.rows; ++j) {
                values[(first.rows + j) * r + k] = second(j, k);
            }
        }
    }

    double value(std::span<const double> u) const {
        double sum = 0.0;
        for (std::size_t j = 0; j < count; ++j) {
            double t = 0.0;
            for (std::size_t k = 0; k < r; ++k) {
                t += values[j * r + k] * u[k];
            }
            const double on = t > 0.0 ? t : 0.0;
            sum += j < plus ? on : -on;
        }
        return sum;
    }
};

struct Neuron {
    double value = 0.0;
    std::vector<double> direction;
};

// What became of a box.
struct Work {
    std::vector<Node> open;  // parts that are left
    double closed = 0.0;     // largest bound of parts that are done with
    Neuron best;
    std::size_t nodes = 0;  // boxes bounded
};

// One thread's work on one side.
class Diver {
public:
    explicit Diver(const Rows& rows)
        : rows_(rows),
          tiles_((rows.plus + RowTiles::kTile - 1) / RowTiles::kTile +
                 (rows.count - rows.plus + RowTiles::kTile - 1) / RowTiles::kTile),
          bound_(tiles_, rows.r) {
        for (std::size_t i = 0; i < kDive + 2; ++i) {
            tiles_of_.emplace_back(rows.plus, rows.count - rows.plus, rows.r);
            states_.emplace_back();
            states_.back().alpha.resize(tiles_ * RowTiles::kTile);
        }
        boxes_.resize((kDive + 2) * 2 * rows.r);
    }

    // Bounds a box of unknown bound; or halves it at most `dive` times, its parts of a bound below
    // `level` no further.
    Work work(const Node& node, double theta, double level, std::size_t dive) {
        done_ = Work{};
        load(node.rows);
        share_ = node.rows;
        highest_ = 0.0;
        std::copy(node.box.begin(), node.box.end(), boxes_.begin());
        if (std::isinf(node.bound)) {
            keep(bound(tiles_of_[0], 0, theta, nullptr), 0, node.side, theta);
        } else {
            split(node.side, tiles_of_[0], 0, node.branch, nullptr, node.bound, theta, level, dive);
        }
        return std::move(done_);
    }

private:
    // The rows of a set, as tiles.
    void load(const std::shared_ptr<const RowSet>& shared) {
        if (shared == loaded_) {
            return;  // as it often is: boxes that belong together come one after another
        }
        loaded_ = shared;
        const RowSet& set = *shared;
        RowTiles& tiles = tiles_of_[0];
        tiles.clear();
        for (std::size_t i = 0; i < set.numbers.size(); ++i) {
            const std::int32_t number = set.numbers[i];
            const double* row = rows_.values.data() + static_cast<std::size_t>(number) * rows_.r;
            if (i < set.plus) {
                tiles.add_plus(row, 1, number);
            } else {
                tiles.add_minus(row, 1, number);
            }
        }
        tiles.linear = set.linear;
    }

    double bound(const RowTiles& rows, std::size_t level, double theta, const BoxState* around) {
        const std::size_t r = rows_.r;
        const double* box = boxes_.data() + level * 2 * r;
        ++done_.nodes;
        return bound_(rows, Box{{box, r}, {box + r, r}}, theta, around, states_[level]);
    }

    // Only the cut rows of a box, and its alphas of them.
    void compact(const RowTiles& from, std::size_t level) {
        constexpr std::size_t T = RowTiles::kTile;
        RowTiles& to = tiles_of_[level];
        BoxState& state = states_[level];
        const double* corner = boxes_.data() + level * 2 * rows_.r;
        const Box box{{corner, rows_.r}, {corner + rows_.r, rows_.r}};
        to.clear();
        to.linear = from.linear;
        std::size_t place = 0;
        for (std::size_t t = 0; t < from.tiles(); ++t) {
            const bool plus = t < from.plus_tiles();
            double m[T];
            const std::uint32_t cut = BoxBound::cut(from, t, box, m);
            for (std::size_t j = 0; j < T; ++j) {
                const std::int32_t number = from.numbers()[t * T + j];
                if (number < 0) {
                    continue;
                }
                const double* row = from.tile(t) + j;
                if ((cut >> j & 1U) != 0) {
                    if (plus) {
                        to.add_plus(row, T, number);
                    } else {
                        to.add_minus(row, T, number);
                        state.alpha[place++] = state.alpha[(t - from.plus_tiles()) * T + j];
                    }
                    continue;
                }
                if (m[j] > 0.0) {
                    for (std::size_t k = 0; k < rows_.r; ++k) {
                        to.linear[k] += plus ? row[k * T] : -row[k * T];
                    }
                }
            }
        }
        std::fill(state.alpha.begin() + static_cast<std::ptrdiff_t>(place), state.alpha.end(), 0.0);
    }

    // The rows of tiles, as a set for boxes that will wait.
    std::shared_ptr<const RowSet> share(const RowTiles& rows) const {
        std::vector<std::int32_t> numbers;
        numbers.reserve(rows.rows());
        std::size_t plus = 0;
        for (std::size_t i = 0; i < rows.numbers().size(); ++i) {
            if (rows.numbers()[i] >= 0) {
                plus += i < rows.plus_tiles() * RowTiles::kTile ? 1 : 0;
                numbers.push_back(rows.numbers()[i]);
            }
        }
        return std::make_shared<const RowSet>(plus, std::move(numbers), rows.linear, loaded_->held);
    }

    // Halves the box of `level` along coordinate k; `rows` has its cut rows.
    void split(std::int32_t side, const RowTiles& rows, std::size_t level, std::size_t k,
               const BoxState* around, double above, double theta, double threshold,
               std::size_t dive) {
        const std::size_t r = rows_.r;
        const double* box = boxes_.data() + level * 2 * r;
        double* part = boxes_.data() + (level + 1) * 2 * r;
        for (const double direction : {1.0, -1.0}) {
            std::copy(box, box + 2 * r, part);
            part[r + k] *= 0.5;
            part[k] += direction * part[r + k];
            const double ub = std::min(above, bound(rows, level + 1, theta, around));
            const BoxState& state = states_[level + 1];
            if (dive == 1 || ub <= std::max(theta, threshold) || is_narrow(level + 1)) {
                keep(ub, level + 1, side, theta);
                continue;
            }
            const bool sparse = 10 * state.cut_rows < 7 * rows.rows();
            const std::shared_ptr<const RowSet> outer = share_;
            if (sparse) {
                compact(rows, level + 1);
                share_ = share(tiles_of_[level + 1]);
            }
            split(side, sparse ? tiles_of_[level + 1] : rows, level + 1, state.branch, &state, ub,
                  theta, threshold, dive - 1);
            share_ = outer;
        }
    }

    // Whether rounding would show if the box of a level were halved.
    bool is_narrow(std::size_t level) const {
        return boxes_[(2 * level + 1) * rows_.r + states_[level].branch] < kNarrowest;
    }

    // The box of a level waits, unless it is settled: by its bound, or as there is nothing to do.
    void keep(double ub, std::size_t level, std::int32_t side, double theta) {
        // Most of an expansion's boxes are not tried: about the logarithm of their number is.
        if (ub > std::max(theta, highest_)) {
            highest_ = ub;
            try_neuron();
        }
        if (ub <= theta || is_narrow(level)) {
            done_.closed = std::max(done_.closed, ub);
            return;
        }
        const double* box = boxes_.data() + level * 2 * rows_.r;
        Node node;
        node.bound = ub;
        node.side = side;
        node.branch = static_cast<std::uint32_t>(states_[level].branch);
        node.rows = share_;
        node.box.assign(box, box + 2 * rows_.r);
        done_.open.push_back(std::move(node));
    }

    void try_neuron() {
        const std::span<const double> u = bound_.maximiser();
        double square = 0.0;
        for (const double entry : u) {
            square += entry * entry;
        }
        const double value = rows_.value(u);
        const double length = std::sqrt(square);
        if (value > done_.best.value * length) {
            done_.best.value = value / length;
            done_.best.direction.assign(u.begin(), u.end());
            for (double& entry : done_.best.direction) {
                entry /= length;
            }
        }
    }

    const Rows& rows_;
    Work done_;
    double highest_ = 0.0;  // bound of a box whose neuron was tried
    std::size_t tiles_;
    BoxBound bound_;
    std::vector<RowTiles> tiles_of_;
    std::vector<BoxState> states_;
    std::vector<double> boxes_;
    std::shared_ptr<const RowSet> share_;
    std::shared_ptr<const RowSet> loaded_;
};

// The divers of one side: one for each thread that works on it.
class Divers {
public:
    explicit Divers(const Rows& rows) : rows_(rows) {}

    std::unique_ptr<Diver> take() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            if (!free_.empty()) {
                std::unique_ptr<Diver> diver = std::move(free_.back());
                free_.pop_back();
                return diver;
            }
        }
        return std::make_unique<Diver>(rows_);
    }

    void give(std::unique_ptr<Diver> diver) {
        const std::lock_guard<std::mutex> lock(mutex_);
        free_.push_back(std::move(diver));
    }

private:
    const Rows& rows_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Diver>> free_;
};

}  // namespace convexnn::boxes
