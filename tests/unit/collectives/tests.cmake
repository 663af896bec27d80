# SPDX-License-Identifier: Apache-2.0
foreach(file coll request buckets shares reduce report stop backend_single)
  drover_unit_test(collectives ${file} collectives m)
endforeach()

# collectives/backend_mpi itself is one rank without mpirun; these are 1 to 8 (fewer in the slower
# builds), each through the peers' memory (direct) and through messages (ring), and with MPI started
# by the program. Leaks are not looked for: Open MPI has its own, and a broken communicator is left
# to the end of the process.
if(MPI_C_FOUND)
  set(DROVER_MPI_TEST_ENV OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    ASAN_OPTIONS=detect_leaks=0)
  drover_unit_test(collectives backend_mpi collectives m)
  set_tests_properties(collectives/backend_mpi PROPERTIES ENVIRONMENT "${DROVER_MPI_TEST_ENV}")
  function(drover_mpi_test name ranks direct)
    add_test(NAME collectives/backend_mpi_${name}
      COMMAND ${MPIEXEC_EXECUTABLE} --oversubscribe ${MPIEXEC_NUMPROC_FLAG} ${ranks}
              $<TARGET_FILE:test_collectives_backend_mpi> ${ARGN})
    set_tests_properties(collectives/backend_mpi_${name} PROPERTIES LABELS unit TIMEOUT 300
      PROCESSORS 2 ENVIRONMENT "DROVER_COLL_DIRECT=${direct};${DROVER_MPI_TEST_ENV}")
  endfunction()
  set(ranks_list 2 3 8)
  if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT DROVER_FUZZ)
    set(ranks_list 1 2 3 4 5 6 7 8)
  endif()
  foreach(ranks ${ranks_list})
    drover_mpi_test(${ranks}_direct ${ranks} 1)
    drover_mpi_test(${ranks}_ring ${ranks} 0)
  endforeach()
  drover_mpi_test(3_program 3 1 program-mpi)
else()
  drover_skip(collectives/backend_mpi "no MPI was found")
endif()

# Races: the library and the tests of what its thread does, once more under ThreadSanitizer. Old
# run-time libraries cannot map their shadow on kernels with much address randomisation: a skip.
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT DROVER_FUZZ)
  get_target_property(DROVER_COLL_SOURCES collectives SOURCES)
  list(TRANSFORM DROVER_COLL_SOURCES PREPEND ${PROJECT_SOURCE_DIR}/collectives/)
  add_library(collectives_tsan STATIC ${DROVER_COLL_SOURCES})
  target_compile_options(collectives_tsan PUBLIC -fsanitize=thread -O1 -U_FORTIFY_SOURCE)
  target_link_options(collectives_tsan PUBLIC -fsanitize=thread)
  target_compile_definitions(collectives_tsan PRIVATE
    $<TARGET_PROPERTY:collectives,COMPILE_DEFINITIONS>)
  target_link_libraries(collectives_tsan PRIVATE drover_flags PUBLIC Threads::Threads m)
  if(MPI_C_FOUND)
    target_link_libraries(collectives_tsan PUBLIC MPI::MPI_C)
  endif()
  # drover_tsan_test(FILE COMMAND ...): test_FILE.c as test_collectives_FILE_tsan, run by COMMAND
  function(drover_tsan_test file)
    set(name test_collectives_${file}_tsan)
    add_executable(${name} unit/collectives/test_${file}.c)
    target_link_libraries(${name} PRIVATE drover_flags PkgConfig::GLIB collectives_tsan)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME collectives/${file}_tsan COMMAND ${ARGN} $<TARGET_FILE:${name}>)
    set_tests_properties(collectives/${file}_tsan PROPERTIES LABELS unit TIMEOUT 300 PROCESSORS 2
      SKIP_REGULAR_EXPRESSION "unexpected memory mapping"
      ENVIRONMENT "TSAN_OPTIONS=ignore_noninstrumented_modules=1;${DROVER_MPI_TEST_ENV}")
  endfunction()
  drover_tsan_test(request)
  if(MPI_C_FOUND)
    drover_tsan_test(backend_mpi ${MPIEXEC_EXECUTABLE} --oversubscribe ${MPIEXEC_NUMPROC_FLAG} 2)
  endif()
endif()
