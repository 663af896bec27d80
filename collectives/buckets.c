/* SPDX-License-Identifier: Apache-2.0
 *
 * Gradient buckets. The buffer is cut into buckets of equal size; a bucket is full when all of its
 * elements were reported, and travels, as an asynchronous weighted mean, when it is full and all
 * buckets before it in `order` have left. So ranks start the same reductions in the same order, in
 * whatever order each of them reports its pieces:
 *
 *     idle ──begin──> open: ready, ready, ... ──finish──> idle
 *
 * `order` is from the end of the buffer to its start in the first step, as a backward pass mostly
 * runs. After the first step all ranks take the order in which buckets became full on rank 0 and
 * keep it.
 *
 * What was reported is a sorted list of disjoint ranges that never touch; it is what finds an
 * element that is reported twice, and it ends as the single range of the whole buffer.
 */
#include <stdlib.h>
#include <string.h>

#include "collectives/backend.h"

enum { BUCKET_BYTES_DEFAULT = 4 << 20, BUCKET_BYTES_LEAST = 4096 };

typedef struct {
    size_t first;
    size_t end;
} Range;

typedef struct {
    size_t missing; /* elements not reported in this step */
    coll_request *request;
} Bucket;

struct coll_buckets {
    coll_comm *comm;
    float *data;
    size_t count;
    size_t bucket_count; /* elements in each bucket but the last */
    size_t size;         /* number of buckets */
    Bucket *buckets;
    int32_t *order;  /* bucket numbers: the order of travel */
    int32_t *filled; /* bucket numbers: the order in which they became full in this step */
    size_t filled_size;
    size_t left_size; /* how many of `order` travel or have travelled */
    bool order_agreed;
    bool open;
    double weight;
    Range *ranges;
    size_t ranges_size;
    size_t ranges_room;
};

static size_t buckets_end(const coll_buckets *buckets, size_t bucket)
{
    size_t end = (bucket + 1) * buckets->bucket_count;

    return end < buckets->count ? end : buckets->count;
}

/* ---- making ---- */

static bool buckets_alloc(coll_buckets *buckets)
{
    size_t size = buckets->size > 0 ? buckets->size : 1;

    buckets->ranges_room = 16;
    buckets->buckets = calloc(size, sizeof *buckets->buckets);
    buckets->order = calloc(size, sizeof *buckets->order);
    buckets->filled = calloc(size, sizeof *buckets->filled);
    buckets->ranges = calloc(buckets->ranges_room, sizeof *buckets->ranges);
    return buckets->buckets && buckets->order && buckets->filled && buckets->ranges;
}

int coll_buckets_new(coll_comm *comm, float *data, size_t count, size_t bucket_bytes,
                     coll_buckets **buckets)
{
    coll_buckets *made;

    if (!comm || !buckets || (count > 0 && !data) || count > PTRDIFF_MAX / sizeof *data)
        return COLL_EINVAL;
    if (bucket_bytes == 0)
        bucket_bytes = BUCKET_BYTES_DEFAULT;
    if (bucket_bytes < BUCKET_BYTES_LEAST)
        bucket_bytes = BUCKET_BYTES_LEAST;
    made = calloc(1, sizeof *made);
    if (!made)
        return COLL_ENOMEM;
    made->comm = comm;
    made->data = data;
    made->count = count;
    made->bucket_count = bucket_bytes / sizeof *data;
    made->size = count / made->bucket_count + (count % made->bucket_count != 0);
    if (made->size > INT32_MAX || !buckets_alloc(made)) {
        coll_buckets_free(made);
        return COLL_ENOMEM;
    }
    for (size_t i = 0; i < made->size; i++)
        made->order[i] = (int32_t)(made->size - 1 - i);
    *buckets = made;
    return COLL_OK;
}

int coll_buckets_begin(coll_buckets *buckets, double weight)
{
    if (!buckets)
        return COLL_EINVAL;
    if (buckets->open)
        return coll_words_set(buckets->comm->error, COLL_EINVAL,
                              "buckets: begin before the finish of the step before");
    for (size_t i = 0; i < buckets->size; i++)
        buckets->buckets[i].missing = buckets_end(buckets, i) - i * buckets->bucket_count;
    buckets->open = true;
    buckets->weight = weight;
    buckets->filled_size = 0;
    buckets->left_size = 0;
    buckets->ranges_size = 0;
    return COLL_OK;
}

/* ---- ranges ---- */

/* Adds [first, end) and joins it with what it touches. False where an element is there already. */
static int buckets_add_range(coll_buckets *buckets, Range range)
{
    Range *ranges = buckets->ranges;
    size_t size = buckets->ranges_size, at = size;
    bool joins_left, joins_right;

    while (at > 0 && ranges[at - 1].first >= range.first)
        at--;
    if ((at > 0 && ranges[at - 1].end > range.first) || (at < size && ranges[at].first < range.end))
        return coll_words_set(buckets->comm->error, COLL_EINVAL,
                              "buckets: elements in %zu..%zu were reported before", range.first,
                              range.end - 1);
    joins_left = at > 0 && ranges[at - 1].end == range.first;
    joins_right = at < size && ranges[at].first == range.end;
    if (joins_left && joins_right) {
        ranges[at - 1].end = ranges[at].end;
        memmove(ranges + at, ranges + at + 1, (size - at - 1) * sizeof *ranges);
        buckets->ranges_size--;
    } else if (joins_left) {
        ranges[at - 1].end = range.end;
    } else if (joins_right) {
        ranges[at].first = range.first;
    } else {
        memmove(ranges + at + 1, ranges + at, (size - at) * sizeof *ranges);
        ranges[at] = range;
        buckets->ranges_size++;
    }
    return COLL_OK;
}

