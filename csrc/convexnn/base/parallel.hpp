// A parallel loop over threads that live for this call only: safe after fork and beside any other
// thread pool. Spawn and join cost some ten microseconds a thread: use it for loops above ~1 ms.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "convexnn/base/monitor.hpp"

namespace convexnn {

// Calls body(begin, end) on consecutive ranges of at most `chunk` indices that cover [0, count).
// `body` must not depend on which thread runs it, so results do not depend on `threads`. The
// calling thread takes part, and asks `monitor` between its ranges; after a "stop" no further range
// is started anywhere. Returns false when stopped. The first exception of any thread is rethrown
// here once all have ended.
template <typename Body>
bool parallel_for(std::size_t count, std::size_t chunk, std::size_t threads, Monitor& monitor,
                  const Body& body) {
    std::atomic<std::size_t> next{0};
    std::atomic<bool> stop{false};
    std::exception_ptr error;
    std::mutex error_mutex;

    const auto work = [&](Monitor* asked) noexcept {
        try {
            while (!stop.load(std::memory_order_relaxed)) {
                const std::size_t begin = next.fetch_add(chunk, std::memory_order_relaxed);
                if (begin >= count) {
                    return;
                }
                if (asked != nullptr && asked->stop_requested()) {
                    stop = true;
                    return;
                }
                body(begin, begin + chunk < count ? begin + chunk : count);
            }
        } catch (...) {
            const std::lock_guard<std::mutex> lock(error_mutex);
            if (!error) {
                error = std::current_exception();
            }
            stop = true;
        }
    };

    const std::size_t ranges = (count + chunk - 1) / chunk;
    const std::size_t helpers = (threads < ranges ? threads : ranges);
    std::vector<std::thread> pool;
    try {
        for (std::size_t t = 1; t < helpers; ++t) {
            pool.emplace_back(work, nullptr);
        }
    } catch (const std::system_error&) {
        // No more threads to be had: those that started, and this one, do the work.
    }
    work(&monitor);
    for (std::thread& thread : pool) {
        thread.join();
    }
    if (error) {
        std::rethrow_exception(error);
    }
    return !stop;
}

}  // namespace convexnn
