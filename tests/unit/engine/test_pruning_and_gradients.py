"""The gradient of each pruning semantics against NumPy, their identities (theory 8.4), and masks of a run's weights."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim.config import PruneConfig
from dynsim.engine import pruning, train
from dynsim.engine.data import Batch
from dynsim.engine.encoder import Params
from dynsim.engine.numbers import resolve
from tests import reference
from tests.reference import built_in, toy

d, d1, m, K, L = 5, 8, 6, 6, 2
SEMANTICS = ("literal", "straight_through", "one_branch", "masked_query", "masked_key")
TAU, L2 = 0.7, 0.1
rng = np.random.default_rng(7)
X, Y = rng.normal(size=(2, K, L, d1))
OPEN = rng.random((K, K)) < 0.7
BATCH = Batch(X, Y, np.zeros((K, d)), OPEN | OPEN.T | np.eye(K, dtype=bool))
WEIGHT = rng.normal(size=(m, d1))
MASKS = {"neuron": np.array([True, False, True, True, False, True]), "weight": rng.random((m, d1)) < 0.6}
MASKS["weight"][1] = False  # a whole neuron among them
SYMMETRIC = {
    "symmetric": {"loss__symmetric": True},
    "symmetric two-sided": {"loss__symmetric": True, "loss__stop_gradient": False},
}
LOSSES = {
    "inner": {},
    "two-sided": {"loss__stop_gradient": False},
    "cosine": {"loss__similarity": "cosine"},
    "two-sided cosine": {"loss__similarity": "cosine", "loss__stop_gradient": False},
}


def close(got, wanted, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(got), wanted, rtol=tolerance, atol=tolerance)


def pruned(semantics="literal", unit="neuron", **changes):
    """A toy configuration with masks; `rate` may be among the changes."""
    common = {"prune__kind": "lowest", "prune__rate": 0.4, "prune__semantics": semantics, "prune__unit": unit}
    return toy(**(common | {"loss__temperature": TAU, "loss__l2_penalty": L2} | changes))


def entries(mask):
    """A mask as 0 and 1 per weight."""
    return np.broadcast_to(mask if mask.ndim == 2 else mask[:, None], (m, d1)).astype(float)


def ours(config, mask, thresholds, params=None, *, general=False, batch=BATCH, compiled=False):
    """Return (loss without penalty, gradient) of one masked batch. `general`: as for an encoder of the user's own.

    `compiled`: as one program. With arrays or a loss that few tests have, that takes less time than to compile each
    operation by itself.
    """
    parts = built_in(resolve(config).structure)._replace(own=frozenset(["encoder"] if general else []))
    tree = mask if mask is None or isinstance(mask, Params) else Params(jnp.asarray(mask))
    batch, numbers = jax.tree.map(jnp.asarray, (batch, resolve(config).numbers))
    tree = jax.tree.map(jnp.asarray, tree)
    point = jax.tree.map(jnp.asarray, params or Params(WEIGHT))

    def gradient(point, b, batch, numbers, tree):
        return jax.grad(train.objective, has_aux=True)(point, b, batch, numbers, parts, tree)

    gradient = jax.jit(gradient) if compiled else gradient
    grads, value = gradient(point, jnp.asarray(thresholds), batch, numbers, tree)
    return float(value.loss), grads


def side_by_side(config, masks, thresholds, *, general=False):
    """Return losses (case,) and gradients (case, neuron, token_dim) of several masks and thresholds, as `ours` does."""
    parts = built_in(resolve(config).structure)._replace(own=frozenset(["encoder"] if general else []))
    batch, numbers = jax.tree.map(jnp.asarray, (BATCH, resolve(config).numbers))

    def one(mask, b):
        point = Params(jnp.asarray(WEIGHT))
        grads, value = jax.grad(train.objective, has_aux=True)(point, b, batch, numbers, parts, Params(mask))
        return value.loss, grads.weight

    return jax.device_get(jax.vmap(one)(jnp.asarray(np.stack(masks)), jnp.asarray(np.stack(thresholds))))


CASES = {"b = 0": 0.0, "b > 0": 0.4, "b between": 0.2, "no mask": 0.2}
"""Thresholds of the cases of `gradients`."""


@functools.cache
def gradients(semantics, unit, name):
    """Return {case: (loss, gradient)} of one loss, masked at three thresholds, and with a mask that hides nothing."""
    return by_case(pruned(semantics, unit, **(LOSSES | SYMMETRIC)[name]), MASKS[unit])


def by_case(config, kept, *, general=False):
    """Return {case: (loss, gradient)} of a configuration, as `ours` does."""
    masks = [np.ones_like(kept) if case == "no mask" else kept for case in CASES]
    losses, slopes = side_by_side(config, masks, [np.full(m, b) for b in CASES.values()], general=general)
    return dict(zip(CASES, zip(losses, slopes, strict=True), strict=True))


SOME = (slice(0, 3), slice(0, 4))  # masked and kept entries among them; twelve, to be quick


def by_differences(f, where):
    """The gradient of f at `where` in the entries `SOME`, with the penalty of the dense weights."""

    def part(block):
        moved = where.copy()
        moved[SOME] = block
        return f(moved)

    return reference.finite_difference(part, where[SOME].copy(), 1e-4) + L2 * WEIGHT[SOME]


def reference_functions(semantics, stop_gradient, cosine, kept, embed):
    """Return (f, where): the NumPy function whose derivative at `where` these semantics take, and the masked loss.

    Everything that the semantics hold fixed is computed once at the dense weights, or at the masked ones.
    """
    mask = entries(kept)
    thin = WEIGHT * mask
    loss = functools.partial(
        reference.embedding_loss, is_candidate=BATCH.is_candidate, tau=TAU, prefactor=True, cosine=cosine
    )

    def held(query, key):
        return (query, key) if stop_gradient else None

    if semantics == "literal":
        fixed = held(embed(thin, X), embed(thin, Y))
        return lambda v: loss(embed(v, X), embed(v, Y), fixed=fixed), thin
    if semantics == "one_branch":
        fixed = held(embed(thin, X), embed(WEIGHT, Y))
        return lambda v: loss(embed(v * mask, X), embed(v, Y), fixed=fixed), WEIGHT
    if semantics == "masked_query":
        # the query moves from the masked weights and the dense key, where the loss moves it, from the dense ones
        key = embed(WEIGHT, Y)
        moved = (lambda v: key) if stop_gradient else (lambda v: embed(v + (WEIGHT - thin), Y))
        return lambda v: loss(embed(v, X), moved(v)), thin
    if semantics == "masked_key":
        key = embed(thin, Y)
        moved = (lambda v: key) if stop_gradient else (lambda v: embed(v + (thin - WEIGHT), Y))
        return lambda v: loss(embed(v, X), moved(v)), WEIGHT

    def unit(rows):
        return reference.unit(rows) if cosine else rows

    shown = unit(embed(thin, X)) @ unit(embed(thin, Y)).T
    q = reference.info_nce(shown, BATCH.is_candidate, TAU, True)[1]
    G = (q - np.eye(K)) / K  # dl/dS with the prefactor tau: theory 3.3
    key = unit(embed(WEIGHT, Y))
    other = (lambda v: key) if stop_gradient else (lambda v: unit(embed(v, Y)))
    return lambda v: np.sum(G * (unit(embed(v, X)) @ other(v).T)), WEIGHT


@pytest.mark.parametrize("case", ["b = 0", "b > 0"])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("semantics", "unit"), list(itertools.product(SEMANTICS, MASKS)))
def test_gradient_is_that_of_numpy(semantics, unit, name, case):
    config = pruned(semantics, unit, **LOSSES[name])
    thresholds = np.full(m, CASES[case])
    kept = MASKS[unit]
    stop, cosine = config.loss.stop_gradient, config.loss.similarity == "cosine"

    def embed(weight, tokens):
        return reference.encode(weight, thresholds, tokens)

    f, where = reference_functions(semantics, stop, cosine, kept, embed)
    loss, slope = gradients(semantics, unit, name)[case]
    close(slope[SOME], by_differences(f, where), 1e-8)
    thin = WEIGHT * entries(kept)
    dense_key = semantics in ("one_branch", "masked_query")
    query, key = embed(WEIGHT if semantics == "masked_key" else thin, X), embed(WEIGHT if dense_key else thin, Y)
    close(loss, reference.embedding_loss(query, key, BATCH.is_candidate, TAU, cosine=cosine))


@pytest.mark.parametrize("semantics", ["literal", "one_branch", "masked_query", "masked_key"])
def test_thresholds_can_follow_the_norm_that_a_mask_leaves(semantics):
    """With the masked norm a masked embedding has b_i ||w_i * mask|| / ||w_i||, and dense ones keep b_i."""
    kept = MASKS["weight"]
    thresholds = 0.5 * np.linalg.norm(WEIGHT, axis=1)
    thin = WEIGHT * kept
    lower = thresholds * np.linalg.norm(thin, axis=1) / np.linalg.norm(WEIGHT, axis=1)
    config = pruned(semantics, "weight", threshold__rule="masked_norm_tracking")
    query = (WEIGHT, thresholds) if semantics == "masked_key" else (thin, lower)
    key = (thin, lower) if semantics in ("literal", "masked_key") else (WEIGHT, thresholds)
    sides = [reference.encode(w, b, tokens) for (w, b), tokens in ((query, X), (key, Y))]
    loss, grads = ours(config, kept, thresholds, compiled=True)
    close(loss, reference.embedding_loss(*sides, BATCH.is_candidate, TAU))

    def of_query(v):
        rows = v * kept if semantics == "one_branch" else v
        return reference.embedding_loss(
            reference.encode(rows, query[1], X), sides[1], BATCH.is_candidate, TAU, fixed=tuple(sides)
        )

    where = WEIGHT if semantics == "one_branch" else query[0]
    close(grads.weight[SOME], by_differences(of_query, where), 1e-8)


def test_straight_through_shows_the_loss_at_the_masked_norm():
    kept, thresholds = MASKS["weight"], 0.5 * np.linalg.norm(WEIGHT, axis=1)
    thin = WEIGHT * kept
    lower = 0.5 * np.linalg.norm(thin, axis=1)
    config = pruned("straight_through", "weight", threshold__rule="masked_norm_tracking")
    loss, _ = ours(config, kept, thresholds, compiled=True)
    sides = [reference.encode(thin, lower, tokens) for tokens in (X, Y)]
    close(loss, reference.embedding_loss(*sides, BATCH.is_candidate, TAU))


def test_the_masked_norm_changes_nothing_in_masks_of_neurons():
    thresholds = np.full(m, 0.3)
    both = [
        ours(pruned("literal", threshold__rule=rule), MASKS["neuron"], thresholds, compiled=True)
        for rule in ("norm_tracking", "masked_norm_tracking")
    ]
    assert both[0][0] == both[1][0] and np.array_equal(both[0][1].weight, both[1][1].weight)


@pytest.mark.parametrize("semantics", ["literal", "one_branch"])
def test_masked_nt_xent_is_that_of_numpy(semantics):
    """NT-Xent, symmetric and without stop-gradient, under masks of single weights."""
    kept, thresholds = MASKS["weight"], np.full(m, 0.3)
    changes = {"loss__similarity": "cosine", "loss__symmetric": True, "loss__stop_gradient": False}
    config = pruned(semantics, "weight", loss__kind="nt_xent", loss__temperature_prefactor=False, **changes)
    loss, grads = ours(config, kept, thresholds, compiled=True)
    options = {"kind": "nt_xent", "symmetric": True, "prefactor": False}

    def f(v):
        masked = v if semantics == "literal" else v * kept
        query, key = reference.encode(masked, thresholds, X), reference.encode(v, thresholds, Y)
        return reference.embedding_loss(query, key, BATCH.is_candidate, TAU, **options)

    where = WEIGHT * kept if semantics == "literal" else WEIGHT
    close(loss, f(where))
    close(grads.weight[SOME], by_differences(f, where), 1e-8)


@functools.cache
def without_mask(name):
    """Return (loss, gradient) of the configuration without masks, for one of the losses."""
    plain = toy(loss__temperature=TAU, loss__l2_penalty=L2, **(LOSSES | SYMMETRIC)[name])
    return ours(plain, None, np.full(m, CASES["no mask"]))


@pytest.mark.parametrize("name", [*LOSSES, *SYMMETRIC])
@pytest.mark.parametrize(("semantics", "unit"), list(itertools.product(SEMANTICS, MASKS)))
def test_a_mask_not_in_force_leaves_the_gradient_of_the_loss(semantics, unit, name):
    wanted = without_mask(name)
    loss, slope = gradients(semantics, unit, name)["no mask"]
    close(loss, wanted[0])
    close(slope, wanted[1].weight)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("semantics", ["literal", "straight_through", "one_branch"])
def test_columns_of_zeros_are_rows_of_zeros(semantics, name):
    """For masks of neurons the fast way, columns of the embeddings, is the general one, masked parameters."""
    fast = gradients(semantics, "neuron", name)
    slow = by_case(pruned(semantics, **LOSSES[name]), MASKS["neuron"], general=True)
    for case in CASES:
        close(fast[case][0], slow[case][0])
        close(fast[case][1], slow[case][1])


@pytest.mark.parametrize("name", ["inner", "two-sided"])
def test_one_branch_is_literal_for_neurons_and_the_inner_product(name):
    """A masked neuron adds nothing to any similarity, whichever branch it is masked on: the same function of theta."""
    thresholds = np.full(m, 0.2)
    one, literal = (ours(pruned(s, **LOSSES[name]), MASKS["neuron"], thresholds) for s in ("one_branch", "literal"))
    close(one[0], literal[0], 1e-14)
    close(one[1].weight, literal[1].weight, 1e-14)


@pytest.mark.parametrize(("name", "unit"), [("cosine", "neuron"), ("two-sided cosine", "neuron"), ("inner", "weight")])
def test_one_branch_is_not_literal_elsewhere(name, unit):
    thresholds = np.full(m, 0.2)
    one, literal = (ours(pruned(s, unit, **LOSSES[name]), MASKS[unit], thresholds) for s in ("one_branch", "literal"))
    assert np.max(np.abs(one[1].weight - literal[1].weight)) > 1e-3


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("general", [False, True])
def test_a_masked_neuron_has_no_literal_gradient(name, general):
    kept = MASKS["neuron"]
    config = pruned(loss__l2_penalty=0.0, **LOSSES[name])
    _, gradient = side_by_side(config, [kept] * len(CASES), [np.full(m, b) for b in CASES.values()], general=general)
    assert not np.any(gradient[:, ~kept]) and np.all(np.any(gradient[:, kept], axis=2))


def test_masked_entries_get_what_their_semantics_say():
    kept, gradient = MASKS["weight"], {}
    for semantics in SEMANTICS:
        config = pruned(semantics, "weight", loss__l2_penalty=0.0)
        gradient[semantics] = np.asarray(ours(config, kept, np.full(m, 0.2))[1].weight)
    lives = np.any(kept, axis=1)
    for semantics in ("literal", "straight_through", "masked_query", "masked_key"):
        assert np.all(gradient[semantics][lives] != 0), semantics
    assert not np.any(gradient["one_branch"][~kept]) and np.all(gradient["one_branch"][kept] != 0)
    assert not np.any(gradient["literal"][~lives]) and np.any(gradient["straight_through"][~lives])
    # with the key held fixed, one branch is the masked query's gradient on the kept entries
    close(gradient["one_branch"], np.where(kept, gradient["masked_query"], 0), 1e-14)


@pytest.mark.parametrize("unit", MASKS)
def test_without_stop_gradient_one_branch_is_each_branch_in_turn(unit):
    """SDCLR (theory 8.6): the loss is led back through each branch with the other detached."""
    thresholds, mask = np.full(m, 0.2), entries(MASKS[unit])
    embed = functools.partial(lambda tokens, w: reference.encode(w, thresholds, tokens))
    masked, dense = embed(X, WEIGHT * mask), embed(Y, WEIGHT)
    turns = [
        lambda v: reference.embedding_loss(embed(X, v * mask), dense, BATCH.is_candidate, TAU),
        lambda v: reference.embedding_loss(masked, embed(Y, v), BATCH.is_candidate, TAU),
    ]
    wanted = sum(reference.finite_difference(turn, WEIGHT.copy(), 1e-4) for turn in turns)
    config = pruned("one_branch", unit, loss__l2_penalty=0.0, **LOSSES["two-sided"])
    close(ours(config, MASKS[unit], thresholds)[1].weight, wanted, 1e-8)


DIRECTIONS = np.random.default_rng(1)


def at(f, params, direction, t):
    """`f` a number of steps along a direction."""
    return f(jax.tree.map(lambda start, way: start + t[0] * way, params, direction))


def along(f, params, gradient):
    """Compare the derivative of `f` along random directions of all parameters with that of `gradient`."""
    for _ in range(3):
        direction = jax.tree.map(lambda leaf: DIRECTIONS.normal(size=leaf.shape), params)

        wanted = reference.finite_difference(functools.partial(at, f, params, direction), np.zeros(1), 1e-4)[0]
        pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
        close(sum(np.sum(np.asarray(g) * way) for g, way in pairs), wanted, 1e-7)


@pytest.mark.parametrize("scope", ["global", "per_array"])
def test_trained_attention_is_masked_too(scope):
    options = {"encoder__train_attention": True, "encoder__attention": "softmax_scaled", "loss__l2_penalty": 0.0}
    own = np.random.default_rng(3)
    attention = np.eye(d1) + 0.2 * own.normal(size=(3, d1, d1))
    params, thresholds = Params(WEIGHT, None, attention), np.full(m, 0.2)
    config = pruned("one_branch", "weight", prune__scope=scope, **options)
    point, key = jax.tree.map(jnp.asarray, params), jax.random.key(0)
    draw = jax.jit(lambda point, rate, key, step: pruning.draw_mask(point, config.prune, rate, key, step))
    tree = jax.device_get(draw(point, jnp.asarray(0.4), key, jnp.asarray(0)))
    sizes = [part.size for part in (WEIGHT, *attention)]
    hidden = [int(np.sum(~np.asarray(part))) for part in (tree.weight, *tree.attention)]
    if scope == "global":
        joined = np.sort(np.abs(np.concatenate([WEIGHT.ravel(), attention.ravel()])))
        assert sum(hidden) == int(0.4 * sum(sizes)) and hidden[0] != int(0.4 * sizes[0])
        assert np.all(np.abs(attention)[~np.asarray(tree.attention)] < joined[sum(hidden)])
    else:
        assert hidden == [int(0.4 * size) for size in sizes]

    def embed(p, tokens):
        return reference.encode(p.weight, thresholds, tokens, "softmax_scaled", attention=p.attention)

    def thin(p):
        return Params(p.weight * tree.weight, None, p.attention * tree.attention)

    key = embed(params, Y)
    _, grads = ours(config, tree, thresholds, params, compiled=True)
    along(lambda p: reference.embedding_loss(embed(thin(p), X), key, BATCH.is_candidate, TAU), params, grads)
    # neuron masks leave the attention whole
    neurons = Params(MASKS["neuron"])
    _, grads = ours(pruned("one_branch", **options), neurons, thresholds, params, compiled=True)
    zeros = entries(MASKS["neuron"])

    def rows(p):
        return embed(p._replace(weight=p.weight * zeros), X)

    along(lambda p: reference.embedding_loss(rows(p), key, BATCH.is_candidate, TAU), params, grads)


@pytest.mark.parametrize("semantics", ["literal", "one_branch"])
def test_a_masked_neuron_loses_its_bias(semantics):
    relu = {"encoder__architecture": "relu", "encoder__train_bias": True, "data__n_tokens": 1, "loss__l2_penalty": 0.0}
    bias, thresholds = np.linspace(-0.2, 0.4, m), np.full(m, 0.1)
    params, batch = Params(WEIGHT, bias), BATCH._replace(query=X[:, :1], key=Y[:, :1])
    config = pruned(semantics, **relu, **LOSSES["two-sided"])
    point, key = jax.tree.map(jnp.asarray, params), jax.random.key(0)
    draw = jax.jit(lambda point, rate, key, step: pruning.draw_mask(point, config.prune, rate, key, step))
    tree = jax.device_get(draw(point, jnp.asarray(0.4), key, jnp.asarray(0)))
    assert np.array_equal(tree.weight, tree.bias) and np.sum(~np.asarray(tree.bias)) == 2

    def embed(p, tokens, hide):
        hidden = np.maximum(tokens[:, 0] @ p.weight.T + p.bias - thresholds, 0)
        return np.where(np.asarray(tree.weight), hidden, 0) if hide else hidden

    def f(p):
        return reference.embedding_loss(embed(p, X, True), embed(p, Y, semantics == "literal"), OPEN_TO, TAU)

    for general in (False, True):
        _, grads = ours(config, tree, thresholds, params, general=general, batch=batch, compiled=True)
        along(f, params, grads)


OPEN_TO = BATCH.is_candidate


# ----- masks of the weights


def drawn(config, weight=WEIGHT, rate=0.4, refresh=0, seed=0):
    tree = pruning.draw_mask(
        Params(jnp.asarray(weight)), config, jnp.asarray(rate), jax.random.key(seed), jnp.asarray(refresh)
    )
    assert tree.bias is None and tree.attention is None
    return np.asarray(tree.weight)


def lowest_by_sorting(scores, rate):
    order = np.argsort(np.abs(scores), kind="stable")
    kept = np.ones(scores.size, bool)
    kept[order[: int(np.floor(rate * scores.size + 1e-9))]] = False
    return kept


@pytest.mark.parametrize("unit", MASKS)
def test_the_masked_share_is_exact_with_ties_too(unit):
    tied = np.round(WEIGHT)  # many equal sizes
    tied[3] = -tied[2]
    for weight, rate in itertools.product((WEIGHT, tied, np.ones((m, d1))), (0.0, 0.1, 0.5, 0.9)):
        kept = drawn(PruneConfig(kind="lowest", unit=unit, rate=0.5), weight, rate)
        scores = np.linalg.norm(weight, axis=1) if unit == "neuron" else weight.ravel()
        assert np.array_equal(kept.ravel(), lowest_by_sorting(scores, rate)), rate
        assert np.sum(~kept) == int(np.floor(rate * scores.size + 1e-9))


@pytest.mark.parametrize("kind", ["lowest", "highest", "random_fixed", "random", "dropout"])
def test_masks_nest_as_the_rate_grows(kind):
    config = PruneConfig(kind=kind, unit="weight", rate=0.5)
    masks = [drawn(config, rate=rate, refresh=3) for rate in (0.0, 0.1, 0.3, 0.6, 0.95)]
    assert np.all(masks[0]) and all(np.all(wide >= thin) for wide, thin in itertools.pairwise(masks))
    assert np.sum(~masks[-1]) > 35


def test_kinds_differ_in_what_is_drawn_anew():
    def is_new(kind):
        config = PruneConfig(kind=kind, unit="weight", rate=0.5)
        return not np.array_equal(drawn(config, refresh=0), drawn(config, refresh=1))

    assert [is_new(kind) for kind in ("lowest", "highest", "random_fixed", "random", "dropout")] == [False] * 3 + [
        True
    ] * 2
    counts = {np.sum(~drawn(PruneConfig(kind="dropout", unit="weight", rate=0.5), seed=s)) for s in range(5)}
    assert len(counts) > 1  # the number varies


def test_a_share_of_each_neuron_by_sorting():
    config = pruned("literal", "weight", prune__scope="per_neuron")
    kept = drawn(config.prune)
    for row, one in zip(WEIGHT, kept, strict=True):
        assert np.array_equal(one, lowest_by_sorting(row, 0.4))


def test_covered_features_by_hand():
    rows = {"pure": [1, 0, 0, 0], "mixed": [1, 1, 1, 0], "weak": [0, 0.09, 0, 0], "off": [0, 0, 0.8, 0.8]}
    cases = [(["pure"], 1), (["pure", "pure"], 1), (["mixed"], 0), (["pure", "weak"], 1), (["off"], 1)]
    cases += [(["pure", "off", "mixed"], 2), ([], 0)]
    count = jax.jit(pruning.n_covered)
    for names, wanted in cases:
        weight = np.zeros((4, 4))
        weight[: len(names)] = np.array([rows[name] for name in names]).reshape(-1, 4)
        assert count(weight, np.eye(4, 3)) == wanted, names
    one_each = np.zeros((4, 4))
    one_each[0] = [0.7, 0.72, 0, 0]  # pure enough in two features: counts for its best
    assert count(one_each, np.eye(4, 3)) == 1


@pytest.mark.parametrize(("n_features", "least"), [(5, 5), (10, 9), (11, 10), (20, 18), (64, 58)])
def test_nine_in_ten_features_are_coverage(n_features, least):
    config = PruneConfig(kind="lowest", rate=0.5, start="coverage")
    numbers = resolve(toy(train__precision="float32", prune__kind="lowest", prune__rate=0.5)).numbers
    dictionary = np.eye(70, n_features, dtype=np.float32)

    @jax.jit
    def start_step(weight, numbers):
        now = pruning.Moment(Params(weight), jnp.int32(0), jnp.int32(-1), dictionary)
        return pruning.init_pruning(now, config, numbers, jax.random.key(0)).start_step

    for covered in (least - 1, least):  # the weights of all other neurons are zero
        weight = np.eye(70, dtype=np.float32) * (np.arange(70) < covered)[:, None]
        start = int(start_step(weight.astype(np.float32), numbers))
        assert (start == 0) == (covered == least)


def test_kept_share_per_neuron():
    def share(mask):
        state = pruning.PruneState(Params(jnp.asarray(mask)), jnp.asarray(0), jnp.asarray(-1))
        return pruning.kept_share(state, np.float64)

    close(share(MASKS["neuron"]), MASKS["neuron"].astype(float))
    close(share(MASKS["weight"]), MASKS["weight"].mean(axis=1))


# ----- start, stop and refresh, on given weights


@functools.cache
def schedule_of(prune):
    """Return the compiled (moment, numbers, key) -> state and (state, moment, numbers, key) -> state of a structure."""
    return (
        jax.jit(lambda now, numbers, key: pruning.init_pruning(now, prune, numbers, key)),
        jax.jit(lambda state, now, numbers, key: pruning.update_pruning(state, now, prune, numbers, key)),
    )


def schedule(config, n_steps=12, walk=None, switch=None, dictionary=None):
    """Return the states after 0, 1, ..., n_steps updates of given weights (step, neuron, token_dim)."""
    walk = np.random.default_rng(4).normal(size=(n_steps + 1, m, d1)) if walk is None else walk
    switch = [-1] * (n_steps + 1) if switch is None else switch
    numbers = jax.tree.map(jnp.asarray, resolve(config).numbers)
    M, key = jnp.asarray(np.eye(d1, d) if dictionary is None else dictionary), jax.random.key(0)

    def moment(n):
        return pruning.Moment(Params(jnp.asarray(walk[n])), jnp.int32(n), jnp.int32(switch[n]), M)

    begin, update = schedule_of(resolve(config).structure.prune)
    states = [begin(moment(0), numbers, key)]
    for n in range(1, n_steps + 1):
        states.append(update(states[-1], moment(n), numbers, key))
    return walk, jax.device_get(states)


@pytest.mark.parametrize(("refresh", "start", "stop"), [(1, 0, 9), (3, 2, 9), (4, 0, 100), (None, 5, 11), (1, 99, 100)])
def test_masks_hold_from_start_to_stop_and_are_computed_every_k_steps(refresh, start, stop):
    moments = {"prune__start_step": start, "prune__stop": "at_step", "prune__stop_step": stop}
    walk, states = schedule(pruned(prune__refresh=refresh, **moments))
    for n, state in enumerate(states):
        assert state.start_step == (start if n >= start else -1) and state.stop_step == (stop if n >= stop else -1)
        if start <= n < stop:
            refreshed = start if refresh is None else n - (n - start) % refresh
            wanted = lowest_by_sorting(np.linalg.norm(walk[refreshed], axis=1), 0.4)
            assert np.array_equal(state.mask.weight, wanted), n
            assert np.sum(~state.mask.weight) == 2
        else:
            assert np.all(state.mask.weight), n


def test_random_masks_are_drawn_at_refreshes_alone():
    def same(kind):
        _, states = schedule(pruned(prune__kind=kind, prune__refresh=4, prune__rate=0.5))
        return [np.array_equal(a.mask.weight, b.mask.weight) for a, b in itertools.pairwise(states)]

    assert all(same("random_fixed"))
    redrawn = [n for n, is_same in enumerate(same("random"), 1) if not is_same]
    assert redrawn and set(redrawn) <= {4, 8, 12}


@pytest.mark.parametrize(
    ("start", "stop", "steps"),
    [
        ("switch", "never", (3, -1)),
        ("switch", "coverage", (3, 7)),
        ("coverage", "never", (7, -1)),
        ("coverage", "switch", (7, 3)),  # the stop is seen before the start: no mask
        ("at_step", "switch", (0, 3)),
    ],
)
def test_detected_moments(start, stop, steps):
    """Weights that lie on one feature each from step 7 on, and thresholds that come on at step 3."""
    walk = np.random.default_rng(4).normal(size=(13, m, d1))
    walk[7:] += 20 * np.eye(m, d1)
    switch = [-1] * 3 + [3] * 10
    config = pruned(prune__start=start, prune__stop=stop)
    _, states = schedule(config, walk=walk, switch=switch)
    covered = jax.jit(pruning.n_covered)
    counts = [int(covered(jnp.asarray(w), jnp.asarray(np.eye(d1, d)))) for w in walk]
    assert [count == d for count in counts] == [False] * 7 + [True] * 6
    first, last = steps
    for n, state in enumerate(states):
        assert state.start_step == (first if n >= first >= 0 else -1)
        assert state.stop_step == (last if n >= last >= 0 else -1)
        is_on = first <= n and (last < 0 or n < last)
        assert np.all(state.mask.weight) is not np.bool_(is_on) and (np.sum(~state.mask.weight) == 2) == is_on


def test_side_by_side_is_one_by_one_for_masks():
    """Runs with other weights, keys, rates and moments, through `vmap` and alone: the same bits."""
    walks = np.random.default_rng(5).normal(size=(3, 5, m, d1))
    for kind, unit in (("lowest", "weight"), ("random", "neuron"), ("dropout", "weight")):
        shape = resolve(pruned(unit=unit, prune__kind=kind, prune__stop="at_step", prune__stop_step=3)).structure.prune
        settings = [(0.2, 1, 0, 3), (0.5, 2, 1, 4), (0.8, 3, 9, 10)]
        rows = []
        for rate, refresh, start, stop in settings:
            moments = {"prune__start_step": start, "prune__stop": "at_step", "prune__stop_step": stop}
            rows.append(resolve(pruned(unit=unit, prune__rate=rate, prune__refresh=refresh, **moments)).numbers)
        keys = jax.random.split(jax.random.key(2), 3)

        def run(walk, numbers, key, shape=shape):
            def moment(n, weight):
                return pruning.Moment(Params(weight), n, jnp.int32(-1), jnp.eye(d1, d))

            def step(state, place):
                state = pruning.update_pruning(state, moment(*place), shape, numbers, key)
                return state, state

            begin = pruning.init_pruning(moment(jnp.int32(0), walk[0]), shape, numbers, key)
            return begin, jax.lax.scan(step, begin, (jnp.arange(1, 5, dtype=jnp.int32), walk[1:]))[1]

        single = jax.jit(run)
        stacked = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *rows)
        together = jax.device_get(jax.jit(jax.vmap(run))(jnp.asarray(walks), stacked, keys))
        for k in range(3):
            alone = jax.device_get(single(jnp.asarray(walks[k]), jax.tree.map(jnp.asarray, rows[k]), keys[k]))
            for one, many in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
                assert np.array_equal(one, many[k])
