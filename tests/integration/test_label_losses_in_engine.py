"""A loss with labels as the loss of a run."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.engine import label_loss
from dynsim.engine.data import Batch
from dynsim.engine.label_loss import rarest_feature, with_labels
from dynsim.engine.numbers import resolve
from dynsim.engine.simulate import simulate, simulate_many
from dynsim.losses.centres import assign_targets, spread_targets
from dynsim.losses.contrastive import normalise
from dynsim.losses.label_table import LABEL_LOSSES
from dynsim.losses.labelled_views import Classes, Views
from tests import reference_label_losses as written_out
from tests.reference import toy


def two_views(query, key, labels):
    return Views(normalise(jnp.concatenate([query, key])), jnp.concatenate([labels, labels]))


def every_sample_its_class(query, key, batch, numbers):
    """With a class per sample, SupCon is NT-Xent."""
    views = two_views(query, key, jnp.arange(len(query)))
    return LABEL_LOSSES["sup_con"].function(views, Classes(), numbers.temperature)


def test_sup_con_with_a_class_per_sample_runs_as_nt_xent_does():
    given = {"loss__temperature": 0.3, "loss__temperature_prefactor": False, "loss__similarity": "cosine"}
    given |= {"loss__kind": "nt_xent", "loss__symmetric": True, "loss__stop_gradient": False}
    config = toy(optimizer__learning_rate=0.02, data__mask_equal_codes=False, **given)
    built_in, own = simulate(config, [3]), simulate(config, [3], loss=every_sample_its_class)
    for name in ("loss", "positive_weight", "weight"):
        np.testing.assert_allclose(own[name], built_in[name], rtol=1e-9, atol=1e-12)
    assert own.loss[0, -1] < own.loss[0, 1]


def test_acl_learns_in_the_engine_in_one_line():
    run = simulate(toy(optimizer__learning_rate=0.02), [3], loss=with_labels("acl"))
    assert run.loss[0, -1] < run.loss[0, 1] and np.all(
        (run.positive_weight[:, 1:] > 0) & (run.positive_weight[:, 1:] < 1)
    )


CODES = np.array([[1.0, 0, 0], [1, 0, -1], [1, 1, 1], [0, 0, 0], [0, 0, 1]])
"""Samples of three features with the frequencies 0.5, 0.1 and 0.4: the rarest is the second, then comes the third."""
LABELS = np.array([0, 2, 1, -1, 2], np.int32)


@pytest.fixture(scope="module")
def batch():
    empty = np.zeros((5, 1, 2))
    return Batch(jnp.asarray(empty), jnp.asarray(empty), jnp.asarray(CODES), jnp.asarray(np.ones((5, 5), bool)))


@pytest.fixture(scope="module")
def numbers():
    given = resolve(toy()).numbers._replace(active_probability=np.array([0.5, 0.1, 0.4]))
    return jax.tree.map(jnp.asarray, given)


def test_the_class_is_the_rarest_active_feature(batch, numbers):
    found = jax.jit(rarest_feature)(batch, numbers)
    assert found.labels.tolist() == LABELS.tolist()
    np.testing.assert_allclose(found.counts, [0.5 * 0.9 * 0.6, 0.1, 0.4 * 0.9], rtol=1e-12)


def test_views_classes_and_centres_are_those_of_the_batch(batch, numbers):
    z = np.random.default_rng(0).normal(size=(10, 4))
    found = jax.jit(with_labels("acl", aligned=False))(jnp.asarray(z[:5]), jnp.asarray(z[5:]), batch, numbers)
    unit, labels = z / np.linalg.norm(z, axis=1, keepdims=True), np.tile(LABELS, 2)
    sums = np.stack([unit[labels == label].sum(axis=0) for label in range(3)])
    centres = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    classes = Classes(jnp.asarray(np.array([0.27, 0.1, 0.36])), jnp.asarray(centres))
    views = Views(*(jnp.asarray(one) for one in (unit, labels, labels >= 0)))
    acl = jax.jit(LABEL_LOSSES["acl"].function, static_argnames="aligned")
    expected = acl(views, classes, numbers.temperature, aligned=False)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


Z = np.random.default_rng(4).normal(size=(10, 2))
"""Embeddings of the queries, then of the keys: of fewer neurons than a simplex of four classes needs."""


def written(**more):
    """The batch for the written-out losses: views of length one, and means of the classes as their centres."""
    unit, labels = Z / np.linalg.norm(Z, axis=1, keepdims=True), np.tile(LABELS, 2)
    given = {"z": unit, "y": np.maximum(labels, 0), "valid": labels >= 0, "centres": np.zeros((3, 2))}
    given["centres"] = written_out.moved_centres(given, 0.0)
    memory = {"m_z": np.zeros((0, 2)), "m_y": np.zeros(0, int), "m_valid": np.zeros(0, bool)}
    counts = {"counts": np.array([0.27, 0.1, 0.36]), "has_centre": np.zeros(3, bool)}
    return {**given, **memory, **counts, **more}


def all_of(cases, batch, numbers):
    """The values of some (name, options), by one compiled program."""
    losses = [with_labels(name, **options) for name, options in cases]
    given = jnp.asarray(Z[:5]), jnp.asarray(Z[5:]), batch, numbers
    return jax.jit(lambda *given: [loss(*given).loss for loss in losses])(*given)


def test_outputs_of_a_classifier_are_cosines_with_the_means_of_the_classes(batch, numbers):
    given = written(tau=float(numbers.temperature))
    cosines, own = given["z"] @ given["centres"].T, np.eye(3, 2)
    given["f"] = cosines / given["tau"]
    smooth, fixed = {"pair_weight": 0.2, "smoothing": 0.1}, given["z"] @ own.T / given["tau"]
    cases = {name: ({}, {}) for name in ("paco", "cross_entropy", "balanced_softmax", "logit_adjusted")}
    cases |= {"gpaco": (smooth, smooth), "focal": ({"centres": jnp.asarray(own)}, {"f": fixed})}
    cases |= {"ldam": ({}, {"f": cosines})}  # it has a factor of its own
    found = all_of([(name, options) for name, (options, _) in cases.items()], batch, numbers)
    for value, (name, (_, change)) in zip(found, cases.items(), strict=True):
        changes = {"f": change["f"]} if "f" in change else {}
        options = {} if changes else change
        expected = getattr(written_out, name)(given | changes, **options)
        np.testing.assert_allclose(value, expected, rtol=1e-9, err_msg=name)


def test_the_next_of_the_class_stand_for_drawn_positives(batch, numbers):
    """Samples 1 and 4 are of class 2, samples 0 and 2 the only ones of theirs, and sample 3 has none.

    The views of sample 1 are the rows 1 and 6, those of sample 4 the rows 4 and 9. Going on from row 1 the next of the
    class is row 4, from row 4 it is row 6, from row 6 row 9, and from row 9, in a circle, row 1.
    """
    drawn = np.zeros((10, 13), bool)
    for sample in range(5):
        drawn[sample, sample + 5] = drawn[sample + 5, sample] = True
    kept = drawn.copy()
    drawn[[1, 4, 6, 9], [4, 6, 9, 1]] = True
    given = written(tau=float(numbers.temperature))
    targets = assign_targets(given["centres"], spread_targets(3, 2))
    of_tsc = given | {"centres": targets, "has_centre": np.ones(3, bool)}
    expected = [
        written_out.kcl(given, is_drawn=drawn),
        written_out.kcl(given, is_drawn=kept),
        written_out.sup_con(given),  # six are all
        written_out.tsc(of_tsc, is_drawn=drawn, target_weight=0.3),
    ]
    cases = [("kcl", {"positives": 1}), ("kcl", {"positives": 0}), ("kcl", {})]
    cases += [("tsc", {"positives": 1, "target_weight": 0.3})]
    np.testing.assert_allclose(all_of(cases, batch, numbers), expected, rtol=1e-9)


@pytest.mark.slow
def test_tsc_learns_in_the_engine_where_there_is_no_room_for_a_simplex(monkeypatch):
    """The assignment is computed by the host from within the compiled program, for two seeds."""
    label_loss._targets.cache_clear()
    monkeypatch.setattr(label_loss, "spread_targets", partial(spread_targets, n_steps=200))
    sizes = {"data__n_features": 8, "encoder__n_neurons": 4, "data__batch_size": 64}
    run = simulate(toy(optimizer__learning_rate=0.1, train__n_steps=400, **sizes), [3, 4], loss=with_labels("tsc"))
    label_loss._targets.cache_clear()
    means, steps = run.loss[:, 1:].values, np.diff(run.step.values)  # over the steps between records
    early = np.average(means[:, :-2], axis=1, weights=steps[:-2])
    assert np.all(means[:, -1] < early), means  # for seeds 3 to 8 it falls by 0.02 to 0.05, single batches vary by 0.02


@pytest.mark.slow
def test_runs_of_tsc_that_diverge_are_recorded_and_leave_the_others_alone():
    """They have embeddings that are not finite, with which the host can assign nothing."""
    configs = [toy(optimizer__learning_rate=rate, train__precision="float32") for rate in (1e30, 0.01)]
    wild, tame = simulate_many(configs, [3, 4], own={"loss": with_labels("tsc")})
    assert np.all(wild.diverged_step > 0) and np.isnan(wild.loss[:, -1]).all()
    assert np.all(tame.diverged_step == -1) and np.isfinite(tame.loss[:, 1:]).all()


def test_inner_products_are_compared_where_length_is_kept(batch, numbers):
    z = np.random.default_rng(1).normal(size=(10, 4))
    given = jnp.asarray(z[:5]), jnp.asarray(z[5:]), batch, numbers
    found = jax.jit(with_labels("sup_con", unit_length=False))(*given)
    labels = np.tile(LABELS, 2)
    views = Views(*(jnp.asarray(one) for one in (z, labels, labels >= 0)))
    expected = jax.jit(LABEL_LOSSES["sup_con"].function)(views, Classes(), numbers.temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert not np.allclose(found, jax.jit(with_labels("sup_con"))(*given))


CENTRES = np.eye(3, 4)


@pytest.mark.parametrize("name", sorted(LABEL_LOSSES))
def test_each_loss_takes_its_own_parts_and_centres_where_it_uses_them(name):
    """What is not refused here, is used: the other tests of this module, and those of the losses, show how."""
    own = inspect.signature(LABEL_LOSSES[name].function).parameters.values()
    parts = {one.name: one.default for one in own if one.kind is one.KEYWORD_ONLY and one.name != "is_drawn"}
    with_labels(name, **parts)
    if name not in ("sup_con", "kcl"):
        with_labels(name, centres=CENTRES, **parts)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("acll", {}, "loss: wanted one of sup_con"),
        ("acl", {"positives": 3}, "positives: wanted one of kcl, tsc with it"),
        ("acl", {"algined": False}, "parts: wanted one of aligned, .*, centres with 'acl', got 'algined'; did you"),
        ("acl", {"centred": False, "centres": CENTRES}, "mean_weight with 'acl', centred=False, got 'centres'; leave"),
        ("sup_con", {"centres": CENTRES}, "parts: wanted one of base_temperature with 'sup_con', got 'centres'; leave"),
        ("kcl", {"centres": CENTRES}, "parts: wanted one of may_compare with 'kcl', got 'centres'; leave it out"),
        ("kcl", {"positive": 3}, "may_compare with 'kcl', got 'positive'; did you mean positives?"),
        ("tsc", {"is_drawn": np.ones((2, 2), bool)}, "target_weight, centres with 'tsc', got 'is_drawn'; leave it out"),
        ("ldam", {"temperature": 0.1}, "class_weights, largest_margin, scale, centres with 'ldam', got 'temperature'"),
        ("paco", {"memory": None}, "parts: wanted one of pair_weight, class_weight, centres with 'paco', got 'memory'"),
    ],
)
def test_a_loss_that_does_not_fit_is_refused_in_one_line(name, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        with_labels(name, **options)
    assert "\n" not in str(caught.value)
