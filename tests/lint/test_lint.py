# SPDX-License-Identifier: Apache-2.0
"""House style as tests. Each test is one rule and names every place that breaks it."""
import os
import pathlib
import re
import shlex
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("DROVER_BUILD", SOURCE / "build")).resolve()

FUNCTION_LINES = 70
FILE_LINES = 800
COLUMNS = 100
PARAMETERS = 5
README_LINES = 150

TOP_LEVEL = {"CMakeLists.txt", "README.md", "LICENSE", "runner", "launcher", "collectives",
             "jobspec", "billing", "examples", "tests"}

# Who may include whose headers (itself always). A room of runner is a layer of its own.
LAYERS = {
    "jobspec": set(),
    "billing": set(),
    "collectives": set(),
    "launcher": {"jobspec"},
    "runner/queue": {"launcher", "jobspec", "billing"},
    "runner/server": {"runner/queue", "launcher", "jobspec", "billing"},
    "runner/agent": {"runner/queue", "launcher", "jobspec", "billing"},
    "runner/cli": {"runner/queue", "launcher", "jobspec", "billing"},
    "runner": {"runner/queue", "runner/server", "runner/agent", "runner/cli", "launcher"},
    "examples": {"collectives"},
}
# Training programs and what they link know nothing of the control plane, GLib included.
NO_GLIB = {"collectives", "examples"}

# Mutable file-scope state that is there for a reason, by object file and symbol.
STATE_ALLOWED = {
    ("stop.c.o", "state.0"),  # a signal handler reaches nothing but what is static
}

# Signatures that every MPI and NCCL program knows: buffers, count, type, operation, communicator.
PARAMETERS_ALLOWED = {"coll_all_reduce", "coll_all_reduce_start", "coll_reduce_scatter"}


def tracked(*patterns):
    done = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--", *patterns],
                          cwd=SOURCE, capture_output=True, text=True, check=True)
    return [SOURCE / name for name in sorted(done.stdout.split("\n"))
            if name and (SOURCE / name).is_file()]


def relative(path):
    return path.relative_to(SOURCE).as_posix()


def layer_of(name):
    return max((layer for layer in LAYERS if name.startswith(layer + "/")), key=len, default=None)


def report(problems):
    assert not problems, "\n" + "\n".join(problems)


def test_top_level_holds_what_the_design_says():
    names = {relative(path).split("/")[0] for path in tracked()}
    assert {name for name in names if not name.startswith(".")} == TOP_LEVEL


def test_includes_follow_the_arrows():
    problems = []
    for path in tracked("*.c", "*.h", "*.cu"):
        layer = layer_of(relative(path))
        if layer is None:
            continue
        for number, line in enumerate(path.read_text().split("\n"), 1):
            found = re.match(r'\s*#\s*include\s+["<]([^">]+)[">]', line)
            if not found:
                continue
            target = layer_of(found[1]) if (SOURCE / found[1]).is_file() else None
            if target not in LAYERS[layer] | {None, layer}:
                problems.append(f"{relative(path)}:{number}: {layer} must not include {found[1]}")
            if layer in NO_GLIB and re.match(r"(glib|gio|sqlite3)", found[1]):
                problems.append(f"{relative(path)}:{number}: {layer} does not use {found[1]}")
    report(problems)


def functions_of(text):
    """(name, first line, lines, parameters) of each function of a file in our brace style.

    `GError **` is the second result of a call and `...` belongs to the format: neither counts.
    """
    lines = text.split("\n")
    start = None
    for number, line in enumerate(lines):
        if line == "{" and number > 0:
            start = number
        if line == "}" and start is not None:
            head = start - 1
            while head > 0 and not re.match(r"[A-Za-z_].*\(|\}|#|;|\s*\*/|$", lines[head]):
                head -= 1
            signature = " ".join(lines[head:start])
            found = re.search(r"(\w+)\s*\((.*)\)", signature)
            if found:
                yield found[1], head + 1, number - head + 1, count_parameters(found[2])
            start = None


def count_parameters(text):
    text = re.sub(r",?\s*(GError \*\*\w+|\.\.\.)\s*$", "", text)
    depth, count = 0, 1
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        count += character == "," and depth == 0
    return 0 if text.strip() in ("", "void") else count


def test_functions_stay_within_budget():
    problems = []
    for path in tracked("*.c", "*.cu"):
        for name, line, length, parameters in functions_of(path.read_text()):
            where = f"{relative(path)}:{line}: {name}"
            if length > FUNCTION_LINES:
                problems.append(f"{where} has {length} lines, the budget is {FUNCTION_LINES}")
            if parameters > PARAMETERS and name not in PARAMETERS_ALLOWED:
                problems.append(f"{where} has {parameters} parameters, the budget is {PARAMETERS}")
    report(problems)


def test_files_stay_within_budget():
    problems = []
    for path in tracked("*.c", "*.h", "*.cu", "*.py", "*.sh", "*.cmake", "*CMakeLists.txt"):
        lines = path.read_text().split("\n")
        if len(lines) > FILE_LINES + 1:
            problems.append(f"{relative(path)}: {len(lines) - 1} lines, the budget is {FILE_LINES}")
        for number, line in enumerate(lines, 1):
            if len(line) > COLUMNS:
                problems.append(f"{relative(path)}:{number}: {len(line)} columns")
    report(problems)


