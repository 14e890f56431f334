"""What ties each loss with labels to its neighbours: where two must agree, and to how many digits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.losses.classifier import post_hoc_logits
from dynsim.losses.contrastive import nt_xent
from tests.label_batches import MOVED, C, M, N, a_batch, loss_of, pairs_batch, run

DIGITS = 1e-12
NO_CENTRE = {"has_centre": np.zeros(C, bool)}
NO_MEMORY = {"m_valid": np.zeros(M, bool)}


def the_same(one, other, keys=MOVED):
    """Compare loss, weight of the positive and gradients of two (value, gradient)."""
    (value, gradient), (other_value, other_gradient) = one, other
    assert abs(value.loss) > 1e-3
    np.testing.assert_allclose(value, other_value, rtol=DIGITS, atol=DIGITS)
    for key in keys:
        np.testing.assert_allclose(gradient[key], other_gradient[key], rtol=DIGITS, atol=DIGITS)


@pytest.mark.parametrize("aligned", [False, True])
def test_acl_is_info_nce_with_one_positive_no_centre_and_unit_weights(aligned):
    """NT-Xent is InfoNCE of both views against all others; with two views per class each anchor has one positive."""
    batch = pairs_batch()
    value, gradient = run("acl", batch, aligned=aligned, reweighted=False, centred=False)
    query, key = jnp.asarray(batch["z"][:4]), jnp.asarray(batch["z"][4:8])  # of length one, so cosine changes nothing
    there = jax.jit(nt_xent)(query, key, jnp.ones((4, 4), bool), jnp.asarray(batch["tau"]))
    np.testing.assert_allclose(value, there, rtol=DIGITS)
    # class sizes that agree give unit weights, and without centres there is no other part left
    the_same((value, gradient), run("acl", pairs_batch(**NO_CENTRE), aligned=aligned))


def test_acl_with_all_parts_off_is_sup_con():
    batch = a_batch()
    the_same(run("acl", batch, aligned=False, reweighted=False, centred=False), run("sup_con", batch))


def test_acl_without_centres_is_acl_with_none_there_yet():
    the_same(run("acl", a_batch(), centred=False), run("acl", a_batch(**NO_CENTRE)), ("z",))


def test_rcl_is_bcl_with_equal_class_sizes_and_scale_one():
    batch = a_batch(counts=np.full(C, 20))
    the_same(run("rcl", batch), run("bcl", batch))
    the_same(run("rcl", batch, margin_strength=0.7), run("bcl", batch))  # its margins vanish too


def test_rcl_without_averages_and_prototypes_is_sup_con():
    batch = a_batch(**NO_CENTRE)
    the_same(run("rcl", batch, averaged=False, balanced=False), run("sup_con", batch))


def test_the_scale_of_rcl_divides_the_temperature_by_its_square():
    batch = a_batch()
    there = run("bcl", {**batch, "tau": batch["tau"] / 1.7**2})
    the_same(run("rcl", batch, balanced=False, feature_scale=1.7), there)


def test_the_parts_of_rcl_are_there():
    """Each part moves the gradient in the embeddings; balance is a matter of class sizes only up to a factor."""
    batch = a_batch()
    base = run("rcl", batch, balanced=False)[1]["z"]
    for options in ({}, {"balanced": False, "margin_strength": 0.4}, {"balanced": False, "feature_scale": 1.1}):
        assert np.max(np.abs(run("rcl", batch, **options)[1]["z"] - base)) > 1e-3
    the_same(run("rcl", batch), run("rcl", {**batch, "counts": 10 * batch["counts"]}))


def test_bcl_is_sup_con_with_equal_sizes_up_to_the_excluded_anchor():
    """The prototypes as memory of SupCon: their gradient is held there, so values and anchors are compared."""
    batch = pairs_batch(**NO_MEMORY)
    size = 3  # two views and the prototype
    labels = np.append(np.arange(C), 0).astype(np.int32)
    stored = {"m_z": np.vstack([batch["centres"], batch["centres"][:1]]), "m_y": labels, "m_valid": np.arange(M) < C}
    there = loss_of("sup_con", {**batch, **stored}) - np.log(size)
    np.testing.assert_allclose(loss_of("bcl", batch, count_anchor=True), there, rtol=DIGITS)
    # not counted, positives have the weight 1/(size-1) for 1/size in the denominator
    gap = loss_of("bcl", batch) - there
    assert 0 < gap < np.log(size / (size - 1))


def test_kcl_with_all_drawn_is_sup_con_and_tsc_without_targets_is_kcl():
    batch, rng = a_batch(**NO_CENTRE), np.random.default_rng(6)
    drawn, shown = rng.random((N, N + M)) < 0.6, rng.random((N, N + M)) < 0.9
    everything = np.ones((N, N + M), bool)
    the_same(run("kcl", batch, is_drawn=everything), run("sup_con", batch))
    the_same(run("kcl", batch), run("sup_con", batch))
    the_same(run("tsc", batch, is_drawn=drawn), run("kcl", batch, is_drawn=drawn))
    masks = {"is_drawn": drawn, "may_compare": shown}
    the_same(run("tsc", batch, **masks), run("kcl", batch, **masks))


def test_paco_of_single_views_is_balanced_softmax():
    """A view that has nothing to be compared with leaves the outputs of the classifier."""
    for n in (0, 1, 4):
        batch = a_batch(valid=np.arange(N) == n, **NO_MEMORY)
        the_same(run("paco", batch), run("balanced_softmax", batch))


def test_paco_without_the_classifier_is_sup_con():
    batch = a_batch(f=np.full((N, C), -1e4))
    the_same(run("paco", batch, class_weight=0.0, pair_weight=0.4), run("sup_con", batch))


def test_gpaco_without_smoothing_is_paco():
    the_same(run("gpaco", a_batch(), pair_weight=0.2), run("paco", a_batch(), pair_weight=0.2))


def test_losses_of_a_classifier_that_are_cross_entropy():
    batch = a_batch()
    plain = run("cross_entropy", batch)
    the_same(run("balanced_softmax", {**batch, "counts": np.full(C, 4)}), plain)
    the_same(run("logit_adjusted", batch, strength=0.0), plain)
    the_same(run("focal", batch, focus=0.0), plain)
    the_same(run("ldam", batch, largest_margin=0.0, scale=1.0), plain)
    the_same(run("cross_entropy", batch, class_weights=np.full(C, 3.0)), plain)
    scaled = run("cross_entropy", {**batch, "f": 30 * batch["f"]})
    value, gradient = run("ldam", batch, largest_margin=0.0)
    the_same((value, {"f": gradient["f"] / 30}), scaled, ("f",))


def test_logit_adjustment_of_strength_one_is_balanced_softmax():
    the_same(run("logit_adjusted", a_batch()), run("balanced_softmax", a_batch()))


def test_post_hoc_adjustment_takes_back_the_training_one():
    """Trained with strength t, logits plus t log pi are those of the data: both ways predict the same."""
    batch = a_batch()
    counts, logits = jnp.asarray(batch["counts"]), jnp.asarray(batch["f"])
    share = batch["counts"] / batch["counts"].sum()
    moved = jax.jit(post_hoc_logits)(logits + jnp.asarray(0.7 * np.log(share)[None, :]), counts, 0.7)
    np.testing.assert_allclose(moved, logits, rtol=DIGITS, atol=DIGITS)
    rare = post_hoc_logits(jnp.zeros((1, C)), counts)
    assert np.argmax(rare) == np.argmin(batch["counts"])  # of equal logits the rarest class wins


def test_acl_never_pushes_a_positive_away_and_sup_con_does():
    """One anchor, one positive that is close already and one that is far: the close one moves closer still."""
    z = np.zeros((N, 3))
    z[0] = 1, 0, 0
    alone = {"z": z, "y": np.zeros(N, np.int32), "valid": np.arange(N) == 0, "m_valid": np.arange(M) < 3, **NO_CENTRE}
    labels = np.array([0, 0, 1, 0, 0], np.int32)

    def losses(name, cosine):
        near = [cosine, np.sqrt(1 - cosine**2), 0]
        stored = np.array([near, [0, 0, 1], [-1, 0, 0], [1, 0, 0], [1, 0, 0]])
        return loss_of(name, a_batch(**alone, m_z=stored, m_y=labels))

    assert losses("acl", 0.95) < losses("acl", 0.9)
    assert losses("sup_con", 0.95) > losses("sup_con", 0.9)
