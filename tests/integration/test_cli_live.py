# SPDX-License-Identifier: Apache-2.0
"""What stands on the screen while `drover run` runs: a real pseudo-terminal, rendered by pyte."""
import os
import re
import signal
import time

import pexpect
import pyte
import pytest

from cli_jobs import check_bill, store_rows, wait_for, write_shell, write_worker

ROWS, COLUMNS = 24, 100


class Terminal:
    """`drover` on a terminal of its own, and what a user would see there."""

    def __init__(self, drover, *words, rows=ROWS, columns=COLUMNS, env=None):
        self.screen = pyte.HistoryScreen(columns, rows, history=10000, ratio=0.5)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.child = pexpect.spawn(str(drover.path), [str(word) for word in words],
                                   cwd=drover.work_dir, env=dict(drover.env, **(env or {})),
                                   dimensions=(rows, columns))

    def pump(self):
        """Takes what has come; false at the end."""
        try:
            data = self.child.read_nonblocking(65536, timeout=0.1)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.raw += data
        self.stream.feed(data)
        return True

    def lines(self):
        return [line.rstrip() for line in self.screen.display]

    def text(self):
        """The whole scroll-back and the screen."""
        above = ["".join(line[x].data for x in range(self.screen.columns)).rstrip()
                 for line in self.screen.history.top]
        return "\n".join(above + self.lines())

    def until(self, pattern, deadline_s=60):
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            alive = self.pump()
            found = re.search(pattern, "\n".join(self.lines()), re.M)
            if found:
                return found
            assert alive, f"the end came before {pattern!r}:\n{self.text()}"
        raise AssertionError(f"no {pattern!r} on the screen:\n{self.text()}")

    def finish(self, deadline_s=120):
        end = time.monotonic() + deadline_s
        while self.pump():
            assert time.monotonic() < end, f"no end:\n{self.text()}"
        self.child.close()
        return self.child.exitstatus

    def cursor_is_shown(self):
        return not self.screen.cursor.hidden


def test_the_live_lines_show_how_it_goes(drover):
    terminal = Terminal(drover, "run", write_worker(drover.work_dir, steps=60, pause_s=0.05,
                                                    ranks=2))
    terminal.until(r"loss \d")
    terminal.until(r"step (\d\d)/60")
    seen = "\n".join(terminal.lines())
    for line in (r"^work #1  running(  checkpoint at \d+)? +elapsed \d+\.\ds  ETA \d",
                 r"^█[█▏▎▍▌▋▊▉░]+ +\d+ %  step \d+/60  2\.00k tok/s$",
                 r"^loss \d\.\d{4}  █[▁▂▃▄▅▆▇█]+  val \d\.\d{4}  rank 0 50 %  1 50 % +"
                 r"\d+\.\d{6} USDC$"):
        assert re.search(line, seen, re.M), seen
    assert not terminal.cursor_is_shown()
    assert terminal.finish() == 0
    text = terminal.text()
    assert "[rank 0] started as 0 of 2" in text and "[rank 1] finished step 60" in text
    assert "work #1 succeeded" in text
    assert "ETA" not in text and "░" not in text, "the live lines are gone at the end"
    assert terminal.cursor_is_shown()
    check_bill(drover, 1)


def test_several_jobs_are_counted(drover):
    job = write_shell(drover.work_dir, "echo ${{ matrix.x }}; sleep 1",
                      extra="matrix: {x: [1, 2]}\n")
    terminal = Terminal(drover, "run", job)
    terminal.until(r"^2 jobs: 1 (running|starting|pending)(, 1 (pending|succeeded|running))?$")
    terminal.until(r"^shell-\d #\d  running")
    assert terminal.finish() == 0
    assert "2 jobs are accepted, #1 to #2" in terminal.text()
    assert not re.search(r"^2 jobs: ", terminal.text(), re.M)


def test_output_scrolls_above_without_a_trace_of_the_live_lines(drover):
    job = write_shell(drover.work_dir, "for i in $(seq 1 60); do echo line $i; sleep 0.02; done")
    terminal = Terminal(drover, "run", job)
    terminal.until(r"line 1\n")
    assert terminal.finish() == 0
    shown = re.findall(r"\[rank 0\] line (\d+)$", terminal.text(), re.M)
    assert shown == [str(n) for n in range(1, 61)]
    assert not re.search(r"^shell #1  (running|starting)", terminal.text(), re.M)


def test_a_flood_does_not_hold_up_the_screen(drover):
    job = write_shell(drover.work_dir, "seq 1 3000000; echo the end")
    terminal = Terminal(drover, "run", job)
    assert terminal.finish() == 0
    text = terminal.text()
    assert "[rank 0] the end" in text
    assert re.search(rb"drover: rank 0: [\d.]+ [KM]iB not shown; all of it is in /.*/rank-0.log",
                     terminal.raw)
    assert len(terminal.raw) < 8_000_000


@pytest.mark.parametrize("columns", [20, 40, 60])
def test_narrow_terminals_get_what_matters(drover, columns):
    terminal = Terminal(drover, "run", write_worker(drover.work_dir, steps=40, pause_s=0.05),
                        columns=columns)
    terminal.until(r"loss \d")
    terminal.until(r"\d %  step|step \d+/40|\d %")
    assert terminal.finish() == 0


