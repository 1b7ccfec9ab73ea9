// What the phases of a solve of the ReLU program (cutting_plane.hpp, cone_newton.hpp) share: the
// program, the best blocks so far, the count of iterations, and the reasons to end.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "convexnn/base/vectors.hpp"
#include "convexnn/program/data_term.hpp"
#include "convexnn/solve/cone_lasso.hpp"
#include "convexnn/solve/cone_program.hpp"
#include "convexnn/solve/deadline.hpp"

namespace convexnn {

template <typename Loss>
class ConeRun {
public:
    // The status at the end of the solve, or none where it goes on.
    using End = std::optional<Status>;

    ConeRun(const ConeLasso& lasso, const Loss& loss, const SolverSettings& settings,
            Monitor& monitor)
        : problem(lasso.base),
          data(problem.samples, loss, problem.output_offset, 1, problem.skip),
          program(lasso, data, settings, monitor),
          deadline(program.deadline()),
          max_iter_(settings.max_iter),
          best_objective_(program.objective_at_zero()) {}

    const GroupLasso& problem;
    DataTerm<Loss> data;
    ConeProgram<Loss> program;
    Deadline& deadline;
    std::size_t n_iter = 0;

    // To be called while zero, which is the best so far, is the last fit that the data term has
    // seen. Iterations count from `first` on.
    void begin(std::size_t first) {
        n_iter = first;
        best_free_part_ = data.free_part();
    }

    double objective() const { return best_objective_; }
    double gap() const { return program.relative(best_objective_); }
    bool proved() const { return program.proved(best_objective_); }
    // Rising, and their values, d x those.
    std::span<const std::size_t> blocks() const { return best_blocks_; }
    std::span<const double> values() const { return best_values_; }

    // Keeps blocks, if there are none better. The last fit that the data term has seen is theirs.
    void keep_best(double objective, std::span<const std::size_t> blocks,
                   std::span<const double> values) {
        if (objective < best_objective_) {
            best_objective_ = objective;
            best_free_part_ = data.free_part();
            best_blocks_.assign(blocks.begin(), blocks.end());
            best_values_.assign(values.begin(), values.end());
        }
    }

    // Of a block of that norm.
    double penalty_of(std::size_t b, double size) const {
        return problem.beta * size + 0.5 * program.ridge(b) * size * size;
    }

    // Records the gap; true when the monitor says stop.
    bool record() { return program.record(n_iter, best_objective_, best_blocks_.size()); }
    // Records the gap; how the solve ends, if here.
    End check() {
        const bool stop = record();
        if (proved()) {
            return Status::solved;
        }
        if (stop) {
            return deadline.reason();
        }
        return n_iter >= max_iter_ ? End(Status::max_iter) : End();
    }
    // How the solve ends where a part of it did not end well: it goes on, unless it was stopped.
    End why() const { return deadline.stopped() ? End(deadline.reason()) : End(); }

    // Positions in priced(), beyond `from`, of at most `most` prices above beta by the factor
    // `margin`, the largest first.
    std::vector<std::size_t> violators(std::size_t most, double margin,
                                       std::size_t from = 0) const {
        const std::span<const double> prices = program.prices();
        const std::span<const std::size_t> blocks = program.priced();
        std::vector<std::size_t> found;
        for (std::size_t t = from; t < prices.size(); ++t) {
            if (prices[t] > margin * problem.beta) {
                found.push_back(t);
            }
        }
        const auto larger = [&](std::size_t s, std::size_t t) {
            return prices[s] != prices[t] ? prices[s] > prices[t] : blocks[s] < blocks[t];
        };
        if (found.size() > most) {
            std::nth_element(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(most),
                             found.end(), larger);
            found.resize(most);
        }
        std::ranges::sort(found, larger);
        return found;
    }

    GroupLassoResult finish(Status status) {
        if (program.is_news(best_objective_)) {  // the time ended between two checks
            record();
        }
        GroupLassoResult result = program.finish(status, n_iter);
        result.objective = best_objective_;
        result.free_part = best_free_part_;
        const std::size_t d = problem.A.width();
        for (const std::size_t parity : {0U, 1U}) {
            for (std::size_t t = 0; t < best_blocks_.size(); ++t) {
                const std::size_t b = best_blocks_[t];
                const std::span<const double> u(best_values_.data() + t * d, d);
                if (b % 2 == parity && norm(u) > 0.0) {
                    result.active.push_back(b / 2 + parity * problem.A.blocks());
                    for (const double x : u) {
                        result.values.push_back(x / problem.weights[b / 2]);
                    }
                }
            }
        }
        return result;
    }

private:
    std::size_t max_iter_;
    std::vector<std::size_t> best_blocks_;
    std::vector<double> best_values_;
    double best_objective_;
    std::vector<double> best_free_part_;
};

}  // namespace convexnn
