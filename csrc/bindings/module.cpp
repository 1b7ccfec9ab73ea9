#include "register.hpp"

PYBIND11_MODULE(_core, module, pybind11::mod_gil_not_used()) {
    using namespace convexnn::bindings;
    register_arrangement(module);
    register_sampling(module);
    register_program(module);
    register_solve(module);
    register_cone(module);
    register_pricing(module);
    register_runtime(module);
    register_capi(module);
}
