/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "runner/queue/match.h"

#include <string.h>

typedef struct {
    const char *name;
    const char *yaml;
    const char *model; /* of the node's GPUs; NULL: a node without */
    int gpus;
    const char *busy; /* device ids, comma between */
    MatchResult result;
    const char *devices; /* FITS: ids, comma between; else a part of the reasons */
    size_t entry;
} Case;

static const Case cases[] = {
    {"any device, no GPU", "", NULL, 0, NULL, MATCH_FITS, "cpu", 0},
    {"any device, one of the GPUs", "", "H100", 2, NULL, MATCH_FITS, "GPU-0", 0},
    {"the next free one", "", "H100", 2, "GPU-0", MATCH_FITS, "GPU-1", 0},
    {"all leased", "", "H100", 2, "GPU-0,GPU-1", MATCH_BUSY,
     "1 x device asked, too few are free on node 'n' now", 0},
    {"cpu leased", "", NULL, 0, "cpu", MATCH_BUSY, "`drover list` shows who has them", 0},
    {"by model", "resources: {accelerators: 'H100:2'}", "H100", 4, "GPU-1", MATCH_FITS,
     "GPU-0,GPU-2", 0},
    {"model in any case", "resources: {accelerators: h100}", "H100", 1, NULL, MATCH_FITS, "GPU-0",
     0},
    {"other model", "resources: {accelerators: H100}", NULL, 0, NULL, MATCH_NONE,
     "node 'n' has no H100, it has 1 x cpu; no GPU driver is loaded; write 'accelerators: cpu'", 0},
    {"cpu of a node with GPUs", "resources: {accelerators: cpu}", "H100", 2, NULL, MATCH_NONE,
     "has no cpu, it has 2 x H100", 0},
    {"too few", "resources: {accelerators: 'H100:3'}", "H100", 2, NULL, MATCH_NONE,
     "3 x H100 asked, node 'n' has 2; write 'H100:2'", 0},
    {"too few is never, leased or not", "resources: {accelerators: 'H100:3'}", "H100", 2, "GPU-0",
     MATCH_NONE, "node 'n' has 2", 0},
    {"memory as sold", "resources: {accelerators: 'RTX4090-24GB:1'}", "RTX4090", 1, NULL,
     MATCH_FITS, "GPU-0", 0},
    {"other memory", "resources: {accelerators: 'RTX4090-48GB:1'}", "RTX4090", 1, NULL, MATCH_NONE,
     "on node 'n' it has 24.0", 0},
    {"price fits to the micro", "resources: {max_price: 2.2}", "H100", 1, NULL, MATCH_FITS, "GPU-0",
     0},
    {"too dear", "resources: {max_price: 2.199999}", "H100", 1, NULL, MATCH_NONE,
     "max_price: 2.199999 USD per device-hour at most, on node 'n' it is 2.20; write "
     "'max_price: 2.20'",
     0},
    {"no price", "", "ABACUS", 1, NULL, MATCH_NONE, "ABACUS", 0},
    {"cores", "resources: {cpus: 9+}", NULL, 0, NULL, MATCH_NONE,
     "resources.cpus: 9 asked, node 'n' has 8; write 'cpus: 8+'", 0},
    {"just the cores", "resources: {cpus: 8+}", NULL, 0, NULL, MATCH_FITS, "cpu", 0},
    {"memory", "resources: {memory: 33GiB+}", NULL, 0, NULL, MATCH_NONE, "resources.memory: 33.0",
     0},
    {"disk", "resources: {disk: 101GiB}", NULL, 0, NULL, MATCH_NONE, "resources.disk: 101.0", 0},
    {"nodes", "resources: {num_nodes: 2..4}", NULL, 0, NULL, MATCH_NONE,
     "2 nodes asked, here is one ('n'); write 'num_nodes: 1'", 0},
    {"nodes from one", "resources: {num_nodes: 1..4}", NULL, 0, NULL, MATCH_FITS, "cpu", 0},
    {"second choice",
     "resources: {any_of: [{accelerators: 'H100:8'}, {accelerators: 'RTX4090:2'}]}", "RTX4090", 2,
     NULL, MATCH_FITS, "GPU-0,GPU-1", 1},
    {"first choice wins",
     "resources: {any_of: [{accelerators: 'RTX4090:1'}, {accelerators: 'RTX4090:2'}]}", "RTX4090",
     2, NULL, MATCH_FITS, "GPU-0", 0},
    {"no choice", "resources: {any_of: [{accelerators: 'H100:8'}, {cpus: 64+}]}", "RTX4090", 2,
     NULL, MATCH_NONE, "resources.any_of[2].cpus: 64 asked", 0},
    {"one choice waits", "resources: {any_of: [{accelerators: 'H100:8'}, {accelerators: RTX4090}]}",
     "RTX4090", 1, "GPU-0", MATCH_BUSY, "resources.any_of[2]", 0},
    {"mixed: the first entry is the first node's",
     "resources: {accelerators: ['RTX4090:2', 'H100:1'], num_nodes: 1..2}", "RTX4090", 2, NULL,
     MATCH_FITS, "GPU-0,GPU-1", 0},
};

