# SPDX-License-Identifier: Apache-2.0
foreach(file accelerator check depend diag emit explain field group jobspec matrix print record
        scalar schema tree value)
  drover_unit_test(jobspec ${file} jobspec)
endforeach()
