#include "convexnn/arrangement/flats.hpp"

#include <algorithm>
#include <numeric>

#include "convexnn/base/splitmix.hpp"

namespace convexnn {
namespace {

constexpr std::uint64_t kPrimes[] = {27, 57, 63};  // 2^58 less these

}  // namespace

ResidueChart::ResidueChart(std::span<const double> basis, std::size_t n, std::size_t r,
                           std::uint64_t seed, Monitor& monitor)
    : field_(kPrimes[seed % std::size(kPrimes)]), n_(n), r_(r), residues_(n * r) {
    SplitMix random(seed);
    std::vector<std::uint64_t> turn(r * r);
    std::ranges::generate(turn, [&] { return random() % field_.size(); });
    std::vector<std::uint64_t> row(r);
    for (std::size_t i = 0; i < n; ++i) {
        check(monitor);
        for (std::size_t j = 0; j < r; ++j) {
            row[j] = field_.of(basis[i * r + j]);
        }
        for (std::size_t k = 0; k < r; ++k) {
            std::uint64_t sum = 0;
            for (std::size_t j = 0; j < r; ++j) {
                const std::uint64_t term = field_.multiply(row[j], turn[k * r + j]);
                sum = field_.subtract(sum, field_.subtract(0, term));
            }
            residues_[i + k * n] = sum;
        }
    }
    // Row 0 becomes (1, 0, ..., 0); its first random coordinate is not zero.
    const std::uint64_t inverse = field_.inverse(residues_[0]);
    for (std::size_t i = 0; i < n; ++i) {
        residues_[i] = field_.multiply(residues_[i], inverse);
    }
    for (std::size_t k = 1; k < r; ++k) {
        const std::uint64_t factor = residues_[k * n];
        for (std::size_t i = 0; i < n; ++i) {
            residues_[i + k * n] =
                field_.subtract(residues_[i + k * n], field_.multiply(factor, residues_[i]));
        }
    }
}

Flats::Flats(const ResidueChart& chart)
    : chart_(chart),
      columns_(chart.rank(), std::vector<const std::uint64_t*>(chart.rank() + 1)),
      counts_(chart.rank() + 1, 0),
      leaders_(chart.rows(), -1),
      all_(chart.rows() - 1),
      entries_(chart.rows(), Entries{0, 0, 0, 0}),
      memory_(chart.rank() > 2 ? (chart.rank() - 2) * (chart.rank() + 1) * chart.rows() : 0) {
    members_.reserve(chart.rows());
    std::iota(all_.begin(), all_.end(), std::size_t{1});
}

void Flats::start(std::size_t m) {
    for (const std::size_t i : members_) {
        leaders_[i] = -1;
    }
    members_.clear();
    m_ = m;
    const std::size_t c = chart_.rank() - 1 - m;
    below_ = c > 0;
    for (std::size_t q = 0; q < m; ++q) {
        columns_[0][q] = chart_.column(c + 1 + q);
    }
    columns_[0][m] = chart_.column(c);
    columns_[0][m + 1] = chart_.column(0);
    counts_[0] = 0;
    if (m == 1) {
        std::copy_n(columns_[0].begin(), kColumns, last_);
        pivots_ = last_[0];
        scale_ = 1;
        ++node_;
        std::ranges::fill(factors_, std::uint64_t{0});
    }
}

// Row i, found to lie in the flat of s_depth = s and the rows before. False: a row after s does.
bool Flats::join(std::size_t i, std::size_t s, std::size_t depth) {
    if (i > s) {
        return false;
    }
    leaders_[i] = static_cast<std::int16_t>(depth);
    members_.push_back(i);
    return true;
}

bool Flats::choose(std::size_t depth, std::size_t s, std::span<const std::size_t> suspects) {
    while (members_.size() > counts_[depth]) {
        leaders_[members_.back()] = -1;
        members_.pop_back();
    }
    const PrimeField& field = chart_.field();
    const std::size_t n = chart_.rows();
    const std::size_t left = m_ - depth;
    const std::vector<const std::uint64_t*>& from = columns_[depth];
    std::size_t pivot = 0;
    while (pivot < left && from[pivot][s] == 0) {
        ++pivot;
    }
    if (pivot == left) {
        return false;  // s depends on the rows chosen and row 0
    }
    const std::uint64_t* pivots = from[pivot];
    const std::uint64_t scale = pivots[s];
    join(s, s, depth);
    if (depth + 2 == m_) {
        const std::size_t columns[kColumns] = {1 - pivot, 2, 3};
        for (std::size_t k = 0; k < (below_ ? kColumns : kColumns - 1); ++k) {
            last_[k] = from[columns[k]];
            factors_[k] = last_[k][s];
        }
        pivots_ = pivots;
        scale_ = scale;
        ++node_;
        for (const std::size_t i : suspects) {
            if (leaders_[i] < 0) {
                const Entries& row = entries(i);
                if ((row.direction | row.offset | row.row_0) == 0 && !join(i, s, depth)) {
                    return false;
                }
            }
        }
    } else {
        // Columns keep their zeros when they are multiplied: no quotients.
        std::vector<const std::uint64_t*>& next = columns_[depth + 1];
        std::size_t column = 0;
        for (std::size_t q = 0; q < left + (below_ ? 2 : 1); ++q) {
            if (q == pivot) {
                continue;
            }
            const std::uint64_t factor = from[q][s];
            std::uint64_t* target = own(depth + 1, column);
            for (std::size_t i = 0; factor != 0 && i < n; ++i) {
                target[i] = field.subtract(field.multiply(from[q][i], scale),
                                           field.multiply(factor, pivots[i]));
            }
            next[column++] = factor == 0 ? from[q] : target;
        }
        for (std::size_t i = 1; i < n; ++i) {
            const auto is_zero = [i](const std::uint64_t* a) { return a[i] == 0; };
            if (leaders_[i] < 0 && std::all_of(next.begin(), next.begin() + column, is_zero) &&
                !join(i, s, depth)) {
                return false;
            }
        }
    }
    counts_[depth + 1] = members_.size();
    return true;
}

}  // namespace convexnn
