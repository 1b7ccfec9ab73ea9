#include "convexnn/arrangement/chart.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "convexnn/arrangement/expansion.hpp"
#include "convexnn/arrangement/orthogonal.hpp"
#include "convexnn/base/bits.hpp"
#include "convexnn/base/splitmix.hpp"

namespace convexnn {
namespace {

constexpr double kRounding = 1e-30;  // relative, of a chain of operations in twice the precision

// Rows of an orthonormal r x r matrix (row-major), the first along `first`.
std::vector<double> random_chart(const std::vector<double>& first, std::uint64_t seed) {
    const std::size_t r = first.size();
    SplitMix random(0x636F6E766578U + seed);
    std::vector<double> rows;
    while (rows.size() < r * r) {
        std::vector<double> row = first;
        if (!rows.empty()) {
            std::ranges::generate(row, [&] { return random.symmetric(); });
        }
        for (int pass = 0; pass < 2; ++pass) {
            for (std::size_t k = 0; k < rows.size(); k += r) {
                double along = 0.0;
                for (std::size_t j = 0; j < r; ++j) {
                    along += rows[k + j] * row[j];
                }
                for (std::size_t j = 0; j < r; ++j) {
                    row[j] -= along * rows[k + j];
                }
            }
        }
        double square = 0.0;
        for (const double x : row) {
            square += x * x;
        }
        if (!(square > 1e-4) && !rows.empty()) {
            continue;  // nearly dependent on the earlier ones: draw again
        }
        for (const double x : row) {
            rows.push_back(x / std::sqrt(square));
        }
    }
    return rows;
}

// points <- points T (T is r x r, column-major), rows scaled to a largest entry in [1/2, 1).
// Returns the largest factor by which cancellation magnified a rounding error.
double transform(std::vector<DoubleDouble>& points, const std::vector<double>& T, std::size_t r,
                 Monitor& monitor) {
    double loss = 1.0;
    std::vector<DoubleDouble> image(r);
    for (std::size_t i = 0; i < points.size(); i += r) {
        check(monitor);
        double top = 0.0;
        double terms = 0.0;
        for (std::size_t k = 0; k < r; ++k) {
            image[k] = {};
            double sizes = 0.0;
            for (std::size_t j = 0; j < r; ++j) {
                image[k] = image[k] + points[i + j] * DoubleDouble(T[j + k * r]);
                sizes += std::abs(points[i + j].hi * T[j + k * r]);
            }
            top = std::max(top, std::abs(image[k].hi));
            terms = std::max(terms, sizes);
        }
        loss = std::max(loss, terms / top);
        int exponent = 0;
        std::frexp(top, &exponent);
        for (std::size_t k = 0; k < r; ++k) {
            points[i + k] = scale_by_power(image[k], -exponent);
        }
    }
    return loss;
}

// Makes the columns of the points nearly orthonormal: T = (pivoted columns) R^-1, r x r.
std::vector<double> whitening(const std::vector<DoubleDouble>& points, std::size_t n, std::size_t r,
                              Monitor& monitor) {
    std::vector<double> columns(n * r);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t k = 0; k < r; ++k) {
            columns[i + k * n] = points[i * r + k].hi;
        }
    }
    const PivotedQR qr = pivoted_qr({columns.data(), n, r}, 0.0, monitor);
    const std::vector<double> inverse = inverse_of_triangle(qr.R, qr.rank);
    std::vector<double> T(r * r, 0.0);
    for (std::size_t k = 0; k < qr.rank; ++k) {
        for (std::size_t j = 0; j < qr.rank; ++j) {
            T[qr.pivots[j] + k * r] = inverse[j + k * r];
        }
    }
    return T;
}

// LU with row exchanges of an r x r matrix, row-major in `a`; `order[k]` is the row in place k.
// Returns the product of the pivots that are below 1 (entries of the matrix are of size about 1):
// each magnifies the errors that the ones before it have left.
double factorise(std::span<DoubleDouble> a, std::span<std::size_t> order, std::size_t r) {
    double product = 1.0;
    for (std::size_t k = 0; k < r; ++k) {
        std::size_t best = k;
        for (std::size_t i = k + 1; i < r; ++i) {
            best = std::abs(a[i * r + k].hi) > std::abs(a[best * r + k].hi) ? i : best;
        }
        if (best != k) {
            std::swap_ranges(&a[k * r], &a[k * r] + r, &a[best * r]);
            std::swap(order[k], order[best]);
        }
        const DoubleDouble pivot = a[k * r + k];
        product *= std::min(1.0, std::abs(pivot.hi));
        if (pivot.hi == 0.0) {
            return 0.0;
        }
        for (std::size_t i = k + 1; i < r; ++i) {
            if (a[i * r + k].hi == 0.0) {
                continue;
            }
            const DoubleDouble factor = a[i * r + k] / pivot;
            a[i * r + k] = factor;
            for (std::size_t j = k + 1; j < r; ++j) {
                a[i * r + j] = a[i * r + j] - factor * a[k * r + j];
            }
        }
    }
    return product;
}

