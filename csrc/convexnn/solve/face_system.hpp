// The linear system of the ReLU program on given faces of the cones. Near a projection p_b of F_b'a
// onto the cone of b that keeps its active rows, p_b(a) = Z_b Z_b'F_b'a with an orthonormal basis
// Z_b of what is at right angles to those rows, and
//
//   K = sum_b c_b F_b Z_b Z_b'F_b' = E E',   E = [sqrt(c_b) F_b Z_b] (n x m),   H = C'C.
//
// Few directions are left on most faces, so that m is small; what is factored is
// I + (C E)'(C E) (m x m), or I + C K C' (n x n) where that is less.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "convexnn/base/dense.hpp"
#include "convexnn/solve/curvature.hpp"

namespace convexnn {

// Allocates as the faces ask for it, and keeps what it has.
class FaceSystem {
public:
    FaceSystem(MatrixView<const double> X, std::size_t threads);

    // The faces are those of `blocks` (rising), of which block t has the factor c[t] and the active
    // rows active(b); mask(b, x) turns x = X z into F_b z. Faces that are as they were are not
    // computed again.
    template <typename Active, typename Mask>
    dense::Outcome set(std::span<const std::size_t> blocks, std::span<const double> c,
                       const Active& active, const Mask& mask, Monitor& monitor) {
        unchanged_ = faces_.size() == blocks.size();
        old_.swap(faces_);
        faces_.clear();
        std::size_t from = 0;
        directions_ = 0;
        for (std::size_t t = 0; t < blocks.size(); ++t) {
            while (from < old_.size() && old_[from].block < blocks[t]) {
                ++from;
            }
            const std::span<const std::int32_t> rows = active(blocks[t]);
            if (from < old_.size() && old_[from].block == blocks[t]) {
                faces_.push_back(std::move(old_[from++]));
            } else {
                faces_.emplace_back();
                faces_.back().block = blocks[t];
            }
            Face& face = faces_.back();
            if (!face.known || !same_rows(face, rows)) {
                unchanged_ = false;
                if (monitor.stop_requested()) {
                    return dense::Outcome::stopped;
                }
                find_directions(face, rows);
                for (std::size_t j = 0; j < face.directions; ++j) {
                    mask(face.block, std::span<double>(face.features.data() + j * n_, n_));
                }
            }
            face.c = c[t];
            directions_ += face.directions;
        }
        return dense::Outcome::done;
    }
    // Whether all faces were those of the call before.
    bool unchanged() const { return unchanged_; }

    // Number of columns of E.
    std::size_t directions() const { return directions_; }

    // C E, and the factor.
    dense::Outcome build(const CurvatureMetric& metric, Monitor& monitor);

    // da of (I + H K) da = r: a + da is where the linear model meets a = -L'(f(a)). adjoint(b, out)
    // writes F_b'r. Returns r'K da >= 0, how fast the objective falls along da.
    template <typename Adjoint>
    double step(std::span<const double> r, const CurvatureMetric& metric, const Adjoint& adjoint,
                std::span<double> change) {
        gathered_.resize(d_);
        right_.resize(directions_);
        std::size_t at = 0;
        for (const Face& face : faces_) {
            adjoint(face.block, std::span<double>(gathered_));
            const MatrixView<const double> Z(face.Z.data(), d_, face.directions);
            const std::span<double> part(right_.data() + at, face.directions);
            dense::multiply_transposed(Z, gathered_, part);
            for (double& x : part) {
                x *= std::sqrt(face.c);
            }
            at += face.directions;
        }
        return solve_step(r, metric, change);
    }

    // H_B = (C B)'(I + C K C')^-1 (C B), lower triangle; CB (n x k) is C B.
    dense::Outcome reduce(MatrixView<const double> CB, MatrixView<double> HB, Monitor& monitor);

private:
    struct Face {
        std::size_t block = 0;
        bool known = false;
        double c = 0.0;
        std::size_t directions = 0;
        std::vector<std::int32_t> rows;
        std::vector<double> Z;         // d x directions
        std::vector<double> features;  // n x directions: F_b Z
    };
    static bool same_rows(const Face& face, std::span<const std::int32_t> rows);
    void find_directions(Face& face, std::span<const std::int32_t> rows);
    double solve_step(std::span<const double> r, const CurvatureMetric& metric,
                      std::span<double> change);

    MatrixView<const double> X_;
    std::size_t n_, d_;
    dense::Workspace workspace_;
    std::vector<Face> faces_, old_;
    bool unchanged_ = false;
    std::size_t directions_ = 0;
    bool by_sample_ = false;                // the factor is n x n
    std::vector<double> scaled_, factor_;   // C E (n x m); L
    std::vector<double> right_, solution_;  // m
    std::vector<double> by_sample_work_;    // n
    std::vector<double> gathered_, reflectors_, product_;
};

}  // namespace convexnn
