"""KCL, TSC, PaCo and GPaCo in the trainer: the labelled queue by hand, the losses against NumPy in float64."""

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.bridge.networks import Network, NetworkShape, Outputs
from dynsim.bridge.options import LossParts, Masking, Supervised
from dynsim.bridge.options.loss_parts import NO_CLASSIFIER, TRAIN_CLASSIFIER, WITH_KEYS, WITH_QUEUE
from dynsim.bridge.supervised.memory import (
    LabelledKeys,
    candidates_of,
    drawn_pairs,
    entered,
    first_labelled_keys,
    followed,
)
from dynsim.bridge.supervised.objective import ClassFacts, Joint, Roles, Rows, joint_loss
from dynsim.bridge.training.momentum import MomentumKeys
from dynsim.config import ConfigError
from dynsim.losses.centres import assign_targets, spread_targets
from dynsim.losses.labelled_views import Views
from tests import reference_label_losses as written_out

D, C, LENGTH, TAU = 4, 3, 6, 0.5


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def filled(numbers: list[float], labels: list[int], place: int, n_filled: int) -> LabelledKeys:
    queue = jnp.asarray(numbers, jnp.float32)[None, :, None]
    return LabelledKeys(MomentumKeys(None, None, queue, jnp.int32(place), jnp.int32(n_filled)), jnp.asarray(labels))


def test_labelled_queue_by_hand():
    """Batches of three enter a queue of five: padding does not, and the first places are taken again."""
    keys = filled([0] * 5, [0] * 5, 0, 0)
    enter, after = jax.jit(entered), []
    for numbers, labels, valid in (
        ([0.1, 0.2, 0.3], [7, 8, 9], [True, True, True]),
        ([0.4, 99, 0.5], [1, 99, 2], [True, False, True]),
        ([0.6, 0.7, 99], [3, 4, 99], [True, True, False]),
        ([99, 99, 99], [99, 99, 99], [False, False, False]),
    ):
        new = Views(jnp.asarray(numbers, jnp.float32)[:, None], jnp.asarray(labels), jnp.asarray(valid))
        keys = enter(keys, new)
        moving = keys.moving
        rounded = [round(float(one), 1) for one in moving.queue[0, :, 0]]
        after.append((rounded, keys.labels.tolist(), int(moving.place), int(moving.filled)))
    assert after == [
        ([0.1, 0.2, 0.3, 0, 0], [7, 8, 9, 0, 0], 3, 3),
        ([0.1, 0.2, 0.3, 0.4, 0.5], [7, 8, 9, 1, 2], 0, 5),
        ([0.6, 0.7, 0.3, 0.4, 0.5], [3, 4, 9, 1, 2], 2, 5),
        ([0.6, 0.7, 0.3, 0.4, 0.5], [3, 4, 9, 1, 2], 2, 5),
    ]


def test_what_begins_and_what_follows():
    parts, shape = LossParts(queue=5, key_momentum=0.75), NetworkShape(embedding_dim=3)
    params = {"w": jnp.array([1.0, 2.0], jnp.float32)}
    assert first_labelled_keys("sup_con", parts, params, {}, shape) is None and followed(None, params, parts) is None
    keys = first_labelled_keys("tsc", parts, params, {"seen": jnp.zeros(1)}, shape)
    assert keys.moving.queue.shape == (1, 5, 3) and keys.labels.shape == (5,) and int(keys.moving.filled) == 0
    moved = followed(keys, {"w": jnp.array([3.0, 0.0], jnp.float32)}, parts)
    np.testing.assert_allclose(moved.moving.params["w"], [1.5, 1.5])
    alone = first_labelled_keys("gpaco", parts, params, {}, shape)
    assert alone.moving.params is None and followed(alone, params, parts) is alone


IMAGES = np.array([5, 6, 7, 8, 5, 6, 7, 8])
LABELS = np.array([0, 0, 0, 1, 0, 0, 0, 1])
QUEUE_LABELS = np.array([0, 0, 1, 0, 0, 0])


