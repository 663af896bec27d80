# SPDX-License-Identifier: Apache-2.0
foreach(file money fee price meter invoice invoice_print ledger ledger_db ledger_chain ledger_audit)
  drover_unit_test(billing ${file} billing)
endforeach()
