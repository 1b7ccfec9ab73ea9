#include <algorithm>
#include <cmath>
#include <set>

#include "check.hpp"
#include "convexnn/arrangement/enumerate.hpp"
#include "convexnn/arrangement/expansion.hpp"
#include "convexnn/arrangement/lattice.hpp"
#include "convexnn/arrangement/witness.hpp"

using namespace convexnn;

namespace {

using Words = std::vector<std::uint64_t>;

HalfCells cells_of(std::vector<double> X, std::size_t n, std::size_t d, bool snap = true) {
    return HalfCells(reduce_rows({X.data(), n, d}, snap));
}

Words listed(const HalfCells& cells, std::uint64_t first, std::uint64_t count, std::uint64_t block,
             std::size_t threads = 1) {
    const std::size_t samples = cells.rows().samples;
    Words out(2 * count * words_for(samples));
    Monitor monitor;
    const Listing listing =
        cells.list(first, count, block, {out.data(), samples, 2 * count}, threads, monitor);
    CHECK(listing.finished);
    CHECK(listing.undecided.empty());
    // The blocks without the room that they did not need.
    Words closed;
    for (std::size_t b = 0; b < listing.kept.size(); ++b) {
        const auto begin = out.begin() + static_cast<long>(2 * b * block * words_for(samples));
        closed.insert(closed.end(), begin,
                      begin + static_cast<long>(2 * listing.kept[b] * words_for(samples)));
    }
    return closed;
}

// The rows (1, c) for the corners c of the cube of d dimensions, column-major.
std::vector<double> threshold(std::size_t d) {
    std::vector<double> X(std::size_t{1} << d, 1.0);
    for (std::size_t j = 0; j < d; ++j) {
        for (std::size_t i = 0; i < std::size_t{1} << d; ++i) {
            X.push_back(static_cast<double>((i >> j) & 1U));
        }
    }
    return X;
}

class StopAtOnce final : public Monitor {
    bool stop_requested() override { return true; }
};

}  // namespace

TEST(cells_of_generic_rows_are_distinct_and_as_many_as_the_formula) {
    for (const std::size_t n : {5U, 8U, 9U, 17U, 66U}) {
        for (const std::size_t r : {1U, 2U, 3U, 4U}) {
            const HalfCells cells = cells_of(check::gaussian(n * r, 3), n, r);
            std::uint64_t expected = 0;
            std::uint64_t term = 1;
            for (std::size_t k = 0; k < std::min(n, r); ++k) {
                expected += term;
                term = term * (n - 1 - k) / (k + 1);
            }
            CHECK(cells.total() == (r == 1 ? 1 : expected));
            const std::size_t width = words_for(n);
            const Words out = listed(cells, 0, cells.total(), 100);
            std::set<Words> found;
            for (std::size_t i = 0; i < 2 * cells.total(); ++i) {
                found.insert(Words(&out[i * width], &out[i * width] + width));
            }
            CHECK(found.size() == 2 * cells.total());
        }
    }
}

TEST(cells_do_not_depend_on_where_a_listing_starts_nor_on_threads) {
    const HalfCells cells = cells_of(check::gaussian(70 * 4, 5), 70, 4);
    const std::uint64_t total = cells.total();
    const Words all = listed(cells, 0, total, total);
    CHECK(listed(cells, 0, total, total, 3) == all);
    CHECK(listed(cells, 0, total, 5000, 2) == listed(cells, 0, total, 5000));
    for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{52000},
                                      total - 2300, total - 1, total}) {
        const std::uint64_t count = std::min<std::uint64_t>(300, total - first);
        const Words part = listed(cells, first, count, count + 1);
        CHECK(std::equal(part.begin(), part.begin() + static_cast<long>(2 * count),
                         all.begin() + static_cast<long>(2 * first)));
    }
}

