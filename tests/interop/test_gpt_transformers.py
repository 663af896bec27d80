# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of the trainer in Hugging Face's transformers, and its weights in the trainer.

transformers comes from PyPI into an environment below the build folder, once, at fixed versions;
torch and numpy stay Debian's.
"""
import os
import pathlib
import re
import shutil
import subprocess

import numpy
import pytest
import reference
import torch

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("DROVER_BUILD", SOURCE / "build")).resolve()
PACKAGES = ["transformers==4.33.3", "huggingface-hub==0.17.3", "tokenizers==0.13.3",
            "safetensors==0.3.3", "regex==2023.10.3", "tqdm==4.66.1", "fsspec==2023.9.2",
            "filelock==3.12.4"]
UNREACHABLE = re.compile(r"new connection|name resolution|timed out|ConnectTimeout|ProxyError|"
                         r"Network is unreachable|from versions: none", re.IGNORECASE)
ENVIRONMENT = {**os.environ, "USE_TF": "0", "USE_FLAX": "0", "HF_HUB_OFFLINE": "1",
               "TRANSFORMERS_OFFLINE": "1"}


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          timeout=300, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(name="python", scope="module")
def make_python():
    """The interpreter that has transformers."""
    folder = BUILD / "interop-venv"
    python, stamp = folder / "bin" / "python", folder / "packages"
    if stamp.is_file() and stamp.read_text() == "\n".join(PACKAGES):
        return python
    shutil.rmtree(folder, ignore_errors=True)
    run("/usr/bin/python3", "-m", "venv", "--system-site-packages", folder)
    done = subprocess.run([python, "-m", "pip", "install", "--quiet", "--retries=1", *PACKAGES],
                          capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0 and UNREACHABLE.search(done.stderr):
        pytest.skip("PyPI is not reachable, and transformers is not in Debian")
    assert done.returncode == 0, done.stderr
    stamp.write_text("\n".join(PACKAGES))
    return python


def probe_loss(weights, size, windows, tmp_path):
    """The trainer's mean loss of windows under the weights of a file."""
    (tmp_path / "tokens").write_bytes(windows.astype("<u2").tobytes())
    return float(run(BUILD / "tests" / "gpt_probe", weights, tmp_path / "tokens", tmp_path / "out",
                     *size, len(windows), 1).split()[0])


def test_a_checkpoint_loads_in_transformers(python, tmp_path):
    size = (3, 4, 64, 96, 256)
    text = tmp_path / "text"
    text.write_text("the quick brown fox jumps over the lazy dog; " * 500)
    run(BUILD / "bin" / "gpt_train", "--data", text, "--layers", 3, "--heads", 4, "--channels", 64,
        "--context", 96, "--batch", 4, "--steps", 30, "--warmup", 5, "--resume", tmp_path / "c")
    windows = numpy.frombuffer(text.read_bytes()[:5 * 97], "u1").astype("i8").reshape(5, 97)
    numpy.save(tmp_path / "windows.npy", windows)
    latest = tmp_path / "c" / "latest"
    run(python, SOURCE / "tests/interop/hf_gpt2.py", "evaluate", latest, tmp_path / "windows.npy",
        tmp_path / "hf.npz")
    theirs = numpy.load(tmp_path / "hf.npz")
    ours = probe_loss(latest / "model.safetensors", size, windows, tmp_path)
    assert ours < 4, "it has not learned anything"
    assert abs(ours - float(theirs["loss"])) < 1e-5 * ours
    weights = reference.safetensors_read(latest / "model.safetensors")
    logits = reference.logits(weights, torch.from_numpy(windows[:, :-1]), size[0], size[1])
    assert numpy.abs(logits.numpy() - theirs["logits"]).max() < 1e-4


def test_weights_of_transformers_load_in_the_trainer(python, tmp_path):
    size = (2, 4, 32, 40, 300)
    script = SOURCE / "tests/interop/hf_gpt2.py"
    run(python, script, "create", tmp_path / "hf", *size)
    windows = numpy.random.default_rng(3).integers(300, size=(6, 41))
    numpy.save(tmp_path / "windows.npy", windows)
    run(python, script, "evaluate", tmp_path / "hf", tmp_path / "windows.npy", tmp_path / "hf.npz")
    theirs = float(numpy.load(tmp_path / "hf.npz")["loss"])
    ours = probe_loss(tmp_path / "hf" / "model.safetensors", size, windows, tmp_path)
    assert abs(ours - theirs) < 1e-5 * theirs
    numpy.random.default_rng(4).integers(300, size=20000).astype("<u2").tofile(tmp_path / "text")
    run(BUILD / "bin" / "gpt_train", "--init", tmp_path / "hf" / "model.safetensors", "--layers", 2,
        "--heads", 4, "--channels", 32, "--context", 40, "--tokens", tmp_path / "text", "--vocab",
        300, "--steps", 2)
