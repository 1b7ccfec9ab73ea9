#include "convexnn/solve/single_kernel.hpp"

#include <algorithm>
#include <cmath>

namespace convexnn {
namespace {

double largest_of(std::span<const double> x) {
    double largest = 0.0;
    for (const double entry : x) {
        largest = std::max(largest, std::abs(entry));
    }
    return largest;
}

double scale_of(MatrixView<const double> X) {
    double largest = 0.0;
    for (std::size_t j = 0; j < X.columns; ++j) {
        largest = std::max(largest, largest_of(X.column(j)));
    }
    return largest > 0.0 ? 1.0 / largest : 1.0;
}

}  // namespace

SingleKernel::SingleKernel(const MaskedMatrix& A, std::size_t outputs, Monitor& monitor)
    : scale_(scale_of(A.X)),
      products_(A.X, A.patterns, scale_, &monitor),
      vector_(A.rows() * outputs),
      adjoints_(A.blocks() * A.width() * outputs),
      outputs_(outputs) {
    shares_.reserve(A.blocks());
}

void SingleKernel::set_blocks(std::span<const std::size_t> blocks, std::span<const double> c) {
    products_.set_active(blocks);
    largest_ = largest_of(c);
    shares_.resize(c.size());
    std::ranges::transform(c, shares_.begin(),
                           [this](double weight) { return static_cast<float>(weight / largest_); });
}

bool SingleKernel::multiply(std::span<const double> x, std::span<double> out, std::size_t threads,
                            Monitor& monitor) {
    const double size = largest_of(x);
    if (size == 0.0 || shares_.empty()) {
        std::ranges::fill(out, 0.0);
        return true;
    }
    std::ranges::transform(x, vector_.begin(),
                           [=](double entry) { return static_cast<float>(entry / size); });
    const std::size_t n = products_.rows();
    const MatrixView<float> U(adjoints_.data(), products_.width() * outputs_, shares_.size());
    if (!products_.active_adjoint({vector_.data(), n, outputs_}, U, threads, monitor)) {
        return false;
    }
    for (std::size_t a = 0; a < shares_.size(); ++a) {
        for (float& entry : U.column(a)) {
            entry *= shares_[a];
        }
    }
    if (!products_.active_forward({U.data, U.rows, U.columns}, {vector_.data(), n, outputs_},
                                  threads, monitor)) {
        return false;
    }
    const double back = size * largest_ / (scale_ * scale_);
    std::ranges::transform(vector_, out.begin(),
                           [=](float entry) { return back * static_cast<double>(entry); });
    return true;
}

}  // namespace convexnn