def test_sources_carry_their_licence():
    report([f"{relative(path)}: no SPDX line" for path in
            tracked("*.c", "*.h", "*.cu", "*.py", "*.sh", "*.cmake", "*CMakeLists.txt")
            if "SPDX-License-Identifier: Apache-2.0" not in path.read_text()[:200]])


def test_cmake_lists_its_sources():
    report([f"{relative(path)}: file(GLOB)" for path in tracked("*.cmake", "*CMakeLists.txt")
            if re.search(r"file\s*\(\s*GLOB", path.read_text())])


def test_nothing_is_left_for_later():
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK|not (yet )?implemented|coming soon)\b", re.I)
    problems = []
    for path in tracked("*.c", "*.h", "*.cu", "*.py", "*.sh", "*.md", "*.cmake", "*.yaml"):
        if path == pathlib.Path(__file__):
            continue
        for number, line in enumerate(path.read_text().split("\n"), 1):
            if words.search(line):
                problems.append(f"{relative(path)}:{number}: {line.strip()}")
    report(problems)


def test_each_folder_has_a_one_page_readme():
    problems = []
    for folder in sorted(TOP_LEVEL - {"CMakeLists.txt", "README.md", "LICENSE"}):
        readme = SOURCE / folder / "README.md"
        if not readme.is_file():
            problems.append(f"{folder}/README.md is missing")
        elif len(readme.read_text().split("\n")) > README_LINES:
            problems.append(f"{folder}/README.md is longer than a page ({README_LINES} lines)")
    report(problems)


def test_links_of_the_documents_lead_somewhere():
    problems = []
    for path in tracked("*.md"):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
            if not re.match(r"[a-z]+:", target) and not (path.parent / target).exists():
                problems.append(f"{relative(path)}: {target} is not there")
    report(problems)


def compile_flags():
    flags = ["-D_GNU_SOURCE", "-I", str(SOURCE), "-Wall", "-Wextra", "-Wstrict-prototypes",
             "-Werror"]
    flags += shlex.split(subprocess.run(
        ["pkg-config", "--cflags", "glib-2.0", "gio-unix-2.0", "yaml-0.1", "jansson", "sqlite3",
         "openblas"], capture_output=True, text=True, check=True).stdout)
    mpi = subprocess.run(["mpicc", "--showme:compile"], capture_output=True, text=True, check=True)
    return flags + shlex.split(mpi.stdout)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_headers_compile_alone(compiler, tmp_path):
    problems = []
    flags = compile_flags()
    for path in tracked("*.h"):
        tries = [["-std=c17", "-x", "c"]]
        if relative(path) == "collectives/coll.h":
            tries.append(["-std=c++17", "-x", "c++"])
        for language in tries:
            unit = tmp_path / "alone.c"
            unit.write_text(f'#include "{path}"\n')
            mine = [flag for flag in flags if language[1] == "c" or flag != "-Wstrict-prototypes"]
            done = subprocess.run([compiler, *language, *mine, "-I", str(path.parent),
                                   "-fsyntax-only", str(unit)],
                                  capture_output=True, text=True, check=False)
            if done.returncode:
                problems.append(f"{relative(path)} ({' '.join(language)}): {done.stderr[:400]}")
    report(problems)


def test_code_is_formatted():
    files = [str(path) for path in tracked("*.c", "*.h", "*.cu")]
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *files], cwd=SOURCE,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]


def test_scripts_pass_shellcheck():
    scripts = [str(path) for path in tracked("*.sh", ".ci/run")]
    done = subprocess.run(["shellcheck", *scripts], cwd=SOURCE, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout


def test_no_mutable_state_at_file_scope():
    """Reads the sections of every object of our libraries: .data and .bss hold nothing of ours."""
    archives = [path for path in BUILD.rglob("lib*.a") if "_deps" not in path.parts]
    assert archives, f"no library below {BUILD}: build first"
    problems = []
    member = ""
    for archive in archives:
        table = subprocess.run(["objdump", "-t", str(archive)], capture_output=True, text=True,
                               check=True).stdout
        for line in table.split("\n"):
            if ":     file format" in line:
                member = line.split(":")[0]
            found = re.match(r"\S+ (.{7}) (\.t?data|\.t?bss|\*COM\*)\S*\s+(\S+)\s+(.*)$", line)
            if not found or "O" not in found[1] or ".data.rel.ro" in line:
                continue
            name = found[4].split()[-1]
            # GLib's G_DEFINE_QUARK and once-initialisers keep a static of their own.
            if re.match(r"(q|g_define_type_id|static_g_define_type_id)\.\d+$", name):
                continue
            if (member, name) not in STATE_ALLOWED:
                problems.append(f"{archive.name}({member}): {name} is mutable file-scope state")
    report(problems)


def test_example_jobs_are_valid():
    jobs = tracked("examples/*.yaml")
    assert jobs
    done = subprocess.run([BUILD / "bin" / "drover", "spec", "check", *map(str, jobs)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
