// A monitor that also knows the time limit, and remembers why it said stop.
#pragma once

#include "convexnn/base/monitor.hpp"
#include "convexnn/base/status.hpp"

namespace convexnn {

class Deadline final : public Monitor {
public:
    Deadline(Monitor& inner, double time_limit) : inner_(inner), time_limit_(time_limit) {}

    bool stop_requested() override {
        if (!stopped_ && inner_.stop_requested()) {
            stop(Status::interrupted);
        }
        if (!stopped_ && watch_.seconds() > time_limit_) {
            stop(Status::time_limit);
        }
        return stopped_;
    }
    bool report(const Progress& progress) override {
        if (!stopped_ && inner_.report(progress)) {
            stop(Status::interrupted);
        }
        return stopped_;
    }
    double seconds() const { return watch_.seconds(); }
    bool stopped() const { return stopped_; }
    Status reason() const { return reason_; }  // only meaningful once stopped

private:
    void stop(Status reason) {
        stopped_ = true;
        reason_ = reason;
    }

    Monitor& inner_;
    double time_limit_;
    Stopwatch watch_;
    bool stopped_ = false;
    Status reason_ = Status::interrupted;
};

}  // namespace convexnn
