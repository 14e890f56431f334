"""Published trainings with labels on large long-tailed images, by name: ImageNet-LT, iNaturalist 2018 and Places-LT.

The numbers are those of the published code of PaCo and GPaCo (Cui et al. 2021, 2023), of BCL (Zhu et al. 2022) and of
decoupled training (Kang et al. 2020). ACL (arXiv 2506.01071) refers to GPaCo; what it does not state stays an option
like any other, and its recipe names it in `left_open`.

What differs in all of them: RandAugment, which follows the colours in a view of PaCo, GPaCo and BCL, is left out, since
no recipe of views has it; and each layer of the projection head is followed by a batch norm.
"""

from dataclasses import replace
from typing import Any, NamedTuple

from dynsim.bridge.options.labels import NO_CONTRAST, Supervised
from dynsim.bridge.options.network import NetworkShape
from dynsim.config.checks import choice

INATURALIST_MEAN = (0.466, 0.471, 0.380)
INATURALIST_STD = (0.195, 0.194, 0.192)
FIRST_VIEW, OTHER_VIEW = "large-supervised", "paco-sim-large"


class TrainingRecipe(NamedTuple):
    """One published training."""

    images: str
    """A name in `IMAGE_LISTS` of dynsim/bridge/data/lists.py."""
    training: Supervised
    """Its options."""
    source: str
    """Where they come from."""
    left_open: tuple[str, ...] = ()
    """Options that the source leaves open, which have a value of a related source or of another data set."""
    pretrained: bool = False
    """Whether it starts from an encoder that was trained on all of ImageNet (`load_torchvision`)."""


_ACL = Supervised(
    # three linear layers of the width of the features, then 128: GPaCo's
    network=NetworkShape("resnet50", "imagenet", head_layers=3, embedding_dim=128),
    classifier="balanced_softmax",
    contrastive="acl",
    weight=0.1,
    temperature=0.2,
    views=(FIRST_VIEW, OTHER_VIEW, OTHER_VIEW, OTHER_VIEW),
    view_counts="by_size",
    roles="shared",
    epochs=400,
    batch_size=128,
    learning_rate=0.04,
    schedule="cosine",
    milestones=(),
    warmup_epochs=10,
    weight_decay=5e-4,
)
_ACL_OPEN = ("weight", "temperature", "epochs", "learning_rate", "centre_momentum", "views")
_ACL_SOURCE = "ACL (arXiv 2506.01071): losses, and two to four views by class size; the rest is GPaCo's, code"
_BCL = Supervised(
    network=NetworkShape("resnet50", "imagenet", head_layers=2, embedding_dim=1024),
    classifier="logit_adjusted",
    contrastive="bcl",
    weight=0.35,
    temperature=0.07,
    cosine=True,
    cosine_scale=30.0,
    views=(FIRST_VIEW, "bcl-sim-large", "bcl-sim-large"),
    view_counts="uniform",
    roles="apart",
    epochs=90,
    batch_size=256,
    learning_rate=0.1,
    schedule="cosine",
    milestones=(),
    warmup_epochs=0,
    weight_decay=5e-4,
)
_BCL_SOURCE = "BCL (Zhu et al. 2022), code: 90 epochs, its weaker views"
_PLAIN = Supervised(
    network=NetworkShape("resnext50_32x4d", "imagenet", head_layers=0),
    classifier="cross_entropy",
    contrastive=NO_CONTRAST,
    views=(FIRST_VIEW,),
    view_counts="uniform",
    epochs=90,
    batch_size=512,
    learning_rate=0.2,
    schedule="cosine",
    milestones=(),
    warmup_epochs=0,
    weight_decay=5e-4,
)
_PLAIN_SOURCE = "first stage of decoupled training, cross-entropy (Kang et al. 2020), code"


def _with(training: Supervised, architecture: str, inaturalist: bool = False, **changes: Any) -> Supervised:
    """Return a training with another network and other options."""
    changed: dict[str, Any] = {"architecture": architecture}
    if inaturalist:
        changed |= {"mean": INATURALIST_MEAN, "std": INATURALIST_STD}
    return replace(training, network=replace(training.network, **changed), **changes)


TRAINING_RECIPES = {
    "imagenet-lt-resnet50-acl": TrainingRecipe("imagenet_lt", _ACL, _ACL_SOURCE, _ACL_OPEN),
    "imagenet-lt-resnext50-acl": TrainingRecipe(
        "imagenet_lt", _with(_ACL, "resnext50_32x4d", learning_rate=0.06), _ACL_SOURCE, _ACL_OPEN
    ),
    "imagenet-lt-resnext101-acl": TrainingRecipe(
        "imagenet_lt", _with(_ACL, "resnext101_32x4d", learning_rate=0.06), _ACL_SOURCE, _ACL_OPEN
    ),
    "imagenet-lt-resnet50-bcl": TrainingRecipe("imagenet_lt", _BCL, _BCL_SOURCE),
    "imagenet-lt-resnext50-bcl": TrainingRecipe("imagenet_lt", _with(_BCL, "resnext50_32x4d"), _BCL_SOURCE),
    "imagenet-lt-resnext50-plain": TrainingRecipe("imagenet_lt", _PLAIN, _PLAIN_SOURCE),
    "inaturalist-resnet50-acl": TrainingRecipe(
        "inaturalist_2018", _with(_ACL, "resnet50", True, weight_decay=1e-4), _ACL_SOURCE, _ACL_OPEN
    ),
    "inaturalist-resnet50-plain": TrainingRecipe(
        "inaturalist_2018",
        _with(_PLAIN, "resnet50", True, weight_decay=1e-4, views=("large-plain",)),
        _PLAIN_SOURCE,
    ),
    "places-lt-resnet152-acl": TrainingRecipe(
        "places_lt",
        _with(
            _ACL,
            "resnet152",
            trained="last_block_and_norms",
            views=(OTHER_VIEW,) * 4,
            epochs=30,
            learning_rate=0.02,
            warmup_epochs=5,
        ),
        f"{_ACL_SOURCE}; there all convolutions but those of the last block stay as they were",
        _ACL_OPEN,
        pretrained=True,
    ),
}
"""{name: recipe}."""


def training_recipe(name: str) -> TrainingRecipe:
    """Return a published training by its name. Errors: `ConfigError` for an unknown name, in one line."""
    choice("training recipe", name, tuple(TRAINING_RECIPES))
    return TRAINING_RECIPES[name]
