# SPDX-License-Identifier: Apache-2.0
"""The launcher below the real `drover`: what a kill of everything named drover leaves, and a drover
inside a job of drover."""
import os
import pathlib
import signal

from cli_jobs import wait_for, write_shell

DETACHED = """
trap '' HUP INT TERM
(setsid sh -c 'echo r > ready-'$RANK'; while :; do sleep 1; done' &)
while :; do sleep 1; done
"""


def processes():
    """pid -> (name, parent) of all that run."""
    found = {}
    for folder in pathlib.Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            head, tail = (folder / "stat").read_text().rsplit(")", 1)
        except OSError:
            continue
        state, parent = tail.split()[:2]
        if state != "Z":
            found[int(folder.name)] = (head.split("(", 1)[1], int(parent))
    return found


def descendants(root):
    everything = processes()
    tree = {root}
    while True:
        more = {pid for pid, (_, parent) in everything.items() if parent in tree} - tree
        if not more:
            return {pid: everything[pid][0] for pid in tree if pid in everything}
        tree |= more


def survivors(mark):
    """Processes that carry `mark` in their environment or command line."""
    found = []
    for pid in processes():
        for name in ("environ", "cmdline"):
            try:
                data = pathlib.Path(f"/proc/{pid}/{name}").read_bytes()
            except OSError:
                continue
            if pid != os.getpid() and mark.encode() in data:
                found.append((pid, name, data[:200]))
    return found


def test_a_kill_of_all_that_is_named_drover_leaves_nothing(drover):
    job = write_shell(drover.work_dir, DETACHED, ranks=2, name="stubborn")
    process = drover.start("run", job)
    for rank in (0, 1):
        wait_for((drover.work_dir / f"ready-{rank}").exists, f"rank {rank} to be ready")
    killed = [pid for pid, name in descendants(process.pid).items() if name == "drover"]
    assert len(killed) == 4, "drover run, drover launch and two drover rank"
    for pid in killed:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # the death of another one brought its own
    process.communicate()
    wait_for(lambda: not survivors(str(drover.work_dir.parent)), "the last process to end")
    shown = drover.json("show", "stubborn")
    assert shown["state"] not in ("running", "starting", "stopping"), shown


def test_a_job_may_run_drover(drover):
    inner = drover.work_dir / "inner"
    inner.mkdir()
    job = write_shell(inner, "echo inner $RANK of $WORLD_SIZE", ranks=2, name="inner")
    outer = write_shell(drover.work_dir, f"DROVER_STATE_DIR={inner}/state {drover.path} run {job}",
                        name="outer")
    said = drover("run", outer).stdout
    assert "inner 0 of 2" in said
    assert "inner 1 of 2" in said
