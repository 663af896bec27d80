/* SPDX-License-Identifier: Apache-2.0
 *
 * Each type of field: what it takes, and what an author is told who wrote something else.
 */
#include "tests/unit/jobspec/spec.h"

static const JobSpecResources *only_resources(const JobSpec *job)
{
    g_assert_cmpuint(job->resources->len, ==, 1);
    return g_ptr_array_index(job->resources, 0);
}

/* Every field with a value that is not its default. */
static const char every_field[] =
    "image: oci:images/x\nworkdir: src\nenvs: {B: 1e-4, A: yes, C: true, D: ''}\n"
    "secrets: [HF_TOKEN]\nresources: {num_nodes: 2..4, accelerators: [H100-80GiB:8, L40S],"
    " cpus: 8+, memory: 32GiB..64GiB, disk: 100GB+, max_price: 2.20}\n"
    "where: {location: [TW, eu-west], same: region, green: true, compliance: [SOC2],"
    " tier: [miner], proof_max_age: 2h, reliability: 0.97, bandwidth: 1Gbps+, latency: 5ms-}\n"
    "spot: auto\nsetup: make\nlaunch: {type: torchrun, procs_per_node: cpu-core}\n"
    "preflight: {allreduce: 100MB/s, timeout: 90s}\n"
    "train: {balance: even, sync: local, every: 64, compress: int8}\n"
    "checkpoint: {path: ck, every: 15m, keep: 5, signal: USR1, grace: 30s}\n"
    "retry: {on: [nonzero_exit, preempted], max: 7, backoff: 1s..2s}\n"
    "limits: {max_duration: 48h, max_cost: 400.000001, start_within: 90s,"
    " idle_gpu: {below: 10%, for: 30m}}\n"
    "payment: {asset: IO, account: lab}\npriority: 70\nports: [6006, 22]\n";

static void assert_resources(const JobSpec *job)
{
    const JobSpecResources *resources = only_resources(job);
    const JobSpecAccelerator *accelerator = g_ptr_array_index(resources->accelerators, 0);
    const JobSpecPair *pair = g_ptr_array_index(job->envs, 0);

    g_assert_cmpint(job->version, ==, 1);
    g_assert_cmpstr(job->name, ==, "a");
    g_assert_cmpstr(job->image, ==, "oci:images/x");
    g_assert_cmpstr(job->workdir, ==, "src");
    g_assert_cmpuint(job->envs->len, ==, 4);
    g_assert_cmpstr(pair->key, ==, "A"); /* sorted */
    g_assert_cmpstr(pair->value, ==, "yes");
    pair = g_ptr_array_index(job->envs, 1);
    g_assert_cmpstr(pair->value, ==, "1e-4"); /* as written */
    g_assert_cmpstr(g_ptr_array_index(job->secrets, 0), ==, "HF_TOKEN");
    g_assert_cmpint(resources->num_nodes.min, ==, 2);
    g_assert_cmpint(resources->num_nodes.max, ==, 4);
    g_assert_cmpuint(resources->accelerators->len, ==, 2);
    g_assert_true(resources->accelerators_mixed);
    g_assert_cmpstr(accelerator->model, ==, "H100");
    g_assert_cmpint(accelerator->memory_bytes, ==, INT64_C(80) << 30);
    g_assert_cmpint(accelerator->count, ==, 8);
    g_assert_cmpint(resources->cpus.min, ==, 8);
    g_assert_cmpint(resources->cpus.max, ==, INT64_MAX);
    g_assert_cmpint(resources->memory_bytes.max, ==, INT64_C(64) << 30);
    g_assert_cmpint(resources->disk_bytes.min, ==, INT64_C(100000000000));
    g_assert_cmpint(resources->max_price_usd_micro, ==, 2200000);
}

