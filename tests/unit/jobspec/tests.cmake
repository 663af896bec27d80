# SPDX-License-Identifier: Apache-2.0
foreach(file accelerator depend diag matrix print scalar tree)
  drover_unit_test(jobspec ${file} jobspec)
endforeach()
