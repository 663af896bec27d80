/* SPDX-License-Identifier: Apache-2.0
 *
 * What it takes to check a job file of 1,000 lines, beside libyaml's bare scan of its events, which
 * nothing built on libyaml can beat. Each figure is the best of RUNS, of both in turn.
 */
#include "jobspec/jobspec.h"

#include <stdio.h>
#include <yaml.h>

#define RUNS  200
#define LINES 1000

/* Ordinary jobs with comments, depending on each other, until there are enough lines. */
static GString *text_make(void)
{
    GString *text = g_string_new(NULL);

    for (int i = 0, lines = 0; lines < LINES; i++, lines += 25) {
        g_string_append_printf(
            text,
            "---\n# job %d of the pipeline\nversion: 1\nname: step-%d\nenvs:\n"
            "  MODEL: llama-3-8b\n  BATCH: %d\n  NCCL_DEBUG: WARN\nresources:\n"
            "  num_nodes: 2..4\n  accelerators: RTX4090-24GiB:2\n  memory: 32GiB+\n"
            "  max_price: 2.20\nwhere:\n  location: [tw, jp]   # near the data\n"
            "  bandwidth: 1Gbps+\nrun: ./train --resume \"$DROVER_CHECKPOINT_DIR\"\n"
            "checkpoint:\n  path: checkpoints\n  every: 15m\nretry:\n  max: 3\n"
            "limits:\n  max_duration: 24h\n",
            i, i, i);
        if (i > 0)
            g_string_append_printf(text, "depends_on: [{job: step-%d}]\n", i - 1);
        else
            g_string_append(text, "priority: 50\n");
    }
    return text;
}

static int64_t scan_us(const GString *text)
{
    int64_t start = g_get_monotonic_time();
    yaml_parser_t parser;
    yaml_event_t event;
    bool more = true;

    yaml_parser_initialize(&parser);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text->str, text->len);
    while (more) {
        if (!yaml_parser_parse(&parser, &event))
            g_error("libyaml refuses the benchmark's file");
        more = event.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return g_get_monotonic_time() - start;
}

static int64_t check_us(const GString *text)
{
    int64_t start = g_get_monotonic_time();
    g_autoptr(JobSpecFile) file = jobspec_file_parse("bench.yaml", text->str, text->len, NULL);

    if (jobspec_file_has_errors(file)) {
        jobspec_file_print(file, stderr, false);
        g_error("the benchmark's file has errors");
    }
    return g_get_monotonic_time() - start;
}

int main(void)
{
    GString *text = text_make();
    int64_t scan = INT64_MAX, check = INT64_MAX;

    for (int i = 0; i < RUNS; i++) {
        scan = MIN(scan, scan_us(text));
        check = MIN(check, check_us(text));
    }
    printf("spec check, %d lines, %zu bytes\n", LINES, text->len);
    printf("  drover          %7.3f ms  %7.1f MB/s  (goal 5 ms)\n", (double)check / 1e3,
           (double)text->len / (double)check);
    printf("  libyaml events  %7.3f ms  %7.1f MB/s  (limit)\n", (double)scan / 1e3,
           (double)text->len / (double)scan);
    printf("  ratio           %7.2f\n", (double)check / (double)scan);
    g_string_free(text, TRUE);
    return 0;
}