static void assert_place(const JobSpec *job)
{
    g_assert_cmpstr(g_ptr_array_index(job->where.location, 0), ==, "tw");
    g_assert_cmpstr(g_ptr_array_index(job->where.compliance, 0), ==, "soc2");
    g_assert_cmpint(job->where.same, ==, JOBSPEC_SAME_REGION);
    g_assert_true(job->where.green);
    g_assert_cmpint(job->where.proof_max_age_ms, ==, 7200000);
    g_assert_cmpint(job->where.reliability_ppm, ==, 970000);
    g_assert_cmpint(job->where.bandwidth_bps.min, ==, 1000000000);
    g_assert_cmpint(job->where.latency_us.max, ==, 5000);
    g_assert_cmpint(job->spot, ==, JOBSPEC_SPOT_AUTO);
    g_assert_cmpstr(job->setup, ==, "make");
    g_assert_cmpint(job->launch.type, ==, JOBSPEC_LAUNCH_TORCHRUN);
    g_assert_cmpint(job->launch.procs_per_node, ==, JOBSPEC_PROCS_CPU_CORE);
    g_assert_cmpint(job->preflight.allreduce_bytes_per_s, ==, 100000000);
    g_assert_cmpint(job->preflight.timeout_ms, ==, 90000);
}

static void assert_course(const JobSpec *job)
{
    g_assert_cmpint(job->train.balance, ==, JOBSPEC_BALANCE_EVEN);
    g_assert_cmpint(job->train.sync, ==, JOBSPEC_SYNC_LOCAL);
    g_assert_cmpint(job->train.every, ==, 64);
    g_assert_cmpint(job->train.compress, ==, JOBSPEC_COMPRESS_INT8);
    g_assert_cmpstr(job->checkpoint.path, ==, "ck");
    g_assert_cmpint(job->checkpoint.every_ms, ==, 900000);
    g_assert_cmpint(job->checkpoint.keep, ==, 5);
    g_assert_cmpint(job->checkpoint.signal, ==, 10);
    g_assert_cmpint(job->checkpoint.grace_ms, ==, 30000);
    g_assert_cmpuint(job->retry.on, ==, JOBSPEC_RETRY_NONZERO_EXIT | JOBSPEC_RETRY_PREEMPTED);
    g_assert_cmpint(job->retry.max, ==, 7);
    g_assert_cmpint(job->retry.backoff_ms.min, ==, 1000);
    g_assert_cmpint(job->retry.backoff_ms.max, ==, 2000);
    g_assert_cmpint(job->limits.max_duration_ms, ==, 172800000);
    g_assert_cmpint(job->limits.max_cost_usd_micro, ==, 400000001);
    g_assert_cmpint(job->limits.start_within_ms, ==, 90000);
    g_assert_cmpint(job->limits.idle_gpu_below_ppm, ==, 100000);
    g_assert_cmpint(job->limits.idle_gpu_for_ms, ==, 1800000);
    g_assert_cmpint(job->payment.asset, ==, JOBSPEC_ASSET_IO);
    g_assert_cmpstr(job->payment.account, ==, "lab");
    g_assert_cmpint(job->priority, ==, 70);
    g_assert_cmpint(g_array_index(job->ports, int64_t, 1), ==, 22);
}

static void test_every_field(void)
{
    g_autoptr(JobSpecFile) file = spec_parse_more(every_field);
    const JobSpec *job = spec_only_job(file);

    assert_resources(job);
    assert_place(job);
    assert_course(job);
}

static void test_text(void)
{
    spec_assert("setup: 5\n",
                "4:8+1 E105 setup: '5' is a number to YAML, not text (put it in quotes)\n");
    spec_assert("setup: true\n",
                "4:8+4 E105 setup: 'true' is true or false to YAML, not text (put it in quotes)\n");
    spec_assert("setup: no\n", "");
    spec_assert("setup: '5'\n", "");
    spec_assert("setup: [make]\n", "4:8+1 E105 setup: a list is not text (try 'make -C train')\n");
    spec_assert("setup: ''\n", "4:8+2 E106 setup: empty (try 'make -C train')\n");
    spec_assert("image: alpine\n",
                "4:8+6 E106 image: 'alpine' is not an image: host, oci:PATH or docker:REF\n");
    spec_assert("image: \"host\\n\"\n",
                "4:8+8 E106 image: 'host\\n' is not an image: host, oci:PATH or docker:REF\n");
}