// The sign of the determinant of an r x r matrix with entries of size about 1 or less, each known
// to `rounding`; 0 where that leaves it open. Destroys `a`.
//
// Elimination with complete pivoting, A = L D U with unit triangles of entries of size 1 at most:
// no singular value of A is less than the least pivot over 4^(r-1), and errors of elimination are
// below r^2 roundings. A matrix that is nearer to A than its least singular value has its sign.
int sign_of_determinant(std::span<DoubleDouble> a, std::size_t r, double rounding) {
    const auto size = static_cast<double>(r);
    const double least = std::ldexp(size * size * rounding, 2 * static_cast<int>(r));
    int sign = 1;
    for (std::size_t k = 0; k < r; ++k) {
        std::size_t row = k;
        std::size_t column = k;
        for (std::size_t i = k; i < r; ++i) {
            for (std::size_t j = k; j < r; ++j) {
                if (std::abs(a[i * r + j].hi) > std::abs(a[row * r + column].hi)) {
                    row = i;
                    column = j;
                }
            }
        }
        if (!(std::abs(a[row * r + column].hi) > least)) {
            return 0;
        }
        if (row != k) {
            std::swap_ranges(&a[k * r], &a[k * r] + r, &a[row * r]);
            sign = -sign;
        }
        if (column != k) {
            for (std::size_t i = 0; i < r; ++i) {
                std::swap(a[i * r + k], a[i * r + column]);
            }
            sign = -sign;
        }
        const DoubleDouble pivot = a[k * r + k];
        sign = pivot.hi < 0.0 ? -sign : sign;
        for (std::size_t i = k + 1; i < r; ++i) {
            if (a[i * r + k].hi == 0.0) {
                continue;
            }
            const DoubleDouble factor = a[i * r + k] / pivot;
            for (std::size_t j = k + 1; j < r; ++j) {
                a[i * r + j] = a[i * r + j] - factor * a[k * r + j];
            }
        }
    }
    return sign;
}

}  // namespace

Chart::Chart(std::span<const double> basis, std::size_t n, std::size_t r, std::uint64_t seed,
             Monitor& monitor)
    : n_(n),
      r_(r),
      residues_(basis, n, r, seed, monitor),
      basis_(basis.begin(), basis.end()),
      points_(basis.begin(), basis.end()) {
    whitening_ = whitening(points_, n, r, monitor);
    double loss = transform(points_, whitening_, r, monitor);
    // A second time, as the first quotients are as inexact as the columns are dependent.
    std::vector<double> T = whitening(points_, n, r, monitor);
    std::vector<double> first(r, 0.0);
    for (std::size_t k = 0; k < r; ++k) {
        for (std::size_t j = 0; j < r; ++j) {
            first[k] += points_[j].hi * T[j + k * r];
        }
    }
    const std::vector<double> turn = random_chart(first, seed);
    turn_.assign(r * r, 0.0);
    for (std::size_t k = 0; k < r; ++k) {
        for (std::size_t j = 0; j < r; ++j) {
            for (std::size_t l = 0; l < r; ++l) {
                turn_[j + k * r] += T[j + l * r] * turn[k * r + l];
            }
        }
    }
    loss *= transform(points_, turn_, r, monitor);
    rounding_ = kRounding * loss;
}

