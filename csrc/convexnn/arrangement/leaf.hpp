// The inner loops of the enumeration: one elimination step, and the signs of all rows at a vertex.
// Every instruction set does the same operations on every entry: the bits are the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace convexnn {

inline constexpr std::size_t kLeafLanes = 8;  // rows are padded to a multiple of it

// A row with this in the offset column and 0 in the other has its bit set (minus it: not set).
inline constexpr double kForced = 1e300;

// Gauss-Jordan step. Columns 0, ..., free - 1 are coordinates left, free, ..., m - 1 belong to rows
// chosen before, column m holds the offsets. With f = source[p] / source[p][row], p = free - 1,
// target[p] = f and target[q] = source[q] - f source[q][row] for the others; entry `row` of
// coordinates left and offsets is set to 0.
//
//   source, target  m + 1 columns of 8 `vectors` doubles, aligned to 64; they do not overlap
//   from            first vector that is needed of rows chosen before; earlier ones are not written
//   sizes           four numbers: max |target| over the offsets, the coordinates left, the columns
//                   of rows chosen, and f alone
void eliminate(const double* const* source, double* const* target, std::size_t free, std::size_t m,
               std::size_t row, std::size_t from, std::size_t vectors, double* sizes);

// Bounds of rounding errors of the entries of a tableau: of offsets, coordinates left, columns of
// rows chosen, the objective.
struct LeafErrors {
    double c = 0.0;
    double d = 0.0;
    double basic = 0.0;
    double objective = 0.0;
};

// What is known before the last row j is chosen: columns c (offsets) and d (the one left), the
// columns of rows chosen before, the objective.
struct LeafInput {
    const double* c = nullptr;
    const double* d = nullptr;
    const double* const* basic = nullptr;  // `chosen` columns
    const double* objective = nullptr;     // their `chosen` entries of the objective
    std::size_t chosen = 0;
    double objective_d = 0.0;
    double size_c = 0.0;  // largest sizes met so far
    double size_d = 0.0;
    double size_basic = 0.0;
    double size_objective = 0.0;
    LeafErrors error;
    double errors = 0.0;       // a value of more than so many errors has its sign
    double least_pivot = 0.0;  // |d_j| up to it is suspicious
};

// For each j in the vectors [first, last): beta_j = c_j / d_j; tolerance_j, below which a sign is
// not trusted; in negative_j, bit q says that the multiplier of chosen row q is negative, bit
// `chosen` that j's own is; suspicious_j is 0, or has all bits if one of these signs or the pivot
// is not trusted.
void prepare_leaf(const LeafInput& leaf, std::size_t first, std::size_t last, double* beta,
                  double* tolerance, std::uint64_t* negative, std::uint64_t* suspicious);

// For each j in [first, last): bit i of row j - first of `out` (`stride` bytes a row, `vectors` of
// them written) becomes [c_i - d_i beta_j > 0]; suspicious_j gets bits below the 8th if some
// value but the j-th is within tolerance_j of 0.
using LeafKernel = void (*)(const double* c, const double* d, std::size_t vectors,
                            std::size_t first, std::size_t last, const double* beta,
                            const double* tolerance, std::uint8_t* out, std::size_t stride,
                            std::uint64_t* suspicious);

// target = a - f a[row], entry `row` set to 0; returns max |target|. Columns as above.
double subtract_multiple(const double* a, const double* f, std::size_t row, std::size_t vectors,
                         double* target);

// The rows i != skipped with |c_i - d_i beta| <= tolerance, ascending, to `rows`; their number.
using NearRows = std::size_t (*)(const double* c, const double* d, std::size_t vectors, double beta,
                                 double tolerance, std::size_t skipped, std::size_t* rows);

// The rows i with |c_i| <= tolerance_c and |d_i| <= tolerance_d, ascending, to `rows`.
using VanishingRows = std::size_t (*)(const double* c, const double* d, std::size_t vectors,
                                      double tolerance_c, double tolerance_d, std::size_t* rows);

struct LeafKernels {
    LeafKernel signs;
    NearRows near_rows;
    VanishingRows vanishing_rows;
};

// The kernels that the running processor can execute, best first; the last are portable.
std::vector<LeafKernels> leaf_kernels();

}  // namespace convexnn
