# SPDX-License-Identifier: Apache-2.0
"""The trainer's loss, gradients and AdamW steps against PyTorch on the same weights and batch."""
import os
import pathlib
import subprocess

import pytest
import reference
import torch

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("DROVER_BUILD", SOURCE / "build")).resolve()
PROBE = BUILD / "tests" / "gpt_probe"

# layers, heads, channels, context, vocab, sequences: sizes that do not divide the kernels' tiles,
# more rows than a tile, more positions than a block of scores, a vocabulary beyond bytes.
SIZES = [(2, 2, 32, 16, 61, 3), (1, 1, 7, 5, 3, 1), (3, 4, 64, 130, 256, 2),
         (2, 3, 48, 70, 1000, 4), (2, 4, 128, 200, 5003, 5)]


def probe(tmp_path, size, parameters, windows, steps):
    """Our losses and gradients of each step, and the weights after the last."""
    layers, heads, channels, context, vocab, sequences = size
    reference.safetensors_write(tmp_path / "in", parameters)
    (tmp_path / "tokens").write_bytes(windows.numpy().astype("<u2").tobytes())
    done = subprocess.run([PROBE, tmp_path / "in", tmp_path / "tokens", tmp_path / "out",
                           *map(str, (layers, heads, channels, context, vocab, sequences, steps))],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return ([float(line) for line in done.stdout.split()],
            [reference.safetensors_read(tmp_path / f"out.gradients.{step + 1}")
             for step in range(steps)],
            reference.safetensors_read(tmp_path / "out.weights"))


def adamw_of(parameters):
    return torch.optim.AdamW([
        {"params": [p for p in parameters.values() if p.dim() == 2], "weight_decay": 0.1},
        {"params": [p for p in parameters.values() if p.dim() == 1], "weight_decay": 0.0},
    ], lr=1e-3, betas=(0.9, 0.95))


def assert_close(name, ours, theirs, tolerance):
    """Largest difference against the tensor's own largest value."""
    assert ours.shape == theirs.shape, name
    error = (ours.double() - theirs.double()).abs().max().item()
    assert error <= tolerance * max(theirs.abs().max().item(), 1e-6), f"{name}: off by {error:.3g}"


@pytest.fixture(name="case", params=SIZES, ids=str)
def make_case(request):
    layers, _, channels, context, vocab, sequences = request.param
    random = torch.Generator().manual_seed(7)
    windows = torch.randint(vocab, (sequences, context + 1), generator=random)
    return request.param, reference.start(layers, channels, context, vocab, seed=3), windows


def test_loss_and_gradients_are_those_of_pytorch(tmp_path, case):
    size, parameters, windows = case
    losses, gradients, _ = probe(tmp_path, size, parameters, windows, 1)
    theirs = {name: value.double().requires_grad_() for name, value in parameters.items()}
    loss = reference.loss(theirs, windows, size[0], size[1])
    loss.backward()
    assert abs(losses[0] - loss.item()) <= 1e-5 * loss.item()
    assert gradients[0].keys() == theirs.keys()
    for name, value in theirs.items():
        assert_close(name, gradients[0][name], value.grad, 1e-4)


def test_training_is_that_of_pytorch(tmp_path, case):
    """Losses along the way from PyTorch's own gradients."""
    size, parameters, windows = case
    losses, _, _ = probe(tmp_path, size, parameters, windows, 5)
    theirs = {name: value.double().requires_grad_() for name, value in parameters.items()}
    adamw = adamw_of(theirs)
    for ours in losses:
        adamw.zero_grad()
        loss = reference.loss(theirs, windows, size[0], size[1])
        loss.backward()
        assert abs(ours - loss.item()) <= 1e-4 * loss.item()
        torch.nn.utils.clip_grad_norm_(theirs.values(), 1.0)
        adamw.step()


def test_adamw_is_that_of_pytorch(tmp_path, case):
    """Weights from our gradients: AdamW divides by their size, so that where a true gradient is
    zero it would magnify the difference between two roundings."""
    size, parameters, windows = case
    _, gradients, weights = probe(tmp_path, size, parameters, windows, 3)
    theirs = {name: value.double().requires_grad_() for name, value in parameters.items()}
    adamw = adamw_of(theirs)
    for step in gradients:
        for name, value in theirs.items():
            value.grad = step[name].double()
        torch.nn.utils.clip_grad_norm_(theirs.values(), 1.0)
        adamw.step()
    for name, value in theirs.items():
        assert_close(name, weights[name], value.detach(), 1e-6)


def test_the_reference_notices_a_wrong_gradient():
    """The comparison itself can fail."""
    right = torch.tensor([1.0, 2.0])
    with pytest.raises(AssertionError):
        assert_close("x", right + 1e-3, right, 1e-4)