int Chart::exact_determinant(std::span<const std::size_t> S, std::size_t place,
                             std::size_t i) const {
    if (r_ > kLargestExactRank) {
        return 0;
    }
    const std::size_t c = r_ - 1 - S.size();
    std::vector<Expansion> matrix(r_ * r_);
    // Rows are made so large that the smallest parts of the determinant do not vanish.
    const int size = 900 / static_cast<int>(r_);
    for (std::size_t k = 0; k < r_; ++k) {
        // The number of the row, as above.
        const std::size_t number = k == place ? i : k == 0 ? 0 : k <= c ? n_ + k : S[k - c - 1];
        if (number >= n_) {
            matrix[k * r_ + (number - n_)] = Expansion(std::ldexp(1.0, size));
            continue;
        }
        // y T, up to a power of two.
        std::vector<Expansion> values(r_);
        for (std::size_t j = 0; j < r_; ++j) {
            values[j] = Expansion(basis_[number * r_ + j]);
        }
        for (const std::vector<double>* T : {&whitening_, &turn_}) {
            std::vector<Expansion> image(r_);
            for (std::size_t l = 0; l < r_; ++l) {
                for (std::size_t j = 0; j < r_; ++j) {
                    image[l].add_product(values[j], Expansion((*T)[j + l * r_]));
                }
                image[l].compress();
            }
            values = std::move(image);
        }
        int largest = std::numeric_limits<int>::min();
        for (const Expansion& value : values) {
            largest = value.sign() == 0 ? largest : std::max(largest, value.exponent());
        }
        for (Expansion& value : values) {
            value.scale(size - largest);
        }
        std::ranges::move(values, matrix.begin() + static_cast<long>(k * r_));
    }
    return exact_sign_of_determinant(matrix, r_);
}

Decision Chart::cell_at(std::span<const std::size_t> S, std::unique_ptr<Flats>& flats,
                        std::span<std::uint64_t> words) const {
    const std::size_t m = S.size();
    // Mostly no row is near the vertex: then no flat matters.
    const Decision first = decide(S, nullptr, words);
    if (first.verdict == Verdict::cell) {
        return first;
    }
    if (flats == nullptr) {
        flats = std::make_unique<Flats>(residues_);
    }
    flats->start(m);
    for (std::size_t depth = 0; depth + 1 < m; ++depth) {
        if (!flats->choose(depth, S[depth])) {
            return {Verdict::none, n_};
        }
    }
    return decide(S, flats.get(), words);
}