TEST(cells_complements_leave_padding_and_zero_rows_alone) {
    std::vector<double> X = check::gaussian(2 * 7, 9);
    X[3] = X[3 + 7] = 0.0;  // a zero row
    X[5] = -2.0 * X[1];     // an opposite one
    X[5 + 7] = -2.0 * X[1 + 7];
    const HalfCells cells = cells_of(X, 7, 2);
    CHECK(cells.total() == 5);
    const Words out = listed(cells, 0, 5, 5);
    for (std::size_t i = 0; i < 10; ++i) {
        CHECK(out[i] >> 7 == 0);
        CHECK(((out[i] >> 3) & 1) == 1);
        CHECK(((out[i] >> 5) & 1) != ((out[i] >> 1) & 1));
    }
    for (std::size_t i = 0; i < 5; ++i) {
        CHECK((out[i] ^ out[i + 5]) == 0b1110111);
    }
}

TEST(cells_of_dependent_rows_are_as_many_as_are_known) {
    const std::size_t known[] = {4, 14, 104, 1882};  // threshold functions of d arguments
    for (std::size_t d = 1; d <= 4; ++d) {
        const std::size_t n = std::size_t{1} << d;
        for (const std::uint64_t seed : {0U, 1U, 2U}) {
            std::vector<double> X = threshold(d);
            const HalfCells cells(reduce_rows({X.data(), n, d + 1}, true), seed);
            for (const std::size_t block : {std::size_t{7}, cells.total()}) {
                const Words out = listed(cells, 0, cells.total(), block, 2);
                CHECK(out.size() == known[d - 1]);
                CHECK((std::set<std::uint64_t>(out.begin(), out.end()).size() == out.size()));
            }
        }
    }
}

TEST(cells_of_dependent_rows_are_found_wherever_a_listing_starts) {
    const std::size_t n = 70;
    std::vector<double> X = check::gaussian(n * 4, 5);
    for (double& x : X) {
        x = std::nearbyint(2.0 * x);
    }
    const HalfCells cells = cells_of(X, n, 4);
    const std::uint64_t total = cells.total();
    Monitor monitor;
    const std::uint64_t count = cells.list(0, total, total, {}, 1, monitor).kept[0];
    CHECK(count < total);
    std::uint64_t parts = 0;
    for (const std::uint64_t step : {std::uint64_t{1000}, std::uint64_t{997}}) {
        parts = 0;
        for (std::uint64_t first = 0; first < total; first += step) {
            const std::uint64_t size = std::min(step, total - first);
            parts += cells.list(first, size, size, {}, 1, monitor).kept[0];
        }
        CHECK(parts == count);
    }
    CHECK(listed(cells, 0, total, 5000, 3) == listed(cells, 0, total, 5000));
}

TEST(cells_that_32_digits_leave_open_are_decided_exactly) {
    // Rows 1, 4 and 7 depend on each other but for 2^-115.
    const std::size_t n = 30;
    std::vector<double> X = check::gaussian(n * 3, 2);
    const double special[3][3] = {{1.0, 0.0, 0.0}, {0.0, 1.0, 0.0}, {1.0, 1.0, 0x1p-115}};
    for (std::size_t j = 0; j < 3; ++j) {
        X[1 + j * n] = special[0][j];
        X[4 + j * n] = special[1][j];
        X[7 + j * n] = special[2][j];
    }
    const HalfCells cells = cells_of(X, n, 3, false);
    const Words out = listed(cells, 0, cells.total(), 1000);
    CHECK(out.size() == 2 * cells.total());
    CHECK((std::set<std::uint64_t>(out.begin(), out.end()).size() == out.size()));
}

