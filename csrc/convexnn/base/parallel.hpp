// A parallel loop over threads that live for this call only: safe after fork and beside any other
// thread pool. Spawn and join cost some ten microseconds a thread: use it for loops above ~1 ms.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "convexnn/base/monitor.hpp"

namespace convexnn {

// What a monitor said, for threads that must not ask it: on the thread that made this one the
// question is passed on, on any other only what has been answered is told.
class SharedStop final : public Monitor {
public:
    explicit SharedStop(Monitor& inner) : inner_(inner) {}

    bool stop_requested() override {
        if (!stopped_.load(std::memory_order_relaxed) && std::this_thread::get_id() == asker_ &&
            inner_.stop_requested()) {
            stopped_ = true;
        }
        return stopped_.load(std::memory_order_relaxed);
    }

private:
    Monitor& inner_;
    const std::thread::id asker_ = std::this_thread::get_id();
    std::atomic<bool> stopped_{false};
};

// Calls body(begin, end) on consecutive ranges of at most `chunk` indices that cover [0, count).
// `body` must not depend on which thread runs it, so results do not depend on `threads`. The
// calling thread takes part, and asks `monitor` between its ranges, and while it waits for the last
// ones; after a "stop" no further range is started anywhere. Returns false when stopped. The first
// exception of any thread is rethrown here once all have ended.
template <typename Body>
bool parallel_for(std::size_t count, std::size_t chunk, std::size_t threads, Monitor& monitor,
                  const Body& body) {
    std::atomic<std::size_t> next{0};
    std::atomic<bool> stop{false};
    std::exception_ptr error;
    std::mutex mutex;  // of the error and of the number of helpers at work
    int at_work = 0;
    std::condition_variable left;
    const auto count_in = [&](int more) {
        const std::lock_guard<std::mutex> lock(mutex);
        at_work += more;
        left.notify_one();
    };

    const auto keep_error = [&] {  // in a handler, by whoever holds the mutex
        if (!error) {
            error = std::current_exception();
        }
        stop = true;
    };

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
            const std::lock_guard<std::mutex> lock(mutex);
            keep_error();
        }
    };

    const std::size_t ranges = (count + chunk - 1) / chunk;
    const std::size_t helpers = (threads < ranges ? threads : ranges);
    std::vector<std::thread> pool;
    try {
        for (std::size_t t = 1; t < helpers; ++t) {
            count_in(1);
            pool.emplace_back([&] {
                work(nullptr);
                count_in(-1);
            });
        }
    } catch (const std::exception&) {
        // No more threads, or no memory for one: those that started, and this one, do the work.
        count_in(-1);
    }
    work(&monitor);
    for (std::unique_lock<std::mutex> lock(mutex); at_work > 0;) {
        // A range may take long, and end early where `body` asks a SharedStop that this one asks.
        left.wait_for(lock, std::chrono::milliseconds(20));
        try {
            if (at_work > 0 && monitor.stop_requested()) {
                stop = true;
            }
        } catch (...) {  // not before the threads have ended
            keep_error();
        }
    }
    for (std::thread& thread : pool) {
        thread.join();
    }
    if (error) {
        std::rethrow_exception(error);
    }
    return !stop;
}

}  // namespace convexnn
