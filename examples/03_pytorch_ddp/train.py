# SPDX-License-Identifier: Apache-2.0
"""Data-parallel training with torch.distributed, as one writes it for torchrun.

Nothing here is drover's: rank, world size and where to meet come from the environment (env://), so
the same file runs under torchrun, under drover, and alone:

    drover run examples/03_pytorch_ddp/job.yaml
    torchrun --nproc_per_node 2 examples/03_pytorch_ddp/train.py
    python3 examples/03_pytorch_ddp/train.py
"""
import os
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

STEPS = 60
BATCH = 128  # of all ranks together


def batch_of(step, features=8):
    """The batch of a step, the same on every rank: a function that the network is to learn."""
    generator = torch.Generator().manual_seed(step)
    x = torch.rand(BATCH, features, generator=generator) * 2 - 1
    return x, torch.sin(3 * x[:, :1]) * x[:, 1:2] + x[:, 2:3] ** 2


def main():
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "1"),
                        ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "29500")):
        os.environ.setdefault(name, value)
    dist.init_process_group("gloo", init_method="env://")
    rank, size = dist.get_rank(), dist.get_world_size()
    torch.set_num_threads(1)
    torch.manual_seed(rank)  # DDP hands out rank 0's weights

    model = DistributedDataParallel(nn.Sequential(
        nn.Linear(8, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 1)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

    for step in range(1, STEPS + 1):
        x, y = batch_of(step)
        loss = nn.functional.mse_loss(model(x[rank::size]), y[rank::size])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

        total = loss.detach().clone()
        dist.all_reduce(total)
        if rank == 0 and (step == 1 or step % 10 == 0):
            print(f"step {step:3d}/{STEPS}  loss {total.item() / size:.4f}", flush=True)

    # Every rank must end with the weights of rank 0, bit for bit. (These tensors live until the
    # group is gone: a gloo thread of PyTorch 1.13 that drops the last reference to one would wait
    # for the interpreter, which waits for the thread.)
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    first = weights.clone()
    dist.broadcast(first, src=0)
    different = torch.tensor(int(not torch.equal(weights, first)))
    dist.all_reduce(different)
    agree = different.item() == 0
    if rank == 0:
        print(f"{size} ranks {'agree' if agree else 'DISAGREE'} on the weights", flush=True)
    dist.destroy_process_group()
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
