// NumPy arrays to views. Python has checked every argument before (_validation.py); the checks here
// are the safety net that keeps a wrong call from reading foreign memory.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>

#include "convexnn/base/bits.hpp"
#include "convexnn/base/views.hpp"

namespace convexnn::bindings {

namespace py = pybind11;

using FortranMatrix = py::array_t<double, py::array::f_style>;
using RowMajorMatrix = py::array_t<double, py::array::c_style>;
using Vector = py::array_t<double, py::array::c_style>;
using Words = py::array_t<std::uint64_t, py::array::c_style>;
using Indices = py::array_t<std::int64_t, py::array::c_style>;

inline void require(bool holds, const std::string& rule) {
    if (!holds) {
        throw std::invalid_argument(rule);
    }
}

// (n, d) in Fortran order: the matrix itself.
inline MatrixView<const double> matrix(const FortranMatrix& a, const char* name) {
    require(a.ndim() == 2 && a.size() > 0,
            std::string("`") + name + "` must be a non-empty matrix");
    return {a.data(), static_cast<std::size_t>(a.shape(0)), static_cast<std::size_t>(a.shape(1))};
}

// (k, d) in C order, read as the d x k matrix whose columns are its rows.
inline MatrixView<const double> columns(const RowMajorMatrix& a, std::size_t d, const char* name) {
    require(a.ndim() == 2 && static_cast<std::size_t>(a.shape(1)) == d,
            std::string("`") + name + "` must have one column for each column of X");
    return {a.data(), d, static_cast<std::size_t>(a.shape(0))};
}

inline std::span<const double> vector(const Vector& a, std::size_t length, const char* name) {
    require(a.ndim() == 1 && static_cast<std::size_t>(a.shape(0)) == length,
            std::string("`") + name + "` must have " + std::to_string(length) + " entries");
    return {a.data(), length};
}

inline BitColumns patterns(const Words& a, std::size_t n) {
    require(a.ndim() == 2 && static_cast<std::size_t>(a.shape(1)) == words_for(n),
            "`packed` must have " + std::to_string(words_for(n)) + " words a pattern");
    return {a.data(), n, static_cast<std::size_t>(a.shape(0))};
}

// Block numbers, each in [0, count).
inline std::vector<std::size_t> block_numbers(const Indices& a, std::size_t count) {
    require(a.ndim() == 1, "`indices` must have 1 dimension");
    std::vector<std::size_t> numbers;
    numbers.reserve(static_cast<std::size_t>(a.size()));
    for (py::ssize_t k = 0; k < a.size(); ++k) {
        const std::int64_t i = a.data()[k];
        require(
            i >= 0 && static_cast<std::size_t>(i) < count,
            "`indices` must lie in [0, " + std::to_string(count) + "), got " + std::to_string(i));
        numbers.push_back(static_cast<std::size_t>(i));
    }
    return numbers;
}

}  // namespace convexnn::bindings
