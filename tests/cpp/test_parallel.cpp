#include <atomic>
#include <stdexcept>
#include <string>

#include "check.hpp"
#include "convexnn/base/parallel.hpp"

using namespace convexnn;

TEST(parallel_for_covers_every_index_once) {
    for (const std::size_t threads : {1U, 2U, 5U}) {
        std::vector<std::atomic<int>> seen(1001);
        Monitor monitor;
        CHECK(parallel_for(seen.size(), 7, threads, monitor, [&](std::size_t a, std::size_t b) {
            for (std::size_t k = a; k < b; ++k) {
                ++seen[k];
            }
        }));
        for (const auto& count : seen) {
            CHECK(count == 1);
        }
    }
}

TEST(parallel_for_rethrows_the_first_exception) {
    Monitor monitor;
    for (const std::size_t threads : {1U, 4U}) {
        bool caught = false;
        try {
            parallel_for(100, 1, threads, monitor, [](std::size_t a, std::size_t) {
                if (a == 37) {
                    throw std::runtime_error("boom at 37");
                }
            });
        } catch (const std::runtime_error& error) {
            caught = std::string(error.what()) == "boom at 37";
        }
        CHECK(caught);
    }
}

TEST(parallel_for_stops_when_told) {
    struct Impatient : Monitor {
        bool stop_requested() override { return true; }
    } monitor;
    int done = 0;
    CHECK(!parallel_for(100, 1, 1, monitor, [&](std::size_t, std::size_t) { ++done; }));
    CHECK(done == 0);
}

TEST(a_long_range_elsewhere_ends_when_told) {
    struct Late : Monitor {
        bool stop_requested() override { return ++asked > 3; }
        int asked = 0;
    } inner;
    SharedStop stop(inner);
    std::atomic<int> ended{0};
    // One range each: the other thread's would never end by itself, and never asks `inner`.
    const auto caller = std::this_thread::get_id();
    const bool done = parallel_for(2, 1, 2, stop, [&](std::size_t, std::size_t) {
        while (std::this_thread::get_id() != caller && !stop.stop_requested()) {
            std::this_thread::yield();
        }
        ++ended;
    });
    // Unless the caller took both ranges, it was asked until it said stop.
    CHECK(done == (inner.asked <= 3));
    CHECK(ended > 0 || !done);
}

TEST(a_monitor_that_throws_while_others_work_leaves_no_thread_behind) {
    struct Thrower : Monitor {
        bool stop_requested() override {
            if (started) {
                threw = true;
                throw std::runtime_error("no memory for a signal");
            }
            return false;
        }
        std::atomic<bool> started{false}, threw{false};
    } monitor;
    // The other thread's range ends only after the caller, out of work, has asked.
    const auto caller = std::this_thread::get_id();
    bool caught = false;
    try {
        parallel_for(2, 1, 2, monitor, [&](std::size_t, std::size_t) {
            monitor.started = monitor.started || std::this_thread::get_id() != caller;
            while (std::this_thread::get_id() != caller && !monitor.threw) {
                std::this_thread::yield();
            }
        });
    } catch (const std::runtime_error&) {
        caught = true;
    }
    CHECK(caught == monitor.threw);
}
