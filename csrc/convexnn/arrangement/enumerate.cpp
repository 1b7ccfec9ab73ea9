#include "convexnn/arrangement/enumerate.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <new>
#include <numeric>
#include <stdexcept>

#include "convexnn/arrangement/enumerate_work.hpp"
#include "convexnn/base/parallel.hpp"

namespace convexnn {
namespace {

constexpr std::uint64_t kMany = std::uint64_t{1} << 62;  // no more half cells than this
constexpr std::size_t kMaxRank = 63;
constexpr double kRounding = std::numeric_limits<double>::epsilon();
constexpr std::size_t kLargestTable = 1 << 15;  // words: it stays in the nearer caches
constexpr std::uint64_t kPiece = 1 << 12;       // candidates between two looks at the monitor

// The distinct rows in the opposite order.
ReducedRows backwards(ReducedRows rows) {
    const std::size_t r = rows.rank;
    for (std::size_t i = 0, j = rows.count; i + 1 < j--; ++i) {
        std::swap(rows.rows[i], rows.rows[j]);
        std::swap_ranges(&rows.basis[i * r], &rows.basis[i * r] + r, &rows.basis[j * r]);
    }
    for (std::int64_t& i : rows.representative) {
        i = i < 0 ? i : static_cast<std::int64_t>(rows.count) - 1 - i;
    }
    return rows;
}

// Moves the half cells of a block, and then their complements, to its beginning: `kept` of each
// piece. The block has room for `size` of each.
void close_ranks(std::uint64_t* words, std::uint64_t size, std::size_t width,
                 std::span<const std::uint64_t> kept) {
    std::uint64_t* to = words;
    for (const std::uint64_t side : {std::uint64_t{0}, size}) {
        for (std::size_t p = 0; p < kept.size(); ++p) {
            const std::uint64_t* from = words + (side + p * kPiece) * width;
            to = std::copy_n(from, kept[p] * width, to);
        }
    }
}

}  // namespace

AlignedDoubles::AlignedDoubles(std::size_t count)
    : data_(static_cast<double*>(
          ::operator new[]((count + 1) * sizeof(double), std::align_val_t{64}))) {
    std::fill_n(data_.get(), count, 0.0);
}

void AlignedDoubles::Free::operator()(double* p) const {
    ::operator delete[](static_cast<void*>(p), std::align_val_t{64});
}

HalfCells::HalfCells(ReducedRows rows, std::uint64_t seed, Monitor& monitor)
    : rows_(seed % 2 == 0 ? std::move(rows) : backwards(std::move(rows))),
      chart_(rows_.rank >= 1 && rows_.rank <= kMaxRank
                 ? Chart(rows_.basis, rows_.count, rows_.rank, seed, monitor)
                 : throw std::invalid_argument("the rank must lie between 1 and 63")),
      n_(rows_.count),
      r_(rows_.rank),
      vectors_((n_ + kLeafLanes - 1) / kLeafLanes),
      columns_(2 * r_ * vectors_ * kLeafLanes),
      choose_(n_ * r_),
      zero_rows_(words_for(rows_.samples)),
      full_(words_for(rows_.samples)),
      plain_(rows_.samples == n_ && seed % 2 == 0),
      kernels_(leaf_kernels().front()) {
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
    const std::size_t width = full_.size();
    sides_.assign(width, 0);
    const std::size_t states = (n_ + 3) / 4 * 16;
    spread_.assign(plain_ || states * width > kLargestTable ? 0 : states * width, 0);
    for (std::size_t i = 0; i < rows_.samples; ++i) {
        const std::size_t word = i / kWordBits;
        const std::uint64_t bit = std::uint64_t{1} << (i % kWordBits);
        full_[word] |= bit;
        if (rows_.representative[i] < 0) {
            zero_rows_[word] |= bit;
            sides_[word] |= bit;
            continue;
        }
        sides_[word] |= rows_.flipped[i] != 0 ? bit : 0;
        const auto row = static_cast<std::size_t>(rows_.representative[i]);
        for (std::size_t state = 0; state < 16 && !spread_.empty(); ++state) {
            if (((state >> (row % 4)) & 1U) != 0) {
                spread_[(row / 4 * 16 + state) * width + word] |= bit;
            }
        }
    }
}

HalfCells::~HalfCells() = default;

double* HalfCells::base(std::size_t k, bool negated) const {
    const std::size_t place = (k + (negated ? r_ : 0)) * vectors_ * kLeafLanes;
    return const_cast<double*>(columns_.data()) + place;
}

// Candidates of the level that begin with the first `chosen` rows of S.
std::uint64_t HalfCells::completions(const Workspace& work, std::size_t chosen) const {
    const std::size_t last = chosen == 0 ? 0 : work.S[chosen - 1];
    return choose_[(n_ - 1 - last) * r_ + (work.m - chosen)];
}

void HalfCells::unrank(std::uint64_t rank, Workspace& work) const {
    std::size_t row = 1;
    std::uint64_t before = 0;
    for (std::size_t k = 0; k < work.m; ++k, ++row) {
        work.begin[k] = before;
        while (true) {
            const std::uint64_t with_row = choose_[(n_ - 1 - row) * r_ + (work.m - 1 - k)];
            if (rank < with_row) {
                break;
            }
            rank -= with_row;
            before += with_row;
            ++row;
        }
        work.S[k] = row;
    }
}

// The tableau of level m with no row chosen.
void HalfCells::start(Workspace& work, std::size_t m) const {
    const std::size_t c = r_ - 1 - m;
    Node& node = work.nodes[0];
    work.m = m;
    node.doubtful = false;
    node.error = {kRounding, kRounding, 0.0, 0.0};
    node.error_chart = kRounding;
    node.size_c = node.size_d = 1.0;  // entries are at most 1
    node.size_basic = 0.0;
    node.size_objective = 1.0;
    for (std::size_t q = 0; q < m; ++q) {
        node.columns[q] = base(c + 1 + q, false);
        node.objective[q] = q == 0 ? 1.0 : 0.0;
    }
    node.columns[m] = base(c, c > 0);
    node.columns[m + 1] = base(0, false);
    node.size_chart = 1.0;
    work.carries_chart = c > 0 && degenerate_.load(std::memory_order_relaxed);
    work.followed = 0;
    if (work.flats != nullptr) {
        work.flats->start(m);
    }
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
    if (!(size > kLeastPivot * node.size_d) || !(size > kSurePivot * node.error.d)) {
        next.doubtful = true;
        return;
    }
    // The coordinate chosen changes places with the last one left.
    const double** source = work.source.data();
    std::copy_n(node.columns.data(), m + 2, source);
    std::copy_n(node.objective.data(), m, next.objective.data());
    std::swap(source[pivot], source[free - 1]);
    std::swap(next.objective[pivot], next.objective[free - 1]);
    // What a chosen row's column says is asked for by later rows only.
    double sizes[4];
    eliminate(source, next.own.data(), free, m, row, (row + 1) / kLeafLanes, vectors_, sizes);
    next.size_c = std::max(node.size_c, sizes[0]);
    next.size_d = std::max(node.size_d, sizes[1]);
    next.size_basic = std::max(node.size_basic, sizes[2]);
    const double f = next.objective[free - 1] / source[free - 1][row];
    double largest = node.size_objective;
    double basic = 0.0;  // the row's largest entry in the columns of rows chosen before
    for (std::size_t q = 0; q < m; ++q) {
        const double entry = source[q][row];
        basic = q < free ? basic : std::max(basic, std::abs(entry));
        next.objective[q] = q + 1 == free ? f : next.objective[q] - f * entry;
        largest = std::max(largest, std::abs(next.objective[q]));
    }
    next.size_objective = largest;

    // Errors of a - f b, where b (the entry of `row`) is at most `factor` in size: those of a and
    // f, and of the operations. The pivot is the largest of the row's coordinates left.
    const double most = sizes[3];
    const double inverse = 1.0 / size;
    const double error_f = node.error.d * (1.0 + most) * inverse + kRounding * most;
    const auto error = [&](double before, double factor, double now) {
        return before + factor * error_f + most * before + kRounding * (most * factor + now);
    };
    next.error_f = error_f;
    next.error.d = error(node.error.d, size, next.size_d);
    next.error.c = error(node.error.c, std::abs(source[m][row]), next.size_c);
    next.error.basic = std::max(error_f, error(node.error.basic, basic, next.size_basic));
    if (work.carries_chart) {
        next.columns[m + 1] = next.own[m + 1];
        const double top =
            subtract_multiple(source[m + 1], next.own[free - 1], row, vectors_, next.own[m + 1]);
        next.size_chart = std::max(node.size_chart, top);
        next.error_chart = error(node.error_chart, std::abs(source[m + 1][row]), next.size_chart);
    }
    const double size_f = std::abs(f);
    const double error_of_f =
        (node.error.objective + size_f * node.error.d) * inverse + kRounding * size_f;
    const double factor = std::max(size, basic);
    next.error.objective =
        std::max(error_of_f, node.error.objective + factor * error_of_f +
                                 size_f * std::max(node.error.d, node.error.basic) +
                                 kRounding * (size_f * factor + largest));
}

// Candidates first, ..., first + count - 1 of level m.
void HalfCells::list_level(std::size_t m, std::uint64_t first, std::uint64_t count, Sink& sink,
                           Workspace& work) const {
    start(work, m);
    if (m == 0) {
        if (decide(work, 0, {work.candidates.data(), words_for(n_)}) == Verdict::cell) {
            sink.put(work.candidates.data());
        }
        return;
    }
    unrank(first, work);
    const std::uint64_t end = first + count;
    std::size_t depth = 0;  // nodes up to it belong to S
    while (true) {
        for (; depth + 1 < m; ++depth) {
            descend(work, depth);
        }
        const std::size_t from = work.S[m - 1];
        const std::uint64_t rank = work.begin[m - 1] + (from - (m == 1 ? 0 : work.S[m - 2]) - 1);
        const std::size_t leaves = std::min<std::uint64_t>(n_ - from, end - rank);
        // The first rows of S that are the beginning of no cell's vertex, or all but the last.
        std::size_t done = list_leaf(from, from + leaves, sink, work);
        done = done == 0 ? m - 1 : done;
        // The next prefix: the last row that can move on does, those after it follow closely.
        while (done > 0 && work.S[done - 1] + 1 + (m - done) > n_ - 1) {
            --done;
        }
        if (done == 0 || work.begin[done] + completions(work, done) >= end) {
            return;
        }
        work.begin[done] += completions(work, done);
        ++work.S[done - 1];
        for (std::size_t k = done; k < m; ++k) {
            work.S[k] = work.S[k - 1] + 1;
            work.begin[k] = work.begin[done];
        }
        depth = done - 1;
        work.followed = std::min(work.followed, depth);
    }
}

void HalfCells::list_range(std::uint64_t first, std::uint64_t count, Sink& sink,
                           Workspace& work) const {
    for (std::size_t m = r_; m-- > 0 && count > 0;) {
        const std::uint64_t size = choose_[(n_ - 1) * r_ + m];
        if (first < size) {
            const std::uint64_t part = std::min(count, size - first);
            list_level(m, first, part, sink, work);
            count -= part;
            first = 0;
        } else {
            first -= size;
        }
    }
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
    std::vector<std::size_t> undecided;
    std::mutex undecided_mutex;
    std::vector<std::uint64_t> kept(blocks * pieces_of_block);
    SharedStop shared(monitor);

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
            work->monitor = &shared;
            try {
                list_range(first + start_of_block + offset, std::min(kPiece, size - offset), sink,
                           *work);
            } catch (UndecidedRows& rows) {
                const std::lock_guard<std::mutex> lock(undecided_mutex);
                if (piece < failed) {
                    failed = piece;
                    undecided = std::move(rows.samples);
                }
            } catch (const Stopped&) {  // the loop hears of it as well
            }
            kept[piece] = sink.kept;
            work->monitor = nullptr;
            give_back(std::move(work));
        }
    };
    Listing listing;
    listing.finished = parallel_for(blocks * pieces_of_block, 1, threads, shared, fill);
    listing.undecided = std::move(undecided);
    for (std::uint64_t b = 0; b < blocks; ++b) {
        const std::uint64_t size = std::min(block, count - b * block);
        const std::span<const std::uint64_t> pieces(&kept[b * pieces_of_block], pieces_of_block);
        listing.kept.push_back(std::accumulate(pieces.begin(), pieces.end(), std::uint64_t{0}));
        if (patterns.columns != 0 && listing.kept.back() < size) {
            close_ranks(patterns.words + 2 * b * block * width, size, width, pieces);
        }
    }
    return listing;
}

}  // namespace convexnn
