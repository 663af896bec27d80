# SPDX-License-Identifier: Apache-2.0
if(TARGET gpt)
  foreach(file adamw balance checkpoint data kernels model options safetensors sample)
    drover_unit_test(examples ${file} gpt m)
  endforeach()
else()
  drover_skip(examples "no CBLAS was found")
endif()
