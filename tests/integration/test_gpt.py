# SPDX-License-Identifier: Apache-2.0
"""The trainer as a program: alone, under mpirun on several ranks, stopped, killed, resumed."""
import json
import os
import re
import signal
import subprocess
import time

import pytest

DEADLINE_S = 120
SMALL = ["--layers=2", "--heads=2", "--channels=32", "--context=48", "--warmup=3", "--threads=1"]


class Trainer:
    """Runs gpt_train with the launcher's end of the progress pipe in our hands."""

    def __init__(self, build, folder):
        self.program, self.folder = build / "bin" / "gpt_train", folder
        self.fifo = folder / "progress"
        os.mkfifo(self.fifo)
        self.text = folder / "text"
        words = "it was the best of times, it was the worst of times; we had everything before us"
        self.text.write_text("".join(f"{i * 7919 % 1009} {words[i % 40:]}\n" for i in range(1500)))
        self.env = {key: value for key, value in os.environ.items()
                    if not key.startswith(("DROVER_", "OMPI_", "PMIX_"))}
        self.env.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                        DROVER_CHECKPOINT_SIGNAL=str(int(signal.SIGUSR1)),
                        OMP_NUM_THREADS="1")

    def command(self, ranks, flags):
        """Rank 0 has the pipe. $SLOW_RANK, at a lower priority, shares $SLOW_CORE with a loop."""
        train = [str(self.program), "--data", str(self.text), *SMALL, *flags]
        if ranks == 0:
            return train
        script = """
            [ "$OMPI_COMM_WORLD_RANK" != 0 ] || exec 9<>"$0"
            [ "$OMPI_COMM_WORLD_RANK" = "${SLOW_RANK-}" ] || exec "$@"
            taskset -cp "$SLOW_CORE" $$ >/dev/null
            while :; do :; done &
            nice -n 10 "$@"
            status=$?
            kill $!
            exit $status"""
        return ["mpirun", "--oversubscribe", "-n", str(ranks), "-x", "DROVER_PROGRESS_FD=9",
                "bash", "-c", script, str(self.fifo), *train]

    def start(self, ranks, *flags):
        return subprocess.Popen(self.command(ranks, flags), env=self.env, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                start_new_session=True)

    def __call__(self, ranks, *flags, status=0):
        """Steps as a dict of what rank 0 reported, and the output."""
        reader = os.open(self.fifo, os.O_RDONLY | os.O_NONBLOCK)
        process = self.start(ranks, *flags)
        out, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == status, out + err
        data = b""
        try:
            while part := os.read(reader, 1 << 16):
                data += part
        except BlockingIOError:
            pass
        os.close(reader)
        lines = [json.loads(line) for line in data.decode().splitlines()]
        steps = {line["step"]: line for line in lines if "loss" in line}
        return steps, out + err


@pytest.fixture
def trainer(build, tmp_path):
    return Trainer(build, tmp_path)


def assert_same_losses(ours, theirs, tolerance=1e-5):
    assert ours.keys() == theirs.keys() and ours
    for step, line in theirs.items():
        for name in ("loss", "val_loss"):
            assert abs(ours[step][name] - line[name]) <= tolerance * line[name], (step, name)


@pytest.mark.parametrize("flags", [["--batch=7"], ["--batch=7", "--micro-batch=2"], ["--batch=2"]],
                         ids=" ".join)
def test_any_number_of_ranks_gives_the_loss_of_one(trainer, flags):
    flags = ["--steps=12", "--eval-every=1", "--eval-windows=7", *flags]
    one, _ = trainer(1, *flags)
    assert list(one) == list(range(1, 13))
    assert one[12]["loss"] < one[1]["loss"] - 0.3
    for ranks in (2, 3, 4):
        steps, _ = trainer(ranks, *flags)
        assert_same_losses(steps, one)


def test_a_slow_rank_loses_share_and_the_loss_stays(trainer):
    """Rank 1 of 2 gets a tenth of a core: rank 0 takes over most of each batch, and the loss of
    every step stays that of the even split and of one rank."""
    flags = ["--steps=30", "--batch=16", "--channels=64", "--eval-every=1", "--eval-windows=4"]
    one, _ = trainer(1, *flags)
    even, _ = trainer(2, *flags)
    assert {line["share"] for line in even.values()} == {0.5}
    trainer.env.update(DROVER_TRAIN_BALANCE="auto", SLOW_RANK="1",
                       SLOW_CORE=str(max(os.sched_getaffinity(0))))
    uneven, _ = trainer(2, *flags)
    shares = [uneven[step]["share"] for step in sorted(uneven)]
    assert shares[0] == 0.5 and shares[-1] >= 0.75, shares
    assert_same_losses(even, one)
    assert_same_losses(uneven, even)


