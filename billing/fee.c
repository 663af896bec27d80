/* SPDX-License-Identifier: Apache-2.0
 *
 * The fee table. Its rows are never changed: other fees are a new version, from a later time on.
 * The version of a job is that of its first lease, so a job never changes its fee half-way. The
 * ledger keeps a copy of every version beside the postings made by it.
 */
#include "billing/billing.h"

static const Fee table[] = {
    {1, 0, MONEY_USDC, FEE_RENTER, "service", 200},
    {1, 0, MONEY_IO, FEE_RENTER, "service", 0},
};

const char *fee_side_name(FeeSide side)
{
    return side == FEE_RENTER ? "renter" : "supplier";
}

const Fee *fee_table(size_t *count)
{
    *count = G_N_ELEMENTS(table);
    return table;
}

const Fee *fee_get_renter(MoneyAsset asset, int64_t at_ms)
{
    const Fee *found = NULL;

    /* Versions ascend, and the first one is for all that lies before the second. */
    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        if (table[i].asset == asset && table[i].side == FEE_RENTER &&
            (!found || table[i].from_ms <= at_ms))
            found = &table[i];
    }
    return found;
}
