/* SPDX-License-Identifier: Apache-2.0
 *
 * The plan on `drover launch`'s standard input: refused with words, or read and written back the
 * same.
 */
#include "launcher/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) plan = plan_from_json(json, &error);

    if (plan) {
        json_t *again = plan_to_json(plan);

        g_assert_no_error(error);
        g_assert_cmpint(plan_get_world_size(plan), >, 0);
        g_assert_true(json_equal(json, again));
        json_decref(again);
    } else {
        g_assert_error(error, LAUNCHER_ERROR, LAUNCHER_ERROR_PLAN);
    }
    json_decref(json);
    return 0;
}
