// Products with A = [D_1 X ... D_P X], D_i = diag(pattern i), by tables of subset sums.
//
// Four rows of X have 16 subset sums. They are tabulated, and each pattern looks its own up by four
// of its bits: n P d / 4 additions instead of n P d multiplications ("four Russians"). Rows are
// cut into chunks of 64 bytes, so that the tables of 128 rows (32 KB) stay in the first cache; the
// last chunk may be 32 or 16 bytes wide, with tables of six or eight rows. The sum of all D_i X u_i
// is the same with roles swapped: patterns are the rows of the table, samples look up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "convexnn/base/bits.hpp"
#include "convexnn/base/monitor.hpp"
#include "convexnn/base/views.hpp"

namespace convexnn {

// The work space of all products with one X (n x d) and its P patterns; T is double or float.
//
// K vectors are multiplied at once, K >= 1 as the arguments say: the block of one pattern is d x K,
// stored column by column, d K entries. Every entry of a result is one sum in one order, whatever
// the threads, the instruction set, or the other patterns that are listed with its own.
//
// The products allocate nothing, overwrite their output, which must not overlap an argument, use at
// most `threads` threads (fewer where the work does not pay for their start), ask `monitor` from
// the calling thread every few ten microseconds, and return false when stopped: the output is then
// unspecified. Cost n P d K / 4 additions and as many look-ups. Products may not run at the same
// time as set_active.
template <typename T>
class MaskedProducts {
public:
    // Copies `factor` X, with n (d + 128 / sizeof(T)) entries at most; views `patterns`. X may be
    // double where T is float. Once `monitor` says stop the copy is left unfinished, which is for
    // callers whose products meet a monitor that goes on saying so.
    template <typename S = T>
    MaskedProducts(MatrixView<const S> X, BitColumns patterns, S factor = 1,
                   Monitor* monitor = nullptr);

    std::size_t rows() const { return patterns_.rows; }
    std::size_t width() const { return width_; }  // d
    std::size_t blocks() const { return patterns_.columns; }
    std::span<const std::size_t> active() const { return active_; }

    // Column i of `out` (d K x P) becomes X^T D_i V for V (n x K).
    bool adjoint(MatrixView<const T> V, MatrixView<T> out, std::size_t threads,
                 Monitor& monitor) const;

    // Column a of `out` (d K x listed.size()) becomes X^T D_i V, i = listed[a]; repeats are fine.
    bool adjoint(MatrixView<const T> V, std::span<const std::size_t> listed, MatrixView<T> out,
                 std::size_t threads, Monitor& monitor) const;

    // Makes `listed` (any order, repeats are fine) the patterns of the two products below. Cost
    // n |listed| / 10 operations on words. Allocates nothing, unless more are listed, with
    // repeats, than there are patterns.
    void set_active(std::span<const std::size_t> listed);

    // Column a of `out` (d K x |active|) becomes X^T D_i V, i = active()[a].
    bool active_adjoint(MatrixView<const T> V, MatrixView<T> out, std::size_t threads,
                        Monitor& monitor) const;

    // F (n x K) becomes the sum over a of D_i X U_a, i = active()[a], U_a (d x K) column a of U
    // (d K x |active|).
    bool active_forward(MatrixView<const T> U, MatrixView<T> F, std::size_t threads,
                        Monitor& monitor) const;

private:
    bool adjoint_of(const std::size_t* listed, std::size_t count, MatrixView<const T> V,
                    MatrixView<T> out, std::size_t threads, Monitor& monitor) const;

    struct Free {
        void operator()(T* memory) const;
    };
    std::size_t width_;
    BitColumns patterns_;
    std::size_t row_stride_;
    // Row k of X at k row_stride_, continued cyclically: a chunk of the wide row
    // (x_k v_k1 ... x_k v_kK) has its factors of X side by side wherever it starts.
    std::unique_ptr<T[], Free> packed_;
    std::vector<std::size_t> active_;
    std::vector<std::uint64_t> active_bits_;  // [128 patterns][sample][2 words]
};

extern template class MaskedProducts<double>;
extern template class MaskedProducts<float>;
extern template MaskedProducts<double>::MaskedProducts(MatrixView<const double>, BitColumns, double,
                                                       Monitor*);
extern template MaskedProducts<float>::MaskedProducts(MatrixView<const float>, BitColumns, float,
                                                      Monitor*);
extern template MaskedProducts<float>::MaskedProducts(MatrixView<const double>, BitColumns, double,
                                                      Monitor*);

}  // namespace convexnn
