# SPDX-License-Identifier: Apache-2.0
"""Job files for the tests of the command: a small trainer whose pace and end the test decides."""
import pathlib
import signal
import sqlite3
import textwrap
import time

WORKER = r'''
import json, os, signal, sys, time

rank = int(os.environ["RANK"])
size = int(os.environ["WORLD_SIZE"])
folder = os.environ["DROVER_CHECKPOINT_DIR"]
steps, pause_s = int(sys.argv[1]), float(sys.argv[2])
stop = []
signal.signal(signal.SIGUSR1, lambda *_: stop.append(1))
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))


def report(**event):
    os.write(int(os.environ["DROVER_PROGRESS_FD"]), (json.dumps(event) + "\n").encode())


def checkpoint(step):
    if rank == 0:
        path = os.path.join(folder, "step")
        with open(path + ".part", "w") as file:
            file.write(str(step))
            file.flush()
            os.fsync(file.fileno())
        os.rename(path + ".part", path)
        report(event="checkpoint", step=step, path=path)


try:
    step = int(open(os.path.join(folder, "step")).read())
    print(f"resumed from step {step}", flush=True)
except FileNotFoundError:
    step = 0
    print(f"started as {rank} of {size}", flush=True)
while step < steps and not stop:
    time.sleep(pause_s)
    step += 1
    report(event="progress", step=step, steps=steps, loss=4.0 / step, val_loss=4.5 / step,
           tokens_per_s=1000.0 * size, share=1.0 / size)
    if step % 5 == 0:
        checkpoint(step)
if stop:
    checkpoint(step)
    print(f"stopped at step {step}", flush=True)
    sys.exit(3)
print(f"finished step {step}", flush=True)
'''


def write_worker(folder, *, steps, pause_s, ranks=1, name="work", extra=""):
    """A job of `steps` steps that reports, checkpoints each five, and stops when asked."""
    (folder / "worker.py").write_text(WORKER)
    job = folder / "job.yaml"
    job.write_text(textwrap.dedent(f"""\
        version: 1
        name: {name}
        launch: {{type: mpi, procs_per_node: {ranks}}}
        run: exec /usr/bin/python3 worker.py {steps} {pause_s}
        checkpoint: {{path: checkpoints, signal: USR1, grace: 20s}}
        """) + extra)
    return job


def write_shell(folder, script, *, ranks=1, name="shell", extra=""):
    job = folder / "job.yaml"
    body = textwrap.indent(script, "  ")
    job.write_text(f"version: 1\nname: {name}\n"
                   f"launch: {{type: mpi, procs_per_node: {ranks}}}\nrun: |\n{body}\n{extra}")
    return job


def wait_for(condition, what, deadline_s=60):
    """The value of `condition` once it is true."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {deadline_s} s in vain for {what}")


def store_rows(drover, query, *values):
    """Reads the store itself, beside the program."""
    path = pathlib.Path(drover.state_dir) / "drover.db"
    if not path.exists():
        return []
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30) as db:
        try:
            return db.execute(query, values).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise


def wait_for_event(drover, job, kind):
    return wait_for(lambda: store_rows(drover, "SELECT seq FROM events WHERE job = ? AND type = ?",
                                       job, kind), f"event {kind} of job {job}")


def check_bill(drover, job):
    """The invoice has exactly the time of the leases in the store, and the ledger agrees."""
    invoice = drover.json("bill", job)
    used_ms, open_leases = store_rows(
        drover, "SELECT coalesce(sum(used_ms), 0), sum(released = 0) FROM leases WHERE job = ?",
        job)[0]
    assert invoice["gpu_ms"] == used_ms
    assert not open_leases
    every = drover.json("bill")
    assert sum(one["total_units"] for one in every["invoices"]) == \
        sum(one["total_units"] for one in every["totals"])
    assert every["ledger"]["audited"]
    return invoice


def interrupt(process):
    process.send_signal(signal.SIGINT)
