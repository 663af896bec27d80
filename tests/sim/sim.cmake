# SPDX-License-Identifier: Apache-2.0
#
# drover_sim(NAME LINK ...): sim_NAME.c becomes a program and a test. Without arguments it takes a
# new seed, which it prints; with one, `build/tests/sim_NAME SEED`, it replays.
function(drover_sim name)
  add_executable(sim_${name} sim/sim_${name}.c)
  target_link_libraries(sim_${name} PRIVATE drover_flags PkgConfig::GLIB ${ARGN})
  set_target_properties(sim_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME sim/${name} COMMAND sim_${name})
  set_tests_properties(sim/${name} PROPERTIES LABELS sim TIMEOUT 300)
endfunction()

drover_sim(billing billing)
drover_sim(queue runner_queue)
