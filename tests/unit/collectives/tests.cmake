# SPDX-License-Identifier: Apache-2.0
drover_unit_test(collectives backend_single collectives)
