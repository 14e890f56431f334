"""Residual networks for the bridge: sizes, layers, a network as pure functions over nested dictionaries, its files."""

from dynsim.bridge.networks.files import SavedEncoder, load_safetensors, load_torchvision, save_safetensors
from dynsim.bridge.networks.network import Network, Outputs, build
from dynsim.bridge.networks.torch_names import from_torchvision, to_torchvision
from dynsim.bridge.options.network import NetworkShape

__all__ = [
    "Network",
    "NetworkShape",
    "Outputs",
    "SavedEncoder",
    "build",
    "from_torchvision",
    "load_safetensors",
    "load_torchvision",
    "save_safetensors",
    "to_torchvision",
]
