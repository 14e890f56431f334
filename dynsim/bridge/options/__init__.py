"""What to run on images: every option, its default and its checks. No JAX, so that a command line is read quickly."""

from dynsim.bridge.options.images import LongTail
from dynsim.bridge.options.judging import Judging
from dynsim.bridge.options.labels import Supervised
from dynsim.bridge.options.loss_parts import LossParts
from dynsim.bridge.options.network import NetworkShape
from dynsim.bridge.options.pretraining import Masking, Pretraining
from dynsim.bridge.options.probes import PROBE_RECIPES, ProbeRecipe
from dynsim.bridge.options.trainings import TRAINING_RECIPES, TrainingRecipe, training_recipe
from dynsim.bridge.options.views import RECIPES, ViewRecipe

__all__ = [
    "PROBE_RECIPES",
    "RECIPES",
    "TRAINING_RECIPES",
    "Judging",
    "LongTail",
    "LossParts",
    "Masking",
    "NetworkShape",
    "Pretraining",
    "ProbeRecipe",
    "Supervised",
    "TrainingRecipe",
    "ViewRecipe",
    "training_recipe",
]