static void test_long_text(void)
{
    g_autofree char *text = g_strnfill(100001, 'x');
    g_autofree char *setup = g_strdup_printf("setup: %s\n", text);
    g_autofree char *envs = g_strdup_printf("envs: {A: %s}\n", text);

    spec_assert_has(setup, "E109 setup: longer than 100000 bytes\n");
    spec_assert_has(envs, "E109 envs: longer than 100000 bytes\n");
    setup[strlen(setup) - 2] = '\n'; /* a byte less */
    spec_assert(setup, "");
}

static void test_null_and_empty(void)
{
    spec_assert("limits: {max_cost: }\n", "4:20+1 E104 limits.max_cost: no value (try '400.00')\n");
    spec_assert("limits: {max_cost: null, start_within: ~}\nsetup: null\n", "");
    spec_assert("limits: {max_duration: null}\n",
                "4:24+4 E106 limits.max_duration: 'null' is not a duration\n");
    spec_assert("limits: null\n",
                "4:9+4 E105 limits: 'null' is not a mapping (try '{max_duration: 24h, max_cost: "
                "400.00}')\n");
    spec_assert("spot:\n", "4:6+1 E104 spot: no value (try 'auto')\n");
}

static void test_bool(void)
{
    spec_assert("where: {green: yes}\n",
                "4:16+3 E105 where.green: 'yes' is not true or false (try 'true')\n");
    spec_assert("where: {green: 'true'}\n",
                "4:16+6 E105 where.green: 'true' in quotes is text, not true or false (remove the "
                "quotes)\n");
    spec_assert("where: {green: FALSE}\n", "");
}

static void test_words(void)
{
    spec_assert("spot: allways\n",
                "4:7+7 E106 spot: unknown word 'allways'; it is 'never', 'auto' or "
                "'only'\n");
    spec_assert("spot: nver\n", "4:7+4 E106 spot: unknown word 'nver'; did you mean 'never'?\n");
    spec_assert(
        "checkpoint: {signal: SIGUSR1}\n",
        "4:22+7 E106 checkpoint.signal: unknown word 'SIGUSR1'; it is 'USR1', 'USR2', 'TERM', "
        "'INT' or 'HUP'\n");
    spec_assert("where: {tier: [miner, datacentre, miner]}\n",
                "4:23+10 E106 where.tier: unknown word 'datacentre'; did you mean 'datacenter'?\n"
                "4:35+5 E103 where.tier: 'miner' is there twice\n");
    spec_assert("where: {location: tw}\n",
                "4:19+2 E105 where.location: 'tw' is not a list of names (try '[tw, jp]')\n");
    spec_assert("where: {location: [[tw]]}\n",
                "4:20+1 E105 where.location: a list is not text (try '[tw, jp]')\n");
    spec_assert("ports: [{a: b}]\n", "4:9+1 E105 ports: a mapping is not a whole number\n");
    spec_assert("where: {location: [TW, tw]}\n",
                "4:24+2 E103 where.location: 'tw' is there twice\n");
    spec_assert(
        "where: {location: [uk, no, xx, Mars]}\n",
        "4:20+2 E106 where.location: 'uk' is not an ISO 3166 country code; did you mean 'gb'?\n"
        "4:28+2 E106 where.location: 'xx' is not an ISO 3166 country code\n");
    spec_assert("retry: {on: [preempted, preempted, oom]}\n",
                "4:25+9 E103 retry.on: 'preempted' is there twice\n"
                "4:36+3 E106 retry.on: unknown word 'oom'; it is 'supplier_lost', 'preempted', "
                "'preflight' or 'nonzero_exit'\n");
}