@pytest.mark.parametrize("from_batch", [True, False])
def test_exactly_k_positives_are_drawn_and_never_the_anchor(from_batch):
    """Eight queries, two views each of four images of which the last is padding; their keys; a queue with four filled.

    So an anchor has two own views: the other query and the key. The others of class 0 are four queries and two keys
    of the two other images, and three of the four entries of the queue.
    """
    valid = IMAGES != 8
    views = Views(jnp.ones((8, D), jnp.float32), jnp.asarray(LABELS), jnp.asarray(valid))
    batch = Views(*(one[:4] for one in views[:3]))
    moving = MomentumKeys(None, None, jnp.ones((1, LENGTH, D), jnp.float32), jnp.int32(4), jnp.int32(4))
    keys = LabelledKeys(moving, jnp.asarray(QUEUE_LABELS))
    parts = LossParts(positives=2, from_batch=from_batch)

    def drawn(key: Any) -> dict[str, Any]:
        found = candidates_of(keys, jnp.asarray(IMAGES), batch, jnp.asarray(IMAGES[:4]))
        return drawn_pairs(key, views, found, parts)

    draws = 60
    found = jax.jit(jax.vmap(drawn))(jax.random.split(jax.random.key(2), draws))
    is_drawn, may = (np.asarray(found[name]) for name in ("is_drawn", "may_compare"))
    images, labels = np.concatenate([IMAGES, IMAGES[:4], np.full(LENGTH, -1)]), np.concatenate([LABELS, LABELS[:4]])
    labels = np.concatenate([labels, QUEUE_LABELS])
    real = np.concatenate([valid, valid[:4], np.arange(LENGTH) < 4])
    own = (images[None, :] == IMAGES[:, None]) & real & valid[:, None] & ~np.eye(8, 18, dtype=bool)
    others = (labels[None, :] == LABELS[:, None]) & real & valid[:, None] & ~own & ~np.eye(8, 18, dtype=bool)
    if not from_batch:
        others[:, :12] = False
    assert not is_drawn[:, np.arange(8), np.arange(8)].any() and not (is_drawn & ~(own | others)).any()
    assert is_drawn[:, own].all() and own.sum(axis=1)[0] == 2
    assert np.array_equal(np.sum(is_drawn & others, axis=2), np.tile(np.where(valid, 2, 0), (draws, 1)))
    assert is_drawn[:, others].any(axis=0).all() and not is_drawn[:, others].all(axis=0).any()
    shown = np.ones((8, 18), bool) if from_batch else (images[None, :] == IMAGES[:, None]) | (images < 0)[None, :]
    assert np.array_equal(may, np.tile(shown, (draws, 1, 1)))


def test_roles_with_keys_and_a_queue():
    """Blocks of 3, 3 and 2 rows, then of 2 rows each."""
    one = Roles.of((3, 3, 2), "shared", None, "kcl")
    assert one == Roles((0, 1, 2, 6, 7), (0, 1, 2, 6, 7), (), (3, 4, 5), (3, 4, 5))
    assert Roles.of((3, 3, 2), "shared", "masked_key", "paco") == one
    every = tuple(range(8))
    assert Roles.of((3, 3, 2), "shared", None, "gpaco") == Roles(every, every, (), (), (3, 4, 5))
    assert Roles.of((3, 3, 2), "shared", "one_branch", "gpaco").masked == (3, 4, 5)
    four = (2, 2, 2, 2)
    assert Roles.of(four, "apart", "one_branch", "tsc") == Roles((0, 1), (2, 3, 6, 7), (2, 3), (4, 5), (4, 5))
    assert Roles.of(four, "apart", "literal", "tsc") == Roles((0, 1), (2, 3, 6, 7), (2, 3, 6, 7), (4, 5), (4, 5))
    assert Roles.of(four, "apart", "literal", "gpaco").entering == (4, 5)


