// The curvature of the data term as a metric of fits: H = diag(h), h = s l'', or with an output
// offset, which follows the fit, H = diag(h) - h h' / sum h.
#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "convexnn/program/gap.hpp"

namespace convexnn {

class CurvatureMetric {
public:
    explicit CurvatureMetric(std::size_t n) : h(n), root_(n) {}

    std::vector<double> h;

    // To be called when h has changed.
    void set(bool has_offset) {
        total_ = 0.0;
        for (std::size_t k = 0; k < h.size(); ++k) {
            root_[k] = std::sqrt(h[k]);
            total_ += h[k];
        }
        centred_ = has_offset && total_ > 0.0;
    }

    // x <- C x with C'C = H: sqrt(h) times x less its mean in the weights h.
    void scale(std::span<double> x) const {
        double mean = 0.0;
        if (centred_) {
            for (std::size_t k = 0; k < x.size(); ++k) {
                mean += h[k] / total_ * x[k];
            }
        }
        for (std::size_t k = 0; k < x.size(); ++k) {
            x[k] = root_[k] * (x[k] - mean);
        }
    }

    // sqrt(h): C'y = root y for y in the range of C.
    std::span<const double> root() const { return root_; }

private:
    std::vector<double> root_;
    double total_ = 0.0;
    bool centred_ = false;
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
