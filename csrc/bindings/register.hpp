// One registration function for each folder of kernels.
#pragma once

#include <pybind11/pybind11.h>

namespace convexnn::bindings {

void register_arrangement(pybind11::module_& module);
void register_sampling(pybind11::module_& module);
void register_program(pybind11::module_& module);
void register_solve(pybind11::module_& module);
void register_cone(pybind11::module_& module);
void register_pricing(pybind11::module_& module);
void register_runtime(pybind11::module_& module);
void register_capi(pybind11::module_& module);

}  // namespace convexnn::bindings
