"""Every loss with labels: against NumPy loops and their finite differences, permutations, padding, stability."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.losses.label_table import LABEL_LOSSES
from dynsim.losses.labelled_views import log_sum
from tests import reference
from tests import reference_label_losses as written_out
from tests.label_batches import MOVED, C, D, M, N, a_batch, call, loss_of, pairs_batch, run

rng = np.random.default_rng(2)
DRAWN = rng.random((N, N + M)) < 0.7
SHOWN = rng.random((N, N + M)) < 0.8
WEIGHTS = np.array([0.4, 0.9, 1.2, 1.5])
CASES = [
    ("sup_con", {}),
    ("sup_con", {"base_temperature": 0.07}),
    ("kcl", {"is_drawn": DRAWN}),
    ("kcl", {"is_drawn": DRAWN, "may_compare": SHOWN}),
    ("tsc", {"is_drawn": DRAWN}),
    ("tsc", {"is_drawn": DRAWN, "may_compare": SHOWN, "target_weight": 0.6}),
    ("paco", {}),
    ("paco", {"pair_weight": 0.3, "class_weight": 0.8}),
    ("gpaco", {"pair_weight": 0.05, "smoothing": 0.1}),
    ("bcl", {}),
    ("bcl", {"count_anchor": True}),
    *[
        ("rcl", {"averaged": averaged, "balanced": balanced, "feature_scale": scale, "margin_strength": margin})
        for averaged in (False, True)
        for balanced, scale, margin in [(False, 1.0, 0.0), (True, 1.0, 0.0), (False, 1.3, 0.0), (False, 1.0, 0.5)]
    ],
    ("rcl", {"feature_scale": 1.3, "margin_strength": 0.5}),
    *[
        ("acl", {"aligned": aligned, "reweighted": reweighted, "centred": centred})
        for aligned in (False, True)
        for reweighted in (False, True)
        for centred in (False, True)
    ],
    ("acl", {"mean_weight": 2.5}),
    ("cross_entropy", {}),
    ("cross_entropy", {"class_weights": WEIGHTS}),
    ("balanced_softmax", {"class_weights": WEIGHTS}),
    ("logit_adjusted", {"strength": 0.6}),
    ("focal", {}),
    ("focal", {"focus": 2.0, "class_weights": WEIGHTS}),
    ("ldam", {}),
    ("ldam", {"largest_margin": 0.3, "scale": 4.0, "class_weights": WEIGHTS}),
]
NAMES = list(LABEL_LOSSES)


def close(got, wanted, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=tolerance, atol=tolerance)


def theirs(name, batch, options):
    return getattr(written_out, name)(batch, **options)


def test_every_loss_is_looked_at():
    assert {name for name, _ in CASES} == set(NAMES)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_value_and_gradient(name, options):
    """In a batch with padding, a class of one view and one of none, and one class without a centre."""
    batch = a_batch(has_centre=np.array([1, 1, 0, 1], bool))
    value, gradient = run(name, batch, **options)
    close(value.loss, theirs(name, batch, options))
    assert 0 < value.positive_weight < 1
    for moved in MOVED:
        there = reference.finite_difference(
            lambda x, k=moved: theirs(name, {**batch, k: x}, options), batch[moved], 1e-3
        )
        close(gradient[moved], there, 2e-7 if name == "ldam" else 1e-8)  # LDAM: scaled by 30, so by 30^5 in h^4
    used = {"classifier": {"f"}, "contrastive": {"z"}}[LABEL_LOSSES[name].family]
    assert all(np.any(gradient[moved]) for moved in used)


def test_value_with_all_centres():
    for name in ("bcl", "rcl", "acl", "tsc"):
        close(loss_of(name, a_batch()), theirs(name, a_batch(), {}))


def reordered(batch, order):
    """The batch with its views in another order."""
    return {**batch, **{key: batch[key][order] for key in ("z", "y", "valid", "f")}}


def relabelled(batch, order):
    """The batch with class order[j] called j."""
    new = np.argsort(order).astype(np.int32)
    classes = {key: batch[key][order] for key in ("counts", "centres", "has_centre")}
    return {**batch, **classes, "y": new[batch["y"]], "m_y": new[batch["m_y"]], "f": batch["f"][:, order]}


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_samples_does_not_matter(name):
    batch, order = a_batch(), np.random.default_rng(0).permutation(N)
    (value, gradient), (other, moved) = run(name, batch), run(name, reordered(batch, order))
    close(other.loss, value.loss)
    close(other.positive_weight, value.positive_weight)
    close(moved["z"], gradient["z"][order])
    close(moved["f"], gradient["f"][order])
    close(moved["centres"], gradient["centres"])


@pytest.mark.parametrize("name", NAMES)
def test_the_names_of_classes_do_not_matter_if_statistics_go_along(name):
    batch, order = a_batch(has_centre=np.array([1, 1, 0, 1], bool)), np.array([2, 3, 1, 0])
    (value, gradient), (other, moved) = run(name, batch), run(name, relabelled(batch, order))
    close(other.loss, value.loss)
    close(other.positive_weight, value.positive_weight)
    close(moved["z"], gradient["z"])
    close(moved["f"], gradient["f"][:, order])
    close(moved["centres"], gradient["centres"][order])
    if LABEL_LOSSES[name].needs:  # statistics that stay behind are noticed
        left = {key: batch[key] for key in ("counts", "centres")}
        assert abs(loss_of(name, relabelled(batch, order) | left) - value.loss) > 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_no_bit(name):
    batch = a_batch(has_centre=np.array([1, 1, 0, 1], bool))
    spoiled = {key: np.array(value) for key, value in batch.items()}
    spoiled["z"][~batch["valid"]], spoiled["f"][~batch["valid"]] = np.nan, np.inf
    spoiled["y"][~batch["valid"]] = -1
    spoiled["m_z"][~batch["m_valid"]], spoiled["m_y"][~batch["m_valid"]] = np.nan, 77
    spoiled["centres"][2] = np.nan
    (value, gradient), (other, moved) = run(name, batch), run(name, spoiled)
    assert value == other
    for key in MOVED:
        assert np.array_equal(gradient[key], moved[key]), key
    assert not np.any(gradient["z"][~batch["valid"]]) and not np.any(gradient["f"][~batch["valid"]])


@pytest.mark.parametrize("name", NAMES)
def test_lonely_and_empty_batches_are_finite(name):
    nobody = {"m_valid": np.zeros(M, bool), "has_centre": np.zeros(C, bool)}
    for valid in (np.arange(N) == 4, np.zeros(N, bool), np.isin(np.arange(N), [0, 4])):
        for more in ({}, nobody):
            batch = a_batch(valid=valid, **more)
            value, gradient = run(name, batch)
            close(value.loss, theirs(name, batch, {}))
            assert np.isfinite(value.positive_weight) and all(np.all(np.isfinite(g)) for g in gradient.values())
    assert run(name, a_batch(valid=np.zeros(N, bool)))[0] == (0, 0)
    one_class = a_batch(y=np.zeros(N, np.int32), m_y=np.zeros(M, np.int32), **nobody)  # no negatives
    value, gradient = run(name, one_class)
    close(value.loss, theirs(name, one_class, {}))
    assert all(np.all(np.isfinite(g)) for g in gradient.values())


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_at_a_low_temperature(name):
    """At temperature 0.05, with embeddings of length one, float32 is right to five digits, and stays float32."""
    batch = a_batch(tau=np.float64(0.05))
    single = {key: value.astype(np.float32) if value.dtype == np.float64 else value for key, value in batch.items()}
    value, gradient = run(name, single)
    assert value.loss.dtype == value.positive_weight.dtype == np.float32
    exact, slope = run(name, batch)
    close(exact.loss, theirs(name, batch, {}))
    close(value.loss, exact.loss, 1e-5)
    for key in MOVED:
        assert gradient[key].dtype == np.float32
        np.testing.assert_allclose(gradient[key], slope[key], rtol=2e-4, atol=2e-5 * max(1, np.abs(slope[key]).max()))


@pytest.mark.parametrize("name", NAMES)
def test_extreme_numbers_do_not_overflow(name):
    batch = a_batch(tau=np.float64(1e-4), f=1e4 * a_batch()["f"])
    value, gradient = run(name, batch)
    assert np.isfinite(value.loss) and value.loss > 0 and all(np.all(np.isfinite(g)) for g in gradient.values())


def test_a_sum_of_nothing_has_no_slope_forwards_and_backwards():
    terms, is_in = jnp.asarray([[0.3, 0.9], [0.1, 0.2]]), jnp.asarray([[True, True], [False, False]])
    of = jax.jit(lambda x: log_sum(x, is_in))
    value, slope = jax.jvp(of, (terms,), (jnp.ones((2, 2)),))
    close(value, [np.log(np.exp(0.3) + np.exp(0.9)), -np.inf])
    close(slope, [1, 0])
    assert np.all(np.isfinite(jax.jit(jax.jacrev(of))(terms)))


@pytest.mark.parametrize("focus", [0.0, 0.5, 2.0])
def test_focal_loss_of_a_certain_sample(focus):
    """Where the probability rounds to 1, loss and slope are zero, also for a power with an infinite slope there."""
    batch = a_batch(f=1e3 * np.eye(C)[a_batch()["y"]])
    value, gradient = run("focal", batch, focus=focus)
    assert value == (0, 1) and not np.any(gradient["f"])


@lru_cache
def vectorised(name):
    return jax.jit(jax.vmap(lambda arrays: call(name, arrays, {})))


@pytest.mark.parametrize("name", NAMES)
def test_batches_side_by_side(name):
    batches = [a_batch(), pairs_batch(), a_batch(9)]
    together = vectorised(name)({key: jnp.stack([jnp.asarray(b[key]) for b in batches]) for key in batches[0]})
    for n, batch in enumerate(batches):
        alone = run(name, batch)[0]
        close(together.loss[n], alone.loss)
        close(together.positive_weight[n], alone.positive_weight)


def test_the_memory_has_no_gradient():
    batch = a_batch()
    for name in ("sup_con", "bcl", "acl", "paco"):
        slope = jax.jit(jax.grad(lambda m, name=name: call(name, {**batch, "m_z": m}, {}).loss))
        assert not np.any(slope(jnp.asarray(batch["m_z"])))


def test_the_weight_of_the_only_positive_is_the_exponential_of_the_loss():
    lonely = a_batch(valid=np.arange(N) == 0, m_y=np.array([0, 1, 2, 2, 3], np.int32), m_valid=np.ones(M, bool))
    for name, options in (("sup_con", {}), ("kcl", {}), ("acl", {"centred": False})):
        value, _ = run(name, lonely, **options)
        close(value.positive_weight, np.exp(-value.loss))
    for name in ("cross_entropy", "balanced_softmax", "logit_adjusted", "ldam"):
        value, _ = run(name, lonely)
        close(value.positive_weight, np.exp(-value.loss))


def test_class_averages_are_weights_of_the_softmax():
    """In BCL the weight of a positive is its part of the denominator, where its class is averaged."""
    one = {"valid": np.arange(N) == 0, "m_y": np.array([0, 0, 1, 1, 1], np.int32), "m_valid": np.ones(M, bool)}
    batch = a_batch(has_centre=np.zeros(C, bool), **one)
    parts = np.exp(batch["m_z"] @ batch["z"][0] / batch["tau"]) / np.array([2, 2, 3, 3, 3])
    close(run("bcl", batch)[0].positive_weight, np.mean(parts[:2]) / np.sum(parts))


assert D < C  # so that centres are no basis, and a permuted one is noticed
