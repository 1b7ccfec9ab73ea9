// The system on faces of the cones against dense elimination.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "convexnn/solve/face_system.hpp"
#include "data.hpp"

using namespace convexnn;

namespace {

using Matrix = std::vector<double>;  // n x n, column-major

// x of A x = b, by Gaussian elimination with row exchanges; A and b are overwritten.
std::vector<double> eliminate(Matrix A, std::vector<double> b) {
    const std::size_t n = b.size();
    for (std::size_t j = 0; j < n; ++j) {
        std::size_t pivot = j;
        for (std::size_t i = j + 1; i < n; ++i) {
            pivot = std::abs(A[i + j * n]) > std::abs(A[pivot + j * n]) ? i : pivot;
        }
        std::swap(b[j], b[pivot]);
        for (std::size_t k = 0; k < n; ++k) {
            std::swap(A[j + k * n], A[pivot + k * n]);
        }
        for (std::size_t i = j + 1; i < n; ++i) {
            const double factor = A[i + j * n] / A[j + j * n];
            for (std::size_t k = j; k < n; ++k) {
                A[i + k * n] -= factor * A[j + k * n];
            }
            b[i] -= factor * b[j];
        }
    }
    for (std::size_t i = n; i-- > 0;) {
        for (std::size_t k = i + 1; k < n; ++k) {
            b[i] -= A[i + k * n] * b[k];
        }
        b[i] /= A[i + i * n];
    }
    return b;
}

Matrix multiplied(const Matrix& A, const Matrix& B, std::size_t n) {
    Matrix C(n * n);
    for (std::size_t j = 0; j < n; ++j) {
        for (std::size_t k = 0; k < n; ++k) {
            for (std::size_t i = 0; i < n; ++i) {
                C[i + j * n] += A[i + k * n] * B[k + j * n];
            }
        }
    }
    return C;
}

// Blocks with faces: F_b = +-D_i X, D_i = 1 or slope, and some rows at right angles to the face.
struct Faces {
    static constexpr double kSlope = 0.1;
    const Data& data;
    std::vector<std::size_t> blocks;
    std::vector<double> c;
    std::vector<std::vector<std::int32_t>> rows;  // of each of `blocks`