def linear_network(norm_sets: int) -> Network:
    """Features are the pixels times a matrix, embeddings the features times another; statistics count the images."""

    def apply(params: Any, stats: Any, images: Any, *, train: bool, norm_set: int = 0, valid: Any = None) -> Outputs:
        features = images.reshape(len(images), -1) @ params["conv"]
        seen = stats["seen"].at[norm_set].add(jnp.sum(valid, dtype=jnp.float32))
        return Outputs(features, features @ params["head"], {"seen": seen})

    return Network(NetworkShape(norm_sets=norm_sets), lambda key, side: ({}, {}), apply, lambda params: params)


RNG = np.random.default_rng(3)
BLOCK = 4  # images of a batch; the third is padding
PIXELS = RNG.normal(size=(2, 4 * BLOCK, 1, 2, 3))
VALID = np.tile([True, True, False, True], 4)
OF_BATCH = np.array([[0, 1, 0, 0], [1, 1, 2, 2]])
COUNTS = np.array([6.0, 3, 1])
NETWORKS = [{"conv": RNG.normal(size=(6, 5)), "head": RNG.normal(size=(5, D))} for _ in range(2)]
CLASSIFIER = {"kernel": RNG.normal(size=(5, C)), "bias": RNG.normal(size=C)}
KEPT = RNG.uniform(size=(6, 5)) > 0.5
TARGETS = spread_targets(C, D)


def single(tree: Any) -> Any:
    return jax.tree.map(lambda one: jnp.asarray(one, jnp.float32), tree)


def two_steps(contrastive: str, classifier: str, semantics: str | None, roles: str, **parts: Any) -> Any:
    """Two batches through one compiled loss, the weights standing still: (`JointLoss`, gradient) of each."""
    sets = 2 if semantics in ("one_branch", "literal") else 1
    joint = Joint(linear_network(sets), classifier, contrastive, LossParts(queue=LENGTH, **parts), 1.0, semantics)
    given = Roles.of((BLOCK,) * 4, roles, semantics, contrastive)
    stats = {"seen": jnp.zeros(sets, jnp.float32)}
    own = (single(NETWORKS[1]), stats) if contrastive in WITH_KEYS else (None, None)
    # what has not been filled yet may hold anything
    queue = jnp.full((1, LENGTH, D), jnp.nan, jnp.float32)
    keys = LabelledKeys(MomentumKeys(*own, queue, jnp.int32(0), jnp.int32(0)), jnp.zeros(LENGTH, jnp.int32))
    params = {"network": single(NETWORKS[0]), "classifier": single(CLASSIFIER)}
    mask = {"conv": jnp.asarray(KEPT), "head": None}
    three = [jnp.float32(one) for one in (1, TAU, 0.9)]

    @jax.jit
    def value(params: Any, rows: Rows, centres: Any, keys: Any) -> Any:
        def loss(params: Any) -> Any:
            facts = ClassFacts(jnp.asarray(COUNTS, jnp.float32), jnp.ones(C, jnp.float32), centres, single(TARGETS))
            found = joint_loss(joint, params, stats, mask, rows, given, facts, keys, jax.random.key(0), *three)
            return found.loss, found

        (_, found), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        return found, gradient

    found, centres = [], jnp.zeros((C, D), jnp.float32)
    for step in range(2):
        labels = jnp.asarray(np.tile(OF_BATCH[step], 4), jnp.int32)
        numbers = jnp.asarray(np.tile(np.arange(BLOCK), 4), jnp.int32)
        rows = Rows(single(PIXELS[step]), labels, jnp.asarray(VALID), numbers)
        found.append(value(params, rows, centres, keys))
        centres, keys = found[-1][0].centres, found[-1][0].keys
    return found


