// Dense algebra against naive loops, and the quadratic program against its optimality conditions.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include "check.hpp"
#include "convexnn/base/dense.hpp"
#include "convexnn/solve/nonnegative_qp.hpp"

using namespace convexnn;
using namespace convexnn::dense;

namespace {

// A random matrix with a stride above its rows, and a NaN wherever nobody has to look.
struct Matrix {
    std::size_t rows, columns, stride;
    std::vector<double> values;

    Matrix(std::size_t rows_, std::size_t columns_, unsigned seed, std::size_t extra = 3)
        : rows(rows_), columns(columns_), stride(rows_ + extra) {
        values = check::gaussian(stride * columns + 1, seed);
        for (std::size_t j = 0; j < columns; ++j) {
            for (std::size_t i = rows; i < stride; ++i) {
                values[i + j * stride] = NAN;
            }
        }
    }
    double& operator()(std::size_t i, std::size_t j) { return values[i + j * stride]; }
    double operator()(std::size_t i, std::size_t j) const { return values[i + j * stride]; }
    MatrixView<double> view() {
        MatrixView<double> A(values.data(), rows, columns);
        A.stride = stride;
        return A;
    }
    MatrixView<const double> view() const {
        MatrixView<const double> A(values.data(), rows, columns);
        A.stride = stride;
        return A;
    }
    void hide_upper() {
        for (std::size_t j = 0; j < columns; ++j) {
            std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(j * stride), std::min(j, rows),
                        NAN);
        }
    }
    bool same(const Matrix& other) const {
        return std::memcmp(values.data(), other.values.data(), values.size() * sizeof(double)) == 0;
    }
};

Matrix naive_product(const Matrix& A, bool a, const Matrix& B, bool b) {
    const std::size_t depth = a ? A.rows : A.columns;
    Matrix C(a ? A.columns : A.rows, b ? B.rows : B.columns, 1);
    for (std::size_t j = 0; j < C.columns; ++j) {
        for (std::size_t i = 0; i < C.rows; ++i) {
            double sum = 0.0;
            for (std::size_t l = 0; l < depth; ++l) {
                sum += (a ? A(l, i) : A(i, l)) * (b ? B(j, l) : B(l, j));
            }
            C(i, j) = sum;
        }
    }
    return C;
}

bool close(double a, double b, double scale) { return std::abs(a - b) <= 1e-13 * scale; }

// A A^T / n + I
Matrix positive(std::size_t n, unsigned seed) {
    const Matrix A(n, n, seed);
    Matrix S = naive_product(A, false, A, true);
    for (std::size_t j = 0; j < n; ++j) {
        for (std::size_t i = 0; i < n; ++i) {
            S(i, j) = S(i, j) / static_cast<double>(n) + (i == j ? 1.0 : 0.0);
        }
    }
    return S;
}

Matrix lower_triangle(std::size_t n, unsigned seed) {
    Matrix L(n, n, seed);
    for (std::size_t j = 0; j < n; ++j) {
        for (std::size_t i = j; i < n; ++i) {
            L(i, j) = i == j ? 2.0 + std::abs(L(i, j)) : L(i, j) / static_cast<double>(n);
        }
    }
    L.hide_upper();
    return L;
}

struct Countdown final : Monitor {
    explicit Countdown(int left_) : left(left_) {}
    bool stop_requested() override { return --left < 0; }
    int left;
};

const std::size_t sizes[] = {1, 2, 7, 8, 23, 25, 63, 64, 65, 129, 200};

void check_product(std::size_t m, std::size_t n, std::size_t k, double alpha, double beta) {
    Workspace workspace(1);
    for (int op = 0; op < 4; ++op) {
        const bool a = (op & 1) != 0;
        const bool b = (op & 2) != 0;
        const Matrix A(a ? k : m, a ? m : k, 3);
        const Matrix B(b ? n : k, b ? k : n, 4);
        const Matrix before(m, n, 5);
        Matrix C = before;
        if (beta == 0.0) {
            std::ranges::fill(C.values, NAN);
        }
        CHECK(product(alpha, A.view(), a ? Op::transposed : Op::plain, B.view(),
                      b ? Op::transposed : Op::plain, beta, C.view(), workspace,
                      unmonitored()) == Outcome::done);
        const Matrix AB = naive_product(A, a, B, b);
        for (std::size_t j = 0; j < n; ++j) {
            for (std::size_t i = 0; i < m; ++i) {
                CHECK(close(C(i, j), alpha * AB(i, j) + (beta == 0.0 ? 0.0 : beta * before(i, j)),
                            static_cast<double>(k + 10)));
            }
            for (std::size_t i = m; i < C.stride; ++i) {
                CHECK(std::isnan(C(i, j)));
            }
        }
    }
}