TEST(cells_that_are_left_open_are_named) {
    // Rows e_1 + t e_k whose determinant, t^6, is no double, nor 2^900 times it.
    const std::size_t n = 20;
    const std::size_t r = 7;
    std::vector<double> X = check::gaussian(n * r, 2);
    for (std::size_t j = 0; j < r; ++j) {
        for (std::size_t k = 0; k < r; ++k) {
            X[1 + 2 * k + j * n] = (j == 0 ? 1.0 : 0.0) + (j == k && k > 0 ? 1e-97 : 0.0);
        }
    }
    const HalfCells cells = cells_of(X, n, r, false);
    Monitor monitor;
    std::vector<std::vector<std::size_t>> named;
    for (const std::size_t threads : {1U, 2U}) {
        const Listing listing = cells.list(0, cells.total(), 1000, {}, threads, monitor);
        CHECK(listing.undecided.size() >= 3);
        CHECK(std::ranges::count_if(listing.undecided, [](auto i) { return i % 2 == 1; }) >= 3);
        named.push_back(listing.undecided);
    }
    CHECK(named[0] == named[1]);
    // A part of the listing that does not come by is not concerned.
    CHECK(cells.list(cells.total() - 2, 2, 1000, {}, 1, monitor).undecided.empty());
}

TEST(expansions_are_exact) {
    Expansion sum(1e30);
    sum.add(1.0);
    sum.add(-1e30);
    CHECK(sum.sign() == 1);
    sum.add(-1.0);
    CHECK(sum.sign() == 0);
    Expansion third(1.0 / 3.0);
    Expansion square;
    square.add_product(third, third);
    square.add_product(Expansion(1.0 / 3.0), third, -1.0);
    CHECK(square.sign() == 0);
    square.add_product(Expansion(1.0 + 0x1p-52), Expansion(1.0 - 0x1p-52));
    square.add(-1.0);
    square.compress();
    CHECK(square.sign() == -1);
    square.add(0x1p-104);
    CHECK(square.sign() == 0);
    CHECK(square.exact());
    square.add_product(Expansion(1e-200), Expansion(1e-200));
    CHECK(!square.exact());
    // A Hilbert-like matrix that is singular but for 2^-100.
    std::vector<Expansion> matrix(9);
    const double entries[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    for (std::size_t k = 0; k < 9; ++k) {
        matrix[k] = Expansion(entries[k]);
    }
    CHECK(exact_sign_of_determinant(matrix, 3) == 0);
    matrix[8].add(0x1p-100);
    CHECK(exact_sign_of_determinant(matrix, 3) == -1);
    std::swap_ranges(matrix.begin(), matrix.begin() + 3, matrix.begin() + 3);
    CHECK(exact_sign_of_determinant(matrix, 3) == 1);
}

TEST(cells_of_repeated_rows_are_those_of_the_rows) {
    // Rows that are repeated, opposite and zero: few (by a table), and many (bit by bit).
    for (const std::size_t copies : {3U, 400U}) {
        const std::size_t distinct = 40;
        const std::size_t n = distinct * copies + 1;
        const std::vector<double> rows = check::gaussian(distinct * 2, 4);
        std::vector<double> X(2 * n, 0.0);
        for (std::size_t i = 0; i + 1 < n; ++i) {
            for (std::size_t j = 0; j < 2; ++j) {
                const double sign = (i / distinct) % 2 == 1 ? -1.0 : 1.0;
                X[i + j * n] = sign * rows[i % distinct + j * distinct];
            }
        }
        const HalfCells cells = cells_of(X, n, 2);
        CHECK(cells.total() == distinct);
        const std::size_t width = words_for(n);
        const Words out = listed(cells, 0, distinct, distinct);
        const HalfCells few = cells_of(rows, distinct, 2);
        const Words expected = listed(few, 0, distinct, distinct);
        for (std::size_t c = 0; c < 2 * distinct; ++c) {
            for (std::size_t i = 0; i + 1 < n; ++i) {
                const bool bit = ((out[c * width + i / 64] >> (i % 64)) & 1U) != 0;
                const bool of_row = ((expected[c] >> (i % distinct)) & 1U) != 0;
                CHECK(bit == (of_row != ((i / distinct) % 2 == 1)));
            }
            CHECK(((out[c * width + (n - 1) / 64] >> ((n - 1) % 64)) & 1U) == 1);
        }
    }
}

TEST(cells_can_be_stopped) {
    const HalfCells cells = cells_of(check::gaussian(40 * 3, 2), 40, 3);
    StopAtOnce monitor;
    CHECK(!cells.list(0, cells.total(), 1000, {}, 2, monitor).finished);
}

TEST(cells_of_thin_arrangements_are_decided) {
    // Three lines that miss a common point by 1e-12: two cells more, seen in 32 digits only.
    std::vector<double> X = {1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1e-12, 1.0};
    const HalfCells cells = cells_of(X, 4, 3, false);
    CHECK(cells.total() == 7);
    Words out = listed(cells, 0, 7, 7);
    CHECK((std::set<std::uint64_t>(out.begin(), out.end()).size() == 14));
}

TEST(leaf_kernels_agree_bit_by_bit) {
    const std::vector<LeafKernels> kernels = leaf_kernels();
    for (const std::size_t vectors : {1U, 2U, 13U}) {
        const std::size_t n = vectors * kLeafLanes;
        const std::vector<double> random = check::gaussian(4 * n, 11);
        AlignedDoubles columns(4 * n);
        double* c = columns.data();
        double* d = c + n;
        double* beta = d + n;
        double* tolerance = beta + n;
        for (std::size_t i = 0; i < n; ++i) {
            c[i] = i % 5 == 1 ? kForced : i % 5 == 2 ? -kForced : random[i];
            d[i] = i % 5 == 1 || i % 5 == 2 ? 0.0 : random[n + i];
            beta[i] = random[2 * n + i];
            tolerance[i] = i % 3 == 0 ? 0.01 : 1e-9;
        }
        for (std::size_t first = 0; first < n; first += 3) {
            for (std::size_t last = first + 1; last <= n; last += 5) {
                std::vector<std::uint8_t> expected((last - first) * vectors);
                std::vector<std::uint64_t> doubts(n, 0);
                kernels.back().signs(c, d, vectors, first, last, beta, tolerance, expected.data(),
                                     vectors, doubts.data());
                for (const LeafKernels& kernel : kernels) {
                    std::vector<std::uint8_t> found(expected.size());
                    std::vector<std::uint64_t> suspicious(n, 0);
                    kernel.signs(c, d, vectors, first, last, beta, tolerance, found.data(), vectors,
                                 suspicious.data());
                    CHECK(found == expected);
                    for (std::size_t j = 0; j < n; ++j) {
                        CHECK((suspicious[j] != 0) == (doubts[j] != 0));
                    }
                }
                for (std::size_t j = first; j < last; ++j) {
                    for (std::size_t i = 0; i < n; ++i) {
                        const bool bit = (expected[(j - first) * vectors + i / 8] >> (i % 8)) & 1U;
                        CHECK(i == j || bit == (c[i] - d[i] * beta[j] > 0.0));
                    }
                }
            }
        }
    }
}

TEST(near_rows_are_found_by_every_kernel) {
    const std::size_t vectors = 5;
    const std::size_t n = vectors * kLeafLanes;
    const std::vector<double> random = check::gaussian(2 * n, 12);
    AlignedDoubles columns(2 * n);
    double* c = columns.data();
    double* d = c + n;
    for (std::size_t i = 0; i < n; ++i) {
        c[i] = i % 7 == 0 ? kForced : i % 3 == 0 ? 0.0 : random[i];
        d[i] = i % 7 == 0 || i % 6 == 0 ? 0.0 : random[n + i];
    }
    for (const double beta : {0.0, 0.3, -2.0}) {
        for (const double tolerance : {0.0, 0.05, 0.7}) {
            std::vector<std::size_t> near;
            std::vector<std::size_t> vanishing;
            for (std::size_t i = 0; i < n; ++i) {
                if (std::abs(c[i] - d[i] * beta) <= tolerance && i != 12) {
                    near.push_back(i);
                }
                if (std::abs(c[i]) <= tolerance && std::abs(d[i]) <= std::abs(beta)) {
                    vanishing.push_back(i);
                }
            }
            for (const LeafKernels& kernels : leaf_kernels()) {
                std::vector<std::size_t> found(n);
                found.resize(kernels.near_rows(c, d, vectors, beta, tolerance, 12, found.data()));
                CHECK(found == near);
                found.resize(n);
                found.resize(
                    kernels.vanishing_rows(c, d, vectors, tolerance, std::abs(beta), found.data()));
                CHECK(found == vanishing);
            }
        }
    }
}

TEST(double_double_keeps_32_digits) {
    const DoubleDouble third = DoubleDouble(1.0) / DoubleDouble(3.0);
    const DoubleDouble rest = DoubleDouble(1.0) - (third + third + third);
    CHECK(std::abs(rest.hi) < 1e-31);
    const DoubleDouble a = DoubleDouble(1.0) + DoubleDouble(1e-20);
    CHECK((a - DoubleDouble(1.0)).hi == 1e-20);
    CHECK(std::abs((a * a - DoubleDouble(1.0)).hi - 2e-20) < 1e-31);
    const DoubleDouble square = two_product(1.0 + 0x1p-30, 1.0 + 0x1p-30);
    CHECK(square.hi == 1.0 + 0x1p-29);
    CHECK(square.lo == 0x1p-60);
}

TEST(lattices_are_read) {
    std::vector<double> out(4);
    const auto read = [&](std::vector<double> column, bool shift) {
        return read_lattice(column, shift, out);
    };
    CHECK(read({0.1, 0.2, 0.30000000000000004, -0.7}, false));
    CHECK((out == std::vector<double>{1, 2, 3, -7}));
    CHECK(read({1.0 / 7, 2.0 / 7, -3.0 / 7, 0.0}, false));
    CHECK((out == std::vector<double>{1, 2, -3, 0}));
    CHECK(!read({1.1234567891, 2.0, 3.0, 4.0}, false));
    CHECK(read({0.123456789 + 1, 0.123456789 + 4, 0.123456789 + 7, 0.123456789 + 5}, true));
    CHECK((out == std::vector<double>{0, 3, 6, 4}));
    CHECK(!read({1e-12, 2e-12, 3.14e-12, 1.7320508075688772e-12}, false));
    CHECK(!read({0.0, 0.0, 0.0, 0.0}, false));
    CHECK(!read({3.0, 3.0, 3.0, 3.0}, true));
    CHECK(read({3e-12, -3e-12, 6e-12, 0.0}, false));
    CHECK((out == std::vector<double>{1, -1, 2, 0}));
    CHECK(!read({1.0, 2.0, 3.0 + 1e-8, 4.0}, false));
}

TEST(witnesses_are_inside_and_do_not_depend_on_threads) {
    const std::size_t n = 40;
    const std::size_t r = 4;
    std::vector<double> X = check::gaussian(n * r, 6);
    for (std::size_t i = 0; i < n; ++i) {
        double square = 0.0;
        for (std::size_t j = 0; j < r; ++j) {
            square += X[i + j * n] * X[i + j * n];
        }
        for (std::size_t j = 0; j < r; ++j) {
            X[i + j * n] = i == 7 ? 0.0 : X[i + j * n] / std::sqrt(square);
        }
    }
    const HalfCells cells = cells_of(X, n, r);
    const Words out = listed(cells, 0, 2000, 2000);
    std::vector<double> points(4000 * r);
    std::vector<double> others(4000 * r);
    Monitor monitor;
    const BitColumns patterns(out.data(), n, 4000);
    CHECK(cell_witnesses({X.data(), n, r}, patterns, {points.data(), r, 4000}, 1, monitor));
    CHECK(cell_witnesses({X.data(), n, r}, patterns, {others.data(), r, 4000}, 3, monitor));
    CHECK(points == others);
    for (std::size_t i = 0; i < 4000; ++i) {
        double square = 0.0;
        for (std::size_t j = 0; j < r; ++j) {
            square += points[i * r + j] * points[i * r + j];
        }
        CHECK(std::abs(square - 1.0) < 1e-12);
        for (std::size_t k = 0; k < n; ++k) {
            double side = 0.0;
            for (std::size_t j = 0; j < r; ++j) {
                side += X[k + j * n] * points[i * r + j];
            }
            CHECK(k == 7 || (side > 0.0) == patterns(k, i));
        }
    }
}
