#include "convexnn/arrangement/lattice.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace convexnn {
namespace {

constexpr double kNear = 1e-9;             // of a step
constexpr double kLargestMultiple = 1e12;  // beyond it 1e-9 of a step is lost in rounding
constexpr double kMostSteps = 1e6;         // of a step that was guessed from the data

// out = round((column - offset) * factor); whether every entry is near and one is not zero.
bool multiples(std::span<const double> column, double offset, double factor, double limit,
               std::span<double> out) {
    bool some = false;
    for (std::size_t i = 0; i < column.size(); ++i) {
        const double value = (column[i] - offset) * factor;
        out[i] = std::nearbyint(value) + 0.0;  // no negative zero
        // `limit` last: a NaN from an overflow is refused as well.
        if (!(std::abs(value - out[i]) <= kNear && std::abs(value) <= limit)) {
            return false;
        }
        some = some || out[i] != 0.0;
    }
    return some;
}

}  // namespace

bool read_lattice(std::span<const double> column, bool shift, std::span<double> out) {
    if (!shift) {
        double factor = 1.0;
        for (int power = 0; power <= 6; ++power, factor *= 10.0) {
            if (multiples(column, 0.0, factor, kLargestMultiple, out)) {
                return true;
            }
        }
    }
    std::vector<double> sorted(column.begin(), column.end());
    if (!shift) {
        sorted.push_back(0.0);
    }
    std::ranges::sort(sorted);
    const double offset = shift ? sorted.front() : 0.0;
    const double range = sorted.back() - sorted.front();
    double gap = range;
    for (std::size_t i = 1; i < sorted.size(); ++i) {
        const double step = sorted[i] - sorted[i - 1];
        if (step > kNear * range) {
            gap = std::min(gap, step);
        }
    }
    if (!(range > 0.0 && range / gap <= kMostSteps)) {
        return false;
    }
    // The whole range is measured more exactly than one gap.
    const double steps = std::nearbyint(range / gap);
    return multiples(column, offset, steps / range, kMostSteps, out);
}

}  // namespace convexnn
