# SPDX-License-Identifier: Apache-2.0
"""The words of the command line: help, man pages, completion, exit statuses, JSON."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest

SHELL_JOB = "version: 1\nname: words\nlaunch: {type: shell, procs_per_node: 1}\nrun: echo hello\n"


def commands_of(drover):
    return drover.json("completion")["commands"]


def test_help_of_every_command_lists_its_options(drover):
    for command in commands_of(drover):
        words = command["name"].split()
        text = drover(*words, "--help").stdout
        assert text == drover("help", *words).stdout
        assert text.startswith(f"Usage: drover {command['name']} ")
        for option in command["options"]:
            assert f"--{option['name']}" in text
        assert "--help" in text
        assert max(len(line) for line in text.split("\n")) <= 100


def test_help_lists_every_command_and_no_internal_one(drover):
    text = drover("--help").stdout
    assert text == drover("help").stdout
    for command in commands_of(drover):
        assert f"\n  {command['name']} " in text
    for internal in ("launch", "rank"):
        assert f"\n  {internal} " not in text


def test_every_command_has_json(drover):
    for command in commands_of(drover):
        assert "json" in {option["name"] for option in command["options"]}, command["name"]


def test_json_of_every_command_that_needs_no_job_parses(drover):
    job = drover.work_dir / "job.yaml"
    job.write_text(SHELL_JOB)
    for words in (["version"], ["nodes"], ["list"], ["bill"], ["completion"],
                  ["spec", "schema"], ["spec", "explain", "run"], ["spec", "check", "job.yaml"],
                  ["quote", "job.yaml"], ["run", "--dry-run", "job.yaml"]):
        assert isinstance(drover.json(*words), dict), words


@pytest.mark.parametrize("words, status, message", [
    ([], 2, "Usage: drover COMMAND"),
    (["rnu"], 2, "unknown command 'rnu'; did you mean 'run'?"),
    (["spec", "chekc"], 2, "unknown command 'chekc'; did you mean 'spec check'?"),
    (["spec"], 2, "spec check FILE..."),
    (["--wrong"], 2, "unknown option '--wrong'"),
    (["run", "--dryrun", "x"], 2, "unknown option '--dryrun'; did you mean '--dry-run'?"),
    (["run"], 2, "give a JOB.yaml, or --resume JOB"),
    (["run", "--resume", "1", "job.yaml"], 2, "give a JOB.yaml, or --resume JOB"),
    (["run", "--resume", "99"], 3, "99"),
    (["show"], 2, "missing argument: drover show JOB"),
    (["show", "99"], 3, "99"),
    (["logs", "nothing"], 3, "nothing"),
    (["bill", "99"], 3, "99"),
    (["bill", "1", "2"], 2, "too many"),
    (["cancel", "99"], 3, "99"),
    (["list", "--limit", "-1"], 2, "--limit: '-1' is not a whole number from 0"),
    (["list", "--state", "happy"], 2, "'happy' is not a state"),
    (["completion", "csh"], 2, "'csh' is not a shell"),
    (["nodes", "--prices", "/nonexistent"], 1, "/nonexistent"),
])
def test_wrong_words_end_with_a_status_and_a_hint(drover, words, status, message):
    done = drover(*words, status=status)
    assert message in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("words", [
    ["show", "{}"], ["{}"], ["spec", "{}"], ["help", "{}"], ["run", "--{}"], ["list", "{}"],
    ["list", "--limit", "{}"], ["nodes", "--prices", "{}"], ["run", "--resume", "{}"],
])
def test_a_word_quoted_in_an_error_does_nothing_to_the_terminal(drover, words):
    foreign = "\x1b[2J\x1b]0;title\x07\u009b31m\u202e"
    done = drover(*[word.format(foreign) for word in words], status=None)
    assert done.returncode in (1, 2, 3)
    assert done.stderr.startswith("drover: ")
    assert all(c.isprintable() or c == "\n" for c in done.stderr), ascii(done.stderr)


def test_version_tells_what_it_stands_on(drover):
    version = drover.json("version")
    parts = {part["name"]: part for part in version["parts"]}
    assert re.fullmatch(r"\d+\.\d+\.\d+", version["version"])
    assert parts["SQLite"]["running"] == parts["SQLite"]["built"]
    assert parts["Open MPI"]["mpirun"] == shutil.which("mpirun")
    assert drover("--version").stdout.startswith(f"drover {version['version']} ")


def test_nodes_have_a_price_for_each_device(drover):
    answer = drover.json("nodes")
    for node in answer["nodes"]:
        assert node["devices"]
        for device in node["devices"]:
            assert device["price_usd_micro"] > 0
            assert device["model"] in drover("nodes").stdout


# ---- completion ----

@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_parses(drover, shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    script = drover.work_dir / f"completion.{shell}"
    script.write_text(drover("completion", shell).stdout)
    done = subprocess.run([shell, "-n", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr


def bash_complete(drover, *words):
    """What bash offers for the last of `words`."""
    script = drover("completion", "bash").stdout + """
