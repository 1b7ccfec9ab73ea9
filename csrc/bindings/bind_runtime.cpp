#include "convexnn/base/simd.hpp"
#include "register.hpp"

namespace convexnn::bindings {

void register_runtime(pybind11::module_& module) {
    module.def("isa_level", &simd::isa_level, "Instruction set that the kernels run with here.");
}

}  // namespace convexnn::bindings
