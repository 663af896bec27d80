# SPDX-License-Identifier: Apache-2.0
"""Several drovers on one machine: they share its devices one after the other, and one store."""
import pytest

from cli_jobs import check_bill, store_rows, wait_for, wait_for_event, write_shell, write_worker


def end_of(process):
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, f"{process.returncode}\n{out}{err}"


def check_leases(drover):
    """No device has two leases at one time, and none is left open."""
    ends = {}
    for node, device, granted, used, released in store_rows(
            drover,
            "SELECT node, device, granted_at_ms, used_ms, released FROM leases ORDER BY id"):
        assert released
        assert granted >= ends.get((node, device), 0)
        ends[(node, device)] = granted + used


def test_a_second_drover_waits_for_the_device(drover):
    first = drover.start("run", write_worker(drover.work_dir, steps=20, pause_s=0.05, name="first"))
    wait_for_event(drover, 1, "running")
    second = drover.start("run", write_shell(drover.work_dir, "echo mine", name="second"))
    wait_for_event(drover, 2, "waiting")
    waiting = drover.json("show", "second")
    assert waiting["state"] == "pending"
    assert "too few are free" in waiting["reason"]
    end_of(first)
    end_of(second)
    check_leases(drover)
    for job in (1, 2):
        check_bill(drover, job)


def test_a_waiting_job_is_cancelled_from_elsewhere(drover):
    first = drover.start("run", write_worker(drover.work_dir, steps=60, pause_s=0.05, name="first"))
    wait_for_event(drover, 1, "running")
    second = drover.start("run", write_shell(drover.work_dir, "echo mine", name="second"))
    wait_for_event(drover, 2, "waiting")
    drover("cancel", "second")
    second.communicate(timeout=60)
    assert second.returncode != 0
    assert drover.json("show", "second")["state"] == "cancelled"
    assert drover.json("show", "first")["state"] == "running"
    end_of(first)


@pytest.mark.parametrize("count", [6])
def test_many_drovers_at_once(drover, count):
    """Each opens the new store, wants the same device and gets it in the end."""
    job = write_shell(drover.work_dir, "echo $RANK", name="one")
    for process in [drover.start("run", job) for _ in range(count)]:
        end_of(process)
    states = [one["state"] for one in drover.json("list")["jobs"]]
    assert states == ["succeeded"] * count
    check_leases(drover)
    check_bill(drover, 1)


def test_resuming_waits_for_a_launcher_that_is_still_dying(drover):
    process = drover.start("run", write_worker(drover.work_dir, steps=40, pause_s=0.05, ranks=2))
    wait_for(lambda: store_rows(drover, "SELECT 1 FROM events WHERE type = 'checkpoint'"),
             "a checkpoint")
    process.kill()
    process.communicate(timeout=60)
    drover("run", "--resume", "1")
    kinds = [row[0] for row in store_rows(drover, "SELECT type FROM events ORDER BY seq")]
    assert kinds.count("interrupted") == 1
    assert kinds.count("attempt") == 2
    check_leases(drover)
    check_bill(drover, 1)
