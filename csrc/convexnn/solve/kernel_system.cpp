#include "convexnn/solve/kernel_system.hpp"

#include <algorithm>
#include <cmath>

#include "convexnn/base/views.hpp"

namespace convexnn {
namespace {

constexpr std::size_t kSingleEntries = std::size_t{1}
                                       << 16;  // of X; below, there is little to gain

}  // namespace

KernelSystem::KernelSystem(const GroupLasso& problem, MaskedProducts<double>& products,
                           std::size_t threads, Monitor& monitor)
    : masked_(products),
      threads_(threads),
      root_(problem.fits(), 1.0),
      scaled_(problem.fits()),
      adjoints_(new double[problem.A.blocks() * problem.block_size()]),
      problem_(problem) {
    c_.reserve(problem.A.blocks());
    if (problem.A.rows() * problem.A.width() >= kSingleEntries) {
        single_ = std::make_unique<SingleKernel>(problem.A, problem.outputs, monitor);
    }
}

bool KernelSystem::leave_single() {
    const bool left = is_single();
    single_.reset();
    return left;
}

void KernelSystem::set_blocks(std::span<const std::size_t> blocks, std::span<const double> c) {
    masked_.set_active(blocks);
    c_.assign(c.begin(), c.end());
    if (single_) {
        single_->set_blocks(blocks, c);
    }
}

void KernelSystem::set_curvature(std::span<const double> h) {
    constexpr double kFlat = 1e-10;
    const double smallest = kFlat * *std::ranges::max_element(h);
    std::ranges::transform(h, root_.begin(),
                           [=](double x) { return x > smallest ? std::sqrt(x) : 0.0; });
}

bool KernelSystem::multiply_kernel(std::span<const double> x, std::span<double> out,
                                   Monitor& monitor) {
    ++products_;
    const MatrixView<double> U(adjoints_.get(), problem_.block_size(), c_.size());
    if (!masked_.active_adjoint(problem_.by_output(x), U, threads_, monitor)) {
        return false;
    }
    for (std::size_t a = 0; a < c_.size(); ++a) {
        for (double& entry : U.column(a)) {
            entry *= c_[a];
        }
    }
    return masked_.active_forward({U.data, U.rows, c_.size()}, problem_.by_output(out), threads_,
                                  monitor);
}

template <typename Kernel>
bool KernelSystem::multiply_with(const Kernel& kernel, std::span<const double> x,
                                 std::span<double> out) {
    for (std::size_t k = 0; k < x.size(); ++k) {
        scaled_[k] = root_[k] * x[k];
    }
    if (!kernel(scaled_, out)) {
        return false;
    }
    for (std::size_t k = 0; k < x.size(); ++k) {
        out[k] = x[k] + root_[k] * out[k];
    }
    return true;
}

bool KernelSystem::multiply_exactly(std::span<const double> x, std::span<double> out,
                                    Monitor& monitor) {
    return multiply_with(
        [&](const auto& from, const auto& to) { return multiply_kernel(from, to, monitor); }, x,
        out);
}

bool KernelSystem::multiply(std::span<const double> x, std::span<double> out, Monitor& monitor) {
    if (!single_) {
        return multiply_exactly(x, out, monitor);
    }
    ++products_;
    return multiply_with(
        [&](const auto& from, const auto& to) {
            return single_->multiply(from, to, threads_, monitor);
        },
        x, out);
}

}  // namespace convexnn
