# SPDX-License-Identifier: Apache-2.0
"""`drover run` and the commands about jobs, as a user meets them."""
import json
import os
import random
import re
import resource
import signal
import subprocess

import pytest

from cli_jobs import (check_bill, interrupt, store_rows, wait_for, wait_for_event, write_shell,
                      write_worker)


def processes_of(drover):
    """Live processes whose environment names this test's state folder, drover itself left out."""
    needle = f"{drover.state_dir}/jobs/".encode()
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if b"DROVER_CHECKPOINT_DIR=" + needle in file.read():
                    found.append(int(pid))
        except OSError:
            continue
    return found


def settled(drover):
    """The list, once no process of a killed drover holds a job any more."""
    def free():
        listed = drover.json("list")
        return not any(job["owned"] for job in listed["jobs"]) and listed
    return wait_for(free, "the locks of the dead")["jobs"]


def test_a_job_from_its_file_to_its_bill(drover):
    job = write_shell(drover.work_dir, 'echo "hello $RANK of $WORLD_SIZE"', ranks=2)
    done = drover("run", job)
    assert sorted(done.stdout.splitlines()) == ["[rank 0] hello 0 of 2", "[rank 1] hello 1 of 2"]
    assert "shell #1 succeeded" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    listed = drover.json("list")["jobs"]
    assert [(one["job"], one["state"], one["exit_code"]) for one in listed] == [(1, "succeeded", 0)]
    invoice = check_bill(drover, 1)
    assert invoice["gpu_ms"] > 0
    assert drover("list", "--quiet").stdout == "1\n"
    assert re.search(r"^1 +shell +succeeded ", drover("list").stdout, re.M)


def test_show_tells_what_is_known(drover):
    drover("run", write_worker(drover.work_dir, steps=7, pause_s=0.5))
    text = drover("show", "work").stdout
    assert "work #1  succeeded" in text
    assert "7/7 (100 %)" in text
    assert "█" in text and "▁" in text
    assert f"{drover.state_dir}/jobs/1/attempt-1" in text
    shown = drover.json("show", "--events", "1")
    assert shown["checkpoint_step"] == 5
    assert shown["checkpoint_dir"] == f"{drover.state_dir}/jobs/1/checkpoints"
    assert shown["losses"][-1] == pytest.approx(4 / 7)
    assert [lease["released"] for lease in shown["leases"]] == [True]
    assert shown["events"][0]["event"] == "accepted"
    assert shown["events"][-1]["event"] == "succeeded"


def test_where_the_checkpoints_are(drover, tmp_path):
    path = tmp_path / "points"
    report = """'{"event":"checkpoint","step":5}'"""
    job = write_shell(drover.work_dir, f"echo {report} >&$DROVER_PROGRESS_FD\n"
                      "echo $DROVER_CHECKPOINT_DIR", extra=f"checkpoint: {{path: {path}}}\n")
    done = drover("run", job)
    assert done.stdout == f"[rank 0] {path}\n"
    assert f"drover: its checkpoints: {path}\n" in done.stderr
    assert f"checkpoint  at step 5, in {path}\n" in drover("show", "1").stdout


def test_errors_in_the_file_are_shown_and_nothing_is_stored(drover):
    job = drover.work_dir / "job.yaml"
    job.write_text("version: 1\nname: x\nrun: echo\nresources:\n  acelerators: H100:8\n")
    done = drover("run", job, status=2)
    assert "job.yaml:5:3: error[E" in done.stderr
    assert "did you mean 'accelerators'" in done.stderr
    assert "^~~~~~" in done.stderr
    assert drover.json("list")["jobs"] == []
    assert drover.json("run", job, status=2)["ok"] is False


def test_what_the_backend_cannot_honour_is_refused(drover):
    job = write_shell(drover.work_dir, "echo", extra="where: {location: [tw]}\n")
    for words in (["run", job], ["quote", job], ["spec", "check", "--backend", "local", job]):
        done = drover(*words, status=2)
        assert "where.location" in done.stderr and "'local'" in done.stderr
    drover("spec", "check", job)


def test_a_job_that_fits_nowhere_is_refused_with_the_reason(drover):
    job = write_shell(drover.work_dir, "echo", extra="resources: {accelerators: 'H100:64'}\n")
    done = drover("run", job, status=4)
    assert "H100" in done.stderr
    assert drover.json("list")["jobs"] == []
    assert drover.json("quote", job, status=4)["jobs"][0]["fits"] is False
    assert drover.json("run", "--dry-run", job, status=4)["jobs"][0]["plan"] is None


