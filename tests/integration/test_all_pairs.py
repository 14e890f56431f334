"""Every compatible pair of option values runs two steps, and every other pair is refused by name.

A covering array does it: rows of option values such that each pair stands in one of them. A few dozen rows, each
compiled anew, hold every pair.
"""

import dataclasses
import functools
import itertools
import random
import typing
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dynsim.config import Config, replace
from dynsim.config.checks import ConfigError
from dynsim.engine.simulate import simulate
from dynsim.results.dataset import config_of

d, SEEDS = 4, [0, 2**32 - 1]
BASE = replace(
    Config(),
    **{
        "data.n_features": d,
        "data.token_dim": 8,
        "data.n_tokens": 1,
        "data.batch_size": 6,
        "data.activation_rate": 0.4,
        "encoder.n_neurons": 6,
        "encoder.init_std": 0.3,
        "loss.similarity": "cosine",
        # with four features the literal threshold, 0.83 ||w||, silences every neuron, and nothing is left to train
        "threshold.scale": 0.5,
        # masked, since the other options of masks are looked at only then
        "prune.kind": "lowest",
        "prune.rate": 0.34,
        "train.n_steps": 2,
        "train.n_records": 3,
        "train.n_probe": 2,
    },
)
"""What an option is tried on where nothing else is said: it goes together with most of them."""


def words(field, *values):
    return {str(value): {field: value} for value in values}


FACTORS = {
    "dictionary": words("data.dictionary", "qr", "identity")
    | {"correlated": {"data.dictionary": "correlated", "data.dictionary_cosine": 0.3}},
    "frequency": words("data.frequency_profile", "two_level", "exponential", "power_law")
    | {"given": {"data.frequency_profile": "given", "data.relative_frequency": (1.0, 0.2, 0.5, 0.7)}},
    "groups": words("data.minority_fraction", 0.5, 0.0, 1.0),
    "noise": words("data.noise_level", "inverse_d", "sqrt_log_d")
    | {"given": {"data.noise_level": "given", "data.noise_variance": 0.2}, "none": {"data.noise_level": "given"}}
    | {"fading": {"data.fading_noise": 0.5, "data.fading_steps": 9}},
    "tokens": words("data.n_tokens", 1, 3),
    "negatives": words("data.n_negatives", None, 4),
    "sampling": words("data.sampling_rule", "aggregate", "independent_tokens"),
    "pairs": words("data.pair_rule", "placed", "identical", "complementary"),
    "keep": {
        "all": {},
        "by group": {"data.majority_keep": 0.9, "data.minority_keep": 0.5},
        "by feature": {"data.keep_probability": (1.0, 0.0, 0.5, 0.8)},
    },
    "together": words("data.co_occurrence", 0.0, 0.3),
    "empties": words("data.empties", "resample", "keep"),
    "masking": words("data.mask_equal_codes", True, False),
    "mask": {"none": {"prune.kind": "none", "prune.rate": 0.0}}
    | words("prune.kind", "lowest", "highest", "random_fixed", "random", "dropout"),
    "masked arrays": words("prune.unit", "neuron", "weight")
    | {
        scope: {"prune.unit": "weight", "prune.scope": scope, "encoder.train_attention": True}
        for scope in ("global", "per_array")
    }
    | {"per neuron": {"prune.unit": "weight", "prune.scope": "per_neuron"}},
    "masked from": words("prune.start", "at_step", "switch", "coverage"),
    "masked until": words("prune.stop", "never", "switch", "coverage")
    | {"at 1": {"prune.stop": "at_step", "prune.stop_step": 1}},
    "masked gradient": words(
        "prune.semantics", "literal", "straight_through", "one_branch", "masked_query", "masked_key"
    ),
    "refresh": words("prune.refresh", 1, None),
    "architecture": words("encoder.architecture", "transformer", "relu"),
    "neurons": words("encoder.n_neurons", 6, 3),
    "attention": words("encoder.attention", "token_wise", "softmax_unscaled", "softmax_scaled", "uniform"),
    "pooling": words("encoder.pooling", "sum", "mean"),
    "trained attention": words("encoder.train_attention", False, True),
    "trained bias": words("encoder.train_bias", False, True),
    "loss": words("loss.kind", "info_nce", "nt_xent"),
    "similarity": words("loss.similarity", "cosine", "inner"),
    "symmetry": words("loss.symmetric", False, True),
    "gradient": words("loss.stop_gradient", True, False),
    "prefactor": words("loss.temperature_prefactor", True, False),
    "shrinkage": {
        "penalty": {},
        "decay": {"loss.l2_penalty": 0.0, "loss.weight_decay": 0.1},
        "none": {"loss.l2_penalty": 0.0},
    },
    "rule": words("threshold.rule", "zero", "norm_tracking", "masked_norm_tracking", "schedule_b", "schedule_c"),
    "start": words("threshold.start", "online", "never")
    | {
        "at 0": {"threshold.start": "at_step"},
        "at 1": {"threshold.start": "at_step", "threshold.start_step": 1},
    },
    "optimiser": words("optimizer.name", "sgd", "adam", "adamw", "rmsprop")
    | {"momentum": {"optimizer.arguments": (("momentum", 0.9),)}},
    "precision": words("train.precision", "float32", "float64"),
    "batching": words("train.batching", "map", "vmap"),
}
"""Option values by factor; each value is the changes that it needs. The first of a factor is harmless."""

