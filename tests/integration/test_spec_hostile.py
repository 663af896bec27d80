# SPDX-License-Identifier: Apache-2.0
"""Files that mean harm, through the command as a user runs it: exit status 2, a clear error first,
soon and in little memory. The time limit is the processor's, not the wall's."""
import json
import subprocess
import sys

import pytest

HEAD = "version: 1\nname: a\nrun: x\n"
MEMORY_KIB = 300 * 1024  # most of it is room for a build with sanitizers
CPU_S = 60
LINES = 400


def bomb():
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    for i in range(1, 40):
        text += f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n"
    return text


FILES = {
    "a 100 MB file": (b"key: value\n" * 10_000_000, "E109"),
    "an alias bomb": (bomb(), "E109"),
    "deep nesting": ("a: " + "[" * 1_000_000, "E109"),
    "a NUL": (b"version: 1\nname: a\0\n", "E110"),
    "bad UTF-8": (b"version: 1\nname: \xff\n", "E110"),
    "UTF-16": (HEAD.encode("utf-16"), "E110"),
    "a million errors": ("".join(f"x{i}: 1\n" for i in range(1_000_000)), "E109"),
    "45,000 errors": (HEAD + "".join(f"x{i}: 1\n" for i in range(45_000)), "E102"),
    "a million entries": (HEAD + "ports: [" + "1," * 1_000_000 + "]\n", "E109"),
    "500,000 entries": (HEAD + "ports: [" + "1," * 500_000 + "]\n", "E109"),
    "50,000 directives": ("%TAG !e! tag:x\n" * 50_000, "E109"),
    "a line of a megabyte": (HEAD + "spot: " + "x" * 1_000_000 + "\n", "E106"),
    "a key of a megabyte": ("k" * 1_000_000 + ": x\n", "E1"),
    "a large matrix": (HEAD + "matrix: {a: 1..1000, b: 1..1000}\n", "E109"),
    "a matrix of large texts": ("version: 1\nname: a\nrun: ${{ matrix.x }}\nmatrix: {x: 1..1000}\n"
                                "envs: {" + ", ".join(f"A{i}: {'z' * 90_000}" for i in range(11))
                                + "}\n", "E109"),
    "a matrix of large lists": ("version: 1\nname: a\nrun: ${{ matrix.x }}\nmatrix: {x: 1..1000}\n"
                                "resources: {num_nodes: 64, any_of: [" + ", ".join(
                                    ["{accelerators: [" + ", ".join(["H100"] * 60) + "]}"] * 64)
                                + "]}\nsecrets: [" + ", ".join(f"S{i}" for i in range(1000))
                                + "]\nports: [" + ", ".join(f"{i}" for i in range(1, 1000))
                                + "]\n", "E109"),
    "keys beside many alternatives": (HEAD + "resources:\n  any_of: [" + "{cpus: 1}, " * 64 + "]\n"
                                      + "".join(f"  x{i}: 1\n" for i in range(40_000)), "E102"),
    "nothing": (b"", "E117"),
    "random bytes": (bytes((i * 7919 + i // 251) % 256 for i in range(1_000_000)), "E110"),
}


# The kernel counts what a process had before its exec: the peak of a child of pytest is at least
# that of pytest. A small process in between has children of its own size.
MEASURE = """
import json, os, resource, subprocess, sys
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[1]),) * 2)
status = subprocess.run(sys.argv[2:], stdout=subprocess.DEVNULL).returncode
print(json.dumps([status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))
"""


def run(drover, *args, stdin=subprocess.DEVNULL):
    """Exit status, standard error and the most memory it had, in KiB."""
    done = subprocess.run([sys.executable, "-S", "-c", MEASURE, str(CPU_S), drover.path, *args],
                          stdin=stdin, capture_output=True, env=drover.env, check=True)
    status, memory = json.loads(done.stdout)
    return status, done.stderr.decode(), memory


@pytest.mark.parametrize("what", FILES)
def test_hostile_file(what, drover):
    content, code = FILES[what]
    path = drover.work_dir / "job.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    status, said, memory = run(drover, "spec", "check", str(path))
    assert status == 2, said
    assert f"error[{code}" in said.split("\n")[0], said
    assert len(said.split("\n")) < LINES
    assert max(len(line) for line in said.split("\n")) < 1000
    assert memory < MEMORY_KIB


def test_endless_input(drover):
    with subprocess.Popen(["yes", "key: value"], stdout=subprocess.PIPE) as endless:
        status, said, memory = run(drover, "spec", "check", "-", stdin=endless.stdout)
        endless.stdout.close()
    assert status == 2 and "error[E109]" in said
    assert memory < MEMORY_KIB


def test_terminal_is_not_steered(drover):
    path = drover.work_dir / "job.yaml"
    path.write_text(HEAD + '"\\e]0;pwned\\a\\e[2J": 1\n', encoding="utf-8")
    status, said, _ = run(drover, "spec", "check", str(path))
    assert status == 2
    assert "\033" not in said and "\\x1b]0;pwned\\x07" in said
