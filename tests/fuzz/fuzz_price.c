/* SPDX-License-Identifier: Apache-2.0
 *
 * The price list: any bytes give a list or an error that names the source, never both.
 */
#include "billing/billing.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* What was read is within the limits that prices have. */
static void check_list(const PriceList *list)
{
    static const char *const models[] = {"cpu", "H100", "H100-80GB", "RTX4090-24GiB", "-80GB", ""};

    require(price_list_get_io_usd_micro(list) > 0);
    for (size_t i = 0; i < G_N_ELEMENTS(models); i++) {
        g_autoptr(GError) error = NULL;
        int64_t price = -1;
        bool found = price_list_find(list, models[i], &price, &error);

        require(found == !error);
        require(found ? price >= 0 && price <= INT64_C(1000000000000) : price == -1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PriceList) list = price_list_parse((const char *)data, size, "fuzz.json", &error);

    require(!list == !!error);
    if (list)
        check_list(list);
    else
        require(g_str_has_prefix(error->message, "fuzz.json:") &&
                g_utf8_validate(error->message, -1, NULL) && strlen(error->message) < 2048);
    return 0;
}