def test_a_resize_leaves_the_right_lines(drover):
    terminal = Terminal(drover, "run", write_worker(drover.work_dir, steps=400, pause_s=0.02))
    terminal.until(r"loss \d")
    terminal.screen.resize(30, 50)
    terminal.child.setwinsize(30, 50)
    terminal.until(r"^work #1")
    wait_for(lambda: terminal.pump() and
             sum(line.startswith("loss ") for line in terminal.lines()) == 1 and
             all(len(line) <= 50 for line in terminal.lines()), "one frame of the new width")
    terminal.child.sendintr()
    terminal.child.sendintr()
    terminal.finish()
    assert terminal.cursor_is_shown()


def test_ctrl_c_counts_down_and_a_second_one_kills(drover):
    job = write_shell(drover.work_dir, "trap '' USR1 TERM INT\nwhile :; do sleep 0.1; done",
                      extra="checkpoint: {path: c, signal: USR1, grace: 10m}\n")
    terminal = Terminal(drover, "run", job)
    terminal.until(r"shell #1  running")
    terminal.child.sendintr()
    terminal.until(r"stopping: .*Ctrl-C again kills")
    terminal.until(r"killed in 9m5\d")
    terminal.child.sendintr()
    assert terminal.finish() == 130
    assert "drover: killing" in terminal.text()
    assert "drover run --resume 1" in terminal.text()
    assert terminal.cursor_is_shown()


def is_stopped(pid):
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "T"


def test_ctrl_z_gives_the_terminal_back_and_the_job_goes_on(drover):
    terminal = Terminal(drover, "run", write_worker(drover.work_dir, steps=100, pause_s=0.02))
    terminal.until(r"loss \d")
    os.kill(terminal.child.pid, signal.SIGTSTP)
    wait_for(lambda: terminal.pump() and terminal.cursor_is_shown(), "the cursor")
    assert not any(line.startswith("loss") for line in terminal.lines())
    wait_for(lambda: is_stopped(terminal.child.pid), "the stop that follows it")
    os.kill(terminal.child.pid, signal.SIGCONT)
    assert terminal.finish() == 0
    assert "[rank 0] finished step 100" in terminal.text()
    assert terminal.cursor_is_shown()


def test_ascii_terminals_get_ascii(drover):
    terminal = Terminal(drover, "run", write_worker(drover.work_dir, steps=40, pause_s=0.05),
                        env={"LC_ALL": "C"})
    terminal.until(r"#+-+ +\d+ %")
    terminal.until(r"loss \d\.\d+  #[_.,\-=+*#]+")
    assert terminal.finish() == 0
    assert terminal.raw.isascii()


def test_no_color_and_dumb_terminals(drover):
    job = write_worker(drover.work_dir, steps=20, pause_s=0.05)
    plain = Terminal(drover, "run", job, env={"NO_COLOR": "1"})
    plain.until(r"loss \d")
    assert plain.finish() == 0
    assert not re.search(rb"\x1b\[\d+m", plain.raw)
    dumb = Terminal(drover, "run", job, env={"TERM": "dumb"})
    assert dumb.finish() == 0
    assert b"\x1b" not in dumb.raw
    assert "step " in dumb.text()


def test_output_of_the_job_cannot_move_the_cursor(drover):
    job = write_shell(drover.work_dir, r"printf 'a\033[5;5Hb\033[2Jc\033[?1049h\n'; sleep 0.5")
    terminal = Terminal(drover, "run", job)
    assert terminal.finish() == 0
    assert "[rank 0] abc" in terminal.text()
    assert b"\x1b[2J" not in terminal.raw and b"\x1b[?1049h" not in terminal.raw


def test_a_crash_gives_the_cursor_back(drover):
    terminal = Terminal(drover, "run", write_worker(drover.work_dir, steps=1000, pause_s=0.02))
    terminal.until(r"loss \d")
    os.kill(terminal.child.pid, signal.SIGABRT)
    terminal.finish()
    assert terminal.child.signalstatus == signal.SIGABRT
    assert terminal.cursor_is_shown()
    wait_for(lambda: drover.json("list")["jobs"][0]["cause"] == "interrupted", "the truth")
    assert store_rows(drover, "SELECT count(*) FROM leases WHERE released = 0") == [(0,)]


def test_a_terminal_that_stands_still_holds_up_nothing(drover):
    """Nobody reads it, as behind a broken ssh: heartbeats, cancelling and the end go on."""
    job = write_shell(drover.work_dir, "seq 1000000\nexec sleep 1000")
    terminal = Terminal(drover, "run", job)

    def used_ms():
        return store_rows(drover, "SELECT used_ms FROM leases WHERE used_ms > 0")

    wait_for(used_ms, "the first heartbeat")
    beat = used_ms()
    wait_for(lambda: used_ms() > beat, "the next heartbeat")
    drover("cancel", "1")
    wait_for(lambda: drover.json("show", "1")["state"] == "cancelled", "the job's end")
    assert terminal.finish() == 1
    assert "cancelled by drover cancel" in terminal.text()
    assert terminal.cursor_is_shown()
    check_bill(drover, 1)
