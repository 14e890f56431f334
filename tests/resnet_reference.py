"""A residual network in NumPy and float64, written from the description of the layers, not from the code of dynsim.

It walks through the nested dictionaries of parameters. Their structure says how many blocks there are and
of which kind.
"""

import numpy as np


def convolve(x, kernel, stride):
    """Return the convolution of images (image, row, column, channel), padded by half the kernel on every side."""
    size, pad = kernel.shape[0], kernel.shape[0] // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    rows, columns = (-(-n // stride) for n in x.shape[1:3])
    out = np.zeros((x.shape[0], rows, columns, kernel.shape[3]))
    for i in range(size):
        for j in range(size):
            patch = padded[:, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride]
            out += patch @ kernel[i, j]
    return out


def max_pool(x):
    """Return the largest value of 3x3 windows, stride 2."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    rows, columns = (-(-n // 2) for n in x.shape[1:3])
    windows = [padded[:, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2] for i in range(3) for j in range(3)]
    return np.max(windows, axis=0)


def as_double(tree):
    """Return a copy in float64."""
    return {k: as_double(part) if isinstance(part, dict) else np.array(part, float) for k, part in tree.items()}


class Reference:
    """One forward pass; `stats` are the running statistics after it."""

    def __init__(self, params, stats, *, train, norm_set=0, valid=None):
        self.params, self.stats = as_double(params), as_double(stats)
        self.train, self.set, self.valid = train, norm_set, valid

    def norm(self, x, params, stats):
        if self.train:
            used = x if self.valid is None else x[np.asarray(self.valid)]
            rows = used.reshape(-1, x.shape[-1])
            mean, var = rows.mean(axis=0), rows.var(axis=0)
            stats["mean"][self.set] = 0.9 * stats["mean"][self.set] + 0.1 * mean
            stats["var"][self.set] = 0.9 * stats["var"][self.set] + 0.1 * rows.var(axis=0, ddof=1)
        else:
            mean, var = stats["mean"][self.set], stats["var"][self.set]
        return params["scale"][self.set] * (x - mean) / np.sqrt(var + 1e-5) + params["bias"][self.set]

    def block(self, x, params, stats, stride):
        depth = sum(name.startswith("conv") for name in params)
        out = x
        for i in range(1, depth + 1):
            here = stride if i == depth - 1 else 1
            out = self.norm(convolve(out, params[f"conv{i}"]["kernel"], here), params[f"bn{i}"], stats[f"bn{i}"])
            out = np.maximum(out, 0) if i < depth else out
        if "downsample" in params:
            projected = convolve(x, params["downsample"]["0"]["kernel"], stride)
            short = self.norm(projected, params["downsample"]["1"], stats["downsample"]["1"])
        else:
            short = x[:, ::stride, ::stride]
            zeros = np.zeros((*short.shape[:3], (out.shape[-1] - short.shape[-1]) // 2))
            short = np.concatenate([zeros, short, zeros], axis=3)
        return np.maximum(out + short, 0)

    def __call__(self, images, *, stem, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)):
        """Return (features, embeddings)."""
        p, s = self.params, self.stats
        x = convolve((np.asarray(images, float) - mean) / std, p["conv1"]["kernel"], 1 if stem == "cifar" else 2)
        x = np.maximum(self.norm(x, p["bn1"], s["bn1"]), 0)
        x = max_pool(x) if stem == "imagenet" else x
        for layer in range(1, sum(name.startswith("layer") for name in p) + 1):
            for i in range(len(p[f"layer{layer}"])):
                part = (p[f"layer{layer}"][str(i)], s[f"layer{layer}"][str(i)])
                x = self.block(x, *part, stride=2 if layer > 1 and i == 0 else 1)
        features = x.mean(axis=(1, 2))
        out, head = features, p.get("head", {})
        depth = len(head) // 2
        for i in range(1, depth + 1):
            out = out @ head[f"fc{i}"]["kernel"] + head[f"fc{i}"].get("bias", 0)
            out = self.norm(out, head[f"bn{i}"], s["head"][f"bn{i}"])
            out = np.maximum(out, 0) if i < depth else out
        return features, out
