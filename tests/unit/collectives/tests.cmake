# SPDX-License-Identifier: Apache-2.0
drover_unit_test(collectives backend_single collectives)

# collectives/backend_mpi itself is one rank without mpirun; these are 1 to 8, each through shared
# memory (direct) and through messages (ring), and with MPI started by the program.
if(MPI_C_FOUND)
  drover_unit_test(collectives backend_mpi collectives m)
  function(drover_mpi_test name ranks direct)
    add_test(NAME collectives/backend_mpi_${name}
      COMMAND ${MPIEXEC_EXECUTABLE} --oversubscribe ${MPIEXEC_NUMPROC_FLAG} ${ranks}
              $<TARGET_FILE:test_collectives_backend_mpi> ${ARGN})
    set_tests_properties(collectives/backend_mpi_${name} PROPERTIES LABELS unit TIMEOUT 300
      PROCESSORS 2 ENVIRONMENT
      "DROVER_COLL_DIRECT=${direct};OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
  endfunction()
  foreach(ranks RANGE 1 8)
    drover_mpi_test(${ranks}_direct ${ranks} 1)
    drover_mpi_test(${ranks}_ring ${ranks} 0)
  endforeach()
  drover_mpi_test(3_program 3 1 program-mpi)
endif()
