// Largest difference of support functions on the unit ball, with a proof: best-first branch and
// bound over boxes on the faces of the cube.
//
//   max_{|u| <= 1} max(F(u), -F(u)),  F(u) = sum_{p in plus} (p.u)_+ - sum_{q in minus} (q.u)_+
//
// Every direction goes through one face of the cube, u_k = +1 or -1; a face is a box, which is
// halved until BoxBound shows that F(u) / |u| is small enough all over it. The boxes of largest
// bound are halved first, so that a search that is stopped has a bound, and a useful one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "convexnn/base/monitor.hpp"
#include "convexnn/base/status.hpp"
#include "convexnn/base/views.hpp"

namespace convexnn {

struct BranchAndBoundSettings {
    double floor = 0.0;                   // nobody needs to know a maximum below it
    double rtol = 1e-4;                   // > 0; done when bound <= max(floor, value) (1 + rtol)
    double ceilings[2] = {1e300, 1e300};  // bounds of F and of -F that are known already
    std::size_t max_nodes = SIZE_MAX;
    double time_limit = 1e300;  // seconds
    std::size_t threads = 1;
};

struct BranchAndBoundResult {
    double bound = 0.0;  // bound + rounding >= max(maximum, floor) in real arithmetic
    double rounding = 0.0;
    double value = 0.0;  // best |F(u)| met, u = neuron of length 1; 0 and empty when none was
    int sign = 1;        // of F(u)
    std::vector<double> neuron;
    std::size_t nodes = 0;           // boxes bounded
    Status status = Status::solved;  // max_iter: out of boxes, or of memory for them
};

// `plus` and `minus` have rows of the same length r >= 1 (either may have none); `starts` has unit
// directions as columns (r x count), which the search knows from the beginning. The result does not
// depend on the number of threads. Throws Stopped when `monitor` says so; `report` gets the number
// of boxes, the bound and the value.
BranchAndBoundResult branch_and_bound(MatrixView<const double> plus, MatrixView<const double> minus,
                                      MatrixView<const double> starts,
                                      const BranchAndBoundSettings& settings, Monitor& monitor);

}  // namespace convexnn