def test_dry_run_shows_ranks_and_stores_nothing(drover):
    job = write_shell(drover.work_dir, "echo", ranks=2)
    text = drover("run", "--dry-run", job).stdout
    assert "rank 0 on " in text and "rank 1 on " in text
    plan = drover.json("run", "--dry-run", job)["jobs"][0]["plan"]
    assert len(plan["islands"][0]["hosts"][0]["ranks"]) == 2
    assert drover.json("list")["jobs"] == []


def test_quote_is_what_the_bill_follows(drover):
    job = write_shell(drover.work_dir, "echo", extra="limits: {max_duration: 2h}\n")
    quote = drover.json("quote", job)["jobs"][0]
    assert quote["fits"] and quote["max_duration_ms"] == 7200000 and quote["grace_ms"] == 60000
    hours = (7200000 + 60000) / 3600000
    assert quote["at_most_units"] == pytest.approx(hours * quote["per_hour_units"], abs=2)
    assert f"with 2.00 % fee {quote['per_hour']} USDC per hour" in drover("quote", job).stdout
    drover("run", job)
    invoice = check_bill(drover, 1)
    assert invoice["total_units"] <= quote["per_hour_units"]


def test_a_job_deaf_to_its_deadline_costs_what_was_quoted_at_most(drover):
    job = write_shell(drover.work_dir, "trap '' USR1 TERM; while :; do sleep 1; done",
                      extra="limits: {max_duration: 1s}\ncheckpoint: {path: c, grace: 1s}\n")
    quote = drover.json("quote", job)["jobs"][0]
    drover("run", job, status=1)
    assert drover.json("list")["jobs"][0]["cause"] == "deadline"
    invoice = check_bill(drover, 1)
    assert invoice["gpu_ms"] <= quote["max_duration_ms"] + quote["grace_ms"]
    assert 0 < invoice["total_units"] <= quote["at_most_units"]


def test_a_file_size_limit_is_an_error_and_no_death(drover):
    job = write_shell(drover.work_dir, "echo unharmed")
    small = drover("run", job, status=1, preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_FSIZE, (40000, 40000)))
    assert "drover.db: cannot" in small.stderr
    assert "unharmed" in drover("run", job).stdout


def test_a_failing_job_fails_the_command(drover):
    job = write_shell(drover.work_dir, "echo bad >&2; exit 7")
    done = drover("run", job, status=1)
    assert "[rank 0] bad" in done.stdout
    assert "failed" in done.stderr and "7" in done.stderr
    assert drover.json("list")["jobs"][0]["exit_code"] == 7
    check_bill(drover, 1)


def test_what_a_job_says_is_ascii_in_json(drover):
    """U+202E turns the rest of a line around: not on a terminal that JSON is printed to."""
    note = r"""echo '{"event":"note","text":"\\u202enoitpo"}' >&3"""
    done = drover("run", "--json", write_shell(drover.work_dir, note + "; sleep 0.2"))
    assert done.stdout.isascii()
    assert any(json.loads(line).get("text") == "\u202enoitpo" for line in done.stdout.splitlines())
    assert drover("show", "1", "--json").stdout.isascii()


def test_json_tells_everything_as_lines(drover):
    done = drover("run", "--json", write_worker(drover.work_dir, steps=6, pause_s=0.01, ranks=2))
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "job" and kinds[-1] == "end"
    assert {"started", "rank_started", "running", "progress", "checkpoint", "rank_exit",
            "done"} <= set(kinds)
    states = [event["state"] for event in events if event["event"] == "job"]
    assert [states[0], states[-1]] == ["pending", "succeeded"]
    assert all(event["job"] == 1 for event in events[:-1])
    assert events[-1]["status"] == 0
    assert events[-1]["jobs"][0]["invoice"]["gpu_ms"] == check_bill(drover, 1)["gpu_ms"]
    assert done.stderr == ""


def test_output_cannot_command_a_terminal(drover):
    job = write_shell(drover.work_dir, r"""printf '\033[2Jclear\033]0;title\007 \357\273\277naïve\n'
printf 'bad \377 byte\000\010\n'; printf 'no newline'""")
    done = drover("run", job)
    assert "\x1b" not in done.stdout and "\x07" not in done.stdout
    assert "[rank 0] clear" in done.stdout and "naïve" in done.stdout
    assert "[rank 0] bad \ufffd byte\n" in done.stdout
    assert done.stdout.endswith("[rank 0] no newline\n")