def test_resume_on_other_numbers_of_ranks(trainer):
    """1, 2, 3, 1 ranks in turn continue what an uninterrupted run does."""
    flags = ["--batch=6", "--eval-every=1", "--eval-windows=4", "--checkpoint-every=1"]
    whole, _ = trainer(1, "--steps=16", *flags, "--resume", trainer.folder / "whole")
    kept = sorted(path.name for path in (trainer.folder / "whole").iterdir())
    assert kept == ["latest", "step-00000014", "step-00000015", "step-00000016"]
    parts, folder = {}, trainer.folder / "parts"
    for ranks, until in ((1, 4), (2, 8), (3, 12), (1, 16)):
        # The schedule needs the true number of steps: each part is stopped by a copy of the past.
        steps, out = trainer(ranks, "--steps=16", *flags, "--keep=20", "--resume", folder)
        assert ("resumed from step" in out) == (until > 4)
        parts.update({step: line for step, line in steps.items() if step <= until})
        for path in folder.iterdir():
            if path.name.startswith("step-") and int(path.name[5:]) > until:
                for file in path.iterdir():
                    file.unlink()
                path.rmdir()
    assert_same_losses(parts, whole)


def wait_for(process, folder, steps):
    """Until the folder has a checkpoint of this many steps; the process must be alive."""
    deadline = time.monotonic() + DEADLINE_S
    while not any(int(path.name[5:]) >= steps for path in folder.glob("step-*")):
        assert time.monotonic() < deadline, "no checkpoint"
        try:
            process.wait(timeout=0.01)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(process.communicate())
    return process


@pytest.mark.parametrize("ranks", [0, 2], ids=["alone", "2 ranks"])
def test_a_stop_is_clean_and_resumable(trainer, ranks):
    """SIGUSR1, which mpirun hands on: a checkpoint after the step at hand, status 0; the rest gives
    the same end."""
    flags = ["--steps=600", "--batch=4", "--eval-every=100"]
    whole, _ = trainer(1, *flags)
    folder = trainer.folder / "stopped"
    flags += ["--checkpoint-every=10", "--resume", folder]
    process = wait_for(trainer.start(ranks, *flags), folder, 10)
    process.send_signal(signal.SIGUSR1)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    assert "stopped on request at step" in out
    steps, out = trainer(1, *flags)
    assert "resumed from step" in out
    assert abs(steps[600]["val_loss"] - whole[600]["val_loss"]) <= 1e-5 * whole[600]["val_loss"]


def test_kill_leaves_a_usable_checkpoint(trainer):
    flags = ["--steps=300", "--batch=4", "--eval-every=100"]
    whole, _ = trainer(1, *flags)
    folder = trainer.folder / "killed"
    flags.append("--checkpoint-every=3")
    for steps in (3, 60, 120):
        process = wait_for(trainer.start(0, *flags, "--resume", folder), folder, steps)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    steps, out = trainer(1, *flags, "--resume", folder)
    assert "resumed from step" in out and "passing over" not in out
    assert abs(steps[300]["val_loss"] - whole[300]["val_loss"]) <= 1e-5 * whole[300]["val_loss"]


def test_a_damaged_checkpoint_is_passed_over(trainer):
    flags = ["--batch=2", "--eval-every=0", "--checkpoint-every=2", "--resume",
             trainer.folder / "c"]
    trainer(0, "--steps=4", *flags)
    weights = trainer.folder / "c" / "step-00000004" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    _, out = trainer(0, "--steps=6", *flags)
    assert "passing over checkpoint step-00000004" in out and "resumed from step 2" in out
    for path in (trainer.folder / "c").glob("step-*"):
        (path / "trainer.json").write_text("{}")
    _, out = trainer(0, "--steps=8", *flags, status=1)
    assert "no checkpoint" in out and "to start anew" in out


