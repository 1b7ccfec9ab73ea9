#include "convexnn/arrangement/enumerate.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <new>
#include <stdexcept>

#include "convexnn/base/parallel.hpp"

namespace convexnn {
namespace {

constexpr std::uint64_t kMany = std::uint64_t{1} << 62;  // no more half cells than this
constexpr std::size_t kMaxRank = 63;
constexpr double kLeastPivot = 1e-6;       // relative; below it everything goes to 32 digits
constexpr std::size_t kBatch = 64;         // candidates whose signs are taken at once
constexpr std::uint64_t kPiece = 1 << 12;  // candidates between two looks at the monitor

}  // namespace

AlignedDoubles::AlignedDoubles(std::size_t count)
    : data_(static_cast<double*>(
          ::operator new[]((count + 1) * sizeof(double), std::align_val_t{64}))) {
    std::fill_n(data_.get(), count, 0.0);
}

void AlignedDoubles::Free::operator()(double* p) const {
    ::operator delete[](static_cast<void*>(p), std::align_val_t{64});
}

// The tableau of level m after k rows were chosen: columns of the m - k coordinates left, of the
// rows chosen (the last first), and of the offsets.
struct HalfCells::Node {
    std::vector<const double*> columns;
    std::vector<double*> own;       // where this node's columns live (none at depth 0)
    std::vector<double> objective;  // the first coordinate, in terms of the columns
    double size_c = 0.0;            // largest entries on the way here: of offsets,
    double size_d = 0.0;            // of coordinates left,
    double size_basic = 0.0;        // of columns of rows chosen,
    double size_objective = 0.0;    // and of the objective
    bool doubtful = false;          // a pivot on the way was too small
};

struct HalfCells::Workspace {
    Workspace(std::size_t r, std::size_t vectors, std::size_t words)
        : nodes(r),
          memory((r > 2 ? (r - 2) * r : 0) * vectors * kLeafLanes),
          leaf((3 * vectors) * kLeafLanes),
          negative(vectors * kLeafLanes + kLeafLanes),
          suspicious(vectors * kLeafLanes + kLeafLanes),
          source(r),
          candidates(kBatch * words),
          S(r),
          subset(r) {
        const std::size_t size = vectors * kLeafLanes;
        for (std::size_t depth = 0; depth < r; ++depth) {
            Node& node = nodes[depth];
            node.columns.resize(r);
            node.objective.resize(r);
            for (std::size_t q = 0; depth > 0 && depth + 1 < r && q < r; ++q) {
                node.own.push_back(memory.data() + ((depth - 1) * r + q) * size);
                node.columns[q] = node.own[q];
            }
        }
        offsets = leaf.data();
        beta = offsets + size;
        tolerance = beta + size;
    }
    static std::uint64_t* aligned(std::vector<std::uint64_t>& a) {
        const auto address = reinterpret_cast<std::uintptr_t>(a.data());
        return a.data() + ((64 - address % 64) % 64) / sizeof(std::uint64_t);
    }

    std::size_t m = 0;
    std::vector<Node> nodes;
    AlignedDoubles memory;
    AlignedDoubles leaf;
    double* offsets;
    double* beta;
    double* tolerance;
    std::vector<std::uint64_t> negative;
    std::vector<std::uint64_t> suspicious;
    std::vector<const double*> source;
    std::vector<std::uint64_t> candidates;
    std::vector<std::size_t> S;
    std::vector<std::size_t> subset;
};

// Where patterns go: the samples' bits, and their complements.
struct HalfCells::Sink {
    const HalfCells& cells;
    std::uint64_t* half;  // null: nowhere
    std::uint64_t* complement;