REFUSED = {
    ("dictionary=identity", "optimiser=adam"): "data.dictionary",
    ("dictionary=identity", "optimiser=adamw"): "data.dictionary",
    ("dictionary=identity", "optimiser=rmsprop"): "data.dictionary",
    ("dictionary=identity", "pairs=complementary"): "dictionary",
    ("tokens=3", "architecture=relu"): "data.n_tokens",
    ("tokens=3", "trained bias=True"): "train_bias",  # a trained bias is for relu, and relu has one token
    ("negatives=4", "loss=nt_xent"): "data.n_negatives",
    ("negatives=4", "symmetry=True"): "data.n_negatives",
    ("masked arrays=global", "architecture=relu"): "train_attention",
    ("masked arrays=per_array", "architecture=relu"): "train_attention",
    ("masked arrays=global", "trained attention=False"): "prune.scope",
    ("masked arrays=per_array", "trained attention=False"): "prune.scope",
    ("masked arrays=global", "trained bias=True"): "train_bias",
    ("masked arrays=per_array", "trained bias=True"): "train_bias",
    ("masked from=switch", "masked until=switch"): "stop",
    ("masked from=coverage", "masked until=coverage"): "stop",
    ("masked from=switch", "rule=zero"): "prune.start",
    ("masked from=switch", "start=never"): "prune.start",
    ("masked until=switch", "rule=zero"): "prune.stop",
    ("masked until=switch", "start=never"): "prune.stop",
    ("architecture=transformer", "trained bias=True"): "train_bias",
    ("architecture=relu", "attention=softmax_unscaled"): "attention",
    ("architecture=relu", "attention=softmax_scaled"): "attention",
    ("architecture=relu", "attention=uniform"): "attention",
    ("architecture=relu", "trained attention=True"): "train_attention",
    ("attention=softmax_unscaled", "trained bias=True"): "train_bias",
    ("attention=softmax_scaled", "trained bias=True"): "train_bias",
    ("attention=uniform", "trained bias=True"): "train_bias",
    ("trained attention=True", "trained bias=True"): "train_bias",
    ("loss=nt_xent", "similarity=inner"): "similarity",
}
"""Pairs that no configuration holds, and the field that the refusal names. A new refusal must be entered here."""

ROWS: dict[str, str] = {
    "dictionary": "0000000000000000111111111122222222222",
    "frequency": "0000111111122223000112233300011223333",
    "groups": "0022000122211112001121101200112020122",
    "noise": "2424334001301143243122400301231132014",
    "tokens": "1000000000110010001110110011001011011",
    "negatives": "0101110100100010110000000011000011000",
    "sampling": "1000110100110101101000101111011100101",
    "pairs": "0022011221000112110010110022221202021",
    "keep": "2120111002201200120101220210011222012",
    "together": "1100111001100110111110011101001001100",
    "empties": "1001010110110011111111001011010010110",
    "masking": "0000010011110001011001111010001111101",
    "mask": "3524310325051432015312243412441035015",
    "masked arrays": "0304344244103213301414231021310022241",
    "masked from": "2112221011020002202200111122021201200",
    "masked until": "1230132320133030320021230211310320021",
    "masked gradient": "0334312220012300324134143002124142431",
    "refresh": "0101011000111110111111000000100111000",
    "architecture": "0000010011000000010001001100010100000",
    "neurons": "1000111111001101000100111101111000110",
    "attention": "3331001100223221203310320022301010321",
    "pooling": "0010011010100111001010000111111001001",
    "trained attention": "0110100100011111100110110010100011110",
    "trained bias": "0000010011000000010001001000010100000",
    "loss": "1010001011011100001000001000010100011",
    "similarity": "0000110100100011110001100010101011100",
    "symmetry": "0010000001000000001111111000011000111",
    "gradient": "0101011101100111101011001100110001110",
    "prefactor": "1111100000000011101110011111011000110",
    "shrinkage": "2102221110121010211122020102120120021",
    "rule": "3140444032304310224001132442211024133",
    "start": "3322013230203121011312033330200112120",
    "optimiser": "2212321034410231040440440042313313210",
    "precision": "1010011000011001011010101110010110101",
    "batching": "1011010011111101100100111011011010000",
}
"""A covering array: for each factor a digit per row, the place of its value in FACTORS; new values go last.

Simulated annealing found it: cells are changed at random, and changes that leave more pairs out are accepted more and
more seldom. Greedy search alone needs fifteen rows more, and each row takes seconds to compile. In some
combinations no weight can move, and the test would say that nothing was trained, so arrays with such a row were not
taken: a mask may hide all of the identity matrix with which attention begins, say, where there is no penalty.
"""

