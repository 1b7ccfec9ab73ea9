#include <cmath>

#include "convexnn/base/blas.hpp"
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

TEST(adjoint_equals_the_masked_sum) {
    for (const std::size_t n : {1U, 64U, 130U}) {
        for (const std::size_t d : {1U, 8U, 11U}) {
            const Data data(n, d, 261, 5);
            std::vector<double> out(d * data.P);
            std::vector<double> again(out.size());
            Monitor monitor;
            CHECK(adjoint(data.masked(), data.y, {out.data(), d, data.P}, 1, monitor));
            CHECK(adjoint(data.masked(), data.y, {again.data(), d, data.P}, 3, monitor));
            CHECK(out == again);
            std::vector<double> masked(n);
            std::vector<double> one(d);
            for (const std::size_t i : {std::size_t{0}, std::size_t{100}, data.P - 1}) {
                adjoint_block(data.masked(), i, data.y, masked, one);
                for (std::size_t j = 0; j < d; ++j) {
                    const double expected = reference_adjoint(data, data.y, i, j);
                    CHECK(std::abs(out[j + i * d] - expected) < 1e-12 * static_cast<double>(n));
                    CHECK(std::abs(one[j] - expected) < 1e-12 * static_cast<double>(n));
                }
            }
        }
    }
}

TEST(forward_equals_the_masked_sum) {
    for (const std::size_t n : {1U, 64U, 130U}) {
        const Data data(n, 6, 200, 11);
        std::vector<std::size_t> blocks;
        for (std::size_t i = 0; i < data.P; i += (n == 64 ? 1 : 3)) {
            blocks.push_back(i);
        }
        const std::vector<double> U = check::gaussian(data.d * blocks.size(), 13);
        std::vector<double> f(n);
        std::vector<double> expected(n, 0.0);
        std::vector<double> one(n);
        ForwardBuffer buffer;
        Monitor monitor;
        CHECK(
            forward(data.masked(), blocks, {U.data(), data.d, blocks.size()}, f, buffer, monitor));
        for (std::size_t b = 0; b < blocks.size(); ++b) {
            forward_block(data.masked(), blocks[b], {U.data() + b * data.d, data.d}, one);
            for (std::size_t k = 0; k < n; ++k) {
                double sum = 0.0;
                for (std::size_t j = 0; j < data.d; ++j) {
                    sum += data.X[k + j * n] * U[j + b * data.d];
                }
                const double masked = data.patterns()(k, blocks[b]) ? sum : 0.0;
                CHECK(std::abs(one[k] - masked) < 1e-13);
                expected[k] += masked;
            }
        }
        for (std::size_t k = 0; k < n; ++k) {
            CHECK(std::abs(f[k] - expected[k]) < 1e-11);
        }
    }
}

TEST(blas_multiply_blocks_large_products) {
    const std::size_t m = 64;
    const std::size_t k = 600;
    const std::size_t n = 300;
    const std::vector<double> a = check::gaussian(m * k, 1);
    const std::vector<double> b = check::gaussian(k * n, 2);
    std::vector<double> c(m * n, 99.0);
    blas::multiply(a.data(), m, b.data(), c.data(), m, k, n);
    for (const std::size_t j : {std::size_t{0}, std::size_t{17}, n - 1}) {
        for (std::size_t i = 0; i < m; i += 9) {
            double sum = 0.0;
            for (std::size_t l = 0; l < k; ++l) {
                sum += a[i + l * m] * b[l + j * k];
            }
            CHECK(std::abs(c[i + j * m] - sum) < 1e-10);
        }
    }
}
