#include "convexnn/arrangement/flats.hpp"

#include <algorithm>

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
      counts_(chart.rank(), 0),
      leaders_(chart.rows(), -1),
      memory_(chart.rank() > 1 ? (chart.rank() - 1) * (chart.rank() + 1) * chart.rows() : 0) {
    members_.reserve(chart.rows());
}

void Flats::start(std::size_t m) {
    for (const std::size_t i : members_) {
        leaders_[i] = -1;
    }
    members_.clear();
    m_ = m;
    // Coordinates left first, then the offset, then (below the first level) row 0's.
    const std::size_t c = chart_.rank() - 1 - m;
    kept_ = c == 0 ? 1 : 2;
    for (std::size_t q = 0; q < m; ++q) {
        columns_[0][q] = chart_.column(c + 1 + q);
    }
    columns_[0][m] = chart_.column(c);
    columns_[0][m + 1] = chart_.column(0);
    counts_[0] = 0;
    set_last(0);
}

void Flats::set_last(std::size_t depth) {
    if (depth + 1 == m_) {
        direction_ = columns_[depth][0];
        offset_ = columns_[depth][1];
        chart_column_ = kept_ == 2 ? columns_[depth][2] : nullptr;
    }
}

bool Flats::choose(std::size_t depth, std::size_t s) {
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
    std::vector<const std::uint64_t*>& next = columns_[depth + 1];
    const std::uint64_t inverse = field.inverse(from[pivot][s]);
    std::size_t column = 0;
    for (std::size_t q = 0; q < left + kept_; ++q) {
        if (q == pivot) {
            continue;
        }
        const std::uint64_t factor = field.multiply(from[q][s], inverse);
        if (factor == 0) {
            next[column++] = from[q];
            continue;
        }
        std::uint64_t* target = own(depth + 1, column);
        const std::uint64_t* source = from[q];
        const std::uint64_t* pivots = from[pivot];
        for (std::size_t i = 0; i < n; ++i) {
            target[i] = field.subtract(source[i], field.multiply(factor, pivots[i]));
        }
        next[column++] = target;
    }
    set_last(depth + 1);
    const auto vanishes = [&](std::size_t i) {
        for (std::size_t q = 0; q < column; ++q) {
            if (next[q][i] != 0) {
                return false;
            }
        }
        return true;
    };
    for (std::size_t i = 1; i < n; ++i) {
        if (leaders_[i] < 0 && vanishes(i)) {
            if (i > s) {
                return false;
            }
            leaders_[i] = static_cast<std::int16_t>(depth);
            members_.push_back(i);
        }
    }
    counts_[depth + 1] = members_.size();
    return true;
}

Flats::Relation Flats::relation(std::size_t i, std::size_t j) const {
    const PrimeField& field = chart_.field();
    const auto parallel = [&](const std::uint64_t* a) {
        return field.multiply(a[i], direction_[j]) == field.multiply(a[j], direction_[i]);
    };
    if (!parallel(offset_)) {
        return Relation::none;
    }
    return chart_column_ == nullptr || parallel(chart_column_) ? Relation::flat
                                                               : Relation::with_row_0;
}

}  // namespace convexnn