// Largest violation of the conditions of optimality of the quadratic program, relative.
double violation(const Matrix& H, std::span<const double> g, std::span<const double> lower,
                 std::span<const double> d, double ridge) {
    const std::size_t k = g.size();
    double worst = 0.0;
    for (std::size_t i = 0; i < k; ++i) {
        double w = g[i] + ridge * H(i, i) * d[i];
        double terms = std::abs(g[i]) + 1e-300;
        for (std::size_t j = 0; j < k; ++j) {
            const double h = i >= j ? H(i, j) : H(j, i);
            w += h * d[j];
            terms += std::abs(h * d[j]);
        }
        CHECK(d[i] >= lower[i]);
        worst = std::max(worst, (d[i] > lower[i] ? std::abs(w) : -w) / terms);
    }
    return worst;
}

struct Program {
    Matrix H;
    std::vector<double> g, lower;

    // H = F F^T of rank <= `rank`, its rows repeated with period `period`.
    Program(std::size_t k, std::size_t rank, std::size_t period, unsigned seed)
        : H(k, k, 1), g(check::gaussian(k, seed + 1)), lower(check::gaussian(k, seed + 2)) {
        Matrix F(k, rank, seed);
        for (std::size_t l = 0; l < rank; ++l) {
            for (std::size_t i = period; i < k; ++i) {
                F(i, l) = F(i % period, l);
            }
        }
        H = naive_product(F, false, F, true);
        H.hide_upper();
        for (std::size_t i = 0; i < k; ++i) {
            lower[i] = i % 3 == 0 ? 0.0 : -std::abs(lower[i]);
        }
    }
    QpResult solve(std::vector<char>& free, std::vector<double>& d, QpSettings settings = {},
                   Monitor& monitor = unmonitored()) const {
        NonnegativeQp qp(g.size());
        Workspace workspace(1);
        return qp.solve(H.view(), g, lower, free, d, settings, workspace, monitor);
    }
    double objective(const std::vector<double>& d) const {
        double value = 0.0;
        for (std::size_t i = 0; i < g.size(); ++i) {
            value += g[i] * d[i] + 0.5 * H(i, i) * d[i] * d[i];
            for (std::size_t j = 0; j < i; ++j) {
                value += H(i, j) * d[i] * d[j];
            }
        }
        return value;
    }
};

}  // namespace

TEST(dense_products_match_naive_loops) {
    for (const std::size_t m : sizes) {
        for (const std::size_t n : {1, 9, 65}) {
            check_product(m, n, 17, 1.0, 0.0);
            check_product(n, m, 33, -0.5, 1.0);
        }
    }
    check_product(250, 50, 300, 2.0, -3.0);
    check_product(250, 20, 1, 1.0, 1.0);
    check_product(5, 800, 3, 1.0, 0.0);
    check_product(5, 3, 4200, 1.0, 0.5);
    check_product(3, 4, 0, 1.0, 0.0);
    check_product(3, 4, 0, 1.0, 2.0);
}

TEST(dense_symmetric_products_match_naive_loops) {
    Workspace workspace(1);
    for (const std::size_t n : sizes) {
        for (const std::size_t m : {1, 64}) {
            for (const bool transposed : {false, true}) {
                const Matrix A(transposed ? m : n, transposed ? n : m, 8);
                const Matrix AA = naive_product(A, transposed, A, !transposed);
                const Matrix before(n, n, 9);
                for (const double beta : {0.0, 0.5}) {
                    Matrix C = before;
                    C.hide_upper();
                    CHECK(symmetric_product(-2.0, A.view(), transposed ? Op::transposed : Op::plain,
                                            beta, C.view(), workspace,
                                            unmonitored()) == Outcome::done);
                    for (std::size_t j = 0; j < n; ++j) {
                        for (std::size_t i = 0; i < n; ++i) {
                            CHECK(i < j ? std::isnan(C(i, j))
                                        : close(C(i, j), -2.0 * AA(i, j) + beta * before(i, j),
                                                static_cast<double>(m + 10)));
                        }
                    }
                }
            }
        }
    }
}

TEST(dense_cholesky_reproduces_its_matrix) {
    Workspace workspace(1);
    for (const std::size_t n : {1, 2, 7, 8, 9, 24, 25, 63, 64, 65, 127, 128, 129, 200, 300}) {
        const Matrix S = positive(n, 11);
        Matrix L = S;
        L.hide_upper();
        CHECK(cholesky(L.view(), 1e-14, workspace, unmonitored()) == Outcome::done);
        for (std::size_t j = 0; j < n; ++j) {
            for (std::size_t i = 0; i < n; ++i) {
                if (i < j) {
                    CHECK(std::isnan(L(i, j)));
                    continue;
                }
                double sum = 0.0;
                for (std::size_t l = 0; l <= j; ++l) {
                    sum += L(i, l) * L(j, l);
                }
                CHECK(close(sum, S(i, j), 10.0));
            }
        }
    }
    Matrix empty(0, 0, 1);
    CHECK(cholesky(empty.view(), 0.0, workspace, unmonitored()) == Outcome::done);
}

