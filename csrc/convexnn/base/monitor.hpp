// What a long kernel asks the world: "stop now?". It never knows about Python.
#pragma once

#include <chrono>
#include <cstddef>

namespace convexnn {

// State of a solve at one check of its duality gap.
struct Progress {
    std::size_t iteration = 0;
    double objective = 0.0;
    double dual_objective = 0.0;
    std::size_t active = 0;  // non-zero blocks
    double seconds = 0.0;    // since the kernel was entered
};

// `stop_requested` is asked after every few ten microseconds of work, from the calling thread only,
// and has to be cheap; `report` is called at every check of the gap. True means: stop.
class Monitor {
public:
    virtual ~Monitor() = default;
    virtual bool stop_requested() { return false; }
    virtual bool report(const Progress&) { return false; }
};

// Thrown where there is no unfinished result to return: the monitor said stop.
struct Stopped {};

inline void check(Monitor& monitor) {
    if (monitor.stop_requested()) {
        throw Stopped{};
    }
}

// For callers that nobody can stop.
inline Monitor& unmonitored() {
    static Monitor monitor;
    return monitor;
}

class Stopwatch {
public:
    double seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    }

private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace convexnn