    double factor(std::size_t b, std::size_t k) const {
        return (b % 2 == 0 ? 1.0 : -1.0) * (data.patterns()(k, b / 2) ? 1.0 : kSlope);
    }
    std::span<const std::int32_t> active(std::size_t b) const {
        const auto at = std::ranges::find(blocks, b) - blocks.begin();
        return rows[static_cast<std::size_t>(at)];
    }
    void mask(std::size_t b, std::span<double> x) const {
        for (std::size_t k = 0; k < x.size(); ++k) {
            x[k] *= factor(b, k);
        }
    }
    // F_b'r
    void adjoint(std::size_t b, std::span<const double> r, std::span<double> out) const {
        for (std::size_t j = 0; j < data.d; ++j) {
            out[j] = 0.0;
            for (std::size_t k = 0; k < data.n; ++k) {
                out[j] += factor(b, k) * data.matrix()(k, j) * r[k];
            }
        }
    }
    // An orthonormal basis of the rows of block t, by Gram and Schmidt.
    std::vector<std::vector<double>> basis(std::size_t t) const {
        std::vector<std::vector<double>> found;
        for (const std::int32_t row : rows[t]) {
            std::vector<double> x(data.d);
            for (std::size_t j = 0; j < data.d; ++j) {
                x[j] = data.matrix()(static_cast<std::size_t>(row), j);
            }
            for (int twice = 0; twice < 2; ++twice) {
                for (const std::vector<double>& q : found) {
                    double product = 0.0;
                    for (std::size_t j = 0; j < data.d; ++j) {
                        product += q[j] * x[j];
                    }
                    for (std::size_t j = 0; j < data.d; ++j) {
                        x[j] -= product * q[j];
                    }
                }
            }
            double square = 0.0;
            for (const double value : x) {
                square += value * value;
            }
            for (double& value : x) {
                value /= std::sqrt(square);
            }
            found.push_back(x);
        }
        return found;
    }
    // K = sum_b c_b F_b (I - Q Q') F_b'
    Matrix kernel() const {
        const std::size_t n = data.n;
        Matrix K(n * n);
        for (std::size_t t = 0; t < blocks.size(); ++t) {
            const auto Q = basis(t);
            for (std::size_t k = 0; k < n; ++k) {
                std::vector<double> x(data.d);
                for (std::size_t j = 0; j < data.d; ++j) {
                    x[j] = data.matrix()(k, j);
                }
                for (const std::vector<double>& q : Q) {
                    double product = 0.0;
                    for (std::size_t j = 0; j < data.d; ++j) {
                        product += q[j] * data.matrix()(k, j);
                    }
                    for (std::size_t j = 0; j < data.d; ++j) {
                        x[j] -= product * q[j];
                    }
                }
                for (std::size_t i = 0; i < n; ++i) {
                    double sum = 0.0;
                    for (std::size_t j = 0; j < data.d; ++j) {
                        sum += data.matrix()(i, j) * x[j];
                    }
                    K[i + k * n] += c[t] * factor(blocks[t], i) * factor(blocks[t], k) * sum;
                }
            }
        }
        return K;
    }
    bool set(FaceSystem& system) const {
        return system.set(
                   blocks, c, [&](std::size_t b) { return active(b); },
                   [&](std::size_t b, std::span<double> x) { mask(b, x); },
                   unmonitored()) == dense::Outcome::done;
    }
};

// `count` blocks of which block t has t mod (most + 1) active rows.
Faces some_faces(const Data& data, std::size_t count, std::size_t most, unsigned seed) {
    Faces faces{data, {}, {}, {}};
    const std::vector<double> sizes = check::gaussian(count, seed);
    for (std::size_t t = 0; t < count; ++t) {
        faces.blocks.push_back(t * (2 * data.P) / count);
        faces.c.push_back(0.1 + std::abs(sizes[t]));
        faces.rows.emplace_back();
        for (std::size_t k = 0; k < t % (most + 1); ++k) {
            faces.rows.back().push_back(static_cast<std::int32_t>((5 * t + 3 * k) % data.n));
        }
    }
    return faces;
}

// Some samples without curvature, as Huber's loss and the squared hinge have them.
CurvatureMetric some_metric(std::size_t n, bool has_offset) {
    CurvatureMetric metric(n, FreeColumns(n, 1, has_offset, {}, false));
    const std::vector<double> values = check::gaussian(n, 77);
    for (std::size_t k = 0; k < n; ++k) {
        metric.h[k] = k % 4 == 1 ? 0.0 : std::abs(values[k]);
    }
    metric.set();
    return metric;
}

Matrix dense_curvature(const CurvatureMetric& metric, bool has_offset) {
    const std::size_t n = metric.h.size();
    double total = 0.0;
    for (const double h : metric.h) {
        total += h;
    }
    Matrix H(n * n);
    for (std::size_t j = 0; j < n; ++j) {
        H[j + j * n] = metric.h[j];
        for (std::size_t i = 0; i < n && has_offset; ++i) {
            H[i + j * n] -= metric.h[i] * metric.h[j] / total;
        }
    }
    return H;
}

void check_step(const Faces& faces, FaceSystem& system, bool has_offset) {
    const std::size_t n = faces.data.n;
    const CurvatureMetric metric = some_metric(n, has_offset);
    CHECK(system.build(metric, unmonitored()) == dense::Outcome::done);
    const Matrix K = faces.kernel();
    Matrix A = multiplied(dense_curvature(metric, has_offset), K, n);
    for (std::size_t k = 0; k < n; ++k) {
        A[k + k * n] += 1.0;
    }
    const std::vector<double> r = check::gaussian(n, 78);
    const std::vector<double> expected = eliminate(A, r);
    std::vector<double> change(n);
    const double fall = system.step(
        r, metric, [&](std::size_t b, std::span<double> out) { faces.adjoint(b, r, out); }, change);
    double size = 0.0;
    double fall_expected = 0.0;
    double fall_size = 0.0;
    for (std::size_t j = 0; j < n; ++j) {
        size = std::max(size, std::abs(expected[j]));
        for (std::size_t i = 0; i < n; ++i) {
            fall_expected += r[i] * K[i + j * n] * expected[j];
            fall_size += std::abs(r[i] * K[i + j * n] * expected[j]);
        }
    }
    for (std::size_t k = 0; k < n; ++k) {
        CHECK(std::abs(change[k] - expected[k]) <= 1e-10 * size);
    }
    CHECK(std::abs(fall - fall_expected) <= 1e-10 * fall_size);
    CHECK(fall >= 0.0);
}

// (C B)'(I + C K C')^-1 C B = B'(I + H K)^-1 H B
void check_reduce(const Faces& faces, FaceSystem& system, bool has_offset) {
    const std::size_t n = faces.data.n;
    const std::size_t count = 5;
    const CurvatureMetric metric = some_metric(n, has_offset);
    CHECK(system.build(metric, unmonitored()) == dense::Outcome::done);
    const Matrix H = dense_curvature(metric, has_offset);
    Matrix A = multiplied(H, faces.kernel(), n);
    for (std::size_t k = 0; k < n; ++k) {
        A[k + k * n] += 1.0;
    }
    const std::vector<double> B = check::gaussian(n * count, 79);
    std::vector<double> CB = B;
    for (std::size_t j = 0; j < count; ++j) {
        metric.scale({CB.data() + j * n, n});
    }
    std::vector<double> HB(count * count, -7.0);
    CHECK(system.reduce({CB.data(), n, count}, {HB.data(), count, count}, unmonitored()) ==
          dense::Outcome::done);
    for (std::size_t j = 0; j < count; ++j) {
        std::vector<double> right(n);
        for (std::size_t k = 0; k < n; ++k) {
            for (std::size_t i = 0; i < n; ++i) {
                right[i] += H[i + k * n] * B[k + j * n];
            }
        }
        const std::vector<double> x = eliminate(A, right);
        for (std::size_t i = j; i < count; ++i) {
            double sum = 0.0;
            double size = 0.0;
            for (std::size_t k = 0; k < n; ++k) {
                sum += B[k + i * n] * x[k];
                size += std::abs(B[k + i * n] * x[k]);
            }
            CHECK(std::abs(HB[i + j * count] - sum) <= 1e-10 * size + 1e-25);
        }
        for (std::size_t i = 0; i < j; ++i) {
            CHECK(HB[i + j * count] == -7.0);  // only the lower triangle is written
        }
    }
}

}  // namespace

