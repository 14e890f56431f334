"""A step of pre-training on images as an idiomatic PyTorch program: the peer of `dynsim.bridge.training`.

The same ResNet-18, head, loss, optimiser and batch in float32, with modules, autograd and channels last. The names of
the encoder's parts are torchvision's, so `dynsim.bridge.networks.to_torchvision` gives its weights.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from dynsim.bridge.options import NetworkShape, Pretraining


def normalised_convolution(inputs: int, outputs: int, size: int, stride: int) -> tuple[nn.Module, nn.Module]:
    """Return a convolution without bias and a batch norm."""
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = normalised_convolution(inputs, outputs, 3, stride)
        self.conv2, self.bn2 = normalised_convolution(outputs, outputs, 3, 1)
        same = inputs == outputs and stride == 1
        self.downsample = None if same else nn.Sequential(*normalised_convolution(inputs, outputs, 1, stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the images after the block."""
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class Projection(nn.Module):
    """Two linear layers, each followed by a batch norm, with a ReLU between them."""

    def __init__(self, inputs: int, inside: int, outputs: int) -> None:
        super().__init__()
        self.fc1, self.bn1 = nn.Linear(inputs, inside), nn.BatchNorm1d(inside)
        self.fc2, self.bn2 = nn.Linear(inside, outputs, bias=False), nn.BatchNorm1d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the embeddings."""
        return self.bn2(self.fc2(F.relu(self.bn1(self.fc1(x)))))


class ImageNetwork(nn.Module):
    """A ResNet-18 for small images with its head."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        if shape.architecture != "resnet18" or shape.stem == "imagenet" or shape.head_layers != 2:
            raise ValueError("the peer is a ResNet-18 with a stem for CIFAR and a head of two layers")
        channels = shape.channels
        self.conv1, self.bn1 = normalised_convolution(3, channels[0], 3, 1 if shape.stem == "cifar" else 2)
        inputs = channels[0]
        for stage, outputs in enumerate(channels, start=1):
            first = BasicBlock(inputs, outputs, 1 if stage == 1 else 2)
            setattr(self, f"layer{stage}", nn.Sequential(first, BasicBlock(outputs, outputs, 1)))
            inputs = outputs
        self.head = Projection(inputs, *shape.head_widths)
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(shape, name)).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of images, uint8 of shape (image, row, column, channel)."""
        x = pixels.permute(0, 3, 1, 2).float() / 255  # which leaves the channels last in memory
        x = F.relu(self.bn1(self.conv1((x - self.mean) / self.std)))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return self.head(x.mean((2, 3)))


def nt_xent(query: torch.Tensor, key: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return NT-Xent of two views of each image."""
    z = F.normalize(torch.cat([query, key]))
    logits = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
    n = len(query)
    return F.cross_entropy(logits, torch.arange(2 * n).roll(n))


class ImagePeer:
    """A network with its optimiser."""

    def __init__(self, options: Pretraining, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.options = options
        self.network: Any = ImageNetwork(options.network).to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), options.learning_rate, options.momentum, weight_decay=options.weight_decay
        )

    def loss(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """Return the loss of two views of each image; each view is normalised by itself."""
        return nt_xent(self.network(query), self.network(key), self.options.temperature)

    def step(self, query: torch.Tensor, key: torch.Tensor) -> float:
        """Make one update and return the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        value = self.loss(query, key)
        value.backward()
        self.optimizer.step()
        return value.item()

    def compiled(self) -> Callable[[torch.Tensor, torch.Tensor], float]:
        """Return `step` with the network and the loss through torch.compile, for these shapes only."""
        loss = torch.compile(self.loss, dynamic=False)

        def step(query: torch.Tensor, key: torch.Tensor) -> float:
            self.optimizer.zero_grad(set_to_none=True)
            value = loss(query, key)
            value.backward()
            self.optimizer.step()
            return value.item()

        return step
