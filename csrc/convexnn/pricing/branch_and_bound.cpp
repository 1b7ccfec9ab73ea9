#include "convexnn/pricing/branch_and_bound.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <utility>

#include "convexnn/base/parallel.hpp"
#include "convexnn/base/simd.hpp"
#include "convexnn/pricing/box_bound.hpp"

namespace convexnn {
namespace {

constexpr std::size_t kBatch = 64;  // most boxes that are worked on between two looks at the queue
constexpr std::size_t kDive = 5;    // halvings of a box before its parts go to the queue
constexpr int kDeepest = 200;       // halvings of a box in all
constexpr double kLevels = 8.0;     // of the queue, for each factor 2 of a bound's excess
constexpr double kEagerness = 0.3;  // parts with more than that of the excess are halved at once
constexpr double kReportEvery = 0.05;                  // seconds
constexpr std::size_t kMemory = std::size_t{1} << 30;  // bytes for boxes that wait

// Rows that a box around all boxes below it cuts, by number, plus rows first, and the sum of those
// that are on.
struct RowSet {
    std::size_t plus = 0;
    std::vector<std::int32_t> numbers;
    std::vector<double> linear;
};

// A box that is not settled yet.
struct Node {
    double bound = 0.0;
    std::int32_t side = 0;  // 1: plus and minus are exchanged
    std::int32_t depth = 0;
    std::uint32_t branch = 0;
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

    std::size_t nodes = 0;
    double closed = 0.0;
    std::vector<Node> open;  // what is left
    Neuron best;

    // The box itself.
    void root(Node node, double theta) {
        load(node.rows);
        share_ = node.rows;
        highest_ = 0.0;
        std::copy(node.box.begin(), node.box.end(), boxes_.begin());
        node.bound = bound(tiles_of_[0], 0, theta, nullptr);
        node.branch = static_cast<std::uint32_t>(states_[0].branch);
        keep(std::move(node), theta);
    }

    // Parts of a box, after at most `dive` halvings.
    void expand(const Node& node, double theta, double level, std::size_t dive) {
        load(node.rows);
        share_ = node.rows;
        highest_ = 0.0;
        std::copy(node.box.begin(), node.box.end(), boxes_.begin());
        split(node, tiles_of_[0], 0, node.branch, nullptr, node.depth, node.bound, theta, level,
              dive);
    }

private:
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
        ++nodes;
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

    std::shared_ptr<const RowSet> share(const RowTiles& rows) const {
        auto set = std::make_shared<RowSet>();
        set->numbers.reserve(rows.rows());
        for (std::size_t i = 0; i < rows.numbers().size(); ++i) {
            if (rows.numbers()[i] >= 0) {
                set->plus += i < rows.plus_tiles() * RowTiles::kTile ? 1 : 0;
                set->numbers.push_back(rows.numbers()[i]);
            }
        }
        set->linear = rows.linear;
        return set;
    }

    void split(const Node& node, const RowTiles& rows, std::size_t level, std::size_t k,
               const BoxState* around, int depth, double above, double theta, double threshold,
               std::size_t dive) {
        const std::size_t r = rows_.r;
        const double* box = boxes_.data() + level * 2 * r;
        double* child = boxes_.data() + (level + 1) * 2 * r;
        for (const double side : {1.0, -1.0}) {
            std::copy(box, box + 2 * r, child);
            child[r + k] *= 0.5;
            child[k] += side * child[r + k];
            const double ub = std::min(above, bound(rows, level + 1, theta, around));
            BoxState& state = states_[level + 1];
            Node found;
            found.bound = ub;
            found.side = node.side;
            found.depth = depth + 1;
            found.branch = static_cast<std::uint32_t>(state.branch);
            if (ub > theta && dive > 1 && ub > threshold && depth + 1 < kDeepest) {
                if (10 * state.cut_rows < 7 * rows.rows()) {
                    compact(rows, level + 1);
                    const std::shared_ptr<const RowSet> outer = share_;
                    share_ = share(tiles_of_[level + 1]);
                    split(node, tiles_of_[level + 1], level + 1, state.branch, &state, depth + 1,
                          ub, theta, threshold, dive - 1);
                    share_ = outer;
                } else {
                    split(node, rows, level + 1, state.branch, &state, depth + 1, ub, theta,
                          threshold, dive - 1);
                }
                continue;
            }
            found.rows = share_;
            found.box.assign(child, child + 2 * r);
            keep(std::move(found), theta);
        }
    }