def passed(step: int, views: tuple[int, ...], network: int = 0, masked: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Features and embeddings of some views of all images, padding too."""
    own = NETWORKS[network]
    rows = np.concatenate([np.arange(view * BLOCK, (view + 1) * BLOCK) for view in views])
    features = PIXELS[step][rows].reshape(len(rows), -1) @ (own["conv"] * KEPT if masked else own["conv"])
    return features, unit(features @ own["head"])


def batch_of(step: int, parts: list[tuple[np.ndarray, np.ndarray]], keys: list[np.ndarray]) -> dict[str, Any]:
    """A batch for the written-out losses: views of the trained network, keys of this batch, then of the one before."""
    features, z = (np.concatenate(some) for some in zip(*parts, strict=True))
    of_keys = [OF_BATCH[step], OF_BATCH[0]][-len(keys) :] if keys else []
    return {
        "z": z,
        "y": np.tile(OF_BATCH[step], len(z) // BLOCK),
        "valid": VALID[: len(z)],
        "f": features @ CLASSIFIER["kernel"] + CLASSIFIER["bias"],
        "m_z": np.concatenate([*keys, np.zeros((0, D))]),
        "m_y": np.concatenate([*of_keys, np.zeros(0, int)]),
        "m_valid": np.concatenate([VALID[:BLOCK]] * len(keys) + [np.zeros(0, bool)]),
        "counts": COUNTS,
        "centres": np.zeros((C, D)),
        "has_centre": np.zeros(C, bool),
        "tau": TAU,
    }


def assert_steps(name: str, found: Any, batches: list[dict[str, Any]], entering: list[np.ndarray], **more: Any) -> None:
    """Losses of both steps, and the queue after them: three valid images each of which enters in its order."""
    for (value, gradient), batch in zip(found, batches, strict=True):
        expected = getattr(written_out, name)(batch, **more)
        np.testing.assert_allclose(value.contrastive, expected, rtol=2e-4)
        assert all(np.isfinite(one).all() for one in jax.tree.leaves(gradient))
    keys = found[1][0].keys
    np.testing.assert_allclose(
        keys.moving.queue[0], np.concatenate([one[VALID[:BLOCK]] for one in entering]), rtol=1e-4
    )
    assert keys.labels.tolist() == OF_BATCH[:, VALID[:BLOCK]].ravel().tolist()
    assert (int(keys.moving.place), int(keys.moving.filled)) == (0, LENGTH)


def test_kcl_with_an_empty_queue_is_the_loss_of_the_batch_and_then_compares_with_the_queue():
    """With a masked key, and views 1, 3 and 4 as queries. All positives are drawn, which leaves nothing to chance."""
    found = two_steps("kcl", "cross_entropy", "masked_key", "shared", positives=99)
    keys = [passed(step, (1,), network=1, masked=True)[1] for step in (0, 1)]
    batches = [batch_of(0, [passed(0, (0, 2, 3))], keys[:1]), batch_of(1, [passed(1, (0, 2, 3))], [keys[1], keys[0]])]
    assert_steps("kcl", found, batches, keys)
    for step, batch in enumerate(batches):
        np.testing.assert_allclose(found[step][0].classifier, written_out.cross_entropy(batch), rtol=1e-4)
        # the trained network sees three views of three images, the second network the key of each
        assert found[step][0].stats["seen"].tolist() == [9]
    assert found[0][0].keys.moving.stats["seen"].tolist() == [3]


def test_tsc_adds_the_targets_that_are_nearest_to_the_running_means():
    found = two_steps("tsc", "cross_entropy", None, "shared", positives=99)
    keys = [passed(step, (1,), network=1)[1] for step in (0, 1)]
    batches = [batch_of(0, [passed(0, (0, 2, 3))], keys[:1]), batch_of(1, [passed(1, (0, 2, 3))], [keys[1], keys[0]])]
    centres = np.zeros((C, D))
    for step, batch in enumerate(batches):
        centres = written_out.moved_centres({**batch, "centres": centres}, 0.9)
        np.testing.assert_allclose(found[step][0].centres, centres, rtol=1e-4, atol=1e-6)
        batch |= {"centres": assign_targets(centres, TARGETS), "has_centre": np.ones(C, bool)}
        orders = list(itertools.permutations(range(C)))
        best = max(orders, key=lambda order: np.sum(centres * TARGETS[list(order)]))
        assert np.array_equal(batch["centres"], TARGETS[list(best)])
    assert_steps("tsc", found, batches, keys)


def test_paco_trains_the_classifier_by_masked_queries_and_keys():
    """The first view feeds the classifier alone; the second and fourth are queries, the third the key, all masked."""
    found = two_steps("paco", "balanced_softmax", "literal", "apart", pair_weight=0.2)
    keys = [passed(step, (2,), network=1, masked=True)[1] for step in (0, 1)]
    queries = [passed(step, (1, 3), masked=True) for step in (0, 1)]
    batches = [batch_of(0, [queries[0]], keys[:1]), batch_of(1, [queries[1]], [keys[1], keys[0]])]
    assert_steps("paco", found, batches, keys, pair_weight=0.2)
    dense = batch_of(0, [passed(0, (0,))], [])
    np.testing.assert_allclose(found[0][0].classifier, written_out.balanced_softmax(dense), rtol=1e-4)
    assert found[0][0].stats["seen"].tolist() == [3, 6] and found[0][0].keys.moving.stats["seen"].tolist() == [0, 3]


def test_gpaco_alone_keeps_embeddings_of_the_trained_network():
    """The second view is masked, all views are anchors, and the classifier has no loss of its own."""
    found = two_steps("gpaco", NO_CLASSIFIER, "one_branch", "shared", smoothing=0.1)
    views = [[passed(k, (0,)), passed(k, (1,), masked=True), passed(k, (2, 3))] for k in (0, 1)]
    entering = [views[step][1][1] for step in (0, 1)]
    batches = [batch_of(0, views[0], []), batch_of(1, views[1], [entering[0]])]
    assert_steps("gpaco", found, batches, entering, smoothing=0.1)
    value, gradient = found[0]
    assert float(value.classifier) == 0 and value.loss == value.contrastive and value.keys.moving.params is None
    assert np.abs(np.asarray(gradient["classifier"]["kernel"])).max() > 1e-3  # by the outputs in GPaCo's softmax


MASK = Masking(kind="lowest", rate=0.5)
SEMANTICS = ("literal", "one_branch", "masked_query", "masked_key", "straight_through")


def told(contrastive: str, classifier: str, roles: str, semantics: str) -> str:
    """What is said of a mask with four views: "" where it trains."""
    try:
        Supervised(
            contrastive=contrastive,
            classifier=classifier,
            roles=roles,
            view_counts="uniform",
            masking=dataclasses.replace(MASK, semantics=semantics),
        )
    except ConfigError as error:
        return str(error)
    return ""


def test_each_mask_trains_or_is_refused_in_one_line():
    trains = set()
    for case in itertools.product(WITH_QUEUE, ("cross_entropy", NO_CLASSIFIER), ("shared", "apart"), SEMANTICS):
        said = told(*case)
        assert "\n" not in said and (": wanted " in said or not said), case
        if not said:
            trains.add(case)
    expected = {(name, "cross_entropy", "apart", how) for name in WITH_QUEUE for how in SEMANTICS[:3]}
    expected |= {(name, "cross_entropy", roles, "masked_key") for name in WITH_KEYS for roles in ("shared", "apart")}
    expected |= {("paco", NO_CLASSIFIER, "shared", "masked_key")}
    expected |= {("gpaco", one, "shared", how) for one in ("cross_entropy", NO_CLASSIFIER) for how in SEMANTICS[1:3]}
    assert trains == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"contrastive": "kcl", "parts": LossParts(queue=127)}, "parts.queue: wanted at least the batch size, 128"),
        ({"parts": LossParts(queue=2048)}, "parts.queue: wanted its default, since balanced_softmax and acl have no"),
        ({"parts": LossParts(queue=256)}, "no such part, got 256; name the loss too, as in --contrastive kcl"),
        ({"contrastive": "gpaco", "parts": LossParts(key_momentum=0.9)}, "parts.key_momentum: wanted its default"),
        ({"contrastive": "paco", "parts": LossParts(positives=3)}, "parts.positives: wanted its default, since"),
        ({"contrastive": "paco", "parts": LossParts(smoothing=0.1)}, "parts.smoothing: wanted its default, since"),
        ({"contrastive": "kcl", "parts": LossParts(target_weight=1.0)}, "parts.target_weight: wanted its default"),
        ({"contrastive": "sup_con", "parts": LossParts(pair_weight=0.1)}, "parts.pair_weight: wanted its default"),
        ({"contrastive": "kcl", "classifier": "none"}, "classifier: wanted one of cross_entropy, balanced_softmax"),
        ({"contrastive": "paco", "classifier": "ldam", "cosine": True}, "classifier: wanted another than ldam with"),
        (
            {"contrastive": "paco", "classifier": "none", "reweight_from": 3},
            "reweight_from: wanted None for classifier",
        ),
        ({"contrastive": "paco", "classifier": "none", "weight": 0.0}, "weight: wanted above 0 for classifier none"),
        (
            {"contrastive": "tsc", "view_counts": "uniform", "views": ("probe",)},
            "views: wanted at least 2 for tsc with roles shared, one of which enters the queue",
        ),
        (
            {"contrastive": "gpaco", "view_counts": "uniform", "views": ("probe",) * 2, "roles": "apart"},
            "views: wanted at least 3 for gpaco with roles apart",
        ),
        (
            {"contrastive": "kcl", "masking": MASK},
            "kcl: the classifier's loss needs a view of its own, without the mask, got 'shared'; or masking.semantics "
            "masked_key",
        ),
        (
            {"contrastive": "paco", "classifier": "none", "masking": MASK},
            "masked_key for classifier none with paco: else only masked views would train the classifier",
        ),
        (
            {
                "contrastive": "gpaco",
                "classifier": "none",
                "masking": dataclasses.replace(MASK, semantics="literal"),
            },
            "one_branch or masked_query for classifier none with gpaco: literal would mask all views that train",
        ),
        (
            {"masking": dataclasses.replace(MASK, semantics="masked_key")},
            "wanted literal, one_branch or masked_query, got 'masked_key'; acl has no second network",
        ),
        (
            {
                "contrastive": "kcl",
                "masking": dataclasses.replace(MASK, semantics="masked_key"),
                "network": NetworkShape(norm_sets=2),
            },
            "network.norm_sets: wanted 1 for semantics masked_key",
        ),
    ],
)
def test_options_of_the_queue_that_make_no_sense_are_refused_in_one_line(change, words):
    with pytest.raises(ConfigError) as caught:
        Supervised(**change)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_options_of_the_queue_do_not_rename_runs_without_it():
    """These were all there were before."""
    old = {
        "aligned",
        "reweighted",
        "centred",
        "mean_weight",
        "averaged",
        "balanced",
        "feature_scale",
        "margin_strength",
    }
    old |= {"count_anchor", "strength", "focus", "largest_margin", "scale"}
    assert set(Supervised().values()["parts"]) == set(Supervised(contrastive="rcl").values()["parts"]) == old
    own = {"queue", "pair_weight", "class_weight", "smoothing"}
    assert set(Supervised(contrastive="gpaco").values()["parts"]) == old | own
    plain = {name: one for name, one in dataclasses.asdict(Supervised()).items() if name not in ("parts", "trained")}
    assert plain == {name: one for name, one in Supervised().values().items() if name != "parts"}


def test_each_loss_with_a_queue_trains_in_one_line():
    for name in WITH_QUEUE:
        assert Supervised(contrastive=name).contrastive == name
    for name in TRAIN_CLASSIFIER:
        assert Supervised(contrastive=name, classifier=NO_CLASSIFIER, weight=1.0).classifier == NO_CLASSIFIER