OF_A_MASK = {"masked arrays", "masked from", "masked until", "masked gradient", "refresh"}
"""Factors that matter only in a row with a mask."""

Choice = tuple[str, str]
TRIES = 12
SEED = 3


def build(row: dict[str, str]) -> Config:
    """Return the configuration of chosen values; factors that are not named stay as in BASE."""
    changes = {}
    for factor in FACTORS:  # in this order, whatever that of the row: two factors may change one field
        if factor in row:
            changes |= FACTORS[factor][row[factor]]
    return replace(BASE, **changes)


def message(row: dict[str, str]) -> str:
    """Return why a configuration cannot be built, or ""."""
    try:
        build(row)
    except ConfigError as error:
        return str(error)
    return ""


def all_pairs() -> list[frozenset[Choice]]:
    """Return every pair of values of two factors, in order."""
    choices = [(factor, value) for factor, values in FACTORS.items() for value in values]
    return [frozenset(pair) for pair in itertools.combinations(choices, 2) if pair[0][0] != pair[1][0]]


def pairs_of(row: dict[str, str]) -> set[frozenset[Choice]]:
    return {frozenset(pair) for pair in itertools.combinations(row.items(), 2)}


def tried(row: dict[str, str]) -> set[frozenset[Choice]]:
    """Return the pairs that a row tries: without a mask, its options are tried with nothing but the mask."""
    if row.get("mask") != "none":
        return pairs_of(row)
    without = {factor: value for factor, value in row.items() if factor not in OF_A_MASK}
    return pairs_of(without) | {
        frozenset([("mask", "none"), (factor, row[factor])]) for factor in OF_A_MASK & row.keys()
    }


@functools.cache
def refusals() -> dict[frozenset[Choice], str]:
    """Return the pairs that cannot be built, whichever architecture the rest needs, and why."""
    out = {}
    for pair in all_pairs():
        reasons = [message({"architecture": kind} | dict(pair)) for kind in FACTORS["architecture"]]
        if all(reasons):
            out[pair] = reasons[0]
    return out


def random_row(start: dict[str, str], is_open: dict[frozenset[Choice], None], rng: random.Random) -> dict[str, str]:
    """Return a row with the values of `start`; other factors, in a random order, take what closes most open pairs."""
    row = dict(start)
    for factor in rng.sample(list(FACTORS), len(FACTORS)):
        if factor not in row:
            with_row = {
                value: [frozenset([(factor, value), other]) for other in row.items()] for value in FACTORS[factor]
            }
            fits = {v: sum(pair in is_open for pair in pairs) for v, pairs in with_row.items() if not refused(pairs)}
            best = [value for value, gain in fits.items() if gain == max(fits.values())]
            row[factor] = rng.choice(best)
    return row


def refused(pairs: list[frozenset[Choice]]) -> bool:
    return not refusals().keys().isdisjoint(pairs)


def known_rows() -> list[dict[str, str]]:
    """Return ROWS as chosen values, without factors that are not in it, and without rows that hold a refused pair."""
    known = {factor: list(values) for factor, values in FACTORS.items() if factor in ROWS}
    n_rows = max(map(len, ROWS.values()), default=0)
    rows = [
        {factor: values[int(ROWS[factor][n]) % len(values)] for factor, values in known.items()} for n in range(n_rows)
    ]
    return [row for row in rows if not refused(list(pairs_of(row)))]


