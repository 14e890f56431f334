"""Laws of the losses, for any embeddings, masks and temperatures of one shape."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dynsim.losses.contrastive import contrastive_loss, info_nce, nt_xent

K, C, m = 3, 6, 2
values = st.floats(-4, 4, width=16)
similarities = arrays(np.float64, (K, C), elements=values)
queries = arrays(np.float64, (K, m), elements=values)
keys = arrays(np.float64, (C, m), elements=values)
masks = arrays(np.bool_, (K, C)).map(lambda mask: mask | np.eye(K, C, dtype=bool))
temperatures = st.floats(0.25, 4, width=16)
breadth = settings(max_examples=30)

plain = jax.jit(partial(info_nce, prefactor=False))
with_prefactor = jax.jit(partial(info_nce, prefactor=True))
one_sided = jax.jit(
    jax.value_and_grad(lambda q, k, mask, tau: contrastive_loss(q, k, mask, tau).loss, (0, 1)),
)
two_views = jax.jit(nt_xent)


def close(got, wanted):
    np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), rtol=1e-11, atol=1e-11)


@breadth
@given(masks, temperatures, values)
def test_equal_similarities_give_the_log_of_the_number_of_candidates(mask, tau, level):
    value = plain(np.full((K, C), level), mask, np.float64(tau))
    close(value.loss, np.mean(np.log(mask.sum(axis=1))))
    close(value.positive_weight, np.mean(1 / mask.sum(axis=1)))


@breadth
@given(similarities, masks, temperatures)
def test_loss_is_positive_and_the_prefactor_a_factor(similarity, mask, tau):
    value, scaled = plain(similarity, mask, np.float64(tau)), with_prefactor(similarity, mask, np.float64(tau))
    assert value.loss >= 0 and 0 < value.positive_weight <= 1 + 1e-15
    close(scaled.loss, tau * value.loss)


@breadth
@given(similarities, masks, temperatures, st.permutations(range(K, C)))
def test_the_order_of_negatives_does_not_matter(similarity, mask, tau, order):
    order = [*range(K), *order]
    close(plain(similarity[:, order], mask[:, order], np.float64(tau)), plain(similarity, mask, np.float64(tau)))


@breadth
@given(similarities, masks, temperatures, st.permutations(range(K)))
def test_the_order_of_samples_does_not_matter(similarity, mask, tau, order):
    rows, columns = np.asarray(order), np.asarray([*order, *range(K, C)])
    moved = plain(similarity[rows][:, columns], mask[rows][:, columns], np.float64(tau))
    close(moved, plain(similarity, mask, np.float64(tau)))


@breadth
@given(similarities, masks, temperatures, arrays(np.float64, (K, 1), elements=values))
def test_a_shift_of_a_row_does_not_matter(similarity, mask, tau, shift):
    close(plain(similarity + shift, mask, np.float64(tau)), plain(similarity, mask, np.float64(tau)))


@breadth
@given(similarities, masks, temperatures)
def test_only_the_ratio_of_similarity_and_temperature_matters(similarity, mask, tau):
    close(plain(2 * similarity, mask, np.float64(2 * tau)), plain(similarity, mask, np.float64(tau)))


@breadth
@given(similarities, similarities, masks, temperatures)
def test_masked_similarities_have_no_influence(similarity, other, mask, tau):
    changed = np.where(mask, similarity, other)
    first, second = plain(similarity, mask, np.float64(tau)), plain(changed, mask, np.float64(tau))
    assert first.loss == second.loss and first.positive_weight == second.positive_weight


@breadth
@given(queries, keys, masks, temperatures)
def test_nothing_flows_through_the_stopped_branch(query, key, mask, tau):
    _, (in_query, in_key) = one_sided(query, key, mask, np.float64(tau))
    assert not np.any(in_key) and np.all(np.isfinite(in_query))


@breadth
@given(queries, keys, temperatures, st.floats(0.5, 4, width=16))
def test_nt_xent_ignores_lengths_and_the_roles_of_the_views(query, key, tau, scale):
    key, mask = key[:K], jnp.ones((K, K), bool)
    value = two_views(query, key, mask, np.float64(tau))
    close(two_views(scale * query, key, mask, np.float64(tau)), value)
    close(two_views(key, query, mask, np.float64(tau)), value)
