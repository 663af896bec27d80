# SPDX-License-Identifier: Apache-2.0
"""GPT-2 in PyTorch, written from the paper for these tests: the reference of the trainer's numbers.

Parameters have the names and layouts of Hugging Face's GPT-2, in one dict. Also the safetensors
format, as far as fp32 goes.
"""
import json
import math
import struct

import numpy
import torch
import torch.nn.functional as F


def safetensors_read(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    assert header.pop("__metadata__", {"format": "pt"}) == {"format": "pt"}
    out = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        assert entry["dtype"] == "F32"
        values = numpy.frombuffer(data[8 + size + begin:8 + size + end], dtype="<f4")
        out[name] = torch.from_numpy(values.reshape(entry["shape"]).copy())
    return out


def safetensors_write(path, tensors):
    header, blobs, at = {}, [], 0
    for name, tensor in tensors.items():
        blob = tensor.detach().numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape),
                        "data_offsets": [at, at + len(blob)]}
        blobs.append(blob)
        at += len(blob)
    words = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(words)) + words + b"".join(blobs))


def start(layers, channels, context, vocab, seed, spread=0.05):
    """Random parameters, none of them zero or one, so that each has a gradient worth comparing."""
    random = torch.Generator().manual_seed(seed)

    def draw(*shape, mean=0.0):
        return mean + spread * torch.randn(*shape, generator=random)

    c, out = channels, {"wte.weight": draw(vocab, channels), "wpe.weight": draw(context, channels)}
    for layer in range(layers):
        h = f"h.{layer}."
        out |= {h + "ln_1.weight": draw(c, mean=1.0), h + "ln_1.bias": draw(c),
                h + "attn.c_attn.weight": draw(c, 3 * c), h + "attn.c_attn.bias": draw(3 * c),
                h + "attn.c_proj.weight": draw(c, c), h + "attn.c_proj.bias": draw(c),
                h + "ln_2.weight": draw(c, mean=1.0), h + "ln_2.bias": draw(c),
                h + "mlp.c_fc.weight": draw(c, 4 * c), h + "mlp.c_fc.bias": draw(4 * c),
                h + "mlp.c_proj.weight": draw(4 * c, c), h + "mlp.c_proj.bias": draw(c)}
    return out | {"ln_f.weight": draw(c, mean=1.0), "ln_f.bias": draw(c)}


def gelu(x):
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x ** 3)))


def logits(p, tokens, layers, heads):
    """tokens (B, T) -> (B, T, V)"""
    b, t = tokens.shape
    x = p["wte.weight"][tokens] + p["wpe.weight"][:t]
    c = x.shape[-1]
    hidden = torch.full((t, t), float("-inf"), dtype=x.dtype).triu(1)
    for layer in range(layers):
        w = {name: p[f"h.{layer}.{name}"] for name in
             ("ln_1.weight", "ln_1.bias", "attn.c_attn.weight", "attn.c_attn.bias",
              "attn.c_proj.weight", "attn.c_proj.bias", "ln_2.weight", "ln_2.bias",
              "mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight", "mlp.c_proj.bias")}
        y = F.layer_norm(x, (c,), w["ln_1.weight"], w["ln_1.bias"])
        q, k, v = ((y @ w["attn.c_attn.weight"] + w["attn.c_attn.bias"])
                   .view(b, t, 3, heads, c // heads).permute(2, 0, 3, 1, 4))
        weight = torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(c // heads) + hidden, -1)
        y = (weight @ v).transpose(1, 2).reshape(b, t, c)
        x = x + y @ w["attn.c_proj.weight"] + w["attn.c_proj.bias"]
        y = F.layer_norm(x, (c,), w["ln_2.weight"], w["ln_2.bias"])
        y = gelu(y @ w["mlp.c_fc.weight"] + w["mlp.c_fc.bias"])
        x = x + y @ w["mlp.c_proj.weight"] + w["mlp.c_proj.bias"]
    return F.layer_norm(x, (c,), p["ln_f.weight"], p["ln_f.bias"]) @ p["wte.weight"].T


def loss(p, windows, layers, heads):
    """windows (B, T + 1) -> the mean cross-entropy"""
    out = logits(p, windows[:, :-1], layers, heads)
    return F.cross_entropy(out.flatten(0, 1), windows[:, 1:].flatten())