TEST(dense_cholesky_says_what_is_not_positive) {
    Workspace workspace(1);
    for (const std::size_t n : {1, 10, 65, 200}) {
        for (const std::size_t bad : {std::size_t{0}, n / 2, n - 1}) {
            for (const double pivot : {-1.0, 0.0, static_cast<double>(NAN), HUGE_VAL}) {
                Matrix S = positive(n, 12);
                S(bad, bad) = pivot;
                CHECK(cholesky(S.view(), 0.0, workspace, unmonitored()) == Outcome::not_positive);
            }
        }
        if (n < 2) {
            continue;
        }
        // Equal rows: the second pivot is rounding, of either sign, which the tolerance refuses.
        for (const std::size_t twin : {std::size_t{1}, n - 1}) {
            Matrix S = positive(n, 13);
            for (std::size_t i = 0; i < n; ++i) {
                S(twin, i) = S(0, i);
                S(i, twin) = S(i, 0);
            }
            S(twin, twin) = S(0, 0);
            CHECK(cholesky(S.view(), 1e-13, workspace, unmonitored()) == Outcome::not_positive);
        }
    }
}

TEST(dense_triangular_solves_undo_products) {
    Workspace workspace(1);
    for (const std::size_t n : {1, 2, 8, 9, 63, 64, 65, 128, 129, 200, 300}) {
        const Matrix L = lower_triangle(n, 14);
        Matrix full = L;
        for (std::size_t j = 0; j < n; ++j) {
            std::fill_n(full.values.begin() + static_cast<std::ptrdiff_t>(j * full.stride), j, 0.0);
        }
        for (const std::size_t m : {1, 5, 24, 25, 100}) {
            const Matrix X(n, m, 15);
            for (const bool transposed : {false, true}) {
                Matrix B = naive_product(full, transposed, X, false);
                std::vector<double> b(B.values.begin(),
                                      B.values.begin() + static_cast<std::ptrdiff_t>(n));
                CHECK((transposed
                           ? solve_lower_transposed(L.view(), B.view(), workspace, unmonitored())
                           : solve_lower(L.view(), B.view(), workspace, unmonitored())) ==
                      Outcome::done);
                transposed ? solve_lower_transposed(L.view(), b) : solve_lower(L.view(), b);
                for (std::size_t i = 0; i < n; ++i) {
                    CHECK(close(b[i], X(i, 0), 30.0));
                    for (std::size_t j = 0; j < m; ++j) {
                        CHECK(close(B(i, j), X(i, j), 30.0));
                    }
                }
            }
        }
    }
}

TEST(dense_vector_products_match_naive_loops) {
    for (const std::size_t n : sizes) {
        Matrix S = positive(n, 16);
        const Matrix A(n, 13, 17);
        const Matrix x(n, 1, 18);
        const Matrix u(13, 1, 19);
        std::vector<double> y(n);
        std::vector<double> z(13);
        const Matrix Sx = naive_product(S, false, x, false);
        S.hide_upper();
        multiply_symmetric(constant(S.view()), {x.values.data(), n}, y);
        for (std::size_t i = 0; i < n; ++i) {
            CHECK(close(y[i], Sx(i, 0), 100.0));
        }
        multiply(A.view(), {u.values.data(), 13}, y);
        const Matrix Au = naive_product(A, false, u, false);
        for (std::size_t i = 0; i < n; ++i) {
            CHECK(close(y[i], Au(i, 0), 100.0));
        }
        multiply_transposed(A.view(), {x.values.data(), n}, z);
        const Matrix Ax = naive_product(A, true, x, false);
        for (std::size_t j = 0; j < 13; ++j) {
            CHECK(close(z[j], Ax(j, 0), static_cast<double>(n)));
        }
    }
}

TEST(dense_results_do_not_depend_on_threads) {
    const std::size_t n = 460;  // large enough for every step to be split
    const Matrix A(n, n, 20);
    const Matrix before(n, n, 21);
    std::vector<Matrix> first;
    for (const std::size_t threads : {1, 3}) {
        Workspace workspace(threads);
        std::vector<Matrix> results(4, before);
        product(0.3, A.view(), Op::plain, A.view(), Op::transposed, 0.7, results[0].view(),
                workspace, unmonitored());
        symmetric_product(1.0 / n, A.view(), Op::transposed, 0.0, results[1].view(), workspace,
                          unmonitored());
        for (std::size_t i = 0; i < n; ++i) {
            results[1](i, i) += 1.0;
        }
        CHECK(cholesky(results[1].view(), 0.0, workspace, unmonitored()) == Outcome::done);
        solve_lower(constant(results[1].view()), results[2].view(), workspace, unmonitored());
        solve_lower_transposed(constant(results[1].view()), results[3].view(), workspace,
                               unmonitored());
        if (first.empty()) {
            first = results;
        }
        for (std::size_t r = 0; r < results.size(); ++r) {
            CHECK(results[r].same(first[r]));
        }
    }
}

