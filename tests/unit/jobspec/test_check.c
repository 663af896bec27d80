/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/jobspec/spec.h"

static void test_train(void)
{
    spec_assert("train: {sync: local}\n", "4:9+4 E112 train.sync: local steps need their number, "
                                          "train.every (try 'every: 64')\n");
    spec_assert("train: {sync: local, every: null}\n",
                "4:9+4 E112 train.sync: local steps need their number, train.every (try 'every: "
                "64')\n");
    spec_assert("train: {sync: step, every: 64}\n",
                "4:21+5 W201 train.every: no effect with 'sync: step'\n");
    spec_assert("train: {sync: local, every: 64}\n", "");
    /* what has an error of its own is not judged again */
    spec_assert("train: {sync: local, every: x}\n",
                "4:29+1 E105 train.every: 'x' is not a whole number\n");
}

static void test_checkpoint(void)
{
    spec_assert("checkpoint: {every: 5m, keep: 9}\n", ""); /* the job has a folder of its own */
    spec_assert("checkpoint: {path: c, every: 2h}\nlimits: {max_duration: 1h}\n",
                "4:23+5 W202 checkpoint.every: not before limits.max_duration ends the job\n");
    spec_assert("checkpoint: {grace: 1h}\nlimits: {max_duration: 1h}\n",
                "4:14+5 W202 checkpoint.grace: as long as the whole job may run "
                "(limits.max_duration)\n");
    spec_assert("checkpoint: {signal: TERM}\n", "");
    spec_assert("checkpoint: {path: a/../b/c}\n", "");
    spec_assert("checkpoint: {path: /elsewhere}\n", "");
    spec_assert("checkpoint: {path: a/../..}\n",
                "4:14+4 E106 checkpoint.path: 'a/../..' leaves the directory of the job; write an "
                "absolute path if that is meant\n");
    spec_assert("checkpoint: {path: .}\n",
                "4:14+4 E106 checkpoint.path: '.' leaves the directory of the job; write an "
                "absolute path if that is meant\n");
}

static void test_retry(void)
{
    spec_assert(
        "spot: only\nretry: {on: [supplier_lost]}\n",
        "5:9+2 W202 spot: 'only' without a retry on 'preempted': the job ends when an offer is "
        "taken back\n");
    spec_assert(
        "spot: only\nretry: {max: 0}\n",
        "4:1+4 W202 spot: 'only' without a retry on 'preempted': the job ends when an offer is "
        "taken back\n");
    spec_assert("spot: only\n", "");
    spec_assert("retry: {on: [preempted]}\n",
                "4:9+2 W201 retry.on: 'preempted' cannot happen with 'spot: never'\n");
    spec_assert("retry: {on: [], max: 5}\n",
                "4:17+3 W201 retry.max: no effect, retry.on is empty\n");
}

static void test_limits(void)
{
    spec_assert("limits: {idle_gpu: {below: 10%}}\n",
                "4:10+8 E112 limits.idle_gpu: it takes both (try '{below: 10%, for: 30m}')\n");
    spec_assert("limits: {idle_gpu: {for: 10m}}\n",
                "4:10+8 E112 limits.idle_gpu: it takes both (try '{below: 10%, for: 30m}')\n");
    spec_assert("limits: {start_within: 2h, max_duration: 1h}\n",
                "4:10+12 E112 limits.start_within: not before limits.max_duration ends the job\n");
    spec_assert("preflight: {timeout: 5s}\n",
                "4:13+7 W201 preflight.timeout: no effect without preflight.allreduce\n");
}

static void test_resources(void)
{
    spec_assert(
        "resources: {accelerators: [H100, L40S]}\n",
        "4:13+12 E112 resources.accelerators: 2 kinds of node, but num_nodes is at most 1\n");
    spec_assert("resources: {accelerators: [H100, L40S], num_nodes: 2}\n", "");
    spec_assert("resources: {accelerators: cpu}\nlimits: {idle_gpu: {below: 1%, for: 1m}}\n",
                "5:10+8 W201 limits.idle_gpu: no effect on nodes without GPUs\n");
    spec_assert("resources: {any_of: [{accelerators: cpu}, {accelerators: H100}]}\n"
                "limits: {idle_gpu: {below: 1%, for: 1m}}\n",
                "");
}

static void test_where(void)
{
    spec_assert("where: {same: site, bandwidth: 1Gbps+, latency: 5ms-}\n",
                "4:9+4 W201 where.same: no effect on a job of one node\n"
                "4:21+9 W201 where.bandwidth: no effect on a job of one node\n"
                "4:40+7 W201 where.latency: no effect on a job of one node\n");
    spec_assert("where: {same: site}\nresources: {num_nodes: 1..2}\n", "");
    spec_assert("where: {same: none, bandwidth: null}\n", ""); /* writes the default out */
}

static void test_names(void)
{
    spec_assert("envs: {TOKEN: x}\nsecrets: [TOKEN]\n",
                "5:1+7 E112 secrets: 'TOKEN' is in envs too\n");
    spec_assert("max_parallel: 2\n",
                "4:1+12 E112 max_parallel: it counts the jobs of a matrix, and there is none\n");
}

/* Several things wrong with one job, in one pass. */
static void test_all_at_once(void)
{
    g_autoptr(JobSpecFile) file = spec_parse(
        "version: 2\nname: a\nnme: x\nrun: 5\nspot: x\ntrain: {sync: local}\nwhere: {green: 1}\n"
        "limits: {max_duration: 5, idle_gpu: {for: 1m}}\ndepends_on: [{job: q}]\n");

    g_assert_cmpuint(file->diagnostics->len, ==, 9);
    g_assert_cmpuint(file->jobs->len, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jobspec/check/train", test_train);
    g_test_add_func("/jobspec/check/checkpoint", test_checkpoint);
    g_test_add_func("/jobspec/check/retry", test_retry);
    g_test_add_func("/jobspec/check/limits", test_limits);
    g_test_add_func("/jobspec/check/resources", test_resources);
    g_test_add_func("/jobspec/check/where", test_where);
    g_test_add_func("/jobspec/check/names", test_names);
    g_test_add_func("/jobspec/check/all-at-once", test_all_at_once);
    return g_test_run();
}
