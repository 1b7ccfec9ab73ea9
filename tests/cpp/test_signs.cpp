#include <cmath>

#include "data.hpp"

using namespace convexnn;

TEST(signs_equal_the_sum_in_feature_order) {
    for (const std::size_t n : {1U, 63U, 64U, 65U, 200U}) {
        for (const std::size_t P : {1U, 3U, 4U, 9U}) {
            const Data data(n, 5, P, 7);
            for (std::size_t i = 0; i < P; ++i) {
                for (std::size_t k = 0; k < n; ++k) {
                    double sum = 0.0;
                    for (std::size_t j = 0; j < data.d; ++j) {
                        sum += data.X[k + j * n] * data.gates[j + i * data.d];
                    }
                    CHECK(data.patterns()(k, i) == (sum >= 0.0));
                }
            }
        }
    }
}

TEST(signs_padding_bits_are_zero) {
    const Data data(70, 3, 5, 1);
    for (std::size_t i = 0; i < data.P; ++i) {
        CHECK(data.patterns().column(i)[1] >> (70 - 64) == 0);
    }
}

TEST(signs_do_not_depend_on_threads) {
    const Data data(333, 6, 1000, 3);
    std::vector<std::uint64_t> other(data.words.size());
    Monitor monitor;
    CHECK(sign_patterns(data.matrix(), {data.gates.data(), data.d, data.P},
                        {other.data(), data.n, data.P}, 3, monitor));
    CHECK(other == data.words);
}
