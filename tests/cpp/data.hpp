// A random problem with patterns, owned.
#pragma once

#include <cstdint>
#include <vector>

#include "check.hpp"
#include "convexnn/arrangement/signs.hpp"
#include "convexnn/program/masked_matrix.hpp"

struct Data {
    std::size_t n, d, P;
    std::vector<double> X, gates, y;
    std::vector<std::uint64_t> words;

    Data(std::size_t n_, std::size_t d_, std::size_t P_, unsigned seed)
        : n(n_),
          d(d_),
          P(P_),
          X(check::gaussian(n * d, seed)),
          gates(check::gaussian(d * P, seed + 1)),
          y(check::gaussian(n, seed + 2)),
          words(convexnn::words_for(n) * P) {
        convexnn::Monitor monitor;
        convexnn::sign_patterns(matrix(), {gates.data(), d, P}, {words.data(), n, P}, 1, monitor);
    }
    convexnn::MatrixView<const double> matrix() const { return {X.data(), n, d}; }
    convexnn::BitColumns patterns() const { return {words.data(), n, P}; }
    convexnn::MaskedMatrix masked() const { return {matrix(), patterns()}; }
};
