/* SPDX-License-Identifier: Apache-2.0
 *
 * A step of a rank:
 *
 *     its sequences of the global batch     by (seed, step, index): data.h
 *     forward, backward                     gradients go to coll_buckets as each layer is done
 *     the rest of the exchange              now every rank has the mean over the global batch
 *     one all-gather of a Vote              loss, stop flag, checkpoint due, seconds: so every
 *                                           rank decides the same from the same numbers
 *     clip, AdamW                           on every rank alike
 *     shares of the next step               balance.h
 *
 * Rank 0 alone reads and writes checkpoints and prints; weights and moments travel by broadcast at
 * the start. From then on each rank computes the same bits: the gradients are the same everywhere
 * (coll.h), and all ranks use the kernels of the least instruction set among them.
 */
#include "train.h"

#include "adamw.h"
#include "balance.h"
#include "checkpoint.h"
#include "data.h"
#include "kernels.h"
#include "model.h"
#include "sample.h"
#include "weights.h"

#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PRINT_S     2.0 /* between lines */
#define REPORT_S    0.1 /* between reports to the launcher */
#define FIRST_TOKEN '\n'

/* What ranks tell each other each step. All doubles, so that it travels as COLL_F64. */
typedef struct {
    double loss_sum; /* over the rank's tokens */
    double stop;     /* 1: asked to */
    double save;     /* 1: a checkpoint is due by this rank's clock; rank 0's counts */
    double seconds;  /* computing its share */
} Vote;
#define VOTE_DOUBLES (sizeof(Vote) / sizeof(double))

/* Where the time went, in seconds. */
typedef struct {
    double compute, exchange, update, eval, save;
} Spent;

typedef struct {
    const Options *options;
    coll_comm *comm;
    FILE *out; /* NULL: says nothing */
    size_t rank, ranks;
    size_t window; /* T + 1 */
    Data data;
    Model *model;
    Adamw adamw;
    coll_buckets *buckets;
    Balance *balance;
    uint16_t *tokens; /* (micro batch, T + 1) */
    size_t micro;     /* sequences computed at once */
    Vote *votes;      /* of each rank */
    double *seconds;  /* of each rank */
    int64_t step;     /* done */
    int64_t samples;
    int64_t seed;       /* of the data order */
    int64_t saved_step; /* -1: none */
    double loss, val_loss, grad_norm;
    double started_s, saved_s, printed_s, reported_s;
    int64_t started_step;
    Spent spent;
    int exchange_error; /* of a bucket told ready within the backward pass */
} Train;

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int coll_fault(const Train *train, int error, const char *doing, Fault *fault)
{
    const char *words = coll_last_error(train->comm);

    if (!error)
        return 0;
    return fault_set(fault, "%s between ranks failed: %s%s%s", doing, coll_strerror(error),
                     *words ? ": " : "", words);
}

static bool has_checkpoints(const Train *train)
{
    return train->options->resume && *train->options->resume;
}

__attribute__((format(printf, 2, 3))) static void say(const Train *train, const char *format, ...)
{
    va_list args;

    if (!train->out)
        return;
    va_start(args, format);
    vfprintf(train->out, format, args);
    va_end(args);
    fflush(train->out);
}

/* ---- start ---- */

static int data_load(Train *train, Fault *fault)
{
    const Options *options = train->options;
    int rc;

    if (options->tokens)
        rc = data_load_tokens(&train->data, options->tokens, (int)options->vocab, fault);
    else if (options->files_count)
        rc = data_load_text(&train->data, options->files, (size_t)options->files_count, fault);
    else
        rc = data_load_fortunes(&train->data, DATA_FORTUNES, fault);
    return rc ? rc : data_check(&train->data, train->window, fault);
}

