#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `drover run` adds to `mpirun`: the same trivial MPI program through both, in turn.

    tests/bench/bench_run.py [ROUNDS]

DROVER_BUILD names the build folder (default: build/ of this tree). Prints

- the medians of the wall times and their ratio (goal: at most 1.10);
- the time until the first process of the program runs, which it tells itself: for mpirun from its
  start, for drover from the event `accepted` in the store. Their difference is what drover takes to
  match, lease, plan and journal before and around mpirun's own start (goal: at most 25 ms).
"""
import os
import pathlib
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("DROVER_BUILD", SOURCE / "build")).resolve()
RANKS = 2
PROGRAM = r"""
#include <mpi.h>
#include <stdio.h>
#include <time.h>
int main(int argc, char **argv)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    printf("began %lld\n", now.tv_sec * 1000LL + now.tv_nsec / 1000000);
    MPI_Init(&argc, &argv);
    MPI_Barrier(MPI_COMM_WORLD);
    return MPI_Finalize();
}
"""


def run_once(command, folder, env):
    """Wall seconds, and the wall clock (ms) at the start and at the program's first process."""
    start_ms = time.time() * 1e3
    begin = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True, text=True)
    seconds = time.monotonic() - begin
    return seconds, start_ms, min(int(ms) for ms in re.findall(r"began (\d+)", done.stdout))


def accepted_ms(state):
    with sqlite3.connect(state / "drover.db") as db:
        return db.execute("SELECT at_ms FROM events WHERE type = 'accepted'"
                          " ORDER BY seq DESC LIMIT 1").fetchone()[0]


def prepare(folder):
    (folder / "trivial.c").write_text(PROGRAM)
    subprocess.run(["mpicc", "-O2", "-o", "trivial", "trivial.c"], cwd=folder, check=True)
    (folder / "job.yaml").write_text(
        f"version: 1\nname: trivial\nlaunch: {{type: mpi, procs_per_node: {RANKS}}}\n"
        "run: exec ./trivial\n")
    (folder / "state").mkdir(mode=0o700)


def tell(words, values):
    print(f"{words:12} {RANKS} ranks: median {statistics.median(values) * 1e3:7.1f} ms, "
          f"{min(values) * 1e3:.1f} to {max(values) * 1e3:.1f} ms, {len(values)} rounds in turn")


def main(rounds):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        prepare(folder)
        env = dict(os.environ, DROVER_STATE_DIR=str(folder / "state"),
                   OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
        mpirun = ["mpirun", "--oversubscribe", "-n", str(RANKS), "./trivial"]
        drover = [str(BUILD / "bin" / "drover"), "run", "job.yaml"]
        walls, firsts = ([], []), ([], [])
        for turn in range(-1, rounds):
            seconds, start_ms, began_ms = run_once(mpirun, folder, env)
            ours, _, our_began_ms = run_once(drover, folder, env)
            if turn < 0:
                continue
            walls[0].append(seconds)
            walls[1].append(ours)
            firsts[0].append(began_ms - start_ms)
            firsts[1].append(our_began_ms - accepted_ms(folder / "state"))
        tell("mpirun", walls[0])
        tell("drover run", walls[1])
        ratio = statistics.median(walls[1]) / statistics.median(walls[0])
        print(f"ratio of the medians: {ratio:.3f} (goal: at most 1.10)")
        first = [statistics.median(values) for values in firsts]
        print(f"first process: {first[0]:.0f} ms after the start of mpirun, {first[1]:.0f} ms after"
              " 'accepted' with drover")
        print(f"difference: {first[1] - first[0]:.0f} ms (goal: at most 25)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
