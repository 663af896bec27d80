# SPDX-License-Identifier: Apache-2.0
#
# What the pytest files of this folder drive, beside the products.
if(TARGET gpt)
  add_executable(gpt_probe interop/gpt_probe.c)
  target_link_libraries(gpt_probe PRIVATE drover_flags gpt)
  set_target_properties(gpt_probe PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endif()
