# SPDX-License-Identifier: Apache-2.0
"""The examples that show what runs without any change, run from their job files."""
import pytest


@pytest.mark.parametrize("from_folder", [True, False])
def test_hello_says_hello_from_every_rank(drover, source, from_folder):
    job = source / "examples" / "01_hello" / "job.yaml"
    # by an absolute path from elsewhere, and by its name from its folder
    done = drover("run", job.name if from_folder else job, **({"cwd": job.parent} if from_folder
                                                               else {}))
    for rank in (0, 1):
        assert f"[rank {rank}] hello from rank {rank} of 2 on " in done.stdout
    assert "the ranks add up to 1\n" in done.stdout


def test_pytorch_ddp_learns_and_agrees(drover, source):
    pytest.importorskip("torch", reason="python3-torch is not installed")
    done = drover("run", source / "examples" / "03_pytorch_ddp" / "job.yaml")
    losses = [float(line.split("loss")[1]) for line in done.stdout.splitlines() if "loss" in line]
    assert len(losses) == 7
    assert losses[-1] < 0.3 * losses[0]
    assert "[rank 0] 2 ranks agree on the weights\n" in done.stdout