def test_a_checkpoint_of_another_model_is_refused(trainer):
    flags = ["--steps=1", "--batch=2", "--resume", trainer.folder / "c"]
    trainer(0, *flags)
    _, out = trainer(0, *flags, "--heads=4", status=1)
    assert "another model" in out and "--heads 2" in out


def test_the_sample_is_as_long_as_asked_and_plain(trainer):
    _, out = trainer(0, "--steps=3", "--batch=2", "--sample=120", "--quiet")
    assert out.startswith("sample:\n")
    sample = out[len("sample:\n"):-1]
    assert len(sample) == 120
    assert all(" " <= character < "\x7f" or character in "\n\t" for character in sample)


def test_help_and_bad_flags(trainer):
    _, out = trainer(0, "--help")
    for flag in ("--data", "--tokens", "--resume", "--checkpoint-every", "--sample", "--init"):
        assert flag in out
    for flags, words in ((["--steps=x"], "'x' is not a whole number"),
                         (["--speed=3"], "unknown argument '--speed=3'"),
                         (["--heads=7"], "do not divide")):
        _, out = trainer(0, *flags, status=2)
        assert out.startswith("gpt_train: ") and words in out
    _, out = trainer(2, "--steps=x", status=2)
    assert out.count("is not a whole number") == 1


def test_bad_files(trainer):
    empty = trainer.folder / "empty"
    empty.write_bytes(b"")
    for flags, words in (([f"--data={trainer.folder}/none"], "none: cannot open"),
                         (["--context=20000"], "give more text, or a smaller --context"),
                         ([f"--init={empty}"], "not a safetensors file"),
                         ([f"--init={trainer.text}"], "not a safetensors file"),
                         ([f"--resume={empty}/x"], "cannot")):
        _, out = trainer(0, "--steps=1", *flags, status=1)
        assert words in out, out


def test_a_loss_that_is_not_finite_ends_the_training(trainer):
    _, out = trainer(0, "--steps=300", "--lr=10", "--warmup=0", "--clip=0", "--weight-decay=10",
                     "--batch=2", "--eval-every=0", status=1)
    assert "no longer finite" in out


def test_ranks_that_differ_end_with_the_reason(trainer):
    """Rank 1 has one more flag than the others; nobody waits for ever."""
    script = 'if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then exec "$@" "$0"; else exec "$@"; fi'
    other = trainer.folder / "other"
    other.write_text(trainer.text.read_text().upper())
    for flag, words in ((f"--data={other}", "ranks read different texts"),
                        (f"--data={trainer.folder}/none", "rank 1: "),
                        ("--seed=9", "ranks were given different flags"),
                        ("--lr=1e-4", "ranks were given different flags"),
                        ("--weight-decay=0", "ranks were given different flags")):
        train = trainer.command(0, ["--steps=2", "--batch=2"])
        done = subprocess.run(["mpirun", "--oversubscribe", "-n", "2", "bash", "-c", script, flag,
                               *train], env=trainer.env, capture_output=True, text=True,
                              timeout=DEADLINE_S, check=False)
        assert done.returncode == 1 and words in done.stderr, done.stderr


def test_a_rank_that_nobody_joined_to_the_others_says_so(trainer):
    trainer.env["WORLD_SIZE"] = "2"
    _, out = trainer(0, "--steps=1", status=1)
    assert "WORLD_SIZE is 2, but this process was not started by mpirun" in out, out


def test_the_job_runs_under_drover(drover, source):
    """The example's own job file, with flags that make it small."""
    text = (source / "examples/02_gpt/job.yaml").read_text()
    small = ("--layers 1 --heads 2 --channels 32 --context 32 --batch 4 --steps 30 --warmup 5 "
             "--eval-every 10 --checkpoint-every 10 --sample 50")
    assert 'GPT_ARGS: ""' in text
    (drover.work_dir / "job.yaml").write_text(text.replace('GPT_ARGS: ""', f'GPT_ARGS: "{small}"'))
    done = drover("run", "job.yaml")
    values = [float(value) for value in re.findall(r" val (\d+\.\d+)", done.stdout)]
    assert len(values) == 4 and values[-1] < values[0] - 0.5
    assert "sample:" in done.stdout
    checkpoints = sorted(path.name for path in drover.state_dir.rglob("step-*"))
    assert checkpoints == ["step-00000020", "step-00000030"]
