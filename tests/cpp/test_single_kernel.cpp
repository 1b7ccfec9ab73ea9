#include <cmath>

#include "convexnn/solve/single_kernel.hpp"
#include "data.hpp"

using namespace convexnn;

namespace {

class Stopping final : public Monitor {
public:
    bool stop_requested() override { return true; }
};

// K x entry by entry.
std::vector<double> product(const Data& data, const std::vector<std::size_t>& blocks,
                            const std::vector<double>& c, const std::vector<double>& x) {
    std::vector<double> out(data.n, 0.0);
    const MatrixView<const double> X = data.matrix();
    for (std::size_t a = 0; a < blocks.size(); ++a) {
        for (std::size_t j = 0; j < data.d; ++j) {
            double sum = 0.0;
            for (std::size_t k = 0; k < data.n; ++k) {
                sum += data.patterns()(k, blocks[a]) ? X(k, j) * x[k] : 0.0;
            }
            for (std::size_t k = 0; k < data.n; ++k) {
                out[k] += data.patterns()(k, blocks[a]) ? c[a] * X(k, j) * sum : 0.0;
            }
        }
    }
    return out;
}

double size_of(const std::vector<double>& x) {
    double sum = 0.0;
    for (const double entry : x) {
        sum += entry * entry;
    }
    return std::sqrt(sum);
}

}  // namespace

TEST(single_kernel_is_the_kernel_to_a_few_roundings_of_single_precision) {
    for (const double scale : {1.0, 1e60, 1e-60}) {
        Data data(300, 11, 40, 3);
        for (double& entry : data.X) {
            entry *= scale;
        }
        Monitor monitor;
        SingleKernel kernel(data.masked(), 1, monitor);
        const std::vector<std::size_t> blocks = {5, 0, 39, 17};
        // Beyond single precision in size, all of them.
        const std::vector<double> c = {1e50, 3e50, 1e20, 0.5e50};
        std::vector<double> x = check::gaussian(data.n, 9);
        for (double& entry : x) {
            entry *= 1e-45;
        }
        kernel.set_blocks(blocks, c);
        std::vector<double> out(data.n);
        CHECK(kernel.multiply(x, out, 2, monitor));
        const std::vector<double> right = product(data, blocks, c, x);
        std::vector<double> error(data.n);
        for (std::size_t k = 0; k < data.n; ++k) {
            error[k] = out[k] - right[k];
        }
        CHECK(size_of(error) < 1e-5 * size_of(right));
        CHECK(size_of(error) > 0.0);
        // In place, and again: nothing is kept from one product to the next.
        CHECK(kernel.multiply(x, x, 1, monitor));
        CHECK(x == out);
    }
}

TEST(single_kernel_of_nothing_is_zero_and_it_stops) {
    const Data data(100, 4, 10, 3);
    Monitor monitor;
    SingleKernel kernel(data.masked(), 1, monitor);
    const std::vector<double> x = check::gaussian(data.n, 9);
    const std::vector<double> zero(data.n, 0.0);
    std::vector<double> out(data.n, 7.0);
    kernel.set_blocks({}, {});
    CHECK(kernel.multiply(x, out, 1, monitor) && out == zero);
    const std::vector<std::size_t> blocks = {3};
    const std::vector<double> c = {2.0};
    kernel.set_blocks(blocks, c);
    CHECK(kernel.multiply(zero, out, 1, monitor) && out == zero);
    Stopping stopping;
    CHECK(!kernel.multiply(x, out, 1, stopping));
}
