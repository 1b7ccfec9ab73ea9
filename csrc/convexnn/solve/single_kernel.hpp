// Products with K = sum_a c_a D_a X X^T D_a in single precision, for vectors in double: half the
// time and half the memory of the same in double precision, and an error of 1e-6 of the result's
// size or so, or somewhat more. Good for the search directions of an iteration that takes its
// residual from elsewhere; nothing that is claimed may rest on it.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "convexnn/base/monitor.hpp"
#include "convexnn/base/views.hpp"
#include "convexnn/program/masked_matrix.hpp"
#include "convexnn/program/masked_products.hpp"

namespace convexnn {

class SingleKernel {
public:
    // Copies X, rounded, as n (d + 32) entries at most; views the patterns. All work space is
    // allocated here. Left unfinished once `monitor` says stop, as it has to from then on.
    SingleKernel(const MaskedMatrix& A, std::size_t outputs, Monitor& monitor);

    // The blocks of K, any of them, and their weights c_a > 0.
    void set_blocks(std::span<const std::size_t> blocks, std::span<const double> c);

    // out = K x, both n entries for each output; they may be the same. Whatever the sizes of X, c
    // and x, nothing overflows that would not in double precision. Allocates nothing. Cost n d / 2
    // additions a block and output. False: stopped, `out` is then unspecified.
    bool multiply(std::span<const double> x, std::span<double> out, std::size_t threads,
                  Monitor& monitor);

private:
    double scale_;  // that makes X's largest entry 1
    MaskedProducts<float> products_;
    double largest_ = 0.0;         // of c
    std::vector<float> shares_;    // c / largest_
    std::vector<float> vector_;    // n K
    std::vector<float> adjoints_;  // d K x P
    std::size_t outputs_;          // K
};

}  // namespace convexnn
