/* SPDX-License-Identifier: Apache-2.0
 *
 * For the tests of runner/queue: a store in a folder of its own, jobs from YAML, a node that never
 * was. Every function fails the test where it cannot do what it says.
 */
#ifndef TEST_RUNNER_FIXTURE_H
#define TEST_RUNNER_FIXTURE_H

#include "launcher/node.h"
#include "runner/queue/store_priv.h"

/* A private folder below the system's place for them; removed with all in it. */
char *fixture_make_dir(void);
void fixture_remove_dir(char *dir);

Store *fixture_open(const char *dir);
/* The job of "version: 1\nname: t\nrun: true\n" and `yaml`, which may override those lines. */
JobSpec *fixture_spec(const char *yaml);
/* All jobs of the text. */
GPtrArray *fixture_specs(const char *yaml);
JobId fixture_add(Store *store, const char *yaml);
void fixture_append(Store *store, JobId job, int attempt, const char *type, const char *body);
/* An attempt with the lease of one device. */
void fixture_begin(Store *store, JobId job, int attempt, const char *device);
void fixture_end(Store *store, JobId job, int attempt, const char *type, int64_t used_ms);
Job *fixture_job(Store *store, JobId job);
/* store_check() and, for what it cannot see, the state. */
void fixture_check(Store *store);

/* A test of the store alone: g_test_add(path, StoreFixture, NULL, fixture_set_up, test,
 * fixture_tear_down). A store that the test leaves open must pass fixture_check(). */
typedef struct {
    char *dir;
    Store *store; /* NULL: the test has closed it */
} StoreFixture;

void fixture_set_up(StoreFixture *fixture, gconstpointer data);
void fixture_tear_down(StoreFixture *fixture, gconstpointer data);

/* `gpus` devices of `model` with 24 GiB, or a `cpu` where it is NULL; 8 cores, 32 GiB, 100 GiB. */
Node *fixture_node(const char *model, int gpus);

/* A wall clock that only goes on: each call is a second later. */
int64_t fixture_now_ms(void);

#endif
