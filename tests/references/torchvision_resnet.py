"""What torchvision's ResNets compute with the weights of `hashed.py`: writes torchvision_resnet.json beside this file.

    python tests/references/torchvision_resnet.py            writes it
    python tests/references/torchvision_resnet.py a.safetensors stem
                                                             says whether torchvision loads an exported ResNet-18

The numbers are computed in float64. In float32 torch's own gradient of the first kernel of ResNet-18 is 0.4 % off, and
all gradients of ResNet-50 2 %, because rounding decides on which side of zero some ReLUs are. So only ResNet-18 has
gradients here.

It needs torch and torchvision (2.14.1 and 0.29.1 were used), which dynsim does not, and an environment of its own.
"""

import json
import sys
from pathlib import Path

import hashed
import numpy as np
import torch
import torchvision

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CASES = {"resnet18": ("cifar", 32), "resnet34": ("imagenet", 64), "resnet50": ("imagenet", 64)}
SHOWN = ("bn1.running_mean", "layer2.0.downsample.1.running_var", "layer4.1.bn2.running_var")
KERNELS = ("conv1.weight", "layer3.0.downsample.0.weight", "layer4.1.conv2.weight")


def model(name, stem):
    """Return a torchvision model without its classifier, with the first layers of a stem."""
    made = getattr(torchvision.models, name)()
    made.fc = torch.nn.Identity()
    if stem == "cifar":
        made.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        made.maxpool = torch.nn.Identity()
    return made


def few(tensor):
    """Return the first numbers of a tensor."""
    return [float(value) for value in tensor.detach().reshape(-1)[:6]]


def batch(side):
    """Return the normalised images of `hashed.py` in torch's order of axes."""
    images = (hashed.images(side).astype(np.float64) - MEAN) / STD
    return torch.from_numpy(images.transpose(0, 3, 1, 2).copy())


def case(name, stem, side):
    """Return what one model computes: an evaluation, a training step's forward pass, an evaluation after it."""
    net = model(name, stem)
    shapes = {key: tuple(one.shape) for key, one in net.state_dict().items() if not key.endswith("tracked")}
    net.load_state_dict({key: torch.from_numpy(one) for key, one in hashed.weights(shapes).items()}, strict=False)
    net, images = net.double(), batch(side)
    found = {"stem": stem, "side": side, "evaluation": [few(one) for one in net.eval()(images)]}
    trained = net.train()(images)
    found["training"] = [few(one) for one in trained]
    found["stats"] = {key: few(net.state_dict()[key]) for key in SHOWN}
    if name == "resnet18":
        factors = torch.from_numpy(hashed.uniform("factors", tuple(trained.shape), -1, 1)).double()
        (trained * factors).sum().backward()
        named = dict(net.named_parameters())
        found["gradient"] = {key: few(named[key].grad) for key in KERNELS}
        found["gradient_norm"] = {key: float(named[key].grad.norm()) for key in KERNELS}
    return found | {"evaluation_after": [few(one) for one in net.eval()(images)]}


def load(path, stem):
    """Load an exported ResNet-18 into torchvision's model and print what it makes of the images of `hashed.py`."""
    from safetensors.torch import load_file

    weights = load_file(path)
    net = model("resnet18", stem)
    missing, unexpected = net.load_state_dict(weights, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing), (missing, unexpected)
    print(json.dumps([few(one) for one in net.eval()(batch(32).float())]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) == 3:
        load(*sys.argv[1:])
    else:
        found = {name: case(name, *sizes) for name, sizes in CASES.items()}
        versions = {
            "torch": torch.__version__.partition("+")[0],
            "torchvision": torchvision.__version__.partition("+")[0],
        }
        text = json.dumps({"versions": versions, "cases": found}, indent=1)
        Path(__file__).with_suffix(".json").write_text(text + "\n", encoding="utf-8")
