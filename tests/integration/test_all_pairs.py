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

ROWS = """
00100110111112132000001000011230010
00130101010004033010010100011140111
00131002201053100100301000110023011
00240011101120000011010110011200210
01020102001032120001201001010243401
01030002101030022111000101111213210
01110012111102211100101010111222200
01201112001033013000111000011132111
01220002001023002000201000011121100
02011002100140230001310010011133111
02211010101013204000211001101141211
03000000200050124100100001011140100
03010010100021123110010110110112001
03231111201142003101201001011101300
10021111201043121000001001000210401
11141001000141212101100010100042011
12010100201154002111000001010002411
12040111200010213110010101001023401
12131100010022234001111001010033410
12201000200101200101200001101011400
13100001111033231101301010100102400
20020010210000004000110001111001010
20110001000131134000210010111020310
20231001000150214101201010010022401
21001010210124211001301010000140301
21140012011052034001301000101211101
21230002011111021000300000100003110
22120000101050021011010100110231301
22220102201051133100301000011230200
22240000211134201101210010101131000
23100000010044124111000110100023211
23121002110114210001101010011212301
23241011110103122101311001010033301
"""
"""A covering array: the place of a value in FACTORS, by factor. Greedy search finds 42 rows, each costing seconds to
compile; these few were found by simulated annealing: cells are changed at random, and changes that leave more pairs out
are kept more and more seldom. Where training cannot move a weight, a row is no use, and arrays with one were not taken:
without penalty or decay, say, after a mask of the highest entries of attention, which hides all its identity matrix."""

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
    """Return ROWS as chosen values, without a row that holds a refused pair; a factor that is new is not in them."""
    lines = [zip(FACTORS.items(), line, strict=False) for line in ROWS.split()]
    rows = [{factor: list(values)[int(place) % len(values)] for (factor, values), place in line} for line in lines]
    return [row for row in rows if not refused(list(pairs_of(row)))]


@functools.cache
def covering_array() -> list[dict[str, str]]:
    """Return rows that hold every pair that can be built: ROWS, then each row the best of some random ones.

    Rows after ROWS are needed only where an option or a value is new.
    """
    rng = random.Random(SEED)
    is_open = {pair: None for pair in all_pairs() if pair not in refusals()}  # a dictionary keeps the order
    known, rows = known_rows(), []
    while known or is_open:
        start = known.pop() if known else dict(sorted(next(iter(is_open))))
        tries = [random_row(start, is_open, rng) for _ in range(TRIES if len(start) < len(FACTORS) else 1)]
        best = max(tries, key=lambda row: sum(pair in is_open for pair in pairs_of(row)))
        rows.append({factor: best[factor] for factor in FACTORS})
        for pair in pairs_of(best):
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
    held = set().union(*(pairs_of(row) for row in covering_array()))
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
