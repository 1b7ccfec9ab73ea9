#include "convexnn/arrangement/witness.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "convexnn/base/parallel.hpp"
#include "convexnn/base/simd.hpp"

namespace convexnn {
namespace {

constexpr double kGain = 1e-12;         // relative gain in distance below which a row is not added
constexpr double kRounding = 4e-16;     // of a product of unit vectors
constexpr double kIndependent = 1e-14;  // distance of a unit vector from a span it is not in

// values_k = a_k . u, coordinates added in order.
CONVEXNN_MULTIVERSION
void products(const double* rows, std::size_t n, std::size_t r, const double* u, double* values) {
    for (std::size_t k = 0; k < n; ++k) {
        values[k] = rows[k] * u[0];
    }
    for (std::size_t j = 1; j < r; ++j) {
#pragma omp simd
        for (std::size_t k = 0; k < n; ++k) {
            values[k] += rows[k + j * n] * u[j];
        }
    }
}

// One run of Wolfe's algorithm; the work space serves many patterns.
class ShortestVector {
public:
    explicit ShortestVector(MatrixView<const double> rows)
        : rows_(rows),
          r_(rows.columns),
          values_(rows.rows),
          u_(r_),
          Q_(r_ * r_),
          R_(r_ * r_),
          z_(r_),
          rest_(r_),
          along_(r_),
          corral_(r_ + 1),
          weights_(r_ + 1),
          better_(r_ + 1) {
        zero_.resize(rows.rows);
        for (std::size_t k = 0; k < rows.rows; ++k) {
            zero_[k] = true;
            for (std::size_t j = 0; j < r_; ++j) {
                zero_[k] = zero_[k] && rows(k, j) == 0.0;
            }
        }
    }

    void find(const BitColumns& patterns, std::size_t i, double* out) {
        words_ = patterns.column(i).data();
        std::size_t first = 0;
        while (zero_[first]) {
            ++first;
        }
        size_ = 1;
        corral_[0] = first;
        weights_[0] = 1.0;
        solve();
        for (std::size_t step = 0; step < 50 * r_ + 50; ++step) {
            products(rows_.data, rows_.rows, r_, u_.data(), values_.data());
            std::size_t worst = first;
            double least = std::numeric_limits<double>::infinity();
            for (std::size_t k = 0; k < rows_.rows; ++k) {
                const double value = sign(k) * values_[k];
                if (!zero_[k] && value < least) {
                    least = value;
                    worst = k;
                }
            }
            const auto end = corral_.begin() + static_cast<std::ptrdiff_t>(size_);
            if (least >= distance_ * (1.0 - kGain) - kRounding ||
                std::find(corral_.begin(), end, worst) != end || !add(worst)) {
                break;
            }
        }
        std::copy_n(u_.begin(), r_, out);
    }

private:
    double sign(std::size_t k) const {
        return ((words_[k / kWordBits] >> (k % kWordBits)) & 1U) != 0 ? 1.0 : -1.0;
    }

    // Takes row k into the corral and drops those rows whose weights would not be positive.
    bool add(std::size_t k) {
        bool full = aim_at_origin(k);
        corral_[size_] = k;
        weights_[size_] = 0.0;
        ++size_;
        while (true) {
            if (!full && !solve()) {
                return false;
            }
            double step = 1.0;
            for (std::size_t s = 0; s < size_; ++s) {
                if (better_[s] <= 0.0) {
                    step = std::min(step, weights_[s] / (weights_[s] - better_[s]));
                }
            }
            std::size_t kept = 0;
            bool dropped = false;
            for (std::size_t s = 0; s < size_; ++s) {
                const double weight = weights_[s] + step * (better_[s] - weights_[s]);
                const bool out = better_[s] <= 0.0 && !(weight > 1e-15);
                dropped = dropped || out;
                if (!out) {
                    corral_[kept] = corral_[s];
                    weights_[kept++] = weight;
                }
            }
            if (!dropped) {
                return !full && step == 1.0;  // a full corral around the origin: no cell
            }
            size_ = kept;
            full = false;
            if (size_ == 0) {
                return false;
            }
        }
    }

