// Views of memory that somebody else owns. Vectors are std::span.
#pragma once

#include <cstddef>
#include <span>

namespace convexnn {

// Column-major matrix: entry (row, column) is data[row + column * stride]. Never owns.
template <typename T>
struct MatrixView {
    T* data = nullptr;
    std::size_t rows = 0;
    std::size_t columns = 0;
    std::size_t stride = 0;

    MatrixView() = default;
    MatrixView(T* data_, std::size_t rows_, std::size_t columns_)
        : data(data_), rows(rows_), columns(columns_), stride(rows_) {}

    std::span<T> column(std::size_t j) const { return {data + j * stride, rows}; }
    T& operator()(std::size_t i, std::size_t j) const { return data[i + j * stride]; }
};

}  // namespace convexnn
