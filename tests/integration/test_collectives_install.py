# SPDX-License-Identifier: Apache-2.0
"""`collectives` as its users meet it: installed, found by pkg-config, linked from C and C++."""
import subprocess

import pytest

PROGRAM = """
#include <collectives/coll.h>
#include <stdio.h>

int main(void)
{
    coll_comm *comm;
    float x = 3;

    if (coll_init(NULL, &comm) != COLL_OK || coll_all_reduce_mean(comm, &x, 1, 2) != COLL_OK)
        return 1;
    printf("%s %d %g\\n", coll_backend(comm), coll_size(comm), (double)x);
    return coll_close(comm);
}
"""


def run(*args, **kwargs):
    done = subprocess.run([str(arg) for arg in args], capture_output=True, text=True, timeout=120,
                          check=False, **kwargs)
    assert done.returncode == 0, f"{args}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def flags(build, tmp_path_factory):
    """What pkg-config says after an installation into a folder of our own."""
    root = tmp_path_factory.mktemp("installed")
    run("cmake", "-DCMAKE_INSTALL_PREFIX=" + str(root), "-P",
        build / "collectives" / "cmake_install.cmake")
    found = list(root.rglob("collectives.pc"))
    assert len(found) == 1
    return run("pkg-config", "--define-prefix", "--cflags", "--libs", found[0]).split()


@pytest.mark.parametrize("compiler, suffix", [("cc", "c"), ("c++", "cc")])
def test_a_program_links_it(flags, tmp_path, compiler, suffix):
    source, program = tmp_path / f"program.{suffix}", tmp_path / "program"
    source.write_text(PROGRAM)
    run(compiler, "-Wall", "-Wextra", "-Werror", source, "-o", program, *flags)
    assert run(program, env={"PATH": "/usr/bin:/bin", "DROVER_COLL": "single"}) == "single 1 3\n"
