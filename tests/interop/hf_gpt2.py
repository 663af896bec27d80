# SPDX-License-Identifier: Apache-2.0
"""Runs inside the environment that has transformers:

    hf_gpt2.py evaluate MODEL_DIR WINDOWS.npy OUT.npz     loss and logits of a saved model
    hf_gpt2.py create OUT_DIR LAYERS HEADS CHANNELS CONTEXT VOCAB    a random model, saved
"""
import sys

import numpy
import torch
from transformers import GPT2Config, GPT2LMHeadModel


def evaluate(folder, windows, out):
    model, info = GPT2LMHeadModel.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["mismatched_keys"], info
    assert not info["unexpected_keys"] and not info["error_msgs"], info
    assert model.lm_head.weight is model.transformer.wte.weight
    model.eval()
    windows = torch.from_numpy(numpy.load(windows))
    with torch.no_grad():
        logits = model(windows[:, :-1]).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
    numpy.savez(out, logits=logits.numpy(), loss=loss.item())


def create(folder, layers, heads, channels, context, vocab):
    torch.manual_seed(5)
    config = GPT2Config(n_layer=int(layers), n_head=int(heads), n_embd=int(channels),
                        n_positions=int(context), vocab_size=int(vocab), initializer_range=0.1)
    GPT2LMHeadModel(config).save_pretrained(folder, safe_serialization=True)


if __name__ == "__main__":
    {"evaluate": evaluate, "create": create}[sys.argv[1]](*sys.argv[2:])