    // If row k lies in the span of the corral, their affine hull is that span and its shortest
    // vector 0: finds the weights of 0 from the coordinates of row k in the others.
    bool aim_at_origin(std::size_t k) {
        for (std::size_t j = 0; j < r_; ++j) {
            rest_[j] = sign(k) * rows_(k, j);
        }
        for (std::size_t s = 0; s < size_; ++s) {
            along_[s] = 0.0;
        }
        for (int pass = 0; pass < 2; ++pass) {
            for (std::size_t s = 0; s < size_; ++s) {
                double along = 0.0;
                for (std::size_t j = 0; j < r_; ++j) {
                    along += Q_[j + s * r_] * rest_[j];
                }
                along_[s] += along;
                for (std::size_t j = 0; j < r_; ++j) {
                    rest_[j] -= along * Q_[j + s * r_];
                }
            }
        }
        double square = 0.0;
        for (std::size_t j = 0; j < r_; ++j) {
            square += rest_[j] * rest_[j];
        }
        if (size_ < r_ && std::sqrt(square) > kIndependent) {
            return false;
        }
        double total = 1.0;
        for (std::size_t s = size_; s-- > 0;) {
            double sum = along_[s];
            for (std::size_t t = s + 1; t < size_; ++t) {
                sum += R_[s + t * r_] * better_[t];
            }
            better_[s] = -sum / R_[s + s * r_];
            total += better_[s];
        }
        better_[size_] = 1.0;
        for (std::size_t s = 0; s <= size_; ++s) {
            better_[s] /= total;
        }
        return true;
    }

    // Shortest vector of the affine hull of the corral: its direction u, its length, its weights.
    // By QR, not by the Gram matrix, whose condition is the square: thin cells need every digit.
    bool solve() {
        for (std::size_t s = 0; s < size_; ++s) {
            double* q = &Q_[s * r_];
            for (std::size_t j = 0; j < r_; ++j) {
                q[j] = sign(corral_[s]) * rows_(corral_[s], j);
            }
            for (std::size_t t = 0; t < s; ++t) {
                R_[t + s * r_] = 0.0;
            }
            for (int pass = 0; pass < 2; ++pass) {
                for (std::size_t t = 0; t < s; ++t) {
                    double along = 0.0;
                    for (std::size_t j = 0; j < r_; ++j) {
                        along += Q_[j + t * r_] * q[j];
                    }
                    R_[t + s * r_] += along;
                    for (std::size_t j = 0; j < r_; ++j) {
                        q[j] -= along * Q_[j + t * r_];
                    }
                }
            }
            double square = 0.0;
            for (std::size_t j = 0; j < r_; ++j) {
                square += q[j] * q[j];
            }
            const double size = std::sqrt(square);
            if (!(size > kIndependent)) {
                return false;
            }
            R_[s + s * r_] = size;
            for (std::size_t j = 0; j < r_; ++j) {
                q[j] /= size;
            }
        }
        // R' z = 1: Q z has the product 1 with every row of the corral.
        double square = 0.0;
        for (std::size_t s = 0; s < size_; ++s) {
            double sum = 1.0;
            for (std::size_t t = 0; t < s; ++t) {
                sum -= R_[t + s * r_] * z_[t];
            }
            z_[s] = sum / R_[s + s * r_];
            square += z_[s] * z_[s];
        }
        distance_ = 1.0 / std::sqrt(square);
        for (std::size_t j = 0; j < r_; ++j) {
            double sum = 0.0;
            for (std::size_t s = 0; s < size_; ++s) {
                sum += Q_[j + s * r_] * z_[s];
            }
            u_[j] = sum * distance_;
        }
        double total = 0.0;
        for (std::size_t s = size_; s-- > 0;) {
            double sum = z_[s];
            for (std::size_t t = s + 1; t < size_; ++t) {
                sum -= R_[s + t * r_] * better_[t];
            }
            better_[s] = sum / R_[s + s * r_];
            total += better_[s];
        }
        for (std::size_t s = 0; s < size_; ++s) {
            better_[s] /= total;
        }
        return true;
    }

    MatrixView<const double> rows_;
    std::size_t r_;
    std::vector<bool> zero_;
    std::vector<double> values_;
    std::vector<double> u_;
    std::vector<double> Q_;
    std::vector<double> R_;
    std::vector<double> z_;
    std::vector<double> rest_;
    std::vector<double> along_;
    std::vector<std::size_t> corral_;
    std::vector<double> weights_;
    std::vector<double> better_;
    std::size_t size_ = 0;
    double distance_ = 0.0;
    const std::uint64_t* words_ = nullptr;
};

}  // namespace

bool cell_witnesses(MatrixView<const double> rows, BitColumns patterns, MatrixView<double> points,
                    std::size_t threads, Monitor& monitor) {
    // A range takes a few milliseconds, or one pattern, so that a stop is answered at once.
    const std::size_t r = rows.columns;
    const std::size_t work = 3 * r * (2 * rows.rows * r + 4 * r * r * r);
    const std::size_t chunk = std::clamp<std::size_t>((std::size_t{1} << 23) / work, 1, 256);
    return parallel_for(patterns.columns, chunk, threads, monitor,
                        [&](std::size_t begin, std::size_t end) {
                            ShortestVector shortest(rows);
                            for (std::size_t i = begin; i < end; ++i) {
                                shortest.find(patterns, i, points.column(i).data());
                            }
                        });
}

}  // namespace convexnn
