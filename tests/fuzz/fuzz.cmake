# SPDX-License-Identifier: Apache-2.0
#
# drover_fuzz(NAME LINK ...): fuzz_NAME.c becomes the program fuzz/fuzz_NAME, and a test that runs
# it over fuzz/corpus/NAME. With -DDROVER_FUZZ=ON it is a libFuzzer target and can search; else its
# main is replay.c.
function(drover_fuzz name)
  set(corpus ${CMAKE_CURRENT_SOURCE_DIR}/fuzz/corpus/${name})
  add_executable(fuzz_${name} fuzz/fuzz_${name}.c)
  target_link_libraries(fuzz_${name} PRIVATE drover_flags ${ARGN})
  set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz)
  if(DROVER_FUZZ)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME fuzz/${name} COMMAND fuzz_${name} -runs=0 ${corpus})
  else()
    target_sources(fuzz_${name} PRIVATE fuzz/replay.c)
    add_test(NAME fuzz/${name} COMMAND fuzz_${name} ${corpus})
  endif()
  set_tests_properties(fuzz/${name} PROPERTIES LABELS fuzz TIMEOUT 300)
endfunction()

drover_fuzz(jobspec jobspec)
drover_fuzz(price billing)
if(TARGET gpt)
  drover_fuzz(safetensors gpt)
endif()
drover_fuzz(plan launcher)
drover_fuzz(progress launcher)
drover_fuzz(cli_text runner_cli)
