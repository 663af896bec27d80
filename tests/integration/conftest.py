# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration tests: the built `drover`, a private state folder, a way to run it.

DROVER_BUILD names the build folder (default: build/ of this tree). A missing program fails the run:
these tests never pass by skipping what they are about.
"""
import json
import os
import pathlib
import signal
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("DROVER_BUILD", SOURCE / "build")).resolve()
DEADLINE_S = 120


# An ignored signal is inherited, and drover respects it (nohup): what the tests start must not
# depend on what they are started under.
for number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)


class Drover:
    """Runs the command as a user would, in its own state folder."""

    def __init__(self, path, state_dir, work_dir):
        self.path = path
        self.state_dir = state_dir
        self.work_dir = work_dir
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("DROVER_", "OMPI_"))}
        self.env.update(DROVER_STATE_DIR=str(state_dir), LC_ALL="C.UTF-8", TERM="xterm-256color")

    def __call__(self, *args, status=0, timeout=DEADLINE_S, **kwargs):
        """Runs to the end; `status` is what must come out (None: anything)."""
        kwargs.setdefault("cwd", self.work_dir)
        kwargs.setdefault("env", self.env)
        done = subprocess.run([self.path, *map(str, args)], capture_output=True, text=True,
                              timeout=timeout, check=False, **kwargs)
        if status is not None:
            said = f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
            assert done.returncode == status, said
        return done

    def json(self, *args, **kwargs):
        return json.loads(self(*args, "--json", **kwargs).stdout)

    def start(self, *args, **kwargs):
        """Starts it and comes back at once: a Popen in its own session."""
        kwargs.setdefault("cwd", self.work_dir)
        kwargs.setdefault("env", self.env)
        kwargs.setdefault("stdout", subprocess.PIPE)
        kwargs.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen([self.path, *map(str, args)], text=True, start_new_session=True,
                                **kwargs)


@pytest.fixture(scope="session")
def source():
    return SOURCE


@pytest.fixture(scope="session")
def build():
    return BUILD


@pytest.fixture
def drover(tmp_path):
    path = BUILD / "bin" / "drover"
    assert path.is_file(), f"{path} is not there: build first, or set DROVER_BUILD"
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "work").mkdir()
    return Drover(path, tmp_path / "state", tmp_path / "work")
