"""The losses against NumPy loops, their gradients against theory 3.3 and finite differences, and optax."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dynsim.losses.contrastive import contrastive_loss, info_nce, l2_penalty, log_sum_exp, normalise, nt_xent
from tests import reference

K, C, m, TAU = 5, 7, 4, 0.7
rng = np.random.default_rng(11)
QUERY, KEY = rng.normal(size=(K, m)), rng.normal(size=(C, m))
MASK = (rng.random((K, C)) < 0.6) | np.eye(K, C, dtype=bool)
pairs = rng.random((K, K)) < 0.6
SQUARE_MASK = pairs | pairs.T | np.eye(K, dtype=bool)  # whether two samples may be compared does not depend on order

SWITCHES = list(itertools.product([False, True], repeat=3))


def close(got, wanted, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=tolerance, atol=tolerance)


compiled_info_nce = jax.jit(info_nce, static_argnames="prefactor")


def test_loss_is_the_log_of_the_number_of_candidates_when_all_agree():
    value = compiled_info_nce(jnp.full((K, C), 3.0), jnp.asarray(MASK), jnp.asarray(TAU), prefactor=False)
    n_candidates = MASK.sum(axis=1)
    close(value.loss, np.mean(np.log(n_candidates)))
    close(value.positive_weight, np.mean(1 / n_candidates))
    everyone = compiled_info_nce(jnp.zeros((K, C)), jnp.ones((K, C), bool), jnp.asarray(TAU), prefactor=True)
    close(everyone.loss, TAU * np.log(C))


@pytest.mark.parametrize("prefactor", [False, True])
def test_info_nce_matches_numpy(prefactor):
    similarity = QUERY @ KEY.T
    value = compiled_info_nce(jnp.asarray(similarity), jnp.asarray(MASK), jnp.asarray(TAU), prefactor=prefactor)
    loss, q = reference.info_nce(similarity, MASK, TAU, prefactor)
    close(value.loss, loss)
    close(value.positive_weight, np.mean(np.diagonal(q)))


def test_large_similarities_do_not_overflow():
    similarity = 1e6 * np.eye(K, C)
    value = compiled_info_nce(jnp.asarray(similarity), jnp.ones((K, C), bool), jnp.asarray(TAU), prefactor=False)
    assert (value.loss, value.positive_weight) == (0, 1)
    value = compiled_info_nce(jnp.asarray(-similarity), jnp.ones((K, C), bool), jnp.asarray(TAU), prefactor=True)
    close(value.loss, 1e6 + TAU * np.log(C - 1))


def test_every_query_needs_a_candidate_of_its_own():
    with pytest.raises(ValueError, match=r"^similarity: wanted a candidate for every query, got 3 for 5 queries$"):
        info_nce(jnp.ones((5, 3)), jnp.ones((5, 3), bool), jnp.asarray(TAU), prefactor=False)


def test_log_sum_exp_is_that_of_the_library():
    logits = np.where(MASK, 1e3 * QUERY @ KEY.T, -np.inf)
    logits[1] = -np.inf  # nothing is in the sum
    logits[2, 0] = np.inf
    close(jax.jit(log_sum_exp)(logits), jax.nn.logsumexp(logits, axis=1))
    finite = 1e3 * QUERY @ KEY.T
    slope = jax.jit(jax.grad(lambda x: jnp.sum(log_sum_exp(x))))(finite)
    close(slope, jax.nn.softmax(finite, axis=1))


@pytest.mark.parametrize("prefactor", [False, True])
def test_gradient_is_that_of_theory_3_3(prefactor):
    def loss(query, key):
        return contrastive_loss(query, key, jnp.asarray(MASK), jnp.asarray(TAU), prefactor=prefactor).loss

    in_query, in_key = jax.jit(jax.grad(loss, (0, 1)))(jnp.asarray(QUERY), jnp.asarray(KEY))
    _, q = reference.info_nce(QUERY @ KEY.T, MASK, TAU, prefactor)
    # -grad = { (1 - q_Y) h(Y) - sum_V q_V h(V) } / K, over tau without the prefactor; nothing through the keys
    wanted = -np.array([(1 - q[n, n]) * KEY[n] - (q[n] @ KEY - q[n, n] * KEY[n]) for n in range(K)]) / K
    close(in_query, wanted / (1 if prefactor else TAU))
    assert not np.any(in_key)


def check_variant(loss_fn, mask, key, **options):
    """Compare value and both gradients of one variant with the NumPy reference and its finite differences."""
    names = {k: options[k] for k in ("cosine", "prefactor", "symmetric", "stop_gradient") if k in options}

    def ours(query, key):
        return loss_fn(query, key, jnp.asarray(mask), jnp.asarray(TAU), **names).loss

    value, grads = jax.value_and_grad(ours, (0, 1))(jnp.asarray(QUERY), jnp.asarray(key))
    settings = {k: v for k, v in options.items() if k != "stop_gradient"}
    fixed = (QUERY, key) if options["stop_gradient"] else None

    def theirs(query, key):
        return reference.embedding_loss(query, key, mask, TAU, fixed=fixed, **settings)

    close(value, theirs(QUERY, key))
    close(grads[0], reference.finite_difference(lambda x: theirs(x, key), QUERY, 1e-3), 1e-9)
    close(grads[1], reference.finite_difference(lambda x: theirs(QUERY, x), key, 1e-3), 1e-9)
    return grads


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize(("prefactor", "symmetric", "stop_gradient"), SWITCHES)
def test_contrastive_loss_and_gradient(cosine, prefactor, symmetric, stop_gradient):
    options = {"cosine": cosine, "prefactor": prefactor, "symmetric": symmetric, "stop_gradient": stop_gradient}
    # an asymmetric mask shows that the reversed loss reads it the other way round
    mask, key = (MASK[:, :K], KEY[:K]) if symmetric else (MASK, KEY)
    grads = check_variant(contrastive_loss, mask, key, **options)
    one_sided = stop_gradient and not symmetric
    assert np.any(grads[1]) != one_sided


@pytest.mark.parametrize(("prefactor", "symmetric", "stop_gradient"), SWITCHES)
def test_nt_xent_and_gradient(prefactor, symmetric, stop_gradient):
    options = {"prefactor": prefactor, "symmetric": symmetric, "stop_gradient": stop_gradient}
    check_variant(nt_xent, SQUARE_MASK, KEY[:K], kind="nt_xent", **options)


def test_nt_xent_is_that_of_optax():
    mask, key = jnp.ones((K, K), bool), jnp.asarray(KEY[:K])

    def ours(query):
        return nt_xent(query, key, mask, jnp.asarray(TAU)).loss

    def theirs(query):
        # the two rows with the same label are a positive pair
        labels = jnp.concatenate([jnp.arange(K), jnp.arange(K)])
        return optax.losses.ntxent(jnp.concatenate([query, key]), labels, TAU)

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        value, grad = jax.jit(jax.value_and_grad(theirs))(jnp.asarray(QUERY))
    our_value, our_grad = jax.jit(jax.value_and_grad(ours))(jnp.asarray(QUERY))
    close(our_value, value)
    close(our_grad, grad)


def test_two_sided_gradient_differs_and_has_the_same_value():
    query, key = jnp.asarray(QUERY), jnp.asarray(KEY)

    def loss(both, stop_gradient):
        return contrastive_loss(*both, jnp.asarray(MASK), jnp.asarray(TAU), stop_gradient=stop_gradient).loss

    one, two = (jax.value_and_grad(loss)((query, key), stop) for stop in (True, False))
    assert one[0] == two[0]
    close(one[1][0], np.asarray(two[1][0]))  # the query's side is the same
    assert not np.any(one[1][1]) and np.any(two[1][1])


@pytest.mark.parametrize("stop_gradient", [False, True])
def test_masked_candidates_have_no_influence(stop_gradient):
    out = 6  # not a candidate of any query
    mask = jnp.asarray(MASK).at[:, out].set(False)

    def loss(query, key):
        return contrastive_loss(query, key, mask, jnp.asarray(TAU), stop_gradient=stop_gradient).loss

    evaluate = jax.value_and_grad(loss, (0, 1))
    value, grads = evaluate(jnp.asarray(QUERY), jnp.asarray(KEY))
    other, other_grads = evaluate(jnp.asarray(QUERY), jnp.asarray(KEY).at[out].set(1e3))
    assert value == other
    assert np.array_equal(grads[0], other_grads[0]) and np.array_equal(grads[1], other_grads[1])
    assert not np.any(grads[1][out])


def test_nt_xent_leaves_out_masked_pairs_on_both_sides():
    mask = SQUARE_MASK.copy()
    mask[:, 2] = mask[2] = False
    mask[2, 2] = True
    grad = jax.grad(lambda q, k: nt_xent(q, k, jnp.asarray(mask), jnp.asarray(TAU)).loss, (0, 1))
    # a sample without negatives has loss log 1 = 0, whatever its embeddings
    in_query, in_key = grad(jnp.asarray(QUERY), jnp.asarray(KEY[:K]))
    close(in_query[2], 0.0)
    close(in_key[2], 0.0)


SHOWN = rng.normal(size=(2, K, m))


def reference_similarities(query, key, kind, cosine):
    """Per direction the similarities whose softmax the loss takes, for a symmetric loss of two views."""
    if cosine:
        query, key = reference.unit(query), reference.unit(key)
    out = []
    for anchor, other in ((query, key), (key, query)):
        out.append(anchor @ other.T if kind == "info_nce" else np.hstack([anchor @ other.T, anchor @ anchor.T]))
    return out


@pytest.mark.parametrize(("loss_fn", "cosine"), [(contrastive_loss, False), (contrastive_loss, True), (nt_xent, True)])
def test_shown_embeddings_give_the_similarities_and_the_others_their_gradient(loss_fn, cosine):
    """d loss = sum of dl/dS at the shown similarities times dS of the others (theory 8.4)."""
    kind = "nt_xent" if loss_fn is nt_xent else "info_nce"
    options = {"cosine": cosine} if loss_fn is contrastive_loss else {}
    key = KEY[:K]

    def ours(query, key, shown):
        common = {"prefactor": True, "stop_gradient": False, "symmetric": True, "shown": shown}
        return loss_fn(query, key, jnp.asarray(SQUARE_MASK), jnp.asarray(TAU), **common, **options).loss

    names = {"prefactor": True, "symmetric": True, "cosine": cosine, "kind": kind}
    value, grads = jax.value_and_grad(ours, (0, 1))(*map(jnp.asarray, (QUERY, key)), tuple(map(jnp.asarray, SHOWN)))
    close(value, reference.embedding_loss(*SHOWN, SQUARE_MASK, TAU, **names))
    allowed = SQUARE_MASK
    if kind == "nt_xent":
        allowed = np.hstack([SQUARE_MASK, SQUARE_MASK & ~np.eye(K, dtype=bool)])
    slopes = []
    for S in reference_similarities(*SHOWN, kind, cosine):
        q = reference.info_nce(S, allowed, TAU, True)[1]
        slopes.append((q - np.eye(*q.shape)) / K / 2)

    def moved(query, key):
        pairs = zip(slopes, reference_similarities(query, key, kind, cosine), strict=True)
        return sum(np.sum(slope * S) for slope, S in pairs)

    close(grads[0], reference.finite_difference(lambda x: moved(x, key), QUERY.copy(), 1e-4), 1e-9)
    close(grads[1], reference.finite_difference(lambda x: moved(QUERY, x), key.copy(), 1e-4), 1e-9)
    # shown what is differentiated, it is the plain loss, bit for bit
    plain = jax.value_and_grad(lambda q, k: ours(q, k, None), (0, 1))(jnp.asarray(QUERY), jnp.asarray(key))
    shown = jax.value_and_grad(lambda q, k: ours(q, k, (jnp.asarray(QUERY), jnp.asarray(key))), (0, 1))(
        jnp.asarray(QUERY), jnp.asarray(key)
    )
    assert plain[0] == shown[0] and all(np.array_equal(a, b) for a, b in zip(plain[1], shown[1], strict=True))


def test_normalise():
    rows = np.vstack([QUERY, np.zeros(m)])
    unit = normalise(jnp.asarray(rows))
    close(np.linalg.norm(unit, axis=1), [1] * K + [0])
    close(unit, reference.unit(rows))


def test_silent_samples_have_finite_value_and_gradient():
    query, key = jnp.asarray(QUERY).at[1].set(0), jnp.asarray(KEY[:K]).at[3].set(0)
    for loss_fn, options in ((nt_xent, {}), (contrastive_loss, {"cosine": True, "stop_gradient": False})):

        def loss(query, key, loss_fn=loss_fn, options=options):
            return loss_fn(query, key, jnp.ones((K, K), bool), jnp.asarray(TAU), **options).loss

        value, grads = jax.value_and_grad(loss, (0, 1))(query, key)
        assert np.isfinite(value) and all(np.all(np.isfinite(grad)) for grad in grads)
        assert not np.any(grads[0][1]) and not np.any(grads[1][3])


def test_penalty_and_its_gradient():
    weight = jnp.asarray(QUERY)
    value, grad = jax.value_and_grad(l2_penalty)(weight, jnp.asarray(0.3))
    close(value, 0.15 * np.linalg.norm(QUERY) ** 2)
    close(grad, 0.3 * QUERY)