static char *ids_of(const Match *match)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < match->devices->len; i++)
        g_string_append_printf(text, "%s%s", i ? "," : "",
                               g_array_index(match->devices, MatchDevice, i).device->id);
    return g_string_free(text, false);
}

static void test_case(gconstpointer data)
{
    const Case *test = data;
    g_autoptr(JobSpec) spec = fixture_spec(test->yaml);
    g_autoptr(Node) node = fixture_node(test->model, test->gpus);
    g_autoptr(PriceList) prices = price_list_load(NULL, NULL);
    g_autoptr(GHashTable) busy = g_hash_table_new(g_str_hash, g_str_equal);
    g_auto(GStrv) held = g_strsplit(test->busy ? test->busy : "", ",", -1);
    g_autoptr(Match) match = NULL;
    g_autofree char *words = NULL;

    for (char **id = held; *id; id++)
        g_hash_table_add(busy, *id);
    match = match_find(spec, node, prices, busy);
    words = match_describe(match);
    g_assert_cmpint(match->result, ==, test->result);
    if (test->result == MATCH_FITS) {
        g_autofree char *ids = ids_of(match);

        g_assert_cmpstr(ids, ==, test->devices);
        g_assert_cmpuint(match->entry, ==, test->entry);
        g_assert_cmpuint(match->reasons->len, ==, test->entry);
    } else {
        if (!strstr(words, test->devices))
            g_error("'%s' is not in: %s", test->devices, words);
        g_assert_cmpuint(match->devices->len, ==, 0);
        g_assert_cmpuint(match->reasons->len, ==, spec->resources->len);
    }
}

/* Of more cores than asked for at most, the job gets what it asked for. */
static void test_cpus(void)
{
    g_autoptr(JobSpec) few = fixture_spec("resources: {cpus: 2}");
    g_autoptr(JobSpec) some = fixture_spec("resources: {cpus: 2..4}");
    g_autoptr(JobSpec) all = fixture_spec("resources: {cpus: 2+}");
    g_autoptr(Node) node = fixture_node(NULL, 0);
    g_autoptr(PriceList) prices = price_list_load(NULL, NULL);
    g_autoptr(Match) a = match_find(few, node, prices, NULL);
    g_autoptr(Match) b = match_find(some, node, prices, NULL);
    g_autoptr(Match) c = match_find(all, node, prices, NULL);

    g_assert_cmpint(a->cpus, ==, 2);
    g_assert_cmpint(b->cpus, ==, 4);
    g_assert_cmpint(c->cpus, ==, 8);
}

static void test_price_and_words(void)
{
    g_autoptr(JobSpec) spec = fixture_spec("resources: {accelerators: 'RTX4090:2'}");
    g_autoptr(Node) node = fixture_node("RTX4090", 2);
    g_autoptr(PriceList) prices = price_list_load(NULL, NULL);
    g_autoptr(Match) match = match_find(spec, node, prices, NULL);
    g_autofree char *words = match_describe(match);

    g_assert_cmpint(g_array_index(match->devices, MatchDevice, 1).price_usd_micro, ==, 390000);
    g_assert_cmpstr(words, ==, "RTX4090 x 2 at 0.39 USD an hour each");
}

/* A100 with 80 GiB costs what the list says for A100-80GB. */
static void test_price_by_memory(void)
{
    g_autoptr(JobSpec) spec = fixture_spec("");
    g_autoptr(Node) node = fixture_node("A100", 1);
    g_autoptr(PriceList) prices = price_list_load(NULL, NULL);
    Device *device = g_ptr_array_index(node->devices, 0);
    int64_t memory[] = {INT64_C(40536) << 20, INT64_C(81251) << 20};
    int64_t price[] = {1290000, 1490000};

    for (size_t i = 0; i < G_N_ELEMENTS(memory); i++) {
        g_autoptr(Match) match = NULL;

        device->memory_bytes = memory[i];
        match = match_find(spec, node, prices, NULL);
        g_assert_cmpint(match->result, ==, MATCH_FITS);
        g_assert_cmpint(g_array_index(match->devices, MatchDevice, 0).price_usd_micro, ==,
                        price[i]);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/match/case/%s", cases[i].name);

        g_test_add_data_func(path, &cases[i], test_case);
    }
    g_test_add_func("/match/cpus", test_cpus);
    g_test_add_func("/match/price-and-words", test_price_and_words);
    g_test_add_func("/match/price-by-memory", test_price_by_memory);
    return g_test_run();
}
