"""Which runs does the comparison of pruning need? The table of them; `pruning_comparison.py` trains and reads them.

Each is found by its key (`keys`). The main shape is that of the command line; sweeps use a smaller shape of their own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from dynsim.config import Config, LossConfig, PruneConfig, replace
from dynsim.config.checks import require
from experiments.pruning.keys import MAIN_DENSE, MASKED, FactorKey, Key, RunKey

SHAPES: dict[str, dict[str, Any]] = {
    "small": {
        "data.n_features": 16,
        "data.token_dim": 32,
        "encoder.n_neurons": 64,
        "data.batch_size": 128,
        "data.activation_rate": 0.15,
        "train.n_steps": 2000,
        "train.n_records": 50,
    },
    "medium": {
        "data.n_features": 64,
        "data.token_dim": 128,
        "encoder.n_neurons": 256,
        "data.batch_size": 256,
        "data.activation_rate": 0.1,
        "train.n_steps": 4000,
        "train.n_records": 50,
    },
    "tiny": {
        "data.n_features": 8,
        "data.token_dim": 16,
        "encoder.n_neurons": 32,
        "data.batch_size": 64,
        "data.activation_rate": 0.25,
        "train.n_steps": 600,
        "train.n_records": 30,
    },
}
RATIOS = {"full": (1.0, 0.85, 0.7, 0.5, 0.35, 0.2), "few": (1.0, 0.5, 0.25)}
RATES = {"full": (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95), "few": (0.3, 0.7)}
KEEP = 0.5
RELEASE_SHARE = 0.25
"""Share of the steps after which P8 releases its masks."""
ONE_BRANCH = {"prune.kind": "lowest", "prune.unit": "weight", "prune.rate": 0.6, "prune.semantics": "one_branch"}
LITERAL = {"prune.kind": "lowest", "prune.rate": 0.3, "prune.semantics": "literal"}
PLACEBOS = ("random_fixed", "random", "highest", "dropout")
SEMANTICS = ("straight_through", "literal", "one_branch", "masked_query")
OTHERS: dict[str, dict[str, Any]] = {
    "learning rate x 2": {"optimizer.learning_rate": 2.0},
    "temperature x 2, no prefactor": {"loss.temperature": 2.0, "loss.temperature_prefactor": False},
    "negatives x 3": {"data.n_negatives": 3.0},
}
"""The placebos without a mask: fields that they change; learning rate, temperature and negatives are factors."""


@dataclass(frozen=True)
class RunSet:
    """One run set."""

    config: Config
    keep_weights: bool = False
    """Record the weights, so that masks can be tried on them."""
    oracle: bool = False
    """Train with the loss whose anchors are weighted by inverse frequency."""


def check_base(config: Config) -> None:
    """Refuse configurations for which these tests mean nothing. Errors: `ConfigError`."""
    data, prune = config.data, config.prune
    require(prune.kind == "lowest", "prune.kind", "lowest, what is tested; its placebos follow from it", prune.kind)
    require(prune.unit == "neuron", "prune.unit", "neuron, which is tried on recorded weights", prune.unit)
    require(data.frequency_profile == "two_level", "data.frequency_profile", "two_level", data.frequency_profile)
    require(0 < data.n_minority < data.n_features, "data.minority_fraction", "both groups", data.minority_fraction)
    keeps = (data.majority_keep, data.minority_keep, data.keep_probability)
    require(keeps == (1.0, 1.0, ()), "data.minority_keep", "1, P7 sets it", keeps)
    require(data.n_negatives is None, "data.n_negatives", "None, a placebo sets it", data.n_negatives)
    own = {part.name for part in fields(LossConfig)} - {"temperature", "l2_penalty", "weight_decay"}
    changed = sorted(name for name in own if getattr(config.loss, name) != getattr(LossConfig(), name))
    require(not changed, "loss", "its default kind, which the oracle weighs anew", changed)
    for name in ("train_attention", "train_bias"):
        trained = getattr(config.encoder, name)
        require(not trained, f"encoder.{name}", "false, as masks are tried on recorded weights", trained)
    n_steps = config.train.n_steps
    require(n_steps >= 10, "train.n_steps", "at least 10, to release masks on the way", n_steps)


def variants(config: Config) -> dict[str, dict[str, Any]]:
    """Return the three prunings that are tested, as changes of a configuration."""
    own = {f"prune.{part.name}": getattr(config.prune, part.name) for part in fields(PruneConfig)}
    return {"neurons": own, "weights": ONE_BRANCH, "literal": LITERAL}


def changed(config: Config, *changes: dict[str, Any]) -> Config:
    """Return a configuration without masks, with changes on top."""
    merged = {key: value for change in changes for key, value in change.items()}
    return replace(replace(config, **_unpruned()), **merged)


def _unpruned() -> dict[str, Any]:
    return {f"prune.{part.name}": getattr(PruneConfig(), part.name) for part in fields(PruneConfig)}


def small_config(config: Config, shape: str) -> Config:
    """Return the configuration of the sweeps: the main one at another shape; "main" keeps its own."""
    return config if shape == "main" else replace(config, **SHAPES[shape])


def other_changes(config: Config, name: str) -> dict[str, Any]:
    """Return the changes of a placebo without a mask."""
    out = dict(OTHERS[name])
    for field, base in (
        ("optimizer.learning_rate", config.optimizer.learning_rate),
        ("loss.temperature", config.loss.temperature),
    ):
        if field in out:
            out[field] *= base
    if "data.n_negatives" in out:
        out["data.n_negatives"] = int(out["data.n_negatives"] * (config.data.batch_size - 1))
    return out


def main_runs(config: Config, few: bool) -> dict[Key, RunSet]:
    """Return the runs of the main shape."""
    of = variants(config)
    fixed = {"prune.kind": "random_fixed"}
    runs: dict[Key, RunSet] = {
        MAIN_DENSE: RunSet(changed(config), keep_weights=True),
        RunKey("main", "neurons"): RunSet(changed(config, of["neurons"])),
        RunKey("main", "neurons", "random_fixed"): RunSet(changed(config, of["neurons"], fixed)),
        RunKey("main", "weights"): RunSet(changed(config, of["weights"])),
    }
    if not few:
        runs[RunKey("main", "weights", "random_fixed")] = RunSet(changed(config, of["weights"], fixed))
        runs[RunKey("main", "literal")] = RunSet(changed(config, of["literal"]))
    return runs


def sweep_runs(config: Config, few: bool) -> dict[Key, RunSet]:
    """Return the runs of P4, P5, P7 and P8 at the shape of the sweeps."""
    of, base = variants(config), config.data.minority_ratio
    runs: dict[Key, RunSet] = {}
    for r in sorted({*RATIOS["few" if few else "full"], base}, reverse=True):
        at = {"data.minority_ratio": r}
        runs[RunKey("small", "dense", ratio=r)] = RunSet(changed(config, at), keep_weights=r == base)
        for name in MASKED:
            runs[RunKey("small", name, ratio=r)] = RunSet(changed(config, of[name], at))
    implicit = {"data.minority_ratio": 1.0, "data.minority_keep": KEEP}
    release = {"prune.stop": "at_step", "prune.stop_step": max(2, round(RELEASE_SHARE * config.train.n_steps))}
    for name in MASKED:
        for kind in PLACEBOS[: (1 if name == "neurons" else 0) if few else None]:
            runs[RunKey("small", name, kind)] = RunSet(changed(config, of[name], {"prune.kind": kind}))
        if name == "neurons" or not few:
            start = {"prune.start": "at_step", "prune.start_step": 0}
            runs[RunKey("small", name, released=True)] = RunSet(changed(config, of[name], start, release))
            fixed = {"prune.kind": "random_fixed"}
            placebo = RunKey("small", name, "random_fixed", released=True)
            runs[placebo] = RunSet(changed(config, of[name], fixed, start, release))
        if not few:
            runs[RunKey("small", name, implicit=True)] = RunSet(changed(config, of[name], implicit))
    for other in list(OTHERS)[: 1 if few else None]:
        runs[RunKey("small", other)] = RunSet(changed(config, other_changes(config, other)))
    if not few:
        runs[RunKey("small", "dense", implicit=True)] = RunSet(changed(config, implicit))
        runs[RunKey("small", "oracle")] = RunSet(changed(config), oracle=True)
    return runs


def _of_neurons(config: Config, more: dict[str, Any]) -> RunSet:
    """Return a run with the masks of neurons of the command line but for some fields of the section `prune`."""
    own = {f"prune.{field}": value for field, value in more.items()}
    return RunSet(changed(config, variants(config)["neurons"], own))


def factor_runs(config: Config, few: bool) -> dict[Key, RunSet]:
    """Return the runs of P6: one factor at a time around the pruning of the command line and (ratios)
    around masks of single weights on one branch."""
    of = variants(config)
    rates = RATES["few" if few else "full"]
    ratios = sorted({*rates, config.prune.rate})
    found = {
        "ratio, neurons straight through": {f"{rate:g}": _of_neurons(config, {"rate": rate}) for rate in ratios},
        "ratio, weights on one branch": {
            f"{rate:g}": RunSet(changed(config, of["weights"], {"prune.rate": rate}))
            for rate in sorted({*rates[:: 1 if few else 2], 0.6})
        },
    }
    if not few:
        found |= _further_factors(config)
    return {FactorKey(factor, level): run for factor, levels in found.items() for level, run in levels.items()}


def _further_factors(config: Config) -> dict[str, dict[str, RunSet]]:
    """Return {factor: {level: run}} of the choices other than the masked share."""
    found: dict[str, dict[str, RunSet]] = {}

    def of_neurons(**more: Any) -> RunSet:
        return _of_neurons(config, more)

    for unit in ("neuron", "weight"):
        found[f"gradient, unit {unit}"] = {
            kind.replace("_", " "): of_neurons(unit=unit, semantics=kind) for kind in SEMANTICS
        }
    refreshes = {"each step": 1, "50 steps": 50, "once": None}
    found["refresh"] = {level: of_neurons(refresh=steps) for level, steps in refreshes.items()}
    ends = {"stop": "never", "stop_step": 0}, {"start": "at_step", "start_step": 0}
    moments = ("switch", "coverage")
    found["start"] = {name: of_neurons(start=name, start_step=0, **ends[0]) for name in moments}
    found["stop"] = {name: of_neurons(stop=name, stop_step=0, **ends[1]) for name in moments}
    return found


def shape_runs(config: Config, main: Config, few: bool) -> dict[int, RunSet]:
    """Return {d: unpruned run} at the dimensions at which the one-step amplification is compared (theory 8.5 P2).

    The dimension of the sweeps, and twice that; token dimension and width keep their proportion to d. At twice d the
    activation rate is half-way, by logarithms, to that of the main shape, which is the third dimension.
    """
    d, width = config.data.n_features, config.encoder.n_neurons
    rate = math.sqrt(config.data.activation_rate * main.data.activation_rate)
    twice = {
        "data.n_features": 2 * d,
        "data.token_dim": 2 * config.data.token_dim,
        "encoder.n_neurons": 2 * width,
        "data.activation_rate": rate,
    }
    runs = {d: RunSet(changed(config), keep_weights=True)}
    if not few:
        runs[2 * d] = RunSet(changed(config, twice), keep_weights=True)
    return runs


def unique(named: Sequence[tuple[Key, RunSet]]) -> dict[RunSet, Key]:
    """Return each distinct run with the first of its keys: equal ones are trained once."""
    found: dict[RunSet, Key] = {}
    for key, run in named:
        found.setdefault(run, key)
    return found
