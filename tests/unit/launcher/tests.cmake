# SPDX-License-Identifier: Apache-2.0
add_library(fake_nvml MODULE unit/launcher/fake_nvml.c)
target_link_libraries(fake_nvml PRIVATE drover_flags)
set_target_properties(fake_nvml PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

drover_unit_test(launcher node launcher)
add_dependencies(test_launcher_node fake_nvml)
drover_unit_test(launcher plan launcher)
drover_unit_test(launcher launch launcher)
target_sources(test_launcher_launch PRIVATE unit/launcher/run.c)
