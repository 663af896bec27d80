# SPDX-License-Identifier: Apache-2.0
foreach(file money fee price meter invoice invoice_print ledger)
  drover_unit_test(billing ${file} billing)
endforeach()
