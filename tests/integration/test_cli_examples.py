# SPDX-License-Identifier: Apache-2.0
"""The examples through `drover run`, as the README tells a newcomer to."""
import re

from cli_jobs import check_bill, interrupt, wait_for_event

GPT = """\
version: 1
name: tiny
launch: {type: mpi, procs_per_node: 2}
run: >-
  gpt_train --data text --layers 1 --heads 2 --channels 32 --context 32 --batch 4 --threads 1
  --steps STEPS --eval-every 20 --resume "$DROVER_CHECKPOINT_DIR"
checkpoint: {path: c, every: 1s, keep: 2, signal: USR1, grace: 60s}
"""


def write_gpt(drover, steps):
    (drover.work_dir / "text").write_text("the quick brown fox jumps over the lazy dog\n" * 2000)
    job = drover.work_dir / "gpt.yaml"
    job.write_text(GPT.replace("STEPS", str(steps)))
    return job


def test_hello(drover, source):
    done = drover("run", source / "examples" / "01_hello" / "job.yaml")
    assert {"rank 0", "rank 1"} == set(re.findall(r"^\[(rank \d)\] ", done.stdout, re.M))
    check_bill(drover, 1)


def test_gpt_learns_and_reports(drover):
    done = drover("run", write_gpt(drover, 60))
    shown = drover.json("show", "tiny")
    assert (shown["step"], shown["steps"]) == (60, 60)
    assert shown["val_loss"] < 4.5 < 5.5  # bytes begin at ln 256 = 5.55
    assert shown["tokens_per_s"] > 0
    assert shown["checkpoint_step"] == 60
    assert re.search(r"tiny #1 succeeded after .*: step 60/60 \(100 %\), loss \d", done.stderr)
    check_bill(drover, 1)


def test_gpt_is_stopped_and_carried_on(drover):
    process = drover.start("run", write_gpt(drover, 1000000))
    wait_for_event(drover, 1, "progress")
    interrupt(process)
    process.communicate(timeout=120)
    assert process.returncode == 130
    stopped = drover.json("show", "1")
    assert 0 < stopped["checkpoint_step"] < 1000000
    job = drover.start("run", "--resume", "tiny")
    wait_for_event(drover, 1, "note")
    interrupt(job)
    _, err = job.communicate(timeout=120)
    assert f"resumed from step {stopped['checkpoint_step']}" in err
    assert drover.json("show", "1")["checkpoint_step"] >= stopped["checkpoint_step"]
    check_bill(drover, 1)


def test_pytorch_ddp_runs_unmodified(drover, source):
    done = drover("run", source / "examples" / "03_pytorch_ddp" / "job.yaml")
    assert "[rank 0] " in done.stdout
    check_bill(drover, 1)
