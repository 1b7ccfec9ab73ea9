// The curvature of the data term as a metric of fits: H = diag(h), h = s l'', less what the free
// part follows: with an output offset diag(h) - h h' / sum h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "convexnn/program/data_term.hpp"

namespace convexnn {

class CurvatureMetric {
public:
    CurvatureMetric(std::size_t fits, FreeColumns columns)
        : h(fits), root_(fits), columns_(std::move(columns)) {}

    std::vector<double> h;

    // To be called when h has changed.
    void set() {
        std::ranges::transform(h, root_.begin(), [](double x) { return std::sqrt(x); });
        columns_.set(h);
    }

    // x <- C x with C'C = H: sqrt(h) times x less its regression on the free columns.
    void scale(std::span<double> x) const { columns_.scale(root_, x); }

    // sqrt(h): C'y = root y for y in the range of C.
    std::span<const double> root() const { return root_; }

private:
    std::vector<double> root_;
    FreeColumns columns_;
};

// h at f, or that of a parabola above the loss.
template <typename Loss>
void fill_curvature(DataTerm<Loss>& data, std::span<const double> f, bool parabola,
                    std::span<double> h) {
    if (parabola) {
        data.majorant(f, h);
    } else {
        data.curvature(f, h);
    }
}

}  // namespace convexnn
