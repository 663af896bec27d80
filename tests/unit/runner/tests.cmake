# SPDX-License-Identifier: Apache-2.0

# ---- cli ----
drover_unit_test(runner cli_args cli)
