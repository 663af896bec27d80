#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `drover run` adds to `mpirun`: the same trivial MPI program through both, in turn.

    tests/bench/bench_run.py [ROUNDS]

DROVER_BUILD names the build folder (default: build/ of this tree). Prints

- the medians of the wall times and their ratio, against mpirun as it comes, and against mpirun with
  the settings that drover gives it (launcher/backend_local.c), so that it shows how much of the
  difference is those (goal: at most 1.10 of mpirun as it comes);
- the time from `accepted` to `started` (the first process of the ranks exists), both events in the
  store (goal: at most 25 ms), beside what mpirun itself takes from its start to that process.
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
LEAN = {"OMPI_MCA_plm": "isolated", "OMPI_MCA_pml": "ob1", "OMPI_MCA_rtc": "^hwloc",
        "OMPI_MCA_hwloc_base_binding_policy": "none", "HWLOC_COMPONENTS": "-linux:pci,-linux:io"}
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


def accepted_to_started_ms(state):
    with sqlite3.connect(state / "drover.db") as db:
        accepted, started = (db.execute("SELECT at_ms FROM events WHERE type = ?"
                                        " ORDER BY seq DESC LIMIT 1", (kind,)).fetchone()[0]
                             for kind in ("accepted", "started"))
    return started - accepted


def prepare(folder):
    (folder / "trivial.c").write_text(PROGRAM)
    subprocess.run(["mpicc", "-O2", "-o", "trivial", "trivial.c"], cwd=folder, check=True)
    (folder / "job.yaml").write_text(
        f"version: 1\nname: trivial\nlaunch: {{type: mpi, procs_per_node: {RANKS}}}\n"
        "run: exec ./trivial\n")
    (folder / "state").mkdir(mode=0o700)


def tell(words, values):
    print(f"{words:14} {RANKS} ranks: median {statistics.median(values) * 1e3:7.1f} ms, "
          f"{min(values) * 1e3:.1f} to {max(values) * 1e3:.1f} ms, {len(values)} rounds in turn")


def main(rounds):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        prepare(folder)
        env = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
        lean = dict(env, **LEAN)
        ours = dict(os.environ, DROVER_STATE_DIR=str(folder / "state"))
        mpirun = ["mpirun", "--oversubscribe", "-n", str(RANKS), "./trivial"]
        drover = [str(BUILD / "bin" / "drover"), "run", "job.yaml"]
        walls, firsts, started = ([], [], []), [], []
        for turn in range(-1, rounds):
            runs = [run_once(mpirun, folder, env), run_once(mpirun, folder, lean),
                    run_once(drover, folder, ours)]
            if turn < 0:
                continue
            for wall, run in zip(walls, runs):
                wall.append(run[0])
            firsts.append(runs[1][2] - runs[1][1])
            started.append(accepted_to_started_ms(folder / "state"))
        tell("mpirun", walls[0])
        tell("mpirun, lean", walls[1])
        tell("drover run", walls[2])
        medians = [statistics.median(wall) for wall in walls]
        print(f"drover / mpirun: {medians[2] / medians[0]:.2f} (goal: at most 1.10), "
              f"drover / mpirun with the same settings: {medians[2] / medians[1]:.2f}")
        print(f"accepted to started: median {statistics.median(started):.0f} ms, "
              f"{min(started)} to {max(started)} ms (goal: at most 25); mpirun with the same "
              f"settings from its start to its first process: {statistics.median(firsts):.0f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
