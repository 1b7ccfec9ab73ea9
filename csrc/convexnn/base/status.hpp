// How a solve ended. Python's Status has the same codes.
#pragma once

namespace convexnn {

enum class Status : int {
    solved = 0,           // relative gap <= tol
    max_iter = 1,         // ran out of iterations
    time_limit = 2,       // ran out of time
    interrupted = 3,      // the monitor said stop
    numerical_error = 4,  // a value stopped being finite, or no step makes progress any more
};

}  // namespace convexnn