static int buckets_reserve_range(coll_buckets *buckets)
{
    Range *grown;

    if (buckets->ranges_size < buckets->ranges_room)
        return COLL_OK;
    grown = realloc(buckets->ranges, 2 * buckets->ranges_room * sizeof *grown);
    if (!grown)
        return coll_words_set(buckets->comm->error, COLL_ENOMEM, "buckets: out of memory");
    buckets->ranges = grown;
    buckets->ranges_room *= 2;
    return COLL_OK;
}

/* ---- a step ---- */

/* Sends off every bucket whose turn it is. */
static int buckets_launch(coll_buckets *buckets)
{
    int rc = COLL_OK;

    while (rc == COLL_OK && buckets->left_size < buckets->size) {
        size_t next = (size_t)buckets->order[buckets->left_size];
        size_t first = next * buckets->bucket_count;
        CollCall call = {.kind = COLL_CALL_MEAN,
                         .type = COLL_F32,
                         .count = buckets_end(buckets, next) - first,
                         .send = buckets->data + first,
                         .recv = buckets->data + first,
                         .weight = buckets->weight};

        if (buckets->buckets[next].missing > 0)
            break;
        rc = coll_request_start(buckets->comm, &call, &buckets->buckets[next].request);
        if (rc == COLL_OK)
            buckets->left_size++;
    }
    return rc;
}

int coll_buckets_ready(coll_buckets *buckets, size_t first, size_t count)
{
    size_t end;
    int rc;

    if (!buckets)
        return COLL_EINVAL;
    if (!buckets->open)
        return coll_words_set(buckets->comm->error, COLL_EINVAL, "buckets: ready before begin");
    if (__builtin_add_overflow(first, count, &end) || end > buckets->count)
        return coll_words_set(buckets->comm->error, COLL_EINVAL,
                              "buckets: %zu elements at %zu of %zu", count, first, buckets->count);
    if (count == 0)
        return COLL_OK;
    rc = buckets_reserve_range(buckets);
    if (rc == COLL_OK)
        rc = buckets_add_range(buckets, (Range){first, end});
    if (rc != COLL_OK)
        return rc;
    while (first < end) {
        size_t bucket = first / buckets->bucket_count;
        size_t stop = buckets_end(buckets, bucket) < end ? buckets_end(buckets, bucket) : end;

        buckets->buckets[bucket].missing -= stop - first;
        if (buckets->buckets[bucket].missing == 0)
            buckets->filled[buckets->filled_size++] = (int32_t)bucket;
        first = stop;
    }
    return buckets_launch(buckets);
}

/* Waits for all that travels; the first error of it. */
static int buckets_wait(coll_buckets *buckets)
{
    int result = COLL_OK;

    for (size_t i = 0; i < buckets->left_size; i++) {
        Bucket *bucket = &buckets->buckets[buckets->order[i]];
        int rc = coll_wait(bucket->request);

        bucket->request = NULL;
        if (result == COLL_OK)
            result = rc;
    }
    buckets->left_size = 0;
    return result;
}

static int buckets_agree(coll_buckets *buckets)
{
    int rc;

    if (buckets->order_agreed)
        return COLL_OK;
    rc = coll_broadcast(buckets->comm, buckets->filled, buckets->size, COLL_I32, 0);
    if (rc == COLL_OK) {
        memcpy(buckets->order, buckets->filled, buckets->size * sizeof *buckets->order);
        buckets->order_agreed = true;
    }
    return rc;
}

int coll_buckets_finish(coll_buckets *buckets, double *wait_s)
{
    int64_t started_ns = coll_clock_ns();
    size_t missing;
    int rc;

    if (!buckets)
        return COLL_EINVAL;
    if (!buckets->open)
        return coll_words_set(buckets->comm->error, COLL_EINVAL, "buckets: finish before begin");
    if (buckets->filled_size < buckets->size) {
        missing =
            buckets->ranges_size > 0 && buckets->ranges[0].first == 0 ? buckets->ranges[0].end : 0;
        return coll_words_set(buckets->comm->error, COLL_EINVAL,
                              "buckets: element %zu was not reported", missing);
    }
    rc = buckets_launch(buckets);
    if (rc == COLL_OK)
        rc = buckets_wait(buckets);
    else
        buckets_wait(buckets);
    if (rc == COLL_OK)
        rc = buckets_agree(buckets);
    buckets->open = false;
    if (wait_s)
        *wait_s = (double)(coll_clock_ns() - started_ns) * 1e-9;
    return rc;
}

void coll_buckets_free(coll_buckets *buckets)
{
    if (!buckets)
        return;
    buckets_wait(buckets);
    free(buckets->buckets);
    free(buckets->order);
    free(buckets->filled);
    free(buckets->ranges);
    free(buckets);
}
