#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `drover run` adds to `mpirun`: the same trivial MPI program through both, in turn.

    tests/bench/bench_run.py [ROUNDS]

DROVER_BUILD names the build folder (default: build/ of this tree). Prints the medians, their ratio
(goal: at most 1.10), and the median time from a job's acceptance to the start of its first process,
as the events in the store have it (goal: at most 25 ms).
"""
import os
import pathlib
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
int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Barrier(MPI_COMM_WORLD);
    return MPI_Finalize();
}
"""


def seconds_of(command, folder, env):
    begin = time.monotonic()
    subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return time.monotonic() - begin


def starts_ms(state):
    """Acceptance to first process, of each job."""
    with sqlite3.connect(state / "drover.db") as db:
        return [row[0] for row in db.execute(
            "SELECT (SELECT min(at_ms) FROM events WHERE job = id AND type = 'started')"
            " - (SELECT min(at_ms) FROM events WHERE job = id AND type = 'accepted') FROM jobs")]


def main(rounds):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "trivial.c").write_text(PROGRAM)
        subprocess.run(["mpicc", "-O2", "-o", "trivial", "trivial.c"], cwd=folder, check=True)
        (folder / "job.yaml").write_text(
            f"version: 1\nname: trivial\nlaunch: {{type: mpi, procs_per_node: {RANKS}}}\n"
            "run: exec ./trivial\n")
        env = dict(os.environ, DROVER_STATE_DIR=str(folder / "state"))
        env.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
        (folder / "state").mkdir(mode=0o700)
        mpirun = ["mpirun", "--oversubscribe", "-n", str(RANKS), "./trivial"]
        drover = [str(BUILD / "bin" / "drover"), "run", "job.yaml"]
        times = {"mpirun": [], "drover run": []}
        for command in (mpirun, drover):
            seconds_of(command, folder, env)
        for _ in range(rounds):
            times["mpirun"].append(seconds_of(mpirun, folder, env))
            times["drover run"].append(seconds_of(drover, folder, env))
        for words, values in times.items():
            print(f"{words:12} {RANKS} ranks: median {statistics.median(values) * 1e3:7.1f} ms, "
                  f"{min(values) * 1e3:.1f} to {max(values) * 1e3:.1f} ms, {rounds} rounds in turn")
        ratio = (statistics.median(times["drover run"]) / statistics.median(times["mpirun"]))
        print(f"ratio of the medians: {ratio:.3f} (goal: at most 1.10)")
        starts = starts_ms(folder / "state")
        print(f"accepted to first process: median {statistics.median(starts):.0f} ms of "
              f"{len(starts)} jobs (goal: at most 25 ms)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
