"""What a ResNeXt-50 (32x4d) in PyTorch computes with the weights of `hashed.py`: writes torch_resnext.json beside it.

    python tests/references/torch_resnext.py

The network is written here from its description (Xie et al. 2017, table 1), with PyTorch's own layers and torchvision's
names, since torchvision has it in one width only: here all channels are a quarter of those, so that it is quick to
compile, and the groups are 32 as in the original. The numbers are computed in float64.

It needs torch (2.13.0 was used), which dynsim does not, and an environment of its own.
"""

import json
from pathlib import Path

import hashed
import numpy as np
import torch
from torch import nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BLOCKS, GROUPS, STEM, SIDE = (3, 4, 6, 3), 32, 16, 64


class Bottleneck(nn.Module):
    """Two 1x1 convolutions around a grouped 3x3 one, which has the stride, and a shortcut."""

    def __init__(self, inputs, inner, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, groups=GROUPS, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        changes = stride > 1 or inputs != outputs
        projection = [nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)]
        self.downsample = nn.Sequential(*projection) if changes else nn.Identity()

    def forward(self, x):
        out = torch.relu(self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x))))))
        return torch.relu(self.bn3(self.conv3(out)) + self.downsample(x))


def network():
    """Return the network without a classifier."""
    stages, inputs = [], STEM
    for stage, number in enumerate(BLOCKS):
        outputs, inner = 4 * STEM * 2**stage, 2 * STEM * 2**stage  # 256 and 128 of 64 in the original's first stage
        made = [
            Bottleneck(outputs if i else inputs, inner, outputs, 2 if stage and not i else 1) for i in range(number)
        ]
        stages.append((f"layer{stage + 1}", nn.Sequential(*made)))
        inputs = outputs
    net = nn.Sequential()
    net.add_module("conv1", nn.Conv2d(3, STEM, 7, 2, 3, bias=False))
    net.add_module("bn1", nn.BatchNorm2d(STEM))
    net.add_module("relu", nn.ReLU())
    net.add_module("maxpool", nn.MaxPool2d(3, 2, 1))
    for name, made in stages:
        net.add_module(name, made)
    net.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
    net.add_module("flatten", nn.Flatten())
    return net


def few(tensor):
    """Return the first numbers of a tensor."""
    return [float(value) for value in tensor.detach().reshape(-1)[:6]]


def main():
    """Write what an evaluation gives."""
    torch.set_num_threads(1)
    net = network()
    shapes = {key: tuple(one.shape) for key, one in net.state_dict().items() if not key.endswith("tracked")}
    net.load_state_dict({key: torch.from_numpy(one) for key, one in hashed.weights(shapes).items()}, strict=False)
    net = net.double()
    pixels = (hashed.images(SIDE).astype(np.float64) - MEAN) / STD
    images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    found = {"stem": "imagenet", "side": SIDE, "width": STEM / 64}
    found["evaluation"] = [few(one) for one in net.eval()(images)]
    versions = {"torch": torch.__version__.partition("+")[0]}
    text = json.dumps({"versions": versions, "cases": {"resnext50_32x4d": found}}, indent=1)
    Path(__file__).with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
