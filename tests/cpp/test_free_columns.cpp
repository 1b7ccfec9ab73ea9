#include <cmath>
#include <vector>

#include "check.hpp"
#include "convexnn/program/free_columns.hpp"
#include "data.hpp"

using namespace convexnn;

namespace {

// Columns E = [I (x) Z, rows] as vectors of n K entries, Z = (ones, skip).
std::vector<std::vector<double>> all_columns(std::size_t n, std::size_t K, bool constant,
                                             MatrixView<const double> skip, bool rows) {
    std::vector<std::vector<double>> columns;
    for (std::size_t j = 0; j < K; ++j) {
        for (std::size_t a = 0; a < skip.columns + (constant ? 1 : 0); ++a) {
            columns.emplace_back(n * K, 0.0);
            for (std::size_t k = 0; k < n; ++k) {
                columns.back()[j * n + k] =
                    constant && a == 0 ? 1.0 : skip(k, a - (constant ? 1 : 0));
            }
        }
    }
    for (std::size_t k = 0; k < n && rows; ++k) {
        columns.emplace_back(n * K, 0.0);
        for (std::size_t j = 0; j < K; ++j) {
            columns.back()[j * n + k] = 1.0;
        }
    }
    return columns;
}

double product(const std::vector<double>& a, const std::vector<double>& h,
               const std::vector<double>& b) {
    double sum = 0.0;
    for (std::size_t k = 0; k < a.size(); ++k) {
        sum += a[k] * h[k] * b[k];
    }
    return sum;
}

}  // namespace

// x less its regression is H-orthogonal to every free column, what is free becomes zero, and the
// change is free.
TEST(free_columns_are_regressed_out) {
    const std::size_t n = 12;
    const std::vector<double> X = check::gaussian(n * 2, 5);
    for (const std::size_t K : {std::size_t{1}, std::size_t{3}}) {
        for (const bool constant : {false, true}) {
            for (const std::size_t width : {std::size_t{0}, std::size_t{2}}) {
                for (const bool rows : {false, true}) {
                    if (rows && K == 1) {
                        continue;
                    }
                    const MatrixView<const double> skip(X.data(), n, width);
                    FreeColumns free(n, K, constant, skip, rows);
                    CHECK(free.width() == width + (constant ? 1 : 0));
                    std::vector<double> h = check::gaussian(n * K, 6);
                    for (double& x : h) {
                        x = 0.1 + std::abs(x);
                    }
                    CHECK(free.set(h));
                    const auto columns = all_columns(n, K, constant, skip, rows);
                    std::vector<double> x = check::gaussian(n * K, 7);
                    free.regress(x);
                    for (const std::vector<double>& column : columns) {
                        CHECK(std::abs(product(column, h, x)) < 1e-12);
                        std::vector<double> nothing = column;
                        free.regress(nothing);
                        for (const double left : nothing) {
                            CHECK(std::abs(left) < 1e-12);
                        }
                    }
                    std::vector<double> again = x;
                    free.regress(again);
                    for (std::size_t k = 0; k < x.size(); ++k) {
                        CHECK(std::abs(again[k] - x[k]) < 1e-13);
                    }
                }
            }
        }
    }
}

TEST(dependent_free_columns_count_once) {
    const std::size_t n = 8;
    std::vector<double> X(n * 3, 2.0);  // three times the constant one
    X[n] = 5.0;                         // but for one entry of the second
    const FreeColumns free(n, 2, true, {X.data(), n, 3}, false);
    CHECK(free.width() == 2 && free.count() == 4);
    const FreeColumns none(n, 2, false, {}, false);
    CHECK(none.empty() && none.count() == 0);
    const std::vector<double> zero(n * 2, 0.0);
    CHECK(FreeColumns(n, 2, false, {zero.data(), n, 2}, false).empty());
}
