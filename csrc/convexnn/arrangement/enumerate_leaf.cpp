// Part of HalfCells: the candidates that share all rows but the last.
#include <algorithm>
#include <cmath>

#include "convexnn/arrangement/enumerate_work.hpp"

namespace convexnn {
namespace {

constexpr double kRoundings = 1e-15;  // relative, of a few operations
constexpr std::size_t kCalm = 64;     // leaves without dependent rows before they are not expected
constexpr std::uint64_t kNotValues = std::uint64_t{1} << 63;  // of suspicions: all but the leaf's

void set_bit(std::uint64_t* words, std::size_t i, bool bit) {
    const std::uint64_t mask = std::uint64_t{1} << (i % kWordBits);
    words[i / kWordBits] = bit ? words[i / kWordBits] | mask : words[i / kWordBits] & ~mask;
}

}  // namespace

// Rows that may depend on those chosen but the last (m > 1), and row 0, as far as doubles tell.
std::span<const std::size_t> HalfCells::suspects(Workspace& work) const {
    const Node& node = work.nodes[work.m - 1];
    std::size_t count =
        kernels_.vanishing_rows(node.own[work.m], node.own[0], vectors_, kErrors * node.error.c,
                                kErrors * node.error.d, work.suspects.data());
    while (count > 0 && work.suspects[count - 1] >= n_) {
        --count;  // the padding
    }
    return {work.suspects.data(), count};
}

// Makes the flats of all rows chosen but the last. Returns how many of the first are the beginning
// of no cell's vertex; 0 if there may be cells.
std::size_t HalfCells::follow(Workspace& work) const {
    if (work.flats == nullptr) {
        work.flats = std::make_unique<Flats>(chart_.residues());
        work.flats->start(work.m);
        work.followed = 0;
    }
    for (; work.followed + 1 < work.m; ++work.followed) {
        const std::size_t s = work.S[work.followed];
        const Node& node = work.nodes[work.m - 1];
        bool alive = false;
        if (work.followed + 2 < work.m || node.doubtful) {
            alive = work.flats->choose(work.followed, s);
        } else {
            alive = work.flats->choose(work.followed, s, suspects(work));
        }
        if (!alive) {
            return work.followed + 1;
        }
    }
    return 0;
}

// The candidate S[0 .. m - 2], last by the chart: in 32 digits, or exactly where these do not tell.
Verdict HalfCells::decide(Workspace& work, std::size_t last, std::span<std::uint64_t> words) const {
    if (work.m > 0) {
        work.S[work.m - 1] = last;
    }
    const std::span<const std::size_t> S(work.S.data(), work.m);
    if (work.flats == nullptr) {
        work.flats = std::make_unique<Flats>(chart_.residues());
        work.flats->start(work.m);
    }
    check(*work.monitor);
    const Decision decision = chart_.decide(S, work.flats.get(), words);
    if (decision.verdict == Verdict::undecided) {
        UndecidedRows rows{{rows_.rows[decision.row]}};
        for (const std::size_t s : S) {
            rows.samples.push_back(rows_.rows[s]);
        }
        if (work.m + 1 < r_) {
            rows.samples.push_back(rows_.rows[0]);
        }
        std::ranges::sort(rows.samples);
        rows.samples.erase(std::unique(rows.samples.begin(), rows.samples.end()),
                           rows.samples.end());
        throw rows;
    }
    return decision.verdict;
}

// Lays rows whose sides the rows chosen decide aside: their entries of the last two columns get
// the side they are on while their leaders' bit is 1. False where a double does not tell.
bool HalfCells::lay_flats(Workspace& work) const {
    const std::size_t m = work.m;
    const std::size_t width = words_for(n_);
    Node& node = work.nodes[m - 1];
    Flats& flats = *work.flats;
    std::fill_n(work.masks.data(), m * width, std::uint64_t{0});
    for (const std::size_t i : flats.members()) {
        const auto k = static_cast<std::size_t>(flats.leader(i));
        work.masks[k * width + i / kWordBits] |= std::uint64_t{1} << (i % kWordBits);
        if (i == work.S[k]) {
            continue;
        }
        ++work.laid;
        // p_i = f p_s + ... when the leader s was chosen, and no later row changes f.
        const Node& chosen = work.nodes[k + 1];
        const double f = chosen.own[m - k - 1][i];
        const bool vanishes = std::abs(node.own[0][i]) <= kErrors * node.error.d &&
                              std::abs(node.own[m][i]) <= kErrors * node.error.c;
        if (!vanishes || !(std::abs(f) > kErrors * chosen.error_f)) {
            return false;
        }
        node.own[0][i] = 0.0;
        node.own[m][i] = f > 0.0 ? kForced : -kForced;
    }
    if (m + 1 == r_ || m == 1) {
        return true;  // no row of the span of row 0 and the rows chosen is on an infinite side
    }
    for (const std::size_t i : suspects(work)) {
        if (i > 0 && flats.leader(i) < 0 && flats.only_row_0(i)) {
            ++work.laid;
            const double coefficient = work.carries_chart ? node.columns[m + 1][i] : 0.0;
            if (!(std::abs(coefficient) > kErrors * node.error_chart)) {
                return false;
            }
            node.own[0][i] = 0.0;
            node.own[m][i] = coefficient > 0.0 ? kForced : -kForced;
        }
    }
    return true;
}

// Makes the flats, and lays their rows aside; as `follow`.
std::size_t HalfCells::look(Workspace& work) const {
    const std::size_t dead = follow(work);
    work.laid = 0;
    work.unsure = dead == 0 && !work.nodes[work.m - 1].doubtful && !lay_flats(work);
    if (dead > 0 || work.laid > 0) {
        degenerate_.store(true, std::memory_order_relaxed);
        work.eager = true;
        work.calm = 0;
    }
    return dead;
}

// The candidate whose signs were taken to `words`, all but those of rows near the vertex; the
// flats are known. What doubles do not tell is left to the chart.
Verdict HalfCells::resolve(Workspace& work, std::size_t last,
                           std::span<std::uint64_t> words) const {
    const std::size_t m = work.m;
    const Node& node = work.nodes[m - 1];
    Flats& flats = *work.flats;
    if (!flats.may_be_last(last)) {
        return Verdict::none;
    }
    const double* c = m == 1 ? work.offsets : node.own[m];
    const double* d = node.columns[0];
    const std::size_t count = kernels_.near_rows(c, d, vectors_, work.beta[last],
                                                 work.tolerance[last], last, work.near.data());
    bool sure = true;
    Flats::Relation* relations = work.relations.data();
    for (std::size_t k = count; k-- > 0;) {
        relations[k] = flats.relation(work.near[k], last);
        if (relations[k] == Flats::Relation::flat && work.near[k] > last) {
            return Verdict::none;
        }
        sure = sure && relations[k] != Flats::Relation::none;
    }
    if (!sure) {
        return decide(work, last, words);
    }
    const bool leading = ((words[last / kWordBits] >> (last % kWordBits)) & 1U) != 0;
    for (std::size_t k = 0; k < count; ++k) {
        const std::size_t i = work.near[k];
        const double ratio = d[i] / d[last];
        if (relations[k] == Flats::Relation::flat) {
            if (!(std::abs(d[i]) > kErrors * node.error.d)) {
                return decide(work, last, words);
            }
            set_bit(words.data(), i, (ratio > 0.0) == leading);
        } else {
            degenerate_.store(true, std::memory_order_relaxed);
            const double* chart = node.columns[m + 1];
            const double side = work.carries_chart ? chart[i] - ratio * chart[last] : 0.0;
            // Errors of both coefficients, of the ratio, and of taking the value.
            const double size = 1.0 + std::abs(ratio);
            const double error =
                size * (node.error_chart + node.size_chart * (node.error.d / std::abs(d[last])));
            if (!(std::abs(side) > kErrors * (error + kRoundings * size * node.size_chart))) {
                return decide(work, last, words);
            }
            set_bit(words.data(), i, side > 0.0);
        }
    }
    return Verdict::cell;
}

// The candidates S[0 .. m - 2], j for j in [first, last). Returns how many rows of S are the
// beginning of no cell's vertex, as far as it was noticed; 0 if all was listed. `looked`: the flats
// are made and laid aside.
std::size_t HalfCells::list_leaf(std::size_t first, std::size_t last, Sink& sink, Workspace& work,
                                 bool looked) const {
    const std::size_t m = work.m;
    const Node& node = work.nodes[m - 1];
    const std::size_t width = words_for(n_);
    // Beforehand where that was of use lately, and where nothing can be done without.
    if (!looked && (node.doubtful || work.eager)) {
        work.eager = ++work.calm < kCalm;
        if (const std::size_t dead = look(work)) {
            return dead;
        }
        looked = true;
    }
    if (node.doubtful || (looked && work.unsure)) {
        for (std::size_t j = first; j < last; ++j) {
            if (decide(work, j, {work.candidates.data(), width}) == Verdict::cell) {
                sink.put(work.candidates.data());
            }
        }
        return 0;
    }

    // Bits that are known beforehand: row 0, the rows chosen (for the time being), the padding.
    double* offsets = m == 1 ? work.offsets : node.own[m];
    if (m == 1) {
        std::copy_n(node.columns[m], n_, offsets);
    }
    std::fill_n(offsets + n_, vectors_ * kLeafLanes - n_, -kForced);
    offsets[0] = kForced;
    for (std::size_t k = 0; k + 1 < m; ++k) {
        offsets[work.S[k]] = kForced;
    }
    const std::size_t chosen = m - 1;
    LeafInput input;
    input.d = node.columns[0];
    input.objective_d = node.objective[0];
    std::uint64_t* negative = Workspace::aligned(work.negative);
    std::uint64_t* suspicious = Workspace::aligned(work.suspicious);
    input.c = offsets;
    input.basic = node.columns.data() + 1;
    input.objective = node.objective.data() + 1;
    input.chosen = chosen;
    input.size_c = node.size_c;
    input.size_d = node.size_d;
    input.size_basic = node.size_basic;
    input.size_objective = node.size_objective;
    input.error = node.error;
    input.errors = kErrors;
    input.least_pivot = std::max(kLeastPivot * node.size_d, kSurePivot * node.error.d);
    prepare_leaf(input, first / kLeafLanes, (last + kLeafLanes - 1) / kLeafLanes, work.beta,
                 work.tolerance, negative, suspicious);

    for (std::size_t begin = first; begin < last; begin += kBatch) {
        const std::size_t end = std::min(begin + kBatch, last);
        kernels_.signs(input.c, input.d, vectors_, begin, end, work.beta, work.tolerance,
                       reinterpret_cast<std::uint8_t*>(work.candidates.data()),
                       width * sizeof(std::uint64_t), suspicious);
        std::uint64_t* words = work.candidates.data();
        for (std::size_t j = begin; j < end; ++j, words += width) {
            if (suspicious[j] != 0 && !looked) {
                if (const std::size_t dead = look(work)) {
                    return dead;
                }
                if (work.laid > 0 || work.unsure) {
                    return list_leaf(j, last, sink, work, true);
                }
                looked = true;
            }
            if ((suspicious[j] & kNotValues) != 0) {
                if (decide(work, j, {words, width}) == Verdict::cell) {
                    sink.put(words);
                }
                continue;
            }
            const std::uint64_t signs = negative[j];
            if (work.laid > 0 && looked) {
                for (std::size_t k = 0; k < chosen; ++k) {
                    const std::uint64_t all = -((signs >> (chosen - 1 - k)) & 1U);
                    for (std::size_t w = 0; w < width; ++w) {
                        words[w] ^= work.masks[k * width + w] & all;
                    }
                }
            } else if (width == 1) {
                std::uint64_t cleared = 0;
                for (std::size_t q = 0; q < chosen; ++q) {
                    cleared |= ((signs >> q) & 1U) << work.S[chosen - 1 - q];
                }
                words[0] ^= cleared;
            } else {
                for (std::size_t q = 0; q < chosen; ++q) {
                    const std::size_t row = work.S[chosen - 1 - q];
                    words[row / kWordBits] ^= ((signs >> q) & 1U) << (row % kWordBits);
                }
            }
            set_bit(words, j, ((signs >> chosen) & 1U) == 0);
            if (suspicious[j] == 0 || resolve(work, j, {words, width}) == Verdict::cell) {
                sink.put(words);
            }
        }
    }
    return 0;
}

}  // namespace convexnn