def test_a_flood_of_output_is_whole_in_a_pipe_and_cheap(drover):
    lines = 4000000
    job = write_shell(drover.work_dir, f"seq 1 {lines}")
    with open(drover.work_dir / "out", "w", encoding="utf-8") as out:
        process = drover.start("run", job, stdout=out)
        peak_kb = 0
        while process.poll() is None:
            try:
                with open(f"/proc/{process.pid}/status", encoding="utf-8") as file:
                    peak_kb = int(re.search(r"VmHWM:\s+(\d+)", file.read())[1])
            except (OSError, TypeError):
                pass
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                pass
        process.communicate()
    assert process.returncode == 0
    same = subprocess.run(["bash", "-c", f"seq 1 {lines} | sed 's/^/[rank 0] /' | cmp - out"],
                          cwd=drover.work_dir, check=False)
    assert same.returncode == 0
    assert 0 < peak_kb < 64 * 1024


def test_a_reader_that_stands_still_does_not_hold_up_the_job(drover):
    process = drover.start("run", write_shell(drover.work_dir, "seq 1 300000"))
    wait_for_event(drover, 1, "succeeded")
    assert drover.json("list")["jobs"][0]["state"] == "succeeded"
    out, _ = process.communicate(timeout=60)
    assert out.splitlines() == [f"[rank 0] {n}" for n in range(1, 300001)]


