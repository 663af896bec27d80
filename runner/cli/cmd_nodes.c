/* SPDX-License-Identifier: Apache-2.0 */
#include "runner/cli/format.h"
#include "runner/cli/jobs.h"
#include "runner/cli/table.h"

#include "launcher/node.h"

/* A device whose model has no price cannot be leased: shown, with no price. */
static bool price_find(const PriceList *prices, const Device *device, int64_t *price)
{
    return price_list_find(prices, device->model, price, NULL);
}

static int nodes_print_json(const Node *node, const PriceList *prices)
{
    json_t *json = node_to_json(node), *devices = json_object_get(json, "devices");

    for (guint i = 0; i < node->devices->len; i++) {
        int64_t price;
        bool known = price_find(prices, g_ptr_array_index(node->devices, i), &price);

        json_object_set_new(json_array_get(devices, i), "price_usd_micro",
                            known ? json_integer(price) : json_null());
    }
    return cli_print_json(
        json_pack("{s:[o], s:s}", "nodes", json, "prices", price_list_get_source(prices)));
}

static int nodes_print(const Node *node, const PriceList *prices)
{
    static const char *const heads[] = {"NODE", "DEVICE", "MODEL", ">MEMORY", ">USD/HOUR"};
    g_autoptr(Table) table = table_new(heads, G_N_ELEMENTS(heads));
    g_autofree char *memory = format_bytes(node->memory_bytes);
    g_autofree char *disk = format_bytes(node->disk_bytes);

    for (guint i = 0; i < node->devices->len; i++) {
        const Device *device = g_ptr_array_index(node->devices, i);
        int64_t price;

        table_add(table, g_strdup(node->name));
        table_add(table, g_strdup(device->id));
        table_add(table, g_strdup(device->model));
        table_add(table, format_bytes(device->memory_bytes));
        table_add(table,
                  price_find(prices, device, &price) ? money_format_decimal(price, 6) : NULL);
    }
    table_print(table, stdout);
    printf("\n%u cores, %s of memory, %s of disk here; prices: %s\n", node->cpus->len, memory, disk,
           price_list_get_source(prices));
    if (node->note)
        printf("%s\n", node->note);
    return CLI_OK;
}

static int nodes_run(const Cli *cli G_GNUC_UNUSED, const CliArgs *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PriceList) prices = jobs_load_prices(args, &error);
    g_autoptr(Node) node = prices ? node_probe(".", &error) : NULL;

    if (!node)
        return cli_fail_error(args, error);
    return cli_args_has(args, "json") ? nodes_print_json(node, prices) : nodes_print(node, prices);
}

static const CliOption nodes_options[] = {
    JOBS_PRICES_OPTION,
    {"json", 'j', NULL, "print JSON"},
};

const CliCommand cmd_nodes = {
    .name = "nodes",
    .arguments = "",
    .summary = "Show this machine's devices and what they cost",
    .options = nodes_options,
    .options_count = G_N_ELEMENTS(nodes_options),
    .run = nodes_run,
};
