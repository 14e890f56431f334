"""Self-supervised pre-training of an image network, with and without a pruning mask in the forward pass."""

from dynsim.bridge.options.pretraining import Masking, Pretraining
from dynsim.bridge.training.run import Trained, pretrain

__all__ = ["Masking", "Pretraining", "Trained", "pretrain"]