TEST(face_systems_are_those_of_dense_elimination) {
    unsigned seed = 1;
    for (const std::size_t n : {1UL, 7UL, 40UL}) {
        for (const std::size_t d : {1UL, 3UL, 6UL}) {
            const Data data(n, d, 12, seed += 3);
            const std::size_t most = std::min(n, d);
            // A few rays and many whole cones: fewer and more directions than samples.
            for (const auto& [count, rows] : {std::pair(1UL, most), {4UL, most}, {24UL, 0UL}}) {
                const Faces faces = some_faces(data, count, rows, seed);
                std::size_t directions = 0;
                for (const auto& held : faces.rows) {
                    directions += d - held.size();
                }
                for (const std::size_t threads : {1UL, 3UL}) {
                    FaceSystem system(data.matrix(), threads);
                    CHECK(faces.set(system));
                    CHECK(system.directions() == directions);
                    for (const bool has_offset : {false, true}) {
                        check_step(faces, system, has_offset);
                        check_reduce(faces, system, has_offset);
                    }
                }
            }
        }
    }
}

TEST(face_systems_follow_faces_that_change) {
    const Data data(30, 4, 10, 9);
    Faces faces = some_faces(data, 8, 4, 3);
    FaceSystem system(data.matrix(), 1);
    CHECK(faces.set(system) && !system.unchanged());
    CHECK(faces.set(system) && system.unchanged());
    // The factors may change, and the order of the rows: the faces are the same.
    faces.c[2] *= 3.0;
    std::ranges::reverse(faces.rows[3]);
    CHECK(faces.set(system) && system.unchanged());
    check_step(faces, system, true);
    // Another row; a block more; a block less.
    faces.rows[4] = {7, 11};
    CHECK(faces.set(system) && !system.unchanged());
    check_step(faces, system, false);
    faces.blocks.push_back(2 * data.P - 1);
    faces.c.push_back(0.5);
    faces.rows.push_back({1});
    CHECK(faces.set(system) && !system.unchanged());
    check_step(faces, system, false);
    faces.blocks.erase(faces.blocks.begin());
    faces.c.erase(faces.c.begin());
    faces.rows.erase(faces.rows.begin());
    CHECK(faces.set(system) && !system.unchanged());
    check_step(faces, system, true);
    check_reduce(faces, system, true);
}

TEST(face_systems_stop_when_asked) {
    struct Stop final : Monitor {
        bool stop_requested() override { return true; }
    } stop;
    const Data data(300, 6, 40, 4);
    const Faces faces = some_faces(data, 80, 0, 3);
    FaceSystem system(data.matrix(), 1);
    const auto rows = [&](std::size_t b) { return faces.active(b); };
    const auto mask = [&](std::size_t b, std::span<double> x) { faces.mask(b, x); };
    CHECK(system.set(faces.blocks, faces.c, rows, mask, stop) == dense::Outcome::stopped);
    CHECK(faces.set(system));
    CHECK(system.build(some_metric(300, false), stop) == dense::Outcome::stopped);
}
