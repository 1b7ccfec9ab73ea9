#include <vector>

#include "check.hpp"
#include "convexnn/arrangement/flats.hpp"

using namespace convexnn;

TEST(a_prime_field_is_one) {
    for (const std::uint64_t c : {27U, 57U, 63U}) {
        const PrimeField field(c);
        const std::uint64_t p = (std::uint64_t{1} << 58) - c;
        CHECK(field.size() == p);
        CHECK(field.power(3, p - 1) == 1);  // Fermat
        const std::uint64_t numbers[] = {1, 2, p - 1, p - 2, p / 2, 123456789012345678U % p};
        for (const std::uint64_t a : numbers) {
            CHECK(field.multiply(a, field.inverse(a)) == 1);
            CHECK(field.subtract(0, field.subtract(0, a)) == a);
            CHECK(field.multiply(p - 1, a) == field.subtract(0, a));
            for (const std::uint64_t b : numbers) {
                __extension__ using Product = unsigned __int128;
                CHECK(field.multiply(a, b) ==
                      static_cast<std::uint64_t>(static_cast<Product>(a) * b % p));
                CHECK(field.subtract(a, b) == (a >= b ? a - b : a + p - b));
            }
        }
    }
}

TEST(doubles_are_elements_of_the_field) {
    const PrimeField field;
    CHECK(field.of(0.0) == 0);
    CHECK(field.of(6.0) == 6);
    CHECK(field.of(-6.0) == field.size() - 6);
    for (const double a : {0.1, -3.7, 1e300, 5e-324, -2.2e-308}) {
        // What doubles do exactly the field does too.
        CHECK(field.of(-a) == field.subtract(0, field.of(a)));
        CHECK(field.multiply(field.of(a), field.inverse(field.of(a))) == 1);
    }
    CHECK(field.multiply(field.of(0.1), field.of(0x1p60)) == field.of(0.1 * 0x1p60));
    CHECK(field.multiply(field.of(0.1), field.of(0x1p-60)) == field.of(0.1 * 0x1p-60));
    CHECK(field.multiply(field.of(3.0), field.of(0.1)) != field.of(0.3));
}

TEST(flats_hold_the_rows_that_depend_on_those_chosen) {
    // Points of a plane with ones: 1, 2, 4, 5 on a line, 0, 3 and 6 off it; row 0 with 1 and 3.
    const std::vector<double> X{0, 0, 1, 1, 1, 1, 2, 1, 1, 2, 2, 1, 3, 1, 1, 4, 1, 1, 5, 2, 1};
    for (const std::uint64_t seed : {0U, 1U, 2U}) {
        const ResidueChart chart(X, 7, 3, seed);
        CHECK(chart.column(0)[0] == 1);
        CHECK(chart.column(1)[0] == 0);
        CHECK(chart.column(2)[0] == 0);
        Flats flats(chart);
        flats.start(2);
        CHECK(flats.choose(0, 1));
        CHECK(flats.leader(1) == 0);
        CHECK(flats.members().size() == 1);
        CHECK(!flats.may_be_last(1));
        CHECK(flats.may_be_last(2));
        CHECK(flats.relation(4, 2) == Flats::Relation::flat);
        CHECK(flats.relation(5, 2) == Flats::Relation::flat);
        CHECK(flats.relation(3, 2) == Flats::Relation::none);
        CHECK(flats.relation(6, 3) == Flats::Relation::none);
    }
}

TEST(flats_forget_the_rows_chosen_later) {
    const std::vector<double> rows{0, 0, 1, 0, 1, 1, 2, 0, 1, 2, 2, 0, 3, 1,
                                   1, 0, 1, 4, 1, 0, 5, 2, 1, 0, 0, 0, 0, 1};
    const ResidueChart chart(rows, 7, 4, 1);
    Flats flats(chart);
    flats.start(3);
    CHECK(flats.choose(0, 1));
    CHECK(flats.choose(1, 2));  // no row but these on their line
    CHECK(flats.leader(1) == 0);
    CHECK(flats.leader(2) == 1);
    CHECK(flats.leader(3) == -1);
    CHECK(flats.relation(3, 6) == Flats::Relation::none);
    CHECK(flats.choose(0, 3));  // the others are forgotten
    CHECK(flats.leader(1) == -1);
    CHECK(flats.leader(2) == -1);
    CHECK(flats.leader(3) == 0);
}

TEST(rows_that_depend_with_row_0_are_told_from_those_without) {
    // p_3 = p_1 + p_2, p_4 = p_0 + p_1, in four dimensions.
    const std::vector<double> X{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 1,
                                1, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4};
    const ResidueChart chart(X, 7, 4, 0);
    Flats flats(chart);
    flats.start(2);  // two rows, one dimension below
    CHECK(flats.choose(0, 1));
    CHECK(flats.relation(3, 2) == Flats::Relation::flat);
    CHECK(flats.relation(5, 2) == Flats::Relation::none);
    CHECK(flats.only_row_0(4));
    CHECK(!flats.only_row_0(3));
    CHECK(!flats.may_be_last(4));
    flats.start(1);
    CHECK(flats.relation(4, 1) == Flats::Relation::with_row_0);
    CHECK(flats.relation(3, 1) == Flats::Relation::none);
    flats.start(3);
    CHECK(flats.choose(0, 1));
    CHECK(!flats.choose(1, 2));  // row 3 comes after them
    CHECK(flats.choose(1, 3));
    CHECK(flats.leader(2) == 1);
    CHECK(!flats.only_row_0(4));
}
