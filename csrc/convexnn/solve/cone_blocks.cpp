// Part of cone_projection.hpp: the rows that all projections share, and many blocks.
#include <algorithm>
#include <cmath>
#include <mutex>
#include <new>

#include "convexnn/base/parallel.hpp"
#include "convexnn/solve/cone_kernels.hpp"
#include "convexnn/solve/cone_projection.hpp"

namespace convexnn {
namespace {

using cone::kLanes;
using cone::kTile;
using cone::round_up;

// ||x||, of squares that neither overflow nor vanish.
double safe_norm(const double* x, std::size_t n) {
    double largest = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        largest = std::max(largest, std::abs(x[i]));
    }
    if (largest == 0.0) {
        return 0.0;
    }
    double sum = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        const double part = x[i] / largest;
        sum += part * part;
    }
    return largest * std::sqrt(sum);
}

}  // namespace

void ConeRows::Free::operator()(double* memory) const {
    ::operator delete[](memory, std::align_val_t{64});
}

ConeRows::Aligned ConeRows::aligned(std::size_t count) {
    count = std::max<std::size_t>(count, 1);
    void* memory = ::operator new[](count * sizeof(double), std::align_val_t{64});
    Aligned values(static_cast<double*>(memory));
    std::fill_n(values.get(), count, 0.0);
    return values;
}

ConeRows::ConeRows(MatrixView<const double> X)
    : rows_(X.rows),
      columns_(X.columns),
      padded_(round_up(X.columns, kLanes)),
      tiles_((X.rows + kTile - 1) / kTile),
      tiled_(aligned(tiles_ * kTile * X.columns)),
      by_row_(aligned(X.rows * padded_)),
      norms_(X.rows) {
    for (std::size_t k = 0; k < rows_; ++k) {
        double* row = by_row_.get() + k * padded_;
        for (std::size_t j = 0; j < columns_; ++j) {
            row[j] = X(k, j);
        }
        norms_[k] = safe_norm(row, columns_);
        double* tile = tiled_.get() + (k / kTile) * kTile * columns_ + k % kTile;
        for (std::size_t j = 0; j < columns_ && norms_[k] > 0.0; ++j) {
            tile[j * kTile] = row[j] / norms_[k];
        }
    }
}

ConeProjections::ConeProjections(MatrixView<const double> X, BitColumns patterns,
                                 std::size_t threads)
    : ConeProjections(X, patterns, threads, patterns.columns) {}

ConeProjections::ConeProjections(MatrixView<const double> X, BitColumns patterns,
                                 std::size_t threads, std::size_t coned)
    : rows_(X),
      patterns_(patterns),
      coned_(coned),
      capacity_(std::min(X.rows, X.columns)),
      active_(blocks() * capacity_),
      counts_(blocks(), 0),
      mu_(blocks() * capacity_) {
    for (std::size_t t = 0; t < std::max<std::size_t>(threads, 1); ++t) {
        projectors_.push_back(std::make_unique<ConeProjector>(rows_));
    }
}

template <typename Work>
bool ConeProjections::each(std::size_t count, Monitor& monitor, const Work& work) {
    constexpr std::size_t kGroup = 8;
    std::mutex mutex;
    std::vector<ConeProjector*> idle;
    for (const auto& projector : projectors_) {
        idle.push_back(projector.get());
    }
    const auto take = [&] {
        const std::lock_guard<std::mutex> lock(mutex);
        ConeProjector* const projector = idle.back();
        idle.pop_back();
        return projector;
    };
    const auto give_back = [&](ConeProjector* projector) {
        const std::lock_guard<std::mutex> lock(mutex);
        idle.push_back(projector);
    };
    SharedStop stop(monitor);
    const auto body = [&](std::size_t begin, std::size_t end) {
        ConeProjector* const projector = take();
        projector->watch(&stop);
        for (std::size_t t = begin; t < end; ++t) {
            work(*projector, t);
        }
        projector->watch(nullptr);
        give_back(projector);
    };
    return parallel_for(count, kGroup, projectors_.size(), stop, body) && !stop.stop_requested();
}

bool ConeProjections::project(std::span<const std::size_t> blocks, MatrixView<const double> G,
                              double threshold, MatrixView<double> U,
                              std::span<ConeProjection> results, Monitor& monitor) {
    return each(blocks.size(), monitor, [&](ConeProjector& projector, std::size_t t) {
        const std::size_t b = blocks[t];
        const std::span<const double> g = G.column(b / 2);
        const std::span<double> u = U.column(t);
        // u holds -g until the projector has read it.
        for (std::size_t j = 0; j < u.size(); ++j) {
            u[j] = b % 2 == 1 ? -g[j] : g[j];
        }
        if (b / 2 >= coned_) {
            const double size = safe_norm(u.data(), u.size());
            const double rounding = 1.0 + (static_cast<double>(u.size()) + 8.0) * 0x1p-53;
            results[t] = {Projected::exact, size, size * rounding};
            return;
        }
        results[t] = projector.project(patterns_.column(b / 2), u, threshold,
                                       static_cast<std::size_t>(counts_[b]),
                                       {active_.data() + b * capacity_, capacity_},
                                       {mu_.data() + b * capacity_, capacity_}, u);
        counts_[b] = static_cast<std::int32_t>(results[t].active);
    });
}

bool ConeProjections::bound(std::span<const std::size_t> blocks, MatrixView<const double> G,
                            std::span<double> bounds, Monitor& monitor) {
    return each(blocks.size(), monitor, [&](ConeProjector& projector, std::size_t t) {
        const std::size_t b = blocks[t];
        if (b / 2 >= coned_) {
            const std::span<const double> g = G.column(b / 2);
            const double rounding = 1.0 + (static_cast<double>(g.size()) + 8.0) * 0x1p-53;
            bounds[t] = safe_norm(g.data(), g.size()) * rounding;
            return;
        }
        bounds[t] = projector.bound(patterns_.column(b / 2), G.column(b / 2), b % 2 == 1, active(b),
                                    multipliers(b));
    });
}

void ConeProjections::forget() { std::fill(counts_.begin(), counts_.end(), 0); }

}  // namespace convexnn