def test_a_job_from_standard_input(drover):
    done = subprocess.run([drover.path, "run", "-"], cwd=drover.work_dir, env=drover.env,
                          input="version: 1\nname: piped\nrun: echo \"in $PWD\"\n",
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"[rank 0] in {drover.work_dir}\n"


def test_a_closed_pipe_stops_the_output_and_not_the_job(drover):
    job = write_shell(drover.work_dir, "seq 1 200000")
    done = subprocess.run(["bash", "-c", f"'{drover.path}' run '{job}' 2>err | head -n 1"],
                          cwd=drover.work_dir, env=drover.env, capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.stdout == "[rank 0] 1\n"
    assert drover.json("list")["jobs"][0]["state"] == "succeeded"


# ---- stopping and carrying on ----

def test_ctrl_c_checkpoints_and_resume_carries_on(drover):
    process = drover.start("run", write_worker(drover.work_dir, steps=100000, pause_s=0.01))
    wait_for_event(drover, 1, "progress")
    interrupt(process)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    step = int(re.search(r"\[rank 0\] stopped at step (\d+)", out)[1])
    assert "drover run --resume 1" in err
    assert "job 1: stopped; `drover run --resume 1` carries on" in drover("list").stdout
    job = drover.json("list")["jobs"][0]
    assert (job["state"], job["cause"]) == ("pending", "interrupted")
    assert job["checkpoint_step"] == step
    first = check_bill(drover, 1)["gpu_ms"]

    (drover.work_dir / "worker.py").write_text(
        (drover.work_dir / "worker.py").read_text().replace("int(sys.argv[1])", str(step + 5)))
    done = drover("run", "--resume", "work")
    assert f"[rank 0] resumed from step {step}" in done.stdout
    assert f"[rank 0] finished step {step + 5}" in done.stdout
    assert check_bill(drover, 1)["gpu_ms"] > first
    assert drover.json("show", "1")["attempts"] == 2
    assert f"resumed from step {step}" in drover("logs", "1").stdout
    assert "started as 0 of 1" in drover("logs", "--attempt", "1", "1").stdout
    assert drover("run", "--resume", "1", status=1).stderr.count("succeeded")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_do_the_same(drover, number):
    process = drover.start("run", write_worker(drover.work_dir, steps=100000, pause_s=0.01))
    wait_for_event(drover, 1, "progress")
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped at step" in out


def test_nohup_means_what_it_says(drover):
    process = drover.start("run", write_worker(drover.work_dir, steps=60, pause_s=0.02),
                           preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    wait_for_event(drover, 1, "progress")
    process.send_signal(signal.SIGHUP)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "[rank 0] finished step 60" in out


def test_a_second_ctrl_c_kills_a_job_that_will_not_stop(drover):
    job = write_shell(drover.work_dir, "trap '' USR1 TERM INT\necho stubborn\n"
                                       "while :; do sleep 0.1; done",
                      extra="checkpoint: {path: c, signal: USR1, grace: 10m}\n")
    process = drover.start("run", job)
    wait_for_event(drover, 1, "running")
    interrupt(process)
    wait_for_event(drover, 1, "stopping")
    assert process.poll() is None
    interrupt(process)
    process.communicate(timeout=60)
    assert process.returncode == 130
    wait_for(lambda: not processes_of(drover), "the end of every process")
    check_bill(drover, 1)


def test_cancel_from_elsewhere(drover):
    process = drover.start("run", write_worker(drover.work_dir, steps=100000, pause_s=0.01))
    wait_for_event(drover, 1, "progress")
    assert "asked to stop" in drover("cancel", "work").stdout
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "stopped at step" in out
    assert drover.json("list")["jobs"][0]["state"] == "cancelled"
    assert drover("cancel", "1").stdout == "job 1 is cancelled\n"
    assert drover.json("cancel", "1")["jobs"][0]["state"] == "cancelled"
    check_bill(drover, 1)


@pytest.mark.parametrize("seed", range(4))
def test_kill_9_at_any_moment_loses_and_doubles_nothing(drover, seed):
    moments = random.Random(seed)
    job = write_worker(drover.work_dir, steps=40, pause_s=0.02, ranks=1)
    process = drover.start("run", job, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(3):
        try:
            process.wait(moments.uniform(0.0, 1.0))
        except subprocess.TimeoutExpired:
            pass
        process.kill()
        process.wait()
        wait_for(lambda: not processes_of(drover), "the end of every process")
        jobs = settled(drover)
        if not jobs:
            process = drover.start("run", job, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
            continue
        assert jobs[0]["state"] in ("pending", "succeeded"), jobs
        check_bill(drover, jobs[0]["job"])
        if jobs[0]["state"] == "succeeded":
            break
        process = drover.start("run", "--resume", "work", stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    process.wait(60)
    final = drover.json("show", "work")
    assert final["state"] == "succeeded"
    assert final["step"] == 40
    check_bill(drover, final["job"])
    leases = store_rows(drover, "SELECT granted_at_ms, used_ms FROM leases ORDER BY granted_at_ms")
    for (begin, used), (following, _) in zip(leases, leases[1:]):
        assert begin + used <= following + 1


def test_a_failed_job_is_retried_from_its_checkpoint(drover):
    worker = write_worker(drover.work_dir, steps=10, pause_s=0.01,
                          extra="retry: {on: [nonzero_exit], max: 2, backoff: 100ms..200ms}\n")
    code = (drover.work_dir / "worker.py").read_text()
    (drover.work_dir / "worker.py").write_text(code.replace(
        "    if step % 5 == 0:\n",
        "    if step == 7 and os.environ['DROVER_ATTEMPT'] == '1':\n        sys.exit(9)\n"
        "    if step % 5 == 0:\n"))
    done = drover("run", worker)
    assert "[rank 0] resumed from step 5" in done.stdout
    assert drover.json("show", "1")["attempts"] == 2
    check_bill(drover, 1)


# ---- logs ----

def test_logs_follow_until_the_end(drover):
    process = drover.start("run", write_worker(drover.work_dir, steps=60, pause_s=0.02, ranks=2),
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_event(drover, 1, "running")
    follower = drover.start("logs", "-f", "1")
    out, err = follower.communicate(timeout=60)
    assert follower.returncode == 0, err
    assert process.wait(60) == 0
    assert sorted(out.splitlines()) == [
        "[rank 0] finished step 60", "[rank 0] started as 0 of 2",
        "[rank 1] finished step 60", "[rank 1] started as 1 of 2"]
    assert sorted(out.splitlines()) == sorted(drover("logs", "1").stdout.splitlines())


def test_logs_of_a_rank_their_tail_and_json(drover):
    drover("run", write_shell(drover.work_dir, 'seq "${RANK}0" "${RANK}9"', ranks=2))
    assert drover("logs", "--rank", "1", "--tail", "2", "1").stdout == "[rank 1] 18\n[rank 1] 19\n"
    lines = [json.loads(line) for line in drover("logs", "--json", "shell").stdout.splitlines()]
    assert [line["text"] for line in lines if line["rank"] == 1] == [str(n) for n in range(10, 20)]
    assert {line["attempt"] for line in lines} == {1}
    assert "has had 1 attempt" in drover("logs", "--attempt", "2", "1", status=2).stderr


# ---- several jobs ----

def test_a_matrix_is_several_jobs(drover):
    job = write_shell(drover.work_dir, "echo lr=${{ matrix.lr }}",
                      extra="matrix: {lr: [1e-4, 3e-4]}\n")
    done = drover("run", job)
    assert len(re.findall(r"^\[.*rank 0\] lr=", done.stdout, re.M)) == 2
    assert "[shell-1 #1 rank 0] lr=" in done.stdout
    jobs = drover.json("list")["jobs"]
    assert [one["state"] for one in jobs] == ["succeeded", "succeeded"]
    for one in jobs:
        check_bill(drover, one["job"])


def test_waiting_for_a_matrix_is_said_once(drover):
    job = write_shell(drover.work_dir, "true", extra="matrix: {x: [1, 2, 3]}\n")
    job.write_text(job.read_text() + "---\nversion: 1\nname: after\nrun: echo after\n"
                   "depends_on: [{job: shell}]\n")
    done = drover("run", job)
    assert done.stdout == "[after #4 rank 0] after\n"
    assert done.stderr.count("after #4 pending: waits for 'shell-1' (job 1)") == 1
    assert done.stderr.count("after #4 pending") == 1
