#include <cmath>

#include "convexnn/program/masked_matrix.hpp"
#include "data.hpp"

using namespace convexnn;

namespace {

double reference_adjoint(const Data& data, std::span<const double> v, std::size_t i,
                         std::size_t j) {
    double sum = 0.0;
    for (std::size_t k = 0; k < data.n; ++k) {
        if (data.patterns()(k, i)) {
            sum += data.X[k + j * data.n] * v[k];
        }
    }
    return sum;
}

}  // namespace

TEST(adjoint_block_equals_the_masked_sum) {
    for (const std::size_t n : {1U, 64U, 130U}) {
        for (const std::size_t d : {1U, 8U, 11U}) {
            const Data data(n, d, 261, 5);
            std::vector<double> masked(n);
            std::vector<double> one(d);
            for (const std::size_t i : {std::size_t{0}, std::size_t{100}, data.P - 1}) {
                adjoint_block(data.masked(), i, data.y, masked, one);
                for (std::size_t j = 0; j < d; ++j) {
                    const double expected = reference_adjoint(data, data.y, i, j);
                    CHECK(std::abs(one[j] - expected) < 1e-12 * static_cast<double>(n));
                }
            }
        }
    }
}

TEST(forward_block_equals_the_masked_product) {
    for (const std::size_t n : {1U, 64U, 130U}) {
        const Data data(n, 6, 200, 11);
        const std::vector<double> u = check::gaussian(data.d, 13);
        std::vector<double> one(n);
        for (std::size_t i = 0; i < data.P; i += 7) {
            forward_block(data.masked(), i, u, one);
            for (std::size_t k = 0; k < n; ++k) {
                double sum = 0.0;
                for (std::size_t j = 0; j < data.d; ++j) {
                    sum += data.X[k + j * n] * u[j];
                }
                CHECK(std::abs(one[k] - (data.patterns()(k, i) ? sum : 0.0)) < 1e-13);
            }
        }
    }
}
