#include "convexnn/pricing/branch_and_bound.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <utility>

#include "convexnn/base/parallel.hpp"
#include "convexnn/pricing/box_dive.hpp"
#include "convexnn/pricing/box_queue.hpp"

namespace convexnn {

using namespace boxes;

namespace {

constexpr std::size_t kBatch = 64;  // most boxes that are worked on between two looks at the queue
constexpr double kLevels = 8.0;     // of the queue, for each factor 2 of a bound's excess
constexpr double kEagerness = 0.3;  // parts with more than that of the excess are halved at once
constexpr double kWork = 4e7;       // operations between two looks at the clock, about
constexpr double kReportEvery = 0.05;                  // seconds
constexpr std::size_t kMemory = std::size_t{1} << 30;  // bytes for boxes that wait

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
    // may count twice: as a value, and as the side on which a row was taken to be. Twice that.
    const double dimension = static_cast<double>(r);
    const auto margin = [&](double theta) {
        const double roundings = static_cast<double>(count) + 16.0 * dimension + 64.0;
        return 8.0 * (dimension + 2.0) * roundings * 0x1p-53 * (size + dimension * theta) + 1e-290;
    };

    std::atomic<std::size_t> held{0};  // bytes, in sets of rows
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
        const double level = kLevels * std::log2(std::clamp(excess, 1e-300, 1e300));
        queue.push(static_cast<std::int32_t>(std::floor(level)), std::move(node));
    };

    // The faces of the cube, of which nothing is known yet.
    for (int side = 0; side < 2; ++side) {
        if (settings.ceilings[side] <= target()) {
            closed = std::max(closed, settings.ceilings[side]);
            continue;
        }
        std::vector<std::int32_t> numbers(count);
        std::iota(numbers.begin(), numbers.end(), 0);
        const auto all = std::make_shared<const RowSet>(sides[side].plus, std::move(numbers),
                                                        std::vector<double>(r, 0.0), held);
        for (std::size_t k = 0; k < r; ++k) {
            for (const double sign : {1.0, -1.0}) {
                Node node;
                node.bound = std::numeric_limits<double>::infinity();
                node.side = side;
                node.rows = all;
                node.box.assign(2 * r, 0.0);
                std::fill(node.box.begin() + static_cast<std::ptrdiff_t>(r), node.box.end(), 1.0);
                node.box[k] = sign;
                node.box[r + k] = 0.0;
                push(std::move(node));
            }
        }
    }

    Divers divers[2] = {Divers(sides[0]), Divers(sides[1])};
    // Large problems take fewer boxes at a time, so that the clock is looked at often.
    const double work_of_box = static_cast<double>(count) * dimension * (dimension + 10.0);
    const auto batch_size = static_cast<std::size_t>(
        std::clamp(kWork / std::max(work_of_box, 1.0), 1.0, static_cast<double>(kBatch)));
    std::size_t most_dives = kDive;
    while (most_dives > 1 && work_of_box * static_cast<double>(2U << most_dives) > kWork) {
        --most_dives;
    }
    const std::size_t box_bytes = sizeof(Node) + 2 * r * sizeof(double) + 64;
    double next_report = kReportEvery;
    std::vector<Node> batch;
    std::vector<Work> work;
    const auto upper = [&] {
        double bound = closed;
        for (const std::int32_t side : {0, 1}) {
            bound = std::max(bound, std::min(queue.largest_bound(side), settings.ceilings[side]));
        }
        return bound;
    };
    while (!queue.empty()) {
        if (result.nodes >= settings.max_nodes ||
            queue.size() * box_bytes + held.load() > kMemory) {
            result.status = Status::max_iter;
            break;
        }
        if (watch.seconds() > settings.time_limit) {
            result.status = Status::time_limit;
            break;
        }
        if (watch.seconds() > next_report) {
            next_report = watch.seconds() + kReportEvery;
            if (monitor.report(
                    Progress{result.nodes, upper(), result.value, queue.size(), watch.seconds()})) {
                result.status = Status::interrupted;
                break;
            }
        }
        const double theta = target();
        const std::size_t left = settings.max_nodes - result.nodes;
        double lowest = std::numeric_limits<double>::infinity();
        batch.clear();
        while (!queue.empty() && batch.size() < std::min(batch_size, left)) {
            Node node = queue.pop();
            if (node.bound <= theta) {
                closed = std::max(closed, node.bound);
            } else {
                lowest = std::min(lowest, node.bound);
                batch.push_back(std::move(node));
            }
        }
        const double level = theta + kEagerness * (lowest - theta);
        work.assign(batch.size(), Work{});
        const bool going = parallel_for(
            batch.size(), 1, settings.threads, monitor, [&](std::size_t begin, std::size_t end) {
                for (std::size_t i = begin; i < end; ++i) {
                    std::unique_ptr<Diver> diver = divers[batch[i].side].take();
                    work[i] = diver->work(batch[i], theta, level, left > 1000 ? most_dives : 1);
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
    }
    result.bound = std::max({upper(), result.value, settings.floor});
    result.rounding = margin(result.bound);
    return result;
}

}  // namespace convexnn
