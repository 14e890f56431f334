"""Options, rows, roles and learning rates of training with labels, by hand calculation; no ResNet is compiled."""

import dataclasses
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.bridge.options import LossParts, Masking, NetworkShape, Supervised
from dynsim.bridge.options import loss_parts as module
from dynsim.bridge.supervised.objective import Roles
from dynsim.bridge.supervised.parts import first_params, logits_of, prototypes_of
from dynsim.bridge.supervised.rows import block_sizes, view_rows, views_of_classes
from dynsim.bridge.supervised.run import balanced_accuracy
from dynsim.bridge.training.schedules import supervised_rates
from dynsim.config import ConfigError
from dynsim.losses.label_table import LABEL_LOSSES

UNIFORM = {"views": ("probe", "probe"), "view_counts": "uniform"}
MASK = Masking(kind="lowest", rate=0.5)


def test_names_of_losses_are_those_of_the_table():
    family = {name: row.family for name, row in LABEL_LOSSES.items()}
    assert {name for name in family if family[name] == "classifier"} == set(module.TRAINED_CLASSIFIERS)
    contrastive = {name for name in family if family[name] == "contrastive"}
    assert contrastive == set(module.TRAINED_CONTRASTS)
    assert {name for name in contrastive if "logits" in LABEL_LOSSES[name].needs} == set(module.TRAIN_CLASSIFIER)
    assert set(module.QUEUE_PARTS_OF) == set(module.WITH_QUEUE)


def test_parts_and_their_defaults_are_those_of_the_functions():
    taken = {*module.TRAINED_CLASSIFIERS, *module.TRAINED_CONTRASTS}
    for name in taken - {"sup_con"}:
        of_function = {
            key: one.default
            for key, one in inspect.signature(LABEL_LOSSES[name].function).parameters.items()
            if one.kind is one.KEYWORD_ONLY and key not in ("class_weights", "is_drawn", "may_compare")
        }
        assert LossParts().of(name) == of_function, name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"contrastive": "acll"},
            "one of none, sup_con, kcl, tsc, paco, gpaco, bcl, rcl, acl, got 'acll'; did you mean acl?",
        ),
        ({"classifier": "softmax"}, "classifier: wanted one of cross_entropy, balanced_softmax"),
        ({"views": ()}, "views: wanted the name of a recipe for each view, at least one, got ()"),
        ({"views": ("probe",)}, "views: wanted 4 for view_counts by_size"),
        ({"views": ("no such",) * 4}, "views: wanted one of"),
        (
            {"parts": LossParts(feature_scale=2.0)},
            "balanced_softmax and acl have no such part, got 2.0; name the loss too, as in --contrastive rcl",
        ),
        ({"parts": LossParts(focus=2.0)}, "parts.focus: wanted its default, since balanced_softmax and acl"),
        ({"parts": LossParts(focus=2.0)}, "got 2.0; name the loss too, as in --classifier focal"),
        ({"classifier": "ldam"}, "cosine: wanted true for ldam, which"),
        ({"roles": "apart"}, "roles: wanted shared for view_counts by_size"),
        (
            {"masking": dataclasses.replace(MASK, semantics="straight_through")},
            "masking.semantics: wanted literal, one_",
        ),
        ({"masking": dataclasses.replace(MASK, semantics="literal")}, "roles: wanted apart for semantics literal"),
        ({"masking": MASK, "contrastive": "none"}, "contrastive: wanted a loss that compares masked views"),
        ({"network": NetworkShape(head_layers=0)}, "network.head_layers: wanted a projection head"),
        ({"network": NetworkShape(norm_sets=2)}, "network.norm_sets: wanted 1 where nothing is masked"),
        ({"milestones": (0,)}, "milestones: wanted an integer of at least 1"),
    ],
)
def test_options_that_cannot_run_are_refused_in_one_line(change, words):
    with pytest.raises(ConfigError) as caught:
        Supervised(**change)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_rare_classes_have_more_views():
    counts = np.array([500, 101, 100, 20, 19, 1])
    assert views_of_classes(Supervised(), counts).tolist() == [2, 2, 3, 3, 4, 4]
    assert views_of_classes(Supervised(**UNIFORM), counts).tolist() == [2] * 6


