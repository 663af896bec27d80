# SPDX-License-Identifier: Apache-2.0
#
# Benchmarks print their figure beside the peer's from the same run; they are built on request
# (target `bench_NAME`) and are never tests. drover_bench(NAME LINK ...) builds bench_NAME.c.
function(drover_bench name)
  add_executable(bench_${name} EXCLUDE_FROM_ALL bench/bench_${name}.c)
  target_link_libraries(bench_${name} PRIVATE drover_flags ${ARGN})
  set_target_properties(bench_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
endfunction()

drover_bench(jobspec jobspec PkgConfig::GLIB PkgConfig::YAML)
if(MPI_C_FOUND)
  drover_bench(coll collectives)
  drover_bench(overlap collectives)
endif()
drover_bench(ledger billing)
