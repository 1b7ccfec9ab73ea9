// Which preconditioner the variational second-order method (newton.cpp) has: the mean field, until
// factors of N cost less than its many iterations or nothing else leads on.
#pragma once

#include <cstddef>
#include <memory>

#include "convexnn/program/free_columns.hpp"
#include "convexnn/solve/group_lasso.hpp"
#include "convexnn/solve/preconditioner.hpp"

namespace convexnn {

class PreconditionerChoice {
public:
    // `same_curvature`: all outputs have the same, and one factor of N is enough.
    PreconditionerChoice(const GroupLasso& problem, const FreeColumns& columns, bool same_curvature,
                         std::size_t threads)
        : problem_(problem),
          columns_(columns),
          threads_(threads),
          factors_(same_curvature ? 1 : problem.outputs),
          chosen_(mean_field(problem, columns, threads)) {}

    Preconditioner& operator*() const { return *chosen_; }
    Preconditioner* operator->() const { return chosen_.get(); }

    // Whether it is the exact one, or as near as it gets.
    bool factored() const { return factored_; }
    // Whether there is no more exact one to turn to.
    bool exact_or_never() const {
        const std::size_t rows = problem_.A.rows();
        return factored_ || rows * rows * factors_ > kMostRows * kMostRows;
    }
    // Turns to it; it has to be built.
    void factor_from_now_on() {
        chosen_.reset();  // first, for its memory
        chosen_ = dense_factor(problem_, columns_, threads_);
        factored_ = true;
    }

    // Whether factors of N would have cost less than that many products with N, in a step in the
    // norms of `free` blocks from `active` ones.
    bool factors_are_cheaper(std::size_t products, std::size_t active, std::size_t free) const {
        const auto n = static_cast<double>(problem_.A.rows());
        const auto d = static_cast<double>(problem_.block_size());
        const auto blocks = static_cast<double>(active);
        const auto iterations = static_cast<double>(products);
        const double each = blocks + static_cast<double>(free) + n / 3.0;
        const double factor = n * n * each * static_cast<double>(factors_);
        return !exact_or_never() && iterations * n * d * (4.0 * blocks / kTableGain + 8.0) > factor;
    }

private:
    static constexpr std::size_t kMostRows = 6000;  // of one factor of N, or as large as several
    static constexpr double kTableGain = 4.0;       // table look-ups over multiplications

    const GroupLasso& problem_;
    const FreeColumns& columns_;
    std::size_t threads_;
    std::size_t factors_;
    bool factored_ = false;
    std::unique_ptr<Preconditioner> chosen_;
};

}  // namespace convexnn
