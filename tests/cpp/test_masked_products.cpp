#include <cmath>

#include "convexnn/program/masked_products.hpp"
#include "data.hpp"

using namespace convexnn;

namespace {

class Stopping final : public Monitor {
public:
    bool stop_requested() override { return true; }
};

}  // namespace

TEST(masked_products_of_several_outputs_equal_the_masked_sums) {
    for (const std::size_t n : {1U, 64U, 150U}) {
        for (const std::size_t d : {3U, 8U, 13U}) {
            const std::size_t K = 3;
            const Data data(n, d, 141, 5);
            const MatrixView<const double> X(data.X.data(), n, d);
            MaskedProducts<double> A(X, data.patterns());
            Monitor monitor;
            // Columns further apart than they are long.
            const std::vector<double> V = check::gaussian((n + 2) * K, 7);
            MatrixView<const double> v(V.data(), n, K);
            v.stride = n + 2;
            std::vector<double> out((d * K + 1) * data.P, 99.0);
            MatrixView<double> blocks(out.data(), d * K, data.P);
            blocks.stride = d * K + 1;
            CHECK(A.adjoint(v, blocks, 2, monitor));
            const std::vector<std::size_t> listed = {140, 0, 7, 7};
            A.set_active(listed);
            std::vector<double> some(d * K * listed.size());
            CHECK(A.active_adjoint(v, {some.data(), d * K, listed.size()}, 1, monitor));
            std::vector<double> f(n * K);
            CHECK(A.active_forward({some.data(), d * K, listed.size()}, {f.data(), n, K}, 1,
                                   monitor));
            for (std::size_t i = 0; i < data.P; ++i) {
                CHECK(out[i * blocks.stride + d * K] == 99.0);
            }
            for (std::size_t a = 0; a < listed.size(); ++a) {
                for (std::size_t j = 0; j < d * K; ++j) {
                    double sum = 0.0;
                    for (std::size_t k = 0; k < n; ++k) {
                        sum += data.patterns()(k, listed[a]) ? X(k, j % d) * v(k, j / d) : 0.0;
                    }
                    CHECK(std::abs(some[j + a * d * K] - sum) < 1e-12 * static_cast<double>(n));
                    CHECK(some[j + a * d * K] == blocks(j, listed[a]));
                }
            }
            for (std::size_t k = 0; k < n; ++k) {
                for (std::size_t q = 0; q < K; ++q) {
                    double sum = 0.0;
                    for (std::size_t a = 0; a < listed.size(); ++a) {
                        for (std::size_t j = 0; j < d && data.patterns()(k, listed[a]); ++j) {
                            sum += X(k, j) * some[j + q * d + a * d * K];
                        }
                    }
                    CHECK(std::abs(f[k + q * n] - sum) < 1e-10 * static_cast<double>(n));
                }
            }
            Stopping stopping;
            CHECK(!A.adjoint(v, blocks, 1, stopping));
            CHECK(!A.active_forward({some.data(), d * K, listed.size()}, {f.data(), n, K}, 1,
                                    stopping));
            A.set_active({});
            CHECK(A.active_forward({some.data(), d * K, 0}, {f.data(), n, K}, 1, monitor));
            CHECK(f == std::vector<double>(n * K, 0.0));
        }
    }
}