TEST(dense_work_stops_when_told) {
    const std::size_t n = 330;
    for (const std::size_t threads : {1, 2}) {
        Workspace workspace(threads);
        const Matrix A(n, n, 22);
        const Matrix S = positive(n, 23);
        Matrix C = S;
        for (const int asked : {0, 1}) {
            Countdown monitor(asked);
            CHECK(product(1.0, A.view(), Op::plain, A.view(), Op::plain, 0.0, C.view(), workspace,
                          monitor) == Outcome::stopped);
            monitor.left = asked;
            CHECK(symmetric_product(1.0, A.view(), Op::plain, 0.0, C.view(), workspace, monitor) ==
                  Outcome::stopped);
            C = S;
            monitor.left = asked;
            CHECK(cholesky(C.view(), 0.0, workspace, monitor) == Outcome::stopped);
            monitor.left = asked;
            CHECK(solve_lower(S.view(), C.view(), workspace, monitor) == Outcome::stopped);
            monitor.left = asked;
            CHECK(solve_lower_transposed(S.view(), C.view(), workspace, monitor) ==
                  Outcome::stopped);
        }
    }
}

TEST(qp_meets_its_optimality_conditions) {
    for (std::size_t k = 1; k <= 120; k += k < 12 ? 1 : 9) {
        for (unsigned seed = 0; seed < 5; ++seed) {
            const Program program(k, k + 5, k, 30 + 7 * seed);
            std::vector<double> d(k);
            std::vector<char> free(k, static_cast<char>(seed % 2));
            const QpResult result = program.solve(free, d);
            CHECK(result.outcome == Outcome::done && result.solved && result.ridge == 0.0);
            CHECK(violation(program.H, program.g, program.lower, d, 0.0) <= 1e-9);
            // From its own answer: one round.
            std::vector<double> again(k);
            CHECK(program.solve(free, again).rounds == 1);
            CHECK(again == d);
        }
    }
}

TEST(qp_of_a_degenerate_matrix_gets_a_ridge) {
    for (const std::size_t k : {2, 3, 10, 40, 120}) {
        for (const std::size_t period : {std::size_t{1}, k / 2 + 1, k}) {
            for (const bool flat : {false, true}) {
                Program program(k, k / 2 + 1, period, 50);
                if (flat) {
                    std::ranges::fill(program.g, 0.0);
                }
                std::vector<double> d(k);
                std::vector<char> free(k, 1);
                const QpResult result = program.solve(free, d);
                CHECK(result.outcome == Outcome::done && result.solved);
                CHECK(result.ridge > 0.0 || k < 3);
                CHECK(violation(program.H, program.g, program.lower, d, result.ridge) <= 1e-9);
                CHECK(program.objective(d) <= 1e-12);
                if (flat) {
                    CHECK(std::ranges::all_of(d, [](double x) { return std::abs(x) <= 1e-12; }));
                }
            }
        }
    }
}

TEST(qp_where_pivoting_cycles_is_solved_by_descent) {
    // Rank 21 of 40, and g outside the range of H: only the bounds keep the minimum finite, and
    // block pivoting by itself goes round in circles.
    const Program program(40, 21, 40, 50);
    std::vector<double> d(40);
    std::vector<char> free(40, 1);
    const QpResult result = program.solve(free, d);
    CHECK(result.solved && result.rounds < 60);
    CHECK(violation(program.H, program.g, program.lower, d, result.ridge) <= 1e-9);
}

TEST(qp_that_runs_out_of_rounds_does_not_ascend) {
    const Program program(60, 65, 60, 70);
    std::vector<double> d(60);
    std::vector<char> free(60, 0);
    const QpResult result = program.solve(free, d, {.max_rounds = 1});
    CHECK(result.outcome == Outcome::done && !result.solved);
    CHECK(program.objective(d) <= 0.0);
    for (std::size_t i = 0; i < 60; ++i) {
        CHECK(d[i] >= program.lower[i] && (free[i] != 0) == (d[i] > program.lower[i]));
    }
}

TEST(qp_reports_a_stop_and_what_is_not_finite) {
    Program program(20, 25, 20, 80);
    std::vector<double> d(20);
    std::vector<char> free(20, 1);
    Countdown monitor(0);
    CHECK(program.solve(free, d, {}, monitor).outcome == Outcome::stopped);
    program.H(3, 3) = NAN;
    std::ranges::fill(free, 1);
    CHECK(program.solve(free, d).outcome == Outcome::not_positive);
}
