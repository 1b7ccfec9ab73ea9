// The monitor of a kernel that runs without the GIL: Ctrl-C and the user's callback.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <optional>
#include <utility>

#include "convexnn/base/monitor.hpp"

namespace convexnn::bindings {

namespace py = pybind11;

// Asks Python for signals at most ten times a second, and calls `callback` (None: nobody) at every
// report. What Python raises stops the kernel; `rethrow`, called with the GIL, raises it.
class PythonMonitor final : public Monitor {
public:
    explicit PythonMonitor(py::object callback = py::none()) : callback_(std::move(callback)) {}

    bool stop_requested() override {
        if (error_) {
            return true;
        }
        const auto now = Clock::now();
        if (now < next_look_) {
            return false;
        }
        next_look_ = now + std::chrono::milliseconds(100);
        const py::gil_scoped_acquire gil;
        if (PyErr_CheckSignals() != 0) {
            error_.emplace();
        }
        return error_.has_value();
    }

    bool report(const Progress& progress) override {
        if (error_) {
            return true;
        }
        if (callback_.is_none()) {
            return false;
        }
        const py::gil_scoped_acquire gil;
        try {
            return callback_(progress.iteration, progress.objective, progress.dual_objective,
                             progress.active, progress.seconds)
                .template cast<bool>();
        } catch (py::error_already_set& error) {
            error_.emplace(std::move(error));
            return true;
        }
    }

    void rethrow() {
        if (error_) {
            throw py::error_already_set(std::move(*error_));
        }
    }

private:
    using Clock = std::chrono::steady_clock;
    py::object callback_;
    std::optional<py::error_already_set> error_;
    Clock::time_point next_look_ = Clock::now() + std::chrono::milliseconds(100);
};

// Runs `kernel(monitor)` without the GIL and raises what Python raised meanwhile.
template <typename Kernel>
auto run_released(PythonMonitor& monitor, const Kernel& kernel) {
    auto result = [&] {
        const py::gil_scoped_release released;
        return kernel(monitor);
    }();
    monitor.rethrow();
    return result;
}

}  // namespace convexnn::bindings