static int64_t bits_of(double value)
{
    int64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* All ranks must have the same text and flags, or the batches would not be one batch and the
 * weights not those of one model. */
static int ranks_compare(Train *train, Fault *fault)
{
    const Options *o = train->options;
    int64_t mine[] = {(int64_t)train->data.digest,
                      (int64_t)train->data.count,
                      o->layers,
                      o->heads,
                      o->channels,
                      o->context,
                      o->vocab,
                      o->batch,
                      o->steps,
                      o->warmup,
                      bits_of(o->rate),
                      bits_of(o->decay),
                      bits_of(o->clip),
                      o->seed,
                      o->eval_every,
                      o->eval_windows,
                      o->balance,
                      has_checkpoints(train)};
    enum { COUNT = sizeof(mine) / sizeof(mine[0]) };
    int64_t least[COUNT], most[COUNT];
    int rc = coll_all_reduce(train->comm, mine, least, COUNT, COLL_I64, COLL_MIN);

    if (!rc)
        rc = coll_all_reduce(train->comm, mine, most, COUNT, COLL_I64, COLL_MAX);
    if (rc)
        return coll_fault(train, rc, "comparing the set-up", fault);
    if (memcmp(least, most, 2 * sizeof(least[0])) != 0)
        return fault_set(fault, "ranks read different texts: give each node the same files");
    if (memcmp(least, most, sizeof(least)) != 0)
        return fault_set(fault, "ranks were given different flags");
    return 0;
}

static void note_tell(void *user_data, const char *words)
{
    say(user_data, "%s\n", words);
    coll_report_note(words);
}

/* Rank 0: weights, moments and position from the newest checkpoint, from --init, or anew. */
static int state_begin(Train *train, Fault *fault)
{
    const Options *options = train->options;
    const Params *params = model_get_params(train->model);
    float *weights = model_get_weights(train->model);
    CheckpointState state = {.weights = weights, .m = train->adamw.m, .v = train->adamw.v};
    CheckpointNotes notes = {.note = note_tell, .user_data = train};
    char words[64];
    int found = 0;

    if (has_checkpoints(train))
        found = checkpoint_load(options->resume, params, &state, &notes, fault);
    if (found < 0)
        return -1;
    if (found) {
        train->step = train->saved_step = state.step;
        train->samples = state.samples;
        train->seed = state.seed;
        snprintf(words, sizeof(words), "resumed from step %" PRId64, state.step);
        note_tell(train, words);
        return 0;
    }
    if (options->init)
        return weights_load(options->init, "", params, weights, fault);
    params_start(params, weights, (uint64_t)options->seed);
    return 0;
}

static int state_share(Train *train, Fault *fault)
{
    const size_t count = model_get_params(train->model)->count;
    int64_t position[] = {train->step, train->samples, train->seed, train->saved_step};
    float *const parts[] = {model_get_weights(train->model), train->adamw.m, train->adamw.v};
    int rc = coll_broadcast(train->comm, position, 4, COLL_I64, 0);

    for (size_t i = 0; !rc && i < 3; i++)
        rc = coll_broadcast(train->comm, parts[i], count, COLL_F32, 0);
    train->step = position[0];
    train->samples = position[1];
    train->seed = position[2];
    train->saved_step = position[3];
    return coll_fault(train, rc, "sharing the weights", fault);
}

/* Without --threads and OMP_NUM_THREADS: the cores this rank is bound to, or its part of the node's
 * where the node's ranks are not bound. 0: as OpenMP has it. */
static int threads_choose(const Train *train)
{
    const char *set = getenv("OMP_NUM_THREADS");
    int local = coll_local_size(train->comm), cores;
    cpu_set_t mine;

    if (train->options->threads || (set && *set))
        return (int)train->options->threads;
    if (local < 2 || sched_getaffinity(0, sizeof(mine), &mine))
        return 0;
    cores = CPU_COUNT(&mine);
    if (cores < sysconf(_SC_NPROCESSORS_ONLN))
        return cores;
    return cores / local > 1 ? cores / local : 1;
}

static int memory_take(Train *train, Fault *fault)
{
    const Options *options = train->options;
    GptConfig config = options_get_model(options);
    size_t batch = (size_t)options->batch;
    size_t count;

    if (balance_new(train->ranks, batch, options->balance, &train->balance, fault))
        return -1;
    train->micro = options->balance ? batch : balance_get_share(train->balance, 0);
    if (options->micro_batch && (size_t)options->micro_batch < train->micro)
        train->micro = (size_t)options->micro_batch;
    if (train->micro < 1)
        train->micro = 1;
    train->tokens = calloc(train->micro * train->window, sizeof(*train->tokens));
    train->votes = calloc(train->ranks, sizeof(*train->votes));
    train->seconds = calloc(train->ranks, sizeof(*train->seconds));
    if (!train->tokens || !train->votes || !train->seconds)
        return fault_set(fault, "no memory for the batch");
    if (model_new(&config, train->micro, threads_choose(train), &train->model, fault))
        return -1;
    count = model_get_params(train->model)->count;
    return adamw_init(&train->adamw, count, fault);
}

/* Buckets for the gradients; the kernels that every rank's CPU has. */
static int exchange_begin(Train *train, Fault *fault)
{
    Ops *ops = model_get_ops(train->model);
    int32_t level = ops_get_level(ops);
    int rc = coll_all_reduce(train->comm, &level, &level, 1, COLL_I32, COLL_MIN);

    if (!rc)
        rc = coll_buckets_new(train->comm, model_get_gradients(train->model), train->adamw.count, 0,
                              &train->buckets);
    ops_lower_level(ops, level);
    return coll_fault(train, rc, "setting up the exchange", fault);
}

static int train_begin(Train *train, Fault *fault)
{
    if (data_load(train, fault) || ranks_compare(train, fault) || memory_take(train, fault) ||
        exchange_begin(train, fault) || (train->rank == 0 && state_begin(train, fault)) ||
        state_share(train, fault))
        return -1;
    say(train,
        "model of %.2f M parameters, %zu tokens of text; %zu rank%s, %d thread%s, %s kernels\n",
        (double)train->adamw.count / 1e6, train->data.count, train->ranks,
        train->ranks == 1 ? "" : "s", ops_get_threads(model_get_ops(train->model)),
        ops_get_threads(model_get_ops(train->model)) == 1 ? "" : "s",
        ops_get_kernels(model_get_ops(train->model)));
    train->started_s = train->saved_s = train->printed_s = now_s();
    train->started_step = train->step;
    return 0;
}

static void train_end(Train *train)
{
    coll_buckets_free(train->buckets);
    adamw_clear(&train->adamw);
    model_free(train->model);
    balance_free(train->balance);
    data_clear(&train->data);
    free(train->tokens);
    free(train->votes);
    free(train->seconds);
}

/* ---- one step ---- */

static void gradient_ready(void *user_data, size_t first, size_t count)
{
    Train *train = user_data;
    int rc = coll_buckets_ready(train->buckets, first, count);

    if (rc && !train->exchange_error)
        train->exchange_error = rc;
}

static void batch_fill(Train *train, size_t first, size_t count)
{
    for (size_t i = 0; i < count; i++)
        data_get_train(&train->data, (DataIndex){(uint64_t)train->seed, train->step, first + i},
                       train->tokens + i * train->window, train->window);
}

/* The rank's share in micro-batches; the last one's gradients are final and leave at once. A rank
 * with an empty share still takes part, with zeros. */
static double share_compute(Train *train)
{
    size_t share = balance_get_share(train->balance, train->rank);
    size_t first = balance_get_first(train->balance, train->rank), done = 0;
    double loss = 0.0;

    do {
        size_t count = share - done < train->micro ? share - done : train->micro;
        ModelBatch batch = {.tokens = train->tokens,
                            .sequences = count,
                            .weight = share ? 1.0F / (float)(share * (train->window - 1)) : 0.0F,
                            .accumulate = done > 0,
                            .ready = done + count == share ? gradient_ready : NULL,
                            .user_data = train};

        batch_fill(train, first + done, count);
        loss += model_train(train->model, &batch);
        done += count;
    } while (done < share);
    return loss;
}

static bool save_due(const Train *train)
{
    const Options *options = train->options;
    int64_t step = train->step + 1;

    if (!has_checkpoints(train))
        return false;
    if (options->checkpoint_steps)
        return step % options->checkpoint_steps == 0;
    return options->checkpoint_s > 0 && now_s() - train->saved_s >= options->checkpoint_s;
}

/* Gathers the votes: the loss of the step, and what rank 0 or any rank wants. */
static int votes_gather(Train *train, Vote *vote, Fault *fault)
{
    double tokens = (double)train->options->batch * (double)(train->window - 1);
    int rc = coll_all_gather(train->comm, vote, train->votes, VOTE_DOUBLES, COLL_F64);

    if (rc)
        return coll_fault(train, rc, "gathering the losses", fault);
    vote->loss_sum = vote->stop = 0.0;
    for (size_t i = 0; i < train->ranks; i++) {
        vote->loss_sum += train->votes[i].loss_sum;
        vote->stop += train->votes[i].stop;
        train->seconds[i] = train->votes[i].seconds;
    }
    vote->save = train->votes[0].save;
    train->loss = vote->loss_sum / tokens;
    return 0;
}

static int step_exchange(Train *train, Vote *vote, Fault *fault)
{
    size_t share = balance_get_share(train->balance, train->rank);
    double begin = now_s(), waited;
    int rc = coll_buckets_begin(train->buckets, (double)share);

    if (rc)
        return coll_fault(train, rc, "the exchange of gradients", fault);
    train->exchange_error = 0;
    vote->loss_sum = share_compute(train);
    vote->seconds = now_s() - begin;
    rc = coll_buckets_finish(train->buckets, &waited);
    if (rc || train->exchange_error)
        return coll_fault(train, rc ? rc : train->exchange_error, "the exchange of gradients",
                          fault);
    train->spent.compute += vote->seconds;
    train->spent.exchange += waited;
    return 0;
}

static int step_update(Train *train, Fault *fault)
{
    const Options *options = train->options;
    double begin = now_s();
    AdamwStep step = {.step = train->step + 1, .decay = options->decay, .clip = options->clip};

    step.rate = adamw_rate(options->rate, options->warmup, options->steps, step.step);
    step.grad_norm = sqrt(ops_sum_squares(model_get_ops(train->model),
                                          model_get_gradients(train->model), train->adamw.count));
    train->grad_norm = step.grad_norm;
    if (!isfinite(train->loss) || !isfinite(step.grad_norm))
        return fault_set(fault,
                         "step %" PRId64 ": the loss is no longer finite (try a smaller --lr "
                         "or a longer --warmup)",
                         step.step);
    adamw_update(&train->adamw, train->model, &step);
    train->step++;
    train->samples += options->batch;
    train->spent.update += now_s() - begin;
    return 0;
}

/* ---- validation ---- */

/* Windows are divided evenly; each rank goes through its own in micro-batches. */
static double windows_loss(Train *train, size_t first, size_t count, size_t windows)
{
    double loss = 0.0;

    for (size_t done = 0; done < count;) {
        size_t part = count - done < train->micro ? count - done : train->micro;

        for (size_t i = 0; i < part; i++)
            data_get_val(&train->data, first + done + i, windows, train->tokens + i * train->window,
                         train->window);
        loss += model_loss(train->model, train->tokens, part);
        done += part;
    }
    return loss;
}

static int validate(Train *train, Fault *fault)
{
    size_t windows = (size_t)train->options->eval_windows;
    size_t first, end;
    double begin = now_s(), sum;
    int rc;

    if (windows > train->data.val_count / train->window)
        windows = train->data.val_count / train->window;
    first = windows * train->rank / train->ranks;
    end = windows * (train->rank + 1) / train->ranks;
    sum = windows_loss(train, first, end - first, windows);
    rc = coll_all_reduce(train->comm, &sum, &sum, 1, COLL_F64, COLL_SUM);
    train->val_loss = sum / ((double)windows * (double)(train->window - 1));
    train->spent.eval += now_s() - begin;
    return coll_fault(train, rc, "gathering the validation loss", fault);
}

/* ---- telling ---- */

static double tokens_per_s(const Train *train)
{
    double busy = train->spent.compute + train->spent.exchange + train->spent.update;
    int64_t steps = train->step - train->started_step;

    if (busy <= 0.0)
        return 0.0;
    return (double)steps * (double)train->options->batch * (double)(train->window - 1) / busy;
}

static void report(Train *train, bool validated)
{
    double now = now_s();
    coll_progress progress = {.step = train->step,
                              .steps = train->options->steps,
                              .loss = train->loss,
                              .val_loss = validated ? train->val_loss : NAN,
                              .tokens_per_s = tokens_per_s(train)};

    if (!validated && train->step < train->options->steps && now - train->reported_s < REPORT_S)
        return;
    train->reported_s = now;
    progress.share =
        (double)balance_get_share(train->balance, train->rank) / (double)train->options->batch;
    coll_report_progress(&progress);
}

static void print_step(Train *train, bool validated)
{
    double now = now_s();

    if (!train->out || (!validated && now - train->printed_s < PRINT_S))
        return;
    train->printed_s = now;
    say(train, "step %6" PRId64 "/%" PRId64 "  loss %.4f", train->step, train->options->steps,
        train->loss);
    if (validated)
        say(train, "  val %.4f", train->val_loss);
    say(train, "  norm %.2f  %.0f tok/s", train->grad_norm, tokens_per_s(train));
    if (train->ranks > 1) {
        say(train, "  shares");
        for (size_t i = 0; i < train->ranks; i++)
            say(train, " %zu", balance_get_share(train->balance, i));
    }
    say(train, "\n");
}

static void print_summary(const Train *train)
{
    const Spent *spent = &train->spent;
    double all = now_s() - train->started_s;
    GptConfig config = options_get_model(train->options);
    double flops = model_flops(&config) / config.context * tokens_per_s(train);

    if (train->step == train->started_step || all <= 0.0)
        return;
    say(train,
        "%" PRId64 " steps in %.1f s: %.0f tok/s, %.1f GFLOP/s; compute %.1f %%, waiting for "
        "gradients %.1f %%, optimizer %.1f %%, validation %.1f %%, checkpoints %.1f %%\n",
        train->step - train->started_step, all, tokens_per_s(train), flops / 1e9,
        100 * spent->compute / all, 100 * spent->exchange / all, 100 * spent->update / all,
        100 * spent->eval / all, 100 * spent->save / all);
}

/* ---- checkpoint and sample, on rank 0 ---- */

/* The ranks' weights are the same bits, or what is about to be saved is one rank's mistake: a
 * broken memory, or programs that differ. */
static int replicas_compare(Train *train, Fault *fault)
{
    const size_t bytes = train->adamw.count * sizeof(float);
    int64_t digest = kernels_select()->crc32c(0, model_get_weights(train->model), bytes);
    int64_t range[2] = {digest, -digest};
    int rc = coll_all_reduce(train->comm, range, range, 2, COLL_I64, COLL_MAX);

    if (rc)
        return coll_fault(train, rc, "comparing the weights", fault);
    if (range[0] == -range[1])
        return 0;
    return fault_set(fault,
                     "step %" PRId64 ": the weights of the ranks are no longer the same (a faulty "
                     "memory, or different builds?); nothing was saved of it",
                     train->step);
}

static int save(Train *train, Fault *fault)
{
    const Options *options = train->options;
    CheckpointState state = {.step = train->step,
                             .samples = train->samples,
                             .seed = train->seed,
                             .weights = model_get_weights(train->model),
                             .m = train->adamw.m,
                             .v = train->adamw.v};
    CheckpointPlace place = {.dir = options->resume, .keep = (int)options->keep};
    double begin = now_s();

    if (!has_checkpoints(train) || train->saved_step == train->step)
        return 0;
    if (replicas_compare(train, fault))
        return -1;
    train->saved_step = train->step;
    if (train->rank == 0) {
        if (checkpoint_save(&place, model_get_params(train->model), &state, fault))
            return fault_prefix(fault, "checkpoint: ");
        coll_report_checkpoint(train->step, place.path);
        say(train, "checkpoint %s\n", place.path);
    }
    train->saved_s = now_s();
    train->spent.save += train->saved_s - begin;
    return 0;
}

/* Bytes that would move the cursor or upset a terminal become dots. */
static void sample_print(const Train *train, FILE *out, const uint16_t *tokens, size_t count)
{
    bool text = !train->options->tokens;

    fputs(text ? "sample:\n" : "sample (tokens):\n", out);
    for (size_t i = 0; i < count; i++) {
        if (!text)
            fprintf(out, "%u ", tokens[i]);
        else
            fputc((tokens[i] >= ' ' && tokens[i] < 127) || tokens[i] == '\n' || tokens[i] == '\t'
                      ? (int)tokens[i]
                      : '.',
                  out);
    }
    fputc('\n', out);
    fflush(out);
}

static int sample_write(Train *train, FILE *out, Fault *fault)
{
    SampleOptions options = {.count = (size_t)train->options->sample,
                             .temperature = train->options->temperature,
                             .seed = (uint64_t)train->options->seed};
    uint16_t first = (uint16_t)(FIRST_TOKEN % train->options->vocab);
    uint16_t *tokens;
    int rc;

    if (train->rank != 0 || !options.count)
        return 0;
    tokens = calloc(options.count, sizeof(*tokens));
    if (!tokens)
        return fault_set(fault, "no memory for the sample");
    rc = sample_draw(train->model, &options, first, tokens, fault);
    if (!rc)
        sample_print(train, out, tokens, options.count);
    free(tokens);
    return rc;
}

/* ---- the loop ---- */

static int step_run(Train *train, bool *stop, Fault *fault)
{
    const Options *options = train->options;
    Vote vote = {.stop = coll_stop_requested(), .save = save_due(train)};
    bool validated;

    if (step_exchange(train, &vote, fault) || votes_gather(train, &vote, fault) ||
        step_update(train, fault))
        return -1;
    *stop = vote.stop > 0.0;
    validated = !*stop && (train->step == options->steps ||
                           (options->eval_every && train->step % options->eval_every == 0));
    if (validated && validate(train, fault))
        return -1;
    print_step(train, validated);
    report(train, validated);
    balance_update(train->balance, train->seconds);
    return vote.save > 0.0 || *stop ? save(train, fault) : 0;
}

static int steps_run(Train *train, bool *stop, Fault *fault)
{
    *stop = false;
    if (train->step == 0) {
        if (validate(train, fault))
            return -1;
        say(train, "step      0/%" PRId64 "  val %.4f\n", train->options->steps, train->val_loss);
    }
    while (train->step < train->options->steps && !*stop) {
        if (step_run(train, stop, fault))
            return -1;
    }
    if (!*stop && save(train, fault))
        return -1;
    return 0;
}

int train_run(const Options *options, coll_comm *comm, FILE *out, Fault *fault)
{
    Train train = {.options = options,
                   .comm = comm,
                   .out = coll_rank(comm) == 0 && !options->quiet ? out : NULL,
                   .rank = (size_t)coll_rank(comm),
                   .ranks = (size_t)coll_size(comm),
                   .window = (size_t)options->context + 1,
                   .seed = options->seed,
                   .saved_step = -1};
    bool stop = false;
    int rc = train_begin(&train, fault);

    if (!rc)
        rc = steps_run(&train, &stop, fault);
    if (!rc) {
        print_summary(&train);
        if (stop)
            say(&train, "stopped on request at step %" PRId64 "\n", train.step);
        else
            rc = sample_write(&train, out, fault);
    }
    train_end(&train);
    return rc;
}