@functools.cache
def covering_array() -> list[dict[str, str]]:
    """Return rows that try every pair that can be built: ROWS, and greedily, where it leaves pairs out, further ones.

    A further row is the best of TRIES random ones. There are some where an option, a value or a refusal is new.
    """
    rng = random.Random(SEED)
    is_open = {pair: None for pair in all_pairs() if pair not in refusals()}  # a dictionary keeps the order
    known, rows = known_rows(), []
    while known or is_open:
        start = known.pop() if known else dict(sorted(next(iter(is_open))))
        if start.keys() & OF_A_MASK:
            start = {"mask": "lowest"} | start
        tries = [random_row(start, is_open, rng) for _ in range(TRIES if len(start) < len(FACTORS) else 1)]
        best = max(tries, key=lambda row: sum(pair in is_open for pair in tried(row)))
        rows.append({factor: best[factor] for factor in FACTORS})
        for pair in tried(best):
            is_open.pop(pair, None)
    return rows


def test_the_table_holds_every_value_of_every_option():
    reached = [build({factor: value}) for factor in FACTORS for value in FACTORS[factor] if factor != "trained bias"]
    reached += [build({"architecture": "relu", "trained bias": "True"})]
    reached += [build({"similarity": "cosine", "loss": "nt_xent"})]
    for section in dataclasses.fields(Config):
        for field in dataclasses.fields(getattr(BASE, section.name)):
            kind = typing.get_type_hints(type(getattr(BASE, section.name)))[field.name]
            values = {True, False} if kind is bool else set(typing.get_args(kind))
            if kind is bool or typing.get_origin(kind) is typing.Literal:
                seen = {getattr(getattr(config, section.name), field.name) for config in reached}
                assert values - {"auto"} <= seen, f"{section.name}.{field.name}: add {values - seen} to FACTORS"


def test_refused_pairs_are_the_known_ones_and_name_their_field():
    found = {frozenset(f"{factor}={value}" for factor, value in pair): why for pair, why in refusals().items()}
    known = {frozenset(pair): field for pair, field in REFUSED.items()}
    assert found.keys() == known.keys()
    for pair, why in found.items():
        assert why.startswith(f"{known[pair]}: wanted "), (sorted(pair), why)
        assert "\n" not in why


def test_the_rows_cover_every_other_pair():
    held = set().union(*(tried(row) for row in covering_array()))
    assert held == set(all_pairs()) - refusals().keys()
    assert not [message(row) for row in covering_array() if message(row)]


def complaints(config: Config) -> list[str]:
    """Run a configuration and return what is wrong with its result."""
    result = simulate(config, SEEDS)
    S, n, m, d1 = len(SEEDS), 3, config.encoder.n_neurons, config.data.token_dim
    shapes = {
        "alignment": (S, n, m, d),
        **dict.fromkeys(["weight_norm", "residual_norm", "threshold", "firing", "false_firing"], (S, n, m)),
        **dict.fromkeys(["loss", "positive_weight"], (S, n)),
        "dictionary": (S, d1, d),
        "weight": (S, m, d1),
    }
    wrong = [f"{name} {result[name].shape}" for name, shape in shapes.items() if result[name].shape != shape]
    # losses are joined as float64 means of the steps' numbers
    kept = set(shapes) - {"loss", "positive_weight"}
    wrong += [f"{name} {result[name].dtype}" for name in kept if result[name].dtype != config.train.precision]
    values = {name: result[name].values for name in shapes}
    values |= {
        name: values[name][:, 1:] for name in ("loss", "positive_weight")
    }  # no step lies before the first record
    wrong += [f"{name} is not finite" for name in shapes if not np.all(np.isfinite(values[name]))]
    if np.any(result.diverged_step != -1):
        wrong.append("diverged")
    if config_of(result) != config:
        wrong.append("another configuration")
    shares = ("firing", "false_firing", "positive_weight")
    wrong += [f"{name} outside [0, 1]" for name in shares if values[name].min() < 0 or values[name].max() > 1.0001]
    if np.any(np.all(values["alignment"][:, 0] == values["alignment"][:, -1], axis=(1, 2))):
        wrong.append("nothing was trained")
    if not np.allclose(values["weight_norm"][:, -1], np.linalg.norm(values["weight"], axis=2), rtol=1e-5):
        wrong.append("norms of other weights")
    if np.array_equal(*values["weight"]):
        wrong.append("two seeds are one")
    switches = config.threshold.rule != "zero" and config.threshold.start == "at_step"
    if switches and np.any(result.switch_step != config.threshold.start_step):
        wrong.append(f"switched at {result.switch_step.values}")
    return wrong


@pytest.mark.slow
def test_every_pair_runs():
    rows = covering_array()
    with ThreadPoolExecutor(2) as pool:  # compilation is nearly all of it, and lets other threads run
        found = list(pool.map(complaints, [build(row) for row in rows]))
    bad = [f"{row}: {wrong}" for row, wrong in zip(rows, found, strict=True) if wrong]
    assert not bad, "\n".join(bad)
