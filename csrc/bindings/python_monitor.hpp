// The monitor of a kernel that runs without the GIL: Ctrl-C and the user's callback.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "convexnn/base/monitor.hpp"

namespace convexnn::bindings {

namespace py = pybind11;

// A thread that would need the GIL while the interpreter is being torn down must never return:
// taking the GIL then ends the thread by force, in the middle of C++ frames. The process is about
// to end.
inline void park_if_finalizing() {
#if PY_VERSION_HEX >= 0x030D0000
    const auto finalizing = [] { return Py_IsFinalizing() != 0; };
#else
    const auto finalizing = [] { return _Py_IsFinalizing() != 0; };
#endif
    while (finalizing()) {
        std::this_thread::sleep_for(std::chrono::seconds(1));
    }
}

// Asks Python for signals at most ten times a second, and calls `callback` (None: nobody) at every
// report. What Python raises stops the kernel; `rethrow`, called with the GIL, raises it.
class PythonMonitor final : public Monitor {
public:
    explicit PythonMonitor(py::object callback = py::none())
        : callback_(std::move(callback)), is_main_(in_main_thread()) {}

    bool stop_requested() override {
        if (error_) {
            return true;
        }
        park_if_finalizing();  // what the kernel works on is about to go
        if (!is_main_) {
            return false;  // Python handles signals in its main thread only
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
        park_if_finalizing();
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
    static bool in_main_thread() {
        const py::object main_thread = py::module_::import("threading").attr("main_thread")();
        return main_thread.attr("ident").cast<unsigned long>() == PyThread_get_thread_ident();
    }

    py::object callback_;
    bool is_main_;
    std::optional<py::error_already_set> error_;
    Clock::time_point next_look_ = Clock::now() + std::chrono::milliseconds(100);
};

// Runs `kernel(monitor)` without the GIL and raises what Python raised meanwhile.
template <typename Kernel>
auto run_released(PythonMonitor& monitor, const Kernel& kernel) {
    std::optional<decltype(kernel(monitor))> result;
    {
        const py::gil_scoped_release released;
        try {
            result.emplace(kernel(monitor));
        } catch (const Stopped&) {
        }
        park_if_finalizing();
    }
    monitor.rethrow();
    return std::move(result).value();
}

}  // namespace convexnn::bindings
