#include "convexnn/arrangement/lattice.hpp"

#include <algorithm>
#include <cmath>

namespace convexnn {
namespace {

constexpr double kNear = 1e-9;             // of a step, and of an entry
constexpr double kRounding = 7e-15;        // 32 roundings, of a typical entry
constexpr double kLargestMultiple = 1e12;  // beyond it 1e-9 of a step is lost in rounding
constexpr double kMostSteps = 1e6;         // of a step that was guessed from the data

// The median size of the entries that are not zero; 0 if all are. Uses `work`.
double typical_size(std::span<const double> column, std::span<double> work) {
    std::size_t count = 0;
    for (const double x : column) {
        if (x != 0.0) {
            work[count++] = std::abs(x);
        }
    }
    if (count == 0) {
        return 0.0;
    }
    const auto middle = work.begin() + static_cast<std::ptrdiff_t>(count / 2);
    std::nth_element(work.begin(), middle, work.begin() + static_cast<std::ptrdiff_t>(count));
    return *middle;
}

// out = round((column - offset) * factor); whether every entry is near and one is not zero.
// Near is said of the step and of the entry: beside one huge entry the others are not zeros.
bool multiples(std::span<const double> column, double offset, double factor, double limit,
               double typical, std::span<double> out) {
    bool some = false;
    for (std::size_t i = 0; i < column.size(); ++i) {
        const double value = (column[i] - offset) * factor;
        out[i] = std::nearbyint(value) + 0.0;  // no negative zero
        // `limit` last: a NaN from an overflow is refused as well.
        const double own = factor * (kNear * std::abs(column[i]) + kRounding * typical);
        if (!(std::abs(value - out[i]) <= std::min(kNear, own) && std::abs(value) <= limit)) {
            return false;
        }
        some = some || out[i] != 0.0;
    }
    return some;
}

}  // namespace

bool read_lattice(std::span<const double> column, bool shift, std::span<double> out) {
    const double typical = typical_size(column, out);
    if (!shift) {
        double factor = 1.0;
        for (int power = 0; power <= 6; ++power, factor *= 10.0) {
            if (multiples(column, 0.0, factor, kLargestMultiple, typical, out)) {
                return true;
            }
        }
    }
    // The largest common step, by Euclid's algorithm: remainders far below any step that would do
    // count as zero.
    const double offset = shift ? std::ranges::min(column) : 0.0;
    double range = 0.0;
    for (const double x : column) {
        range = std::max(range, std::abs(x - offset));
    }
    double step = range;
    for (const double x : column) {
        double rest = std::abs(x - offset);
        while (rest > 0.3 * range / kMostSteps) {
            const double next = std::abs(step - std::nearbyint(step / rest) * rest);
            step = rest;
            rest = next;
        }
        if (!(step * kMostSteps >= range)) {
            return false;
        }
    }
    // The whole range is measured more exactly than one step.
    return range > 0.0 && multiples(column, offset, std::nearbyint(range / step) / range,
                                    kMostSteps, typical, out);
}

}  // namespace convexnn