static void test_numbers(void)
{
    spec_assert("priority: high\n", "4:11+4 E105 priority: 'high' is not a whole number\n");
    spec_assert("priority: \"50\"\n",
                "4:11+4 E105 priority: '50' is not a whole number (remove the quotes)\n");
    spec_assert("priority: 5e1\n", "4:11+3 E105 priority: '5e1' is not a whole number\n");
    spec_assert("priority: 101\n", "4:11+3 E108 priority: '101' is out of range (0 to 100)\n");
    spec_assert("priority: -1\n", "4:11+2 E108 priority: '-1' is out of range (0 to 100)\n");
    spec_assert("priority: 99999999999999999999\n",
                "4:11+20 E108 priority: '99999999999999999999' is too large a number\n");
    spec_assert("priority: 0x32\n", "");
    spec_assert("checkpoint: {path: x, keep: 0}\n",
                "4:29+1 E108 checkpoint.keep: '0' is out of range (1 to 1000000)\n");
    spec_assert("launch: {procs_per_node: 0}\n",
                "4:26+1 E108 launch.procs_per_node: '0' is out of range (1 to 4096)\n");
    spec_assert("launch: {procs_per_node: gpus}\n",
                "4:26+4 E106 launch.procs_per_node: unknown word 'gpus'; did you mean 'gpu'?\n");
    spec_assert("ports: [0, 80, 80, http]\n", "4:9+1 E108 ports: '0' is out of range (1 to 65535)\n"
                                              "4:16+2 E103 ports: '80' is there twice\n"
                                              "4:20+4 E105 ports: 'http' is not a whole number\n");
}

static void test_units(void)
{
    spec_assert("limits: {max_duration: 24}\n",
                "4:24+2 E107 limits.max_duration: '24' has no unit; "
                "write ms, s, m, h or d (try '24s')\n");
    spec_assert("resources: {memory: 16G8}\n",
                "4:21+4 E106 resources.memory: '16G8' is not a size (try '16GiB')\n");
    spec_assert(
        "resources: {memory: 8..16GiB}\n",
        "4:21+8 E107 resources.memory: '8..16GiB' has no unit; write B, kB, KiB, MB, MiB, GB, "
        "GiB, TB, TiB, PB or PiB (try '8GiB')\n");
    spec_assert("resources: {max_price: 2.1234567}\n",
                "4:24+9 E106 resources.max_price: '2.1234567' has more than six decimal places\n");
    spec_assert("resources: {max_price: 0}\n",
                "4:24+1 E108 resources.max_price: '0' is out of range "
                "(0.000001 to 1000000)\n");
    spec_assert("resources: {max_price: -2}\n",
                "4:24+2 E108 resources.max_price: '-2' is negative\n");
    spec_assert("resources: {max_price: '2.20'}\nlimits: {max_cost: 5}\n", "");
    spec_assert("where: {reliability: 1.01}\n",
                "4:22+4 E108 where.reliability: '1.01' is out of range (0.000001 to 1)\n");
    spec_assert("limits: {idle_gpu: {below: 101%, for: 1m}}\n",
                "4:28+4 E108 limits.idle_gpu.below: '101%' is out of range (0.0001% to 100%)\n");
    spec_assert("limits: {max_duration: 400d}\n",
                "4:24+4 E108 limits.max_duration: '400d' is out of range (1s to 365d)\n");
    spec_assert("limits: {max_duration: [1h]}\n",
                "4:24+1 E105 limits.max_duration: a list is not a duration (try '24h')\n");
}

static void test_ranges(void)
{
    spec_assert("resources: {num_nodes: 2+}\n",
                "4:24+2 E106 resources.num_nodes: '2+' has no upper end (try '2..4')\n");
    spec_assert("resources: {num_nodes: 4-}\n",
                "4:24+2 E106 resources.num_nodes: '4-' has no lower end (try '2..4')\n");
    spec_assert("resources: {num_nodes: 4..2}\n",
                "4:24+4 E108 resources.num_nodes: '4..2' has its lower end above its upper end\n");
    spec_assert("resources: {num_nodes: 0}\n",
                "4:24+1 E108 resources.num_nodes: '0' is out of range (1 to 10000)\n");
    spec_assert("resources: {num_nodes: 0..2}\n",
                "4:24+4 E108 resources.num_nodes: '0..2' is out of range (1 to 10000)\n");
    spec_assert("resources: {num_nodes: 1..99999}\n",
                "4:24+8 E108 resources.num_nodes: '1..99999' is out of range (1 to 10000)\n");
    spec_assert("resources: {cpus: 0}\n",
                "4:19+1 E108 resources.cpus: '0' is out of range (1 to 65536)\n");
    spec_assert("retry: {backoff: 10s}\n", "");
    spec_assert("resources: {cpus: 8-}\n", "");
}

