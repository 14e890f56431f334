"""Training of an image network with labels: a classifier, and beside it a contrastive loss of the embeddings."""

from dynsim.bridge.options.labels import Supervised
from dynsim.bridge.options.loss_parts import LossParts
from dynsim.bridge.supervised.run import Classifier, train_with_labels

__all__ = ["Classifier", "LossParts", "Supervised", "train_with_labels"]
