/* SPDX-License-Identifier: Apache-2.0
 *
 * For the tests of run.c and group.c: whole jobs through a Group, with a launcher that does as the
 * test says (fake_launch.c), and what the group tells of them.
 */
#ifndef TEST_RUNNER_WATCH_H
#define TEST_RUNNER_WATCH_H

#include "fixture.h"
#include "runner/queue/group.h"

#define WATCH_RETRY "retry: {on: [nonzero_exit, supplier_lost], max: 2, backoff: 10ms..20ms}\n"

typedef struct Fixture Fixture;

/* One group and what it told. */
typedef struct {
    Fixture *fixture;
    Group *group;
    GString *log; /* "t:pending t:starting ..." */
    GError *error;
    bool done;
    int active_most;
    const char *act_on; /* state at which `act` is called, once */
    void (*act)(Fixture *fixture);
} Watch;

struct Fixture {
    char *dir;
    Store *store;
    Node *node;
    PriceList *prices;
    char *program;
    GroupConfig config;
    Watch watch;
    Watch other;
    guint deadline;
};

/* One H100, a heartbeat of 20 ms, and the end of the test after a minute without one. */
void watch_set_up(Fixture *fixture, gconstpointer data);
void watch_clear(Watch *watch);
void watch_tear_down(Fixture *fixture, gconstpointer data);
void watch_open(Fixture *fixture, Watch *watch);
void watch_add(Watch *watch, const char *yaml);
void watch_finish(Watch *watch);
void watch_run(Fixture *fixture, const char *yaml);
char *watch_job_file(const char *run, const char *more);
void watch_run_one(Fixture *fixture, const char *words, const char *more);
void watch_resume(Fixture *fixture, JobId id);
Job *watch_first_job(Fixture *fixture);
int64_t watch_used_ms(Fixture *fixture, JobId id);
guint watch_count_events(Fixture *fixture, JobId id, const char *type);
void watch_assert_has(const char *text, const char *part);
void watch_assert_ended(Fixture *fixture, JobState state, const char *cause, const char *reason);

/* The job that a test has added first. */
extern const JobId watch_first;

#endif