Decision Chart::decide(std::span<const std::size_t> S, Flats* flats,
                       std::span<std::uint64_t> words) const {
    const std::size_t m = S.size();
    const std::size_t c = r_ - 1 - m;
    const std::size_t last = m == 0 ? 0 : S[m - 1];
    if (m > 0 && flats != nullptr && !flats->may_be_last(last)) {
        return {Verdict::none, n_};
    }
    std::vector<DoubleDouble> system(r_ * r_);  // rare: a few allocations do not matter
    std::vector<std::size_t> order(r_);
    std::vector<DoubleDouble> u(r_);
    const auto row = [&](std::size_t i) { return std::span(&points_[i * r_], r_); };

    // Rows of the system: f_0, ..., f_c, then S.
    std::ranges::copy(row(0), system.begin());
    for (std::size_t k = 1; k <= c; ++k) {
        system[k * r_ + k] = 1.0;
    }
    for (std::size_t q = 0; q < m; ++q) {
        std::ranges::copy(row(S[q]), system.begin() + static_cast<long>((c + 1 + q) * r_));
    }
    // The sign of the determinant of the system where row `place` is that of p_i, or of f_i' for
    // i = n + i'; the sign of the coefficient of that row by Cramer's rule, up to `orientation`.
    const auto determinant = [&](std::size_t place, std::size_t i) {
        std::vector<DoubleDouble> replaced = system;
        if (i < n_) {
            std::ranges::copy(row(i), replaced.begin() + static_cast<long>(place * r_));
        } else {
            std::fill_n(replaced.begin() + static_cast<long>(place * r_), r_, DoubleDouble());
            replaced[place * r_ + (i - n_)] = 1.0;
        }
        const int sign = sign_of_determinant(replaced, r_, rounding_);
        return sign != 0 ? sign : exact_determinant(S, place, i);
    };
    std::optional<int> orientation;
    const auto coefficient = [&](std::size_t place, std::size_t i) {
        orientation = orientation.has_value() ? orientation : determinant(0, 0);
        return *orientation * determinant(place, i);
    };

    // u: forward and backward substitution of +-e_c.
    std::vector<DoubleDouble> matrix = system;
    std::iota(order.begin(), order.end(), std::size_t{0});
    const double pivots = factorise({matrix.data(), r_ * r_}, {order.data(), r_}, r_);
    // Rounding errors, magnified by the pivots: above them the sign of a value is known.
    const double zero = rounding_ / std::max(pivots, std::numeric_limits<double>::min());
    double size = 0.0;
    if (zero < 1e-2) {
        for (std::size_t k = 0; k < r_; ++k) {
            u[k] = order[k] == c ? (c == 0 ? 1.0 : -1.0) : 0.0;
            for (std::size_t j = 0; j < k; ++j) {
                u[k] = u[k] - matrix[k * r_ + j] * u[j];
            }
        }
        for (std::size_t k = r_; k-- > 0;) {
            for (std::size_t j = k + 1; j < r_; ++j) {
                u[k] = u[k] - matrix[k * r_ + j] * u[j];
            }
            u[k] = u[k] / matrix[k * r_ + k];
            size = std::max(size, std::abs(u[k].hi));
        }
    }
    // The sign of p_i.u; 0 where it is near 0.
    const auto side = [&](std::size_t i) {
        double value = 0.0;
        double terms = 0.0;
        for (std::size_t k = 0; k < r_; ++k) {
            const double term = row(i)[k].hi * u[k].hi;
            value += term;
            terms += std::abs(term);
        }
        if (!(std::abs(value) > 1e-12 * terms)) {
            DoubleDouble sum;
            for (std::size_t k = 0; k < r_; ++k) {
                sum = sum + row(i)[k] * u[k];
            }
            value = sum.hi;
        }
        return std::abs(value) > zero * size ? (value > 0.0 ? 1 : -1) : 0;
    };
    const auto set = [&](std::size_t i, bool bit) {
        words[i / kWordBits] |= static_cast<std::uint64_t>(bit) << (i % kWordBits);
    };

    // The bits of rows off the vertex's flat; those on it follow from a coefficient.
    std::ranges::fill(words, std::uint64_t{0});
    set(0, true);
    struct Dependent {
        std::size_t row;
        std::size_t place;  // of its leader in the system; 0: row 0
    };
    std::vector<Dependent> dependent;
    std::size_t next = 0;
    for (std::size_t i = 1; i < n_; ++i) {
        if (next < m && S[next] == i) {
            ++next;
            continue;
        }
        bool vanishes = false;
        if (m > 0 && flats != nullptr && flats->leader(i) >= 0) {
            vanishes = true;
            dependent.push_back({i, c + 1 + static_cast<std::size_t>(flats->leader(i))});
        } else if (m > 0 && flats != nullptr) {
            const Flats::Relation relation = flats->relation(i, last);
            if (relation == Flats::Relation::flat && i > last) {
                return {Verdict::none, n_};
            }
            vanishes = relation != Flats::Relation::none;
            if (vanishes) {
                dependent.push_back({i, relation == Flats::Relation::flat ? c + m : 0});
            }
        }
        int sign = side(i);
        if (sign == 0 && m > 0 && flats == nullptr) {
            return {Verdict::undecided, i};
        }
        if (!vanishes && sign == 0) {
            sign = coefficient(c, i) * (c == 0 ? 1 : -1);
        }
        if ((sign == 0) != vanishes) {
            return {Verdict::undecided, i};  // or integers and digits contradict each other
        }
        set(i, sign > 0);
    }
    // The multipliers lambda: the transposed system.
    std::vector<DoubleDouble> lambda(r_);
    size = 1.0;
    if (zero < 1e-2) {
        for (std::size_t k = 0; k < r_; ++k) {
            DoubleDouble sum = k == c + 1 ? 1.0 : 0.0;
            for (std::size_t j = 0; j < k; ++j) {
                sum = sum - matrix[j * r_ + k] * u[j];
            }
            u[k] = sum / matrix[k * r_ + k];
        }
        for (std::size_t k = r_; k-- > 0;) {
            for (std::size_t j = k + 1; j < r_; ++j) {
                u[k] = u[k] - matrix[j * r_ + k] * u[j];
            }
            lambda[order[k]] = u[k];
            size = std::max(size, std::abs(u[k].hi));
        }
    }
    for (std::size_t q = 0; q < m; ++q) {
        const double value = lambda[c + 1 + q].hi;
        int sign = std::abs(value) > zero * size ? (value > 0.0 ? 1 : -1) : 0;
        sign = sign != 0 ? sign : coefficient(c + 1 + q, n_ + c + 1);
        if (sign == 0) {
            return {Verdict::undecided, S[q]};
        }
        set(S[q], sign > 0);
    }
    // Rows on the flat are on the side of their leaders, as the sign of its coefficient says.
    for (const auto [i, place] : dependent) {
        const int sign = coefficient(place, i);
        if (sign == 0) {
            return {Verdict::undecided, i};
        }
        const std::size_t s = place == 0 ? 0 : S[place - c - 1];
        const bool leading = ((words[s / kWordBits] >> (s % kWordBits)) & 1U) != 0;
        set(i, (sign > 0) == leading);
    }
    return {Verdict::cell, n_};
}

}  // namespace convexnn
