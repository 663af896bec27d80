# SPDX-License-Identifier: Apache-2.0
add_library(fake_nvml MODULE unit/launcher/fake_nvml.c)
target_link_libraries(fake_nvml PRIVATE drover_flags)
set_target_properties(fake_nvml PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

drover_unit_test(launcher node launcher)
add_dependencies(test_launcher_node fake_nvml)
drover_unit_test(launcher backend_local launcher)
drover_unit_test(launcher event_out launcher)
drover_unit_test(launcher plan launcher)
drover_unit_test(launcher progress launcher)
drover_unit_test(launcher rank_watch launcher)
drover_unit_test(launcher launch launcher)
drover_unit_test(launcher survivors launcher)
foreach(test launch survivors)
  target_sources(test_launcher_${test} PRIVATE unit/launcher/run.c)
endforeach()

if(MPI_C_FOUND)
  add_executable(mpi_program unit/launcher/mpi_program.c)
  target_link_libraries(mpi_program PRIVATE drover_flags MPI::MPI_C)
  set_target_properties(mpi_program PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  foreach(test launch survivors) # MPI_PROGRAM is shell text; what MPI_Init leaks is not ours
    add_dependencies(test_launcher_${test} mpi_program)
    target_compile_definitions(test_launcher_${test} PRIVATE
      MPI_PROGRAM="ASAN_OPTIONS=detect_leaks=0 ${CMAKE_BINARY_DIR}/tests/mpi_program")
  endforeach()
endif()
