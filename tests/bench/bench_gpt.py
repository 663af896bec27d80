#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The trainer's step against PyTorch's on the same machine, in turns, in one run.

    /usr/bin/python3 tests/bench/bench_gpt.py [--rounds 3] [--steps 8] [--threads 2]

Prints tokens/s of both, their ratio, GFLOP/s and the share of the matrix product's peak, which
is measured beside each round. The peer is a GPT-2 as one would write it for PyTorch 1.13 on a CPU:
fused cross-entropy, layer norm and tanh GELU, addmm, foreach AdamW, and the fastest of three ways
to write causal attention, found anew in each process. Both get random tokens and the same batches.
"""
import argparse
import json
import math
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("DROVER_BUILD", SOURCE / "build")).resolve()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    for name, value in (("rounds", 3), ("steps", 8), ("threads", 2), ("layers", 6), ("heads", 6),
                        ("channels", 384), ("context", 256), ("batch", 8), ("vocab", 256)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


# ---- the peer, in a process of its own ----

def attend_baddbmm(torch, q, k, v, mask):
    """q, k, v (B, NH, T, D)"""
    b, h, t, d = q.shape
    scores = torch.baddbmm(mask, q.reshape(b * h, t, d), k.reshape(b * h, t, d).transpose(1, 2),
                           alpha=1 / math.sqrt(d))
    return torch.bmm(torch.softmax(scores, -1), v.reshape(b * h, t, d)).view(b, h, t, d)


def attend_add(torch, q, k, v, mask):
    return torch.softmax(q @ k.transpose(-2, -1) * (1 / math.sqrt(q.shape[-1])) + mask, -1) @ v


def attend_fill(torch, q, k, v, mask):
    scores = (q * (1 / math.sqrt(q.shape[-1]))) @ k.transpose(-2, -1)
    return torch.softmax(scores.masked_fill_(mask != 0, float("-inf")), -1) @ v


class Peer:
    def __init__(self, torch, args):
        self.torch, self.args = torch, args
        c = args.channels
        scale = 0.02
        self.wte = (torch.randn(args.vocab, c) * scale).requires_grad_()
        self.wpe = (torch.randn(args.context, c) * scale).requires_grad_()
        self.layers = [[p.requires_grad_() for p in (
            torch.ones(c), torch.zeros(c), torch.randn(c, 3 * c) * scale, torch.zeros(3 * c),
            torch.randn(c, c) * scale, torch.zeros(c), torch.ones(c), torch.zeros(c),
            torch.randn(c, 4 * c) * scale, torch.zeros(4 * c),
            torch.randn(4 * c, c) * scale, torch.zeros(c))] for _ in range(args.layers)]
        self.final = [torch.ones(c).requires_grad_(), torch.zeros(c).requires_grad_()]
        self.mask = torch.full((args.context, args.context), float("-inf")).triu_(1)
        self.attend = attend_baddbmm
        parameters = [self.wte, self.wpe, *self.final, *(p for layer in self.layers for p in layer)]
        self.parameters = parameters
        self.adamw = torch.optim.AdamW(
            [{"params": [p for p in parameters if p.dim() == 2], "weight_decay": 0.1},
             {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0}],
            lr=1e-3, betas=(0.9, 0.95), foreach=True)

    def loss(self, windows):
        torch, f = self.torch, self.torch.nn.functional
        b, t, c, h = self.args.batch, self.args.context, self.args.channels, self.args.heads
        x = (f.embedding(windows[:, :-1], self.wte) + self.wpe).view(b * t, c)
        for ln1w, ln1b, qkvw, qkvb, projw, projb, ln2w, ln2b, fcw, fcb, outw, outb in self.layers:
            y = torch.addmm(qkvb, f.layer_norm(x, (c,), ln1w, ln1b), qkvw)
            q, k, v = y.view(b, t, 3, h, c // h).permute(2, 0, 3, 1, 4)
            y = self.attend(torch, q, k, v, self.mask).transpose(1, 2).reshape(b * t, c)
            x = x + torch.addmm(projb, y, projw)
            y = torch.addmm(fcb, f.layer_norm(x, (c,), ln2w, ln2b), fcw)
            x = x + torch.addmm(outb, f.gelu(y, approximate="tanh"), outw)
        logits = torch.mm(f.layer_norm(x, (c,), *self.final), self.wte.t())
        return f.cross_entropy(logits, windows[:, 1:].reshape(-1))

    def step(self, windows):
        self.adamw.zero_grad(set_to_none=True)
        loss = self.loss(windows)
        loss.backward()
        self.torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.adamw.step()
        return loss

    def choose_attention(self, windows):
        times = {}
        for attend in (attend_baddbmm, attend_add, attend_fill):
            self.attend = attend
            self.step(windows)
            begin = time.monotonic()
            self.step(windows)
            times[attend] = time.monotonic() - begin
        self.attend = min(times, key=times.get)


def gemm_peak(torch):
    """GFLOP/s of fp32 matrix products of the step's kind, best of ten."""
    a, b, best = torch.randn(2048, 1536), torch.randn(1536, 1536), 1e9
    for _ in range(10):
        begin = time.monotonic()
        torch.mm(a, b)
        best = min(best, time.monotonic() - begin)
    return 2 * 2048 * 1536 * 1536 / best / 1e9


