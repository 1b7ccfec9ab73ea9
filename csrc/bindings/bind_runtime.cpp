#include "convexnn/base/blas.hpp"
#include "convexnn/base/simd.hpp"
#include "register.hpp"

namespace convexnn::bindings {
namespace {

namespace py = pybind11;

void install_scipy_blas(const py::capsule& dgemm) {
    void* pointer = PyCapsule_GetPointer(dgemm.ptr(), "pyconvexnn.dgemm");
    if (pointer == nullptr) {
        throw py::error_already_set();
    }
    blas::install(reinterpret_cast<blas::Dgemm>(pointer), "scipy");
}

}  // namespace

void register_runtime(py::module_& module) {
    module.def("install_blas", &install_scipy_blas, py::arg("dgemm"),
               "Use this Fortran dgemm (a capsule made by _blas) in place of the portable loops.");
    module.def(
        "blas_source", [] { return blas::table().source; },
        "Where the BLAS in use comes from: 'portable' or 'scipy'.");
    module.def("isa_level", &simd::isa_level, "Instruction set that the kernels run with here.");
}

}  // namespace convexnn::bindings