    void put(const std::uint64_t* words) {
        if (half == nullptr) {
            return;
        }
        const std::size_t width = cells.full_.size();
        if (cells.plain_) {
            for (std::size_t w = 0; w < width; ++w) {
                half[w] = words[w];
                complement[w] = ~words[w] & cells.full_[w];
            }
        } else {
            const std::vector<std::int64_t>& of = cells.rows_.representative;
            for (std::size_t w = 0; w < width; ++w) {
                const std::size_t first = w * kWordBits;
                const std::size_t count = std::min(kWordBits, of.size() - first);
                std::uint64_t word = 0;
                for (std::size_t k = 0; k < count; ++k) {
                    // A zero row reads row 0, whose bit is 1.
                    const auto row =
                        static_cast<std::size_t>(std::max<std::int64_t>(of[first + k], 0));
                    const std::uint64_t bit = (words[row / kWordBits] >> (row % kWordBits)) & 1U;
                    word |= (bit ^ cells.rows_.flipped[first + k]) << k;
                }
                half[w] = word;
                complement[w] = (~word & cells.full_[w]) | cells.zero_rows_[w];
            }
        }
        half += width;
        complement += width;
    }
};

HalfCells::HalfCells(ReducedRows rows, Monitor& monitor)
    : rows_(std::move(rows)),
      chart_(rows_.rank >= 1 && rows_.rank <= kMaxRank
                 ? Chart(rows_.basis, rows_.count, rows_.rank, monitor)
                 : throw std::invalid_argument("the rank must lie between 1 and 63")),
      n_(rows_.count),
      r_(rows_.rank),
      vectors_((n_ + kLeafLanes - 1) / kLeafLanes),
      columns_(2 * r_ * vectors_ * kLeafLanes),
      choose_(n_ * r_),
      zero_rows_(words_for(rows_.samples)),
      full_(words_for(rows_.samples)),
      plain_(rows_.samples == n_),
      kernel_(leaf_kernels().front()) {
    for (std::size_t a = 0; a < n_; ++a) {
        choose_[a * r_] = 1;
        for (std::size_t b = 1; b < r_ && a > 0; ++b) {
            choose_[a * r_ + b] =
                std::min(choose_[(a - 1) * r_ + b] + choose_[(a - 1) * r_ + b - 1], 2 * kMany);
        }
    }
    for (std::size_t m = 0; m < r_; ++m) {
        total_ += choose_[(n_ - 1) * r_ + m];
        if (total_ >= kMany) {
            throw std::invalid_argument("there must be fewer than 2^62 half cells");
        }
    }
    for (std::size_t k = 0; k < r_; ++k) {
        for (std::size_t i = 1; i < n_; ++i) {
            base(k, false)[i] = chart_.coordinate(i, k);
            base(k, true)[i] = -chart_.coordinate(i, k);
        }
    }
    for (std::size_t i = 0; i < rows_.samples; ++i) {
        const std::uint64_t bit = std::uint64_t{1} << (i % kWordBits);
        full_[i / kWordBits] |= bit;
        if (rows_.representative[i] < 0) {
            zero_rows_[i / kWordBits] |= bit;
        }
    }
}

HalfCells::~HalfCells() = default;

double* HalfCells::base(std::size_t k, bool negated) const {
    const std::size_t place = (k + (negated ? r_ : 0)) * vectors_ * kLeafLanes;
    return const_cast<double*>(columns_.data()) + place;
}

void HalfCells::unrank(std::uint64_t rank, std::size_t m, std::vector<std::size_t>& S) const {
    std::size_t row = 1;
    for (std::size_t k = 0; k < m; ++k, ++row) {
        while (true) {
            const std::uint64_t with_row = choose_[(n_ - 1 - row) * r_ + (m - 1 - k)];
            if (rank < with_row) {
                break;
            }
            rank -= with_row;
            ++row;
        }
        S[k] = row;
    }
}

// The tableau of level m with no row chosen.
void HalfCells::start(Workspace& work, std::size_t m) const {
    const std::size_t c = r_ - 1 - m;
    Node& node = work.nodes[0];
    work.m = m;
    node.doubtful = false;
    node.size_c = node.size_d = 1.0;  // entries are at most 1
    node.size_basic = 0.0;
    node.size_objective = 1.0;
    for (std::size_t q = 0; q < m; ++q) {
        node.columns[q] = base(c + 1 + q, false);
        node.objective[q] = q == 0 ? 1.0 : 0.0;
    }
    node.columns[m] = base(c, c > 0);
}

// From the node at `depth` to the next, where row S[depth] is chosen as well.
void HalfCells::descend(Workspace& work, std::size_t depth) const {
    const Node& node = work.nodes[depth];
    Node& next = work.nodes[depth + 1];
    const std::size_t m = work.m;
    const std::size_t free = m - depth;
    const std::size_t row = work.S[depth];
    next.doubtful = node.doubtful;
    if (next.doubtful) {
        return;
    }
    std::size_t pivot = 0;
    double size = std::abs(node.columns[0][row]);
    for (std::size_t q = 1; q < free; ++q) {
        const double other = std::abs(node.columns[q][row]);
        pivot = other > size ? q : pivot;
        size = other > size ? other : size;
    }
    if (!(size > kLeastPivot * node.size_d)) {
        next.doubtful = true;
        return;
    }
    // The coordinate chosen changes places with the last one left.
    const double** source = work.source.data();
    std::copy_n(node.columns.data(), m + 1, source);
    std::copy_n(node.objective.data(), m, next.objective.data());
    std::swap(source[pivot], source[free - 1]);
    std::swap(next.objective[pivot], next.objective[free - 1]);
    // What a chosen row's column says is asked for by later rows only.
    double sizes[3];
    eliminate(source, next.own.data(), free, m, row, (row + 1) / kLeafLanes, vectors_, sizes);
    next.size_c = std::max(node.size_c, sizes[0]);
    next.size_d = std::max(node.size_d, sizes[1]);
    next.size_basic = std::max(node.size_basic, sizes[2]);
    const double f = next.objective[free - 1] / source[free - 1][row];
    double largest = node.size_objective;
    for (std::size_t q = 0; q < m; ++q) {
        next.objective[q] = q + 1 == free ? f : next.objective[q] - f * source[q][row];
        largest = std::max(largest, std::abs(next.objective[q]));
    }
    next.size_objective = largest;
}

// The candidate S[0 .. m - 2], last in 32 digits; not empty: samples that depend on each other.
std::vector<std::size_t> HalfCells::decide(Workspace& work, std::size_t last,
                                           std::span<std::uint64_t> words) const {
    const std::size_t m = work.m;
    std::copy_n(work.S.begin(), m, work.subset.begin());
    if (m > 0) {
        work.subset[m - 1] = last;
    }
    const std::size_t found = chart_.decide({work.subset.data(), m}, words);
    if (found == n_) {
        return {};
    }
    // A row that vanishes at the vertex of S depends on S; if S has no vertex, row 0 does.
    std::vector<std::size_t> dependent{rows_.rows[found]};
    for (std::size_t k = 0; k < m; ++k) {
        dependent.push_back(rows_.rows[work.subset[k]]);
    }
    if (m + 1 < r_ || std::count(dependent.begin(), dependent.end(), dependent.front()) > 1) {
        dependent.push_back(rows_.rows[0]);
    }
    std::ranges::sort(dependent);
    dependent.erase(std::unique(dependent.begin(), dependent.end()), dependent.end());
    return dependent;
}

// The candidates S[0 .. m - 2], j for j in [first, last).
std::vector<std::size_t> HalfCells::list_leaf(std::size_t first, std::size_t last, Sink& sink,
                                              Workspace& work) const {
    const std::size_t m = work.m;
    const Node& node = work.nodes[m - 1];
    const std::size_t width = words_for(n_);
    if (node.doubtful) {
        for (std::size_t j = first; j < last; ++j) {
            std::vector<std::size_t> dependent = decide(work, j, {work.candidates.data(), width});
            if (!dependent.empty()) {
                return dependent;
            }
            sink.put(work.candidates.data());
        }
        return {};
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
    input.least_pivot = kLeastPivot * node.size_d;
    prepare_leaf(input, first / kLeafLanes, (last + kLeafLanes - 1) / kLeafLanes, work.beta,
                 work.tolerance, negative, suspicious);

    for (std::size_t begin = first; begin < last; begin += kBatch) {
        const std::size_t end = std::min(begin + kBatch, last);
        kernel_(input.c, input.d, vectors_, begin, end, work.beta, work.tolerance,
                reinterpret_cast<std::uint8_t*>(work.candidates.data()),
                width * sizeof(std::uint64_t), suspicious);
        std::uint64_t* words = work.candidates.data();
        for (std::size_t j = begin; j < end; ++j, words += width) {
            if (suspicious[j] != 0) {
                std::vector<std::size_t> dependent = decide(work, j, {words, width});
                if (!dependent.empty()) {
                    return dependent;
                }
            } else {
                const std::uint64_t signs = negative[j];
                if (width == 1) {
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
                const std::uint64_t bit = std::uint64_t{1} << (j % kWordBits);
                std::uint64_t& word = words[j / kWordBits];
                word = ((signs >> chosen) & 1U) != 0 ? word & ~bit : word | bit;
            }
            sink.put(words);
        }
    }
    return {};
}

// Candidates first, ..., first + count - 1 of level m.
std::vector<std::size_t> HalfCells::list_level(std::size_t m, std::uint64_t first,
                                               std::uint64_t count, Sink& sink,
                                               Workspace& work) const {
    start(work, m);
    if (m == 0) {
        std::vector<std::size_t> dependent =
            decide(work, 0, {work.candidates.data(), words_for(n_)});
        if (dependent.empty()) {
            sink.put(work.candidates.data());
        }
        return dependent;
    }
    unrank(first, m, work.S);
    std::size_t depth = 0;  // nodes up to it belong to S
    while (true) {
        for (; depth + 1 < m; ++depth) {
            descend(work, depth);
        }
        const std::size_t begin = work.S[m - 1];
        const std::size_t leaves = std::min<std::uint64_t>(n_ - begin, count);
        std::vector<std::size_t> dependent = list_leaf(begin, begin + leaves, sink, work);
        count -= leaves;
        if (count == 0 || !dependent.empty()) {
            return dependent;
        }
        // The next prefix: the last row that can move on does, those after it follow closely.
        while (work.S[depth - 1] + 1 + (m - depth) > n_ - 1) {
            --depth;
        }
        --depth;
        ++work.S[depth];
        for (std::size_t k = depth + 1; k < m; ++k) {
            work.S[k] = work.S[k - 1] + 1;
        }
    }
}

std::vector<std::size_t> HalfCells::list_range(std::uint64_t first, std::uint64_t count, Sink& sink,
                                               Workspace& work) const {
    for (std::size_t m = r_; m-- > 0 && count > 0;) {
        const std::uint64_t size = choose_[(n_ - 1) * r_ + m];
        if (first < size) {
            const std::uint64_t part = std::min(count, size - first);
            std::vector<std::size_t> dependent = list_level(m, first, part, sink, work);
            if (!dependent.empty()) {
                return dependent;
            }
            count -= part;
            first = 0;
        } else {
            first -= size;
        }
    }
    return {};
}

std::unique_ptr<HalfCells::Workspace> HalfCells::take() const {
    {
        const std::lock_guard<std::mutex> lock(idle_mutex_);
        if (!idle_.empty()) {
            std::unique_ptr<Workspace> work = std::move(idle_.back());
            idle_.pop_back();
            return work;
        }
    }
    return std::make_unique<Workspace>(r_, vectors_, words_for(n_));
}

void HalfCells::give_back(std::unique_ptr<Workspace> work) const {
    const std::lock_guard<std::mutex> lock(idle_mutex_);
    idle_.push_back(std::move(work));
}

Listing HalfCells::list(std::uint64_t first, std::uint64_t count, std::uint64_t block,
                        MutableBitColumns patterns, std::size_t threads, Monitor& monitor) const {
    if (first > total_ || count > total_ - first || block == 0) {
        throw std::invalid_argument("the half cells asked for must exist");
    }
    if (patterns.columns != 0 &&
        (patterns.rows != rows_.samples || patterns.columns != 2 * count)) {
        throw std::invalid_argument("`patterns` must have room for 2 count patterns");
    }
    const std::size_t width = full_.size();
    const std::uint64_t pieces_of_block = (std::min(block, count) + kPiece - 1) / kPiece;
    const std::uint64_t blocks = (count + block - 1) / block;
    std::atomic<std::uint64_t> failed{std::numeric_limits<std::uint64_t>::max()};
    std::vector<std::size_t> dependent;
    std::mutex dependent_mutex;

    const auto fill = [&](std::size_t begin, std::size_t end) {
        for (std::uint64_t piece = begin; piece < end; ++piece) {
            const std::uint64_t start_of_block = piece / pieces_of_block * block;
            const std::uint64_t size = std::min(block, count - start_of_block);
            const std::uint64_t offset = piece % pieces_of_block * kPiece;
            // Later pieces of a listing that failed are of no interest, earlier ones are.
            if (offset >= size || piece > failed.load(std::memory_order_relaxed)) {
                continue;
            }
            std::uint64_t* half = nullptr;
            if (patterns.columns != 0) {
                half = patterns.words + (2 * start_of_block + offset) * width;
            }
            Sink sink{*this, half, half == nullptr ? nullptr : half + size * width};
            std::unique_ptr<Workspace> work = take();
            std::vector<std::size_t> found = list_range(
                first + start_of_block + offset, std::min(kPiece, size - offset), sink, *work);
            give_back(std::move(work));
            if (!found.empty()) {
                const std::lock_guard<std::mutex> lock(dependent_mutex);
                if (piece < failed) {
                    failed = piece;
                    dependent = std::move(found);
                }
            }
        }
    };
    Listing listing;
    listing.finished = parallel_for(blocks * pieces_of_block, 1, threads, monitor, fill);
    listing.dependent = std::move(dependent);
    return listing;
}

}  // namespace convexnn