def test_rows_of_a_batch_by_hand():
    """Forty images in two batches, of which images 3 and 34 have three views and image 37 has four."""
    n_views = np.full(40, 2)
    n_views[[3, 34]], n_views[37] = 3, 4
    order = np.arange(48).reshape(2, 24) % 40
    valid = np.arange(48).reshape(2, 24) < 40
    blocks = block_sizes(n_views, [(order, valid)])
    assert blocks == (
        24,
        24,
        16,
        16,
    )  # at most two images of a batch have a third view, and a block has at least 16 rows
    images, real = view_rows(order, valid, n_views, blocks)
    assert images.shape == real.shape == (2, 80)
    assert images[:, :48].tolist() == np.concatenate([order, order], axis=1).tolist()
    assert real[:, :48].tolist() == np.concatenate([valid, valid], axis=1).tolist()
    third, fourth = slice(48, 64), slice(64, 80)
    assert images[0, third][real[0, third]].tolist() == [3] and not real[0, fourth].any()
    assert images[1, third][real[1, third]].tolist() == [34, 37] and images[1, fourth][real[1, fourth]].tolist() == [37]
    seen = np.bincount(images[real], minlength=40)
    assert seen.tolist() == n_views.tolist()


def test_blocks_double_and_are_never_larger_than_a_batch():
    def last_block(n_rare: int, batch: int) -> int:
        n_views = np.where(np.arange(batch) < n_rare, 2, 1)
        return block_sizes(n_views, [(np.arange(batch)[None], np.ones((1, batch), bool))])[-1]

    assert [last_block(n, 128) for n in (1, 16, 17, 33, 65, 128)] == [16, 16, 32, 64, 128, 128]
    assert last_block(3, 12) == 12


def test_roles_of_rows():
    """Blocks of 3, 3 and 2 rows; the second block is masked, and masked rows feed no classifier."""
    every = tuple(range(8))
    assert Roles.of((3, 3, 2), "shared", None) == Roles(every, every, ())
    assert Roles.of((3, 3, 2), "shared", "one_branch") == Roles((0, 1, 2, 6, 7), every, (3, 4, 5))
    assert Roles.of((3, 3, 2), "apart", "masked_query") == Roles((0, 1, 2), (3, 4, 5, 6, 7), (3, 4, 5))
    assert Roles.of((3, 3, 2), "apart", "literal") == Roles((0, 1, 2), (3, 4, 5, 6, 7), (3, 4, 5, 6, 7))


def test_learning_rate_falls_in_steps_or_along_a_cosine():
    given = {"epochs": 4, "warmup_epochs": 1, "learning_rate": 0.8, "milestones": (2, 3), "step_factor": 0.5}
    found = supervised_rates(Supervised(**given), 2)
    np.testing.assert_allclose(found, [0.4, 0.8, 0.8, 0.8, 0.4, 0.4, 0.2, 0.2], rtol=1e-6)
    cosine = supervised_rates(Supervised(**given, schedule="cosine"), 2)
    np.testing.assert_allclose(cosine, [0.4, 0.8, *(0.4 * (1 + np.cos(np.pi * np.arange(1, 7) / 6)))], atol=1e-7)


def test_classifier_and_prototypes_by_hand():
    options = Supervised(
        network=NetworkShape(width=1 / 64, head_width=4, embedding_dim=3), contrastive="bcl", cosine=True
    )
    params = first_params(jax.random.key(0), {}, options, 5)
    kernel = np.asarray(params["classifier"]["kernel"])
    wide = options.network.feature_dim
    assert (
        kernel.shape == (wide, 5)
        and np.abs(kernel).max() <= 1 / np.sqrt(wide)
        and list(params["classifier"]) == ["kernel"]
    )
    features = jax.random.normal(jax.random.key(1), (2, wide), jnp.float32)
    cosines = (features / np.linalg.norm(features, axis=1, keepdims=True)) @ (kernel / np.linalg.norm(kernel, axis=0))
    np.testing.assert_allclose(logits_of(params["classifier"], features, 30.0), 30 * cosines, rtol=1e-4, atol=1e-5)
    first, second = params["prototypes"]["fc1"], params["prototypes"]["fc2"]
    made = np.maximum(kernel.T @ np.asarray(first["kernel"]) + np.asarray(first["bias"]), 0)
    made = made @ np.asarray(second["kernel"]) + np.asarray(second["bias"])
    np.testing.assert_allclose(prototypes_of(params), made / np.linalg.norm(made, axis=1, keepdims=True), rtol=1e-4)


def test_each_class_of_the_validation_images_counts_alike():
    labels = np.array([0, 0, 0, 0, 2, 2])
    assert balanced_accuracy(np.array([0, 0, 0, 1, 2, 0]), labels) == pytest.approx((3 / 4 + 1 / 2) / 2)