compopt() { :; }
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_drover
printf '%s\\n' "${COMPREPLY[@]}"
"""
    env = dict(drover.env, PATH=f"{pathlib.Path(drover.path).parent}:{os.environ['PATH']}")
    done = subprocess.run(["bash", "-c", script, "bash", *words], cwd=drover.work_dir, env=env,
                          capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_bash_completes_commands_options_files_and_fields(drover):
    (drover.work_dir / "job.yaml").write_text(SHELL_JOB)
    assert "run" in bash_complete(drover, "drover", "")
    assert bash_complete(drover, "drover", "quo") == {"quote"}
    assert bash_complete(drover, "drover", "spec", "") == {"check", "schema", "explain"}
    assert "--dry-run" in bash_complete(drover, "drover", "run", "--")
    assert "job.yaml" in bash_complete(drover, "drover", "run", "jo")
    assert "checkpoint.every" in bash_complete(drover, "drover", "spec", "explain", "checkpoint.")
    assert bash_complete(drover, "drover", "completion", "z") == {"zsh"}


# ---- man pages ----

def man_page_of(source, name):
    word = name.split()[0]
    return source / "runner" / "cli" / "man" / f"drover-{word}.1"


def test_man_pages_are_clean(source):
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    pages = sorted((source / "runner" / "cli" / "man").glob("*.1"))
    assert pages
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *pages], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and done.stdout == "", done.stdout + done.stderr


def test_generated_man_page_of_job_files_is_clean(build):
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed")
    page = build / "jobspec" / "drover-job.5"
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and done.stdout == "", done.stdout + done.stderr


def test_every_option_has_its_man_page_line(drover, source):
    problems = []
    overview = (source / "runner" / "cli" / "man" / "drover.1").read_text()
    for command in commands_of(drover):
        page = man_page_of(source, command["name"]).read_text()
        if f"Cm {command['name']}" not in overview:
            problems.append(f"drover.1: {command['name']}")
        for option in command["options"] + [{"name": "help", "letter": "h"}]:
            line = f".It Fl {option['letter']} , -" if option.get("letter") else ".It Fl -"
            if f"{line}{option['name']}" not in page:
                problems.append(f"drover-{command['name']}: --{option['name']}")
    assert not problems, problems


# ---- output that cannot be written ----

def test_a_full_disk_is_an_error(drover):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([drover.path, "version"], stdout=full, stderr=subprocess.PIPE,
                              env=drover.env, text=True, check=False)
    assert done.returncode == 1
    assert "No space left" in done.stderr


def test_a_closed_pipe_ends_quietly(drover):
    script = f"{drover.path} help run | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], env=drover.env, capture_output=True, text=True,
                          check=False)
    assert done.stdout == "U"
    assert done.stderr == ""


def test_json_is_json_whatever_the_locale(drover):
    drover.env["LC_ALL"] = "C"
    assert json.loads(drover("nodes", "--json").stdout)["nodes"]
