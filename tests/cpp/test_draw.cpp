#include <algorithm>

#include "check.hpp"
#include "convexnn/arrangement/draw.hpp"
#include "convexnn/arrangement/enumerate.hpp"

using namespace convexnn;

namespace {

// Every set of m of the rows 1, ..., n - 1, in lexicographic order, one after the other.
std::vector<std::size_t> all_sets(std::size_t n, std::size_t m) {
    std::vector<bool> chosen(n - 1, false);
    std::fill_n(chosen.begin(), m, true);
    std::vector<std::size_t> sets;
    do {
        for (std::size_t i = 0; i + 1 < n; ++i) {
            if (chosen[i]) {
                sets.push_back(i + 1);
            }
        }
    } while (std::prev_permutation(chosen.begin(), chosen.end()));
    return sets;
}

class StopAtThird final : public Monitor {
public:
    bool stop_requested() override { return ++asked_ == 3; }

private:
    int asked_ = 0;
};

}  // namespace

TEST(cells_by_their_vertices_are_those_of_the_listing) {
    for (const std::size_t n : {5U, 12U, 67U}) {
        for (const std::size_t r : {2U, 3U, 4U}) {
            const std::vector<double> X = check::gaussian(n * r, 3);
            const ReducedRows rows = reduce_rows({X.data(), n, r}, true);
            const Chart chart(rows.basis, rows.count, rows.rank);
            const HalfCells cells(rows);
            std::vector<std::uint64_t> expected(2 * cells.total() * words_for(n));
            Monitor monitor;
            cells.list(0, cells.total(), cells.total(), {expected.data(), n, 2 * cells.total()}, 1,
                       monitor);
            std::size_t first = 0;
            for (std::size_t m = r; m-- > 0;) {
                const std::vector<std::size_t> sets = all_sets(n, m);
                const std::size_t count = m == 0 ? 1 : sets.size() / m;
                std::vector<std::uint64_t> found(count * words_for(n));
                const CellsDrawn drawn = cells_at(chart, sets, {found.data(), n, count}, monitor);
                CHECK(drawn.finished);
                CHECK(drawn.count == count);
                CHECK(drawn.undecided == n);
                CHECK(std::equal(found.begin(), found.end(),
                                 expected.begin() + static_cast<long>(first * words_for(n))));
                first += count;
            }
            CHECK(first == cells.total());
        }
    }
}

TEST(sets_that_are_no_vertices_are_told_apart) {
    // Rows 1, 2, 3 lie in a plane: of their pairs only those that hold row 3 are vertices.
    const std::vector<double> X{1,   0.3, 0.9,    1.2, 0.1, /**/ 0.2, 1, 0.7,
                                1.7, 0.4, /**/ 3, 0,   0,   0,        1};
    const ReducedRows rows = reduce_rows({X.data(), 5, 3}, true);
    const Chart chart(rows.basis, rows.count, rows.rank);
    const HalfCells cells(rows);
    Monitor monitor;
    std::vector<std::uint64_t> found(6);
    const CellsDrawn drawn = cells_at(chart, all_sets(5, 2), {found.data(), 5, 6}, monitor);
    CHECK((drawn.is_cell == std::vector<std::uint8_t>{0, 1, 1, 1, 1, 1}));
    CHECK(drawn.count == 5);
    CHECK(drawn.undecided == 5);
    CHECK(drawn.finished);
    std::vector<std::uint64_t> expected(2 * cells.total());
    const Listing listing = cells.list(0, cells.total(), cells.total(),
                                       {expected.data(), 5, 2 * cells.total()}, 1, monitor);
    CHECK(listing.kept[0] == cells.total() - 1);
    CHECK(std::equal(found.begin(), found.begin() + 5, expected.begin()));
}

TEST(vertices_that_are_left_open_end_the_drawing) {
    // e_2, ..., e_7, e_1, and rows e_1 + t e_k whose determinant, t^6, is no double.
    const std::size_t n = 13;
    const std::size_t r = 7;
    std::vector<double> X(n * r, 0.0);
    for (std::size_t k = 1; k < r; ++k) {
        X[k - 1 + k * n] = 1.0;
        X[6 + k] = 1.0;
        X[6 + k + k * n] = 1e-97;
    }
    X[6] = 1.0;
    const ReducedRows rows = reduce_rows({X.data(), n, r}, false);
    const Chart chart(rows.basis, rows.count, rows.rank);
    const std::vector<std::size_t> sets{7, 8, 9, 10, 11, 12};
    std::vector<std::uint64_t> found(1);
    Monitor monitor;
    const CellsDrawn drawn = cells_at(chart, sets, {found.data(), n, 1}, monitor);
    CHECK(drawn.is_cell.empty());
    CHECK(drawn.undecided < n);
}

TEST(cells_by_their_vertices_stop_when_told) {
    const std::vector<double> X = check::gaussian(20, 3);
    const ReducedRows rows = reduce_rows({X.data(), 10, 2}, true);
    const Chart chart(rows.basis, rows.count, rows.rank);
    const std::vector<std::size_t> sets{1, 2, 3, 4};
    std::vector<std::uint64_t> found(4);
    StopAtThird monitor;
    const CellsDrawn drawn = cells_at(chart, sets, {found.data(), 10, 4}, monitor);
    CHECK(!drawn.finished);
    CHECK(drawn.count == 2);
}

TEST(preparations_stop_when_told) {
    class Stop final : public Monitor {
        bool stop_requested() override { return true; }
    } monitor;
    const std::vector<double> X = check::gaussian(20, 3);
    const ReducedRows rows = reduce_rows({X.data(), 10, 2}, true);
    int stopped = 0;
    try {
        reduce_rows({X.data(), 10, 2}, true, monitor);
    } catch (const Stopped&) {
        ++stopped;
    }
    try {
        const Chart chart(rows.basis, rows.count, rows.rank, 0, monitor);
    } catch (const Stopped&) {
        ++stopped;
    }
    CHECK(stopped == 2);
}