static void test_envs(void)
{
    spec_assert(
        "envs: {RANK: 1, DROVER_JOB: x, OMPI_COMM_WORLD_RANK: 0, CUDA_VISIBLE_DEVICES: 0}\n",
        "4:8+4 E113 envs: 'RANK' is set by drover itself\n"
        "4:17+10 E113 envs: 'DROVER_JOB' is set by drover itself\n"
        "4:32+20 E113 envs: 'OMPI_COMM_WORLD_RANK' is set by drover itself\n"
        "4:57+20 E113 envs: 'CUDA_VISIBLE_DEVICES' is set by drover itself\n");
    spec_assert("envs: {MY_RANK: 1, RANKS: 2, OMP_NUM_THREADS: 3, NCCL_DEBUG: WARN}\n", "");
    spec_assert("envs: {1A: x, 'A=B': x, '': y}\n",
                "4:8+2 E106 envs: '1A' is not a variable name: letters, digits and '_'\n"
                "4:15+5 E106 envs: 'A=B' is not a variable name: letters, digits and '_'\n"
                "4:25+2 E106 envs: '' is not a variable name: letters, digits and '_'\n");
    spec_assert("envs: {A: [1], B: }\n",
                "4:11+1 E105 envs: a list is not a value of a variable (\"\" is the empty text)\n"
                "4:19+1 E105 envs: null is not a value of a variable (\"\" is the empty text)\n");
    spec_assert("envs: [A]\n", "4:7+1 E105 envs: a list is not a mapping of names to values (try "
                               "'{MODEL: llama-3-8b, NCCL_DEBUG: WARN}')\n");
    spec_assert("secrets: [WORLD_SIZE, 'a b']\n",
                "4:11+10 E113 secrets: 'WORLD_SIZE' is set by drover itself\n"
                "4:23+5 E106 secrets: 'a b' is not a variable name: letters, digits and '_'\n");
}

static void test_accelerators(void)
{
    spec_assert("resources: {accelerators: H100:0}\n",
                "4:27+6 E106 resources.accelerators: 'H100:0' has no count of 1 to 1024 behind its "
                "':'\n");
    spec_assert("resources: {accelerators: []}\n",
                "4:27+1 E106 resources.accelerators: the list is empty (try 'RTX4090-24GiB:2')\n");
    spec_assert(
        "resources: {accelerators: [H100, 4090]}\n",
        "4:34+4 E105 resources.accelerators: '4090' is a number to YAML, not text (put it in "
        "quotes)\n");
    spec_assert("resources: {accelerators: {H100: 8}}\n",
                "4:27+1 E105 resources.accelerators: a mapping is not text (try "
                "'RTX4090-24GiB:2')\n");
    spec_assert("resources: {accelerators: null}\n", "");
}

static void test_many_entries(void)
{
    g_autoptr(GString) ports = g_string_new("ports: [1");

    for (int i = 2; i <= 1001; i++)
        g_string_append_printf(ports, ", %d", i);
    g_string_append(ports, "]\n");
    spec_assert(ports->str, "4:8+1 E109 ports: 1001 entries, more than 1000\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/jobspec/value/every-field", test_every_field);
    g_test_add_func("/jobspec/value/text", test_text);
    g_test_add_func("/jobspec/value/long-text", test_long_text);
    g_test_add_func("/jobspec/value/null", test_null_and_empty);
    g_test_add_func("/jobspec/value/bool", test_bool);
    g_test_add_func("/jobspec/value/words", test_words);
    g_test_add_func("/jobspec/value/numbers", test_numbers);
    g_test_add_func("/jobspec/value/units", test_units);
    g_test_add_func("/jobspec/value/ranges", test_ranges);
    g_test_add_func("/jobspec/value/envs", test_envs);
    g_test_add_func("/jobspec/value/accelerators", test_accelerators);
    g_test_add_func("/jobspec/value/many-entries", test_many_entries);
    return g_test_run();
}