def peer_main(args):
    import torch  # pylint: disable=import-outside-toplevel
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    peer = Peer(torch, args)
    batches = torch.randint(args.vocab, (args.steps, args.batch, args.context + 1))
    peer.choose_attention(batches[0])
    begin = time.monotonic()
    for windows in batches:
        peer.step(windows).item()
    seconds = time.monotonic() - begin
    print(json.dumps({"tokens_per_s": args.steps * args.batch * args.context / seconds,
                      "peak": gemm_peak(torch), "torch": torch.__version__,
                      "attention": peer.attend.__name__}))


# ---- both in turns ----

def environment(args):
    return {**os.environ, "OMP_NUM_THREADS": str(args.threads)}


def run_peer(args):
    flags = [f"--{name}={value}" for name, value in vars(args).items() if name != "peer"]
    done = subprocess.run([sys.executable, __file__, "--peer", *flags], env=environment(args),
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def run_ours(args):
    """Tokens/s as the last line says it: of all steps, the first with its page faults too."""
    flags = [f"--{name}={getattr(args, name)}"
             for name in ("layers", "heads", "channels", "context", "batch", "vocab", "steps")]
    with tempfile.NamedTemporaryFile() as tokens:
        values = (random.randrange(args.vocab) for _ in range(20 * args.context + 20000))
        tokens.write(b"".join(value.to_bytes(2, "little") for value in values))
        tokens.flush()
        done = subprocess.run([BUILD / "bin" / "gpt_train", *flags, f"--tokens={tokens.name}",
                               "--eval-every=0", "--eval-windows=1", "--resume="],
                              env=environment(args), capture_output=True, text=True, check=True)
    return float(re.search(r"(\d+) tok/s, [\d.]+ GFLOP/s", done.stdout)[1])


def flops_per_token(args):
    """Of the matrix products, forward and backward, causal half of the attention's."""
    c = args.channels
    return 6 * (12 * args.layers * c * c + args.vocab * c + args.layers * args.context * c)


def main():
    args = arguments()
    if args.peer:
        peer_main(args)
        return
    ours, theirs, peaks = [], [], []
    for index in range(args.rounds):
        ours.append(run_ours(args))
        peer = run_peer(args)
        theirs.append(peer["tokens_per_s"])
        peaks.append(peer["peak"])
        print(f"round {index + 1}: gpt_train {ours[-1]:.0f} tok/s, PyTorch {theirs[-1]:.0f} tok/s, "
              f"ratio {ours[-1] / theirs[-1]:.2f}, sgemm {peaks[-1]:.0f} GFLOP/s", flush=True)
    speed, peer_speed, peak = map(statistics.median, (ours, theirs, peaks))
    rate = flops_per_token(args) * speed / 1e9
    ratio = statistics.median(a / b for a, b in zip(ours, theirs))
    print(f"{args.layers} layers, {args.heads} heads, {args.channels} channels, T {args.context}, "
          f"B {args.batch}, vocab {args.vocab}, {args.threads} threads, PyTorch {peer['torch']} "
          f"({peer['attention']})\n"
          f"gpt_train {speed:.0f} tok/s = {rate:.0f} GFLOP/s, {100 * rate / peak:.0f} % of sgemm's "
          f"{peak:.0f}; PyTorch {peer_speed:.0f} tok/s; ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