    void keep(Node node, double theta) {
        if (node.bound <= theta) {
            closed = std::max(closed, node.bound);
            return;
        }
        // Most of an expansion's boxes are not tried: about the logarithm of their number is.
        if (node.bound > highest_) {
            highest_ = node.bound;
            try_neuron();
        }
        open.push_back(std::move(node));
    }

    void try_neuron() {
        const std::span<const double> u = bound_.maximiser();
        double square = 0.0;
        for (const double entry : u) {
            square += entry * entry;
        }
        const double value = rows_.value(u);
        const double length = std::sqrt(square);
        if (value > best.value * length) {
            best.value = value / length;
            best.direction.assign(u.begin(), u.end());
            for (double& entry : best.direction) {
                entry /= length;
            }
        }
    }

    const Rows& rows_;
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

struct Work {
    std::vector<Node> open;
    Neuron best;
    double closed = 0.0;
    std::size_t nodes = 0;
};

}  // namespace

BranchAndBoundResult branch_and_bound(MatrixView<const double> plus, MatrixView<const double> minus,
                                      MatrixView<const double> starts,
                                      const BranchAndBoundSettings& settings, Monitor& monitor) {
    const Stopwatch watch;
    const std::size_t r = plus.columns;
    const Rows sides[2] = {Rows(plus, minus, r), Rows(minus, plus, r)};
    const std::size_t count = sides[0].count;

    BranchAndBoundResult result;
    const auto offer = [&](const Neuron& found, int side) {
        if (found.value > result.value) {
            result.value = found.value;
            result.neuron = found.direction;
            result.sign = side == 0 ? 1 : -1;
        }
    };
    for (std::size_t s = 0; s < starts.columns; ++s) {
        Neuron found;
        const std::span<const double> u = starts.column(s);
        found.direction.assign(u.begin(), u.end());
        found.value = sides[0].value(u);
        const int side = found.value < 0.0 ? 1 : 0;
        found.value = std::abs(found.value);
        offer(found, side);
    }

    double size = 0.0;
    for (const double entry : sides[0].values) {
        size += std::abs(entry);
    }
    // What a bound that is about `theta` may lack. Over a box no |row.u| exceeds the sum of the
    // row's moduli, as |u_k| <= 1; with s and rho as in BoxBound, rho <= sqrt(r) s. So the terms of
    // a bound's sums add up to at most (2 + sqrt(r)) size + 2 r theta, of which every one is off by
    // some n + 16 r roundings at most: those of sums over rows, and a few for each coordinate. Each
    // may count twice: as a value, and as the side on which a row was taken to be.
    const double dimension = static_cast<double>(r);
    const auto margin = [&](double theta) {
        const double roundings = static_cast<double>(count) + 16.0 * dimension + 64.0;
        return 4.0 * (dimension + 2.0) * roundings * 0x1p-53 * (size + dimension * theta) + 1e-290;
    };

    Queue queue;
    double closed = 0.0;
    const auto target = [&] {
        const double known = std::max(settings.floor, result.value);
        return known * (1.0 + settings.rtol) + margin(known);  // nothing is finer than rounding
    };
    const auto push = [&](Node node) {
        const double theta = target();
        if (node.bound <= theta) {
            closed = std::max(closed, node.bound);
            return;
        }
        const double excess = theta > 0.0 ? node.bound / theta - 1.0 : node.bound;
        queue.push(
            static_cast<std::int32_t>(std::floor(kLevels * std::log2(std::max(excess, 1e-300)))),
            std::move(node));
    };

    // The faces of the cube.
    std::vector<Node> batch;
    for (int side = 0; side < 2; ++side) {
        if (settings.ceilings[side] <= target()) {
            closed = std::max(closed, settings.ceilings[side]);
            continue;
        }
        auto all = std::make_shared<RowSet>();
        all->plus = sides[side].plus;
        all->numbers.resize(count);
        for (std::size_t j = 0; j < count; ++j) {
            all->numbers[j] = static_cast<std::int32_t>(j);
        }
        all->linear.assign(r, 0.0);
        for (std::size_t k = 0; k < r; ++k) {
            for (const double sign : {1.0, -1.0}) {
                Node node;
                node.side = side;
                node.rows = all;
                node.box.assign(2 * r, 0.0);
                std::fill(node.box.begin() + static_cast<std::ptrdiff_t>(r), node.box.end(), 1.0);
                node.box[k] = sign;
                node.box[r + k] = 0.0;
                batch.push_back(std::move(node));
            }
        }
    }

    Divers divers[2] = {Divers(sides[0]), Divers(sides[1])};
    // Large problems take fewer boxes at a time, so that the clock is looked at often.
    const double work_of_box = static_cast<double>(count) * dimension * (dimension + 10.0);
    const auto batch_size = static_cast<std::size_t>(
        std::clamp(4e7 / std::max(work_of_box, 1.0), 1.0, static_cast<double>(kBatch)));
    const std::size_t box_bytes = sizeof(Node) + 2 * r * sizeof(double) + 64;
    double next_report = kReportEvery;
    bool roots = true;
    std::vector<Work> work;
    const auto upper = [&] {
        double bound = closed;
        for (const std::int32_t side : {0, 1}) {
            bound = std::max(bound, std::min(queue.largest_bound(side), settings.ceilings[side]));
        }
        return bound;
    };
    for (;;) {
        const double theta = target();
        double level = 0.0;
        if (!roots) {
            if (result.nodes >= settings.max_nodes) {
                result.status = Status::max_iter;
                break;
            }
            if (watch.seconds() > settings.time_limit) {
                result.status = Status::time_limit;
                break;
            }
            batch.clear();
            if (queue.size() * box_bytes > kMemory) {
                result.status = Status::max_iter;
                break;
            }
            if (watch.seconds() > next_report) {
                next_report = watch.seconds() + kReportEvery;
                if (monitor.report(Progress{result.nodes, upper(), result.value, queue.size(),
                                            watch.seconds()})) {
                    result.status = Status::interrupted;
                    break;
                }
            }
            const std::size_t most = std::min(batch_size, settings.max_nodes - result.nodes);
            while (!queue.empty() && batch.size() < most) {
                Node node = queue.pop();
                if (node.bound <= theta) {
                    closed = std::max(closed, node.bound);
                } else {
                    batch.push_back(std::move(node));
                }
            }
            if (batch.empty()) {
                break;
            }
            for (const Node& node : batch) {
                level = level == 0.0 ? node.bound : std::min(level, node.bound);
            }
            level = theta + kEagerness * (level - theta);
        }
        work.assign(batch.size(), Work{});
        const std::size_t dive = settings.max_nodes - result.nodes > 1000 ? kDive : 1;
        const bool going = parallel_for(
            batch.size(), 1, settings.threads, monitor, [&](std::size_t begin, std::size_t end) {
                for (std::size_t i = begin; i < end; ++i) {
                    std::unique_ptr<Diver> diver = divers[batch[i].side].take();
                    diver->nodes = 0;
                    diver->closed = 0.0;
                    diver->best = Neuron{};
                    if (roots) {
                        diver->root(batch[i], theta);
                    } else {
                        diver->expand(batch[i], theta, level, dive);
                    }
                    work[i] = Work{std::move(diver->open), std::move(diver->best), diver->closed,
                                   diver->nodes};
                    diver->open.clear();
                    divers[batch[i].side].give(std::move(diver));
                }
            });
        if (!going) {
            throw Stopped{};
        }
        for (std::size_t i = 0; i < batch.size(); ++i) {
            offer(work[i].best, batch[i].side);
            result.nodes += work[i].nodes;
            closed = std::max(closed, work[i].closed);
        }
        for (Work& done : work) {
            for (Node& node : done.open) {
                push(std::move(node));
            }
        }
        roots = false;
    }
    result.bound = std::max({upper(), result.value, settings.floor});
    result.rounding = margin(std::max(result.bound, settings.floor));
    return result;
}

}  // namespace convexnn
