"""Which configurations do the checks need? The run sets, each a dictionary of configurations by `Point`.

Two noise levels are the rule: one at which noise alone fires a neuron on 1 % of the tokens, and dynsim's default,
where it does so on 14 to 24 %.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from dynsim import theory
from dynsim.config import Config, replace

Preset = Literal["quick", "default", "large"]
RARE, DEFAULT = "false firing 1 %", "default noise"
NOISES: dict[str, float | None] = {RARE: 0.01, DEFAULT: None}
"""Regimes by name: the rate of false firing that sets the noise, None for a noise variance of 1/d."""
BASE_RATE = 0.15  # chance that a majority feature is active in a sample at d = 16


class Point(NamedTuple):
    """The place of a configuration in its run set."""

    noise: str = RARE
    d: int = 16
    ratio: float = 0.5
    level: float | str = 0
    """Value of the axis that is the run set's own; its text says which."""
    second: float | str = 0
    """The same for a second axis."""


def base(d: int = 16, ratio: float = 0.5, noise: str = RARE, **changes: Any) -> Config:
    """Return the configuration of a size: d1 = 2 d, m = 4 d, K = 4 d, and the theory's sparsity at one constant C_p.

    Args:
        ratio: r, frequency of a minority feature over that of a majority feature.
        noise: a key of `NOISES`; the noise is set last, for the threshold that the changes ask for.
        changes: dotted fields, with "." written "__".
    """
    sparsity = (math.log(math.log(d)) / d) / (math.log(math.log(16)) / 16)
    fields: dict[str, Any] = {
        "data.n_features": d,
        "data.token_dim": 2 * d,
        "encoder.n_neurons": 4 * d,
        "data.batch_size": 4 * d,
        "data.activation_rate": BASE_RATE * sparsity,
        "data.minority_ratio": ratio,
        "train.n_records": 60,
    }
    config = replace(Config(), **fields | {name.replace("__", "."): value for name, value in changes.items()})
    rate = NOISES[noise]
    return config if rate is None else theory.with_false_firing_rate(config, rate)


def linear(d: int = 16, ratio: float = 0.5, **changes: Any) -> Config:
    """Return a run of stage 1 alone: no thresholds, tiny weights, small steps, up to 1.3 times the later group's T1."""
    own = {
        "threshold__rule": "zero",
        "encoder__init_std": 1e-3,
        "encoder__n_neurons": 64,  # neurons grow independently, so that 64 are enough at any size
        "optimizer__learning_rate": 0.1,
    }
    config = base(d, ratio, DEFAULT, **own | changes)
    ends = [theory.stage1_end(config, group) for group in ("majority", "minority")]
    longest = max(end for end in ends if math.isfinite(end))
    return replace(config, **{"train.n_steps": math.ceil(1.3 * longest), "train.n_records": 25})


Points = dict[Point, Config]


def _over(preset: Preset, quick: Any, default: Any, large: Any = None) -> Any:
    return {"quick": quick, "default": default, "large": default if large is None else large}[preset]


def _steps(preset: Preset) -> int:
    return int(_over(preset, 1000, 4000))


def _noises(preset: Preset) -> tuple[str, ...]:
    """Return the noise levels of most run sets: the quick preset has one, and both only where stages are found."""
    return (RARE,) if preset == "quick" else tuple(NOISES)


def _growth(preset: Preset) -> Points:
    sizes = _over(preset, (16, 32), (16, 24, 32, 64), (16, 32, 64, 128, 256))
    own = {"data__frequency_profile": "exponential"}
    return {Point(DEFAULT, d, 0.2): linear(d, 0.2, **own) for d in sizes}


def _growth_sizes(preset: Preset) -> Points:
    sizes = _over(preset, (8, 16, 32), (16, 24, 32, 48, 64), (16, 32, 64, 128, 256))
    factors = _over(preset, (2, 4, 8), (1.5, 2, 4, 8, 16))
    by_d = {Point(DEFAULT, d, 0.5, 2): linear(d) for d in sizes}
    return by_d | {Point(DEFAULT, 16, 0.5, f): linear(16, data__token_dim=int(16 * f)) for f in factors}


def _growth_batches(preset: Preset) -> Points:
    sizes = _over(preset, (16, 64, 256), (16, 64, 256, 1024))
    return {Point(DEFAULT, 16, 0.5, size): linear(16, data__batch_size=size) for size in sizes}


def _growth_decay(preset: Preset) -> Points:
    own = {"data__frequency_profile": "exponential", "loss__l2_penalty": 0.03, "data__batch_size": 256}
    return {Point(DEFAULT, 16, 0.05): linear(16, 0.05, **own)}


def _stages(preset: Preset) -> Points:
    sizes = _over(preset, (12, 16), (16, 24, 32, 64), (16, 32, 64, 128))
    ratios = _over(preset, (1.0, 0.5), (1.0, 0.85, 0.7, 0.5, 0.3))
    steps = _steps(preset)
    points = {
        Point(noise, d, ratio): base(d, ratio, noise, train__n_steps=steps)
        for noise in NOISES
        for d in sizes
        for ratio in ratios
    }
    # at the largest size two ratios are enough to see whether sizes agree
    few = (1.0, 0.5)
    return {point: one for point, one in points.items() if point.d < max(sizes) or point.ratio in few}


def _width(preset: Preset) -> Points:
    widths = _over(preset, (8, 32, 128), (8, 16, 32, 64, 128, 256, 512))
    ratios = _over(preset, (1.0, 0.5), (1.0, 0.7, 0.5))
    return {
        Point(noise, 16, ratio, m): base(16, ratio, noise, encoder__n_neurons=m, train__n_steps=_steps(preset))
        for noise in _noises(preset)
        for ratio in ratios
        for m in widths
    }


def _passages(preset: Preset) -> Points:
    factors = _over(preset, (2,), (1, 2, 4, 8, 16))
    kappas = _over(preset, (0.35, 0.7), (0.35, 0.5, 0.7))
    ratios = _over(preset, (0.5,), (0.7, 0.5))
    own = {"train__n_steps": _over(preset, 800, 2000), "encoder__n_neurons": 256}
    return {
        Point(RARE, 16, ratio, factor, kappa): base(
            16, ratio, RARE, data__token_dim=16 * factor, threshold__scale=kappa, **own
        )
        for ratio in ratios
        for factor in factors
        for kappa in kappas
    }


def _temperature(preset: Preset) -> Points:
    taus = _over(preset, (0.5, 1.0, 2.0), (0.25, 0.5, 1.0, 2.0))
    own = {"loss__temperature_prefactor": False, "train__n_steps": _over(preset, 1000, 6000)}
    return {
        Point(noise, 16, 0.5, tau): base(16, 0.5, noise, loss__temperature=tau, **own)
        for noise in _noises(preset)
        for tau in taus
    }


def _clock(preset: Preset) -> Points:
    factors = _over(preset, (0.5, 1.0, 2.0), (0.5, 0.7, 1.0, 1.4, 2.0))
    steps = _over(preset, 1500, 4000)
    eta = {f: {"optimizer__learning_rate": 0.25 * f} for f in factors}
    # samples without features are kept, so that frequencies are proportional to the factor
    rate = {
        f: {"data__activation_rate": 0.1 * f, "optimizer__learning_rate": 0.25, "data__empties": "keep"}
        for f in factors
    }
    return {
        Point(noise, 16, 0.5, name, f): base(16, 0.5, noise, train__n_steps=steps, train__n_records=150, **fields)
        for noise in _noises(preset)
        for name, by_factor in (("eta", eta), ("rate", rate))
        for f, fields in by_factor.items()
    }


def _fraction(preset: Preset) -> Points:
    shares = _over(preset, (0.25, 0.75), (0.125, 0.25, 0.5, 0.75))
    return {
        Point(noise, 16, 0.5, share): base(16, 0.5, noise, data__minority_fraction=share, train__n_steps=_steps(preset))
        for noise in _noises(preset)
        for share in shares
    }


def _rest(preset: Preset) -> Points:
    """No noise, and from one to two and a half active features per sample."""
    rates = _over(preset, (0.05,), (0.02, 0.05, 0.1, 0.15))
    own = {"data__noise_level": "given", "train__n_steps": _over(preset, 2000, 12000), "optimizer__learning_rate": 1.0}
    return {
        Point("no noise", 16, ratio, rate): base(16, ratio, DEFAULT, data__activation_rate=rate, **own)
        for ratio in (1.0, 0.5)
        for rate in rates
    }


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "features at cosine 0.1": {"data__dictionary": "correlated", "data__dictionary_cosine": 0.1},
    "features at cosine 0.3": {"data__dictionary": "correlated", "data__dictionary_cosine": 0.3},
    "features that occur together": {"data__co_occurrence": 0.3},
    "fewer neurons than features": {"encoder__n_neurons": 8},
    "uniform attention": {"encoder__attention": "uniform"},
    "softmax attention": {"encoder__attention": "softmax_scaled"},
    "trained attention": {"encoder__attention": "softmax_scaled", "encoder__train_attention": True},
    "trained attention, masked": {
        "encoder__attention": "softmax_scaled",
        "encoder__train_attention": True,
        "prune__kind": "lowest",
        "prune__unit": "weight",
        "prune__rate": 0.6,
        "prune__semantics": "one_branch",
    },
    "trained attention, masked at random": {
        "encoder__attention": "softmax_scaled",
        "encoder__train_attention": True,
        "prune__kind": "random_fixed",
        "prune__unit": "weight",
        "prune__rate": 0.6,
        "prune__semantics": "one_branch",
    },
    "cosine similarity": {"loss__similarity": "cosine", "loss__temperature": 0.2, "optimizer__learning_rate": 0.1},
    "NT-Xent": {
        "loss__kind": "nt_xent",
        "loss__similarity": "cosine",
        "loss__symmetric": True,
        "loss__stop_gradient": False,
        "loss__temperature": 0.2,
        "optimizer__learning_rate": 0.1,
    },
    "complementary views": {"data__pair_rule": "complementary"},
    "Adam": {"optimizer__name": "adam", "optimizer__learning_rate": 1e-3},
}
"""Departures from the theory's setting, one at a time."""


WITH_BALANCED = ("plain", "cosine similarity", "NT-Xent", "features that occur together")
"""Variants that are run with equal frequencies, too."""


def _variants(preset: Preset) -> Points:
    """Level: a key of `VARIANTS`. Of fewer than 4000 steps chance decides whether runs have settled."""
    names = _over(preset, ("plain", "features at cosine 0.3", "cosine similarity"), tuple(VARIANTS))
    return {
        Point(noise, 16, ratio, name): base(16, ratio, noise, train__n_steps=4000, **VARIANTS[name])
        for name in names
        for noise in _noises(preset)
        for ratio in ((1.0, 0.5) if name in WITH_BALANCED else (0.5,))
    }


def _implicit(preset: Preset) -> Points:
    """Equal frequencies; level: chance that a minority feature survives into the second view."""
    keeps = _over(preset, (1.0, 0.5), (1.0, 0.7, 0.5))
    return {
        Point(noise, 16, 1.0, keep): base(16, 1.0, noise, data__minority_keep=keep, train__n_steps=_steps(preset))
        for noise in _noises(preset)
        for keep in keeps
    }


@dataclass(frozen=True)
class RunSet:
    """Configurations that are run together."""

    about: str
    """What varies, and what `Point.level` and `Point.second` are."""
    points: Callable[[Preset], Points]
    seeds: tuple[int, int] = (4, 8)
    """Number of seeds in the quick preset, which may need more of them for want of sizes, and in the others."""
    probed: bool = False
    """Record held-out losses and the accuracy of a linear probe per feature, too."""


RUN_SETS: dict[str, RunSet] = {
    "growth": RunSet("stage 1 alone; frequencies fall exponentially; d varies", _growth, (12, 8)),
    "growth_sizes": RunSet("stage 1 alone; d varies, and d1/d (level) at d = 16", _growth_sizes, (8, 8)),
    "growth_batches": RunSet("stage 1 alone; batch size (level)", _growth_batches, (8, 8)),
    "growth_decay": RunSet("stage 1 alone under strong decay", _growth_decay),
    "stages": RunSet("whole training; d, r and noise vary", _stages, (4, 6), probed=True),
    "width": RunSet("number of neurons m (level)", _width, (6, 6)),
    "passages": RunSet("d1/d (level) and kappa (second)", _passages, (4, 4)),
    "temperature": RunSet("temperature (level), loss without prefactor", _temperature, (4, 6)),
    "clock": RunSet("learning rate or frequency (level) times a factor (second)", _clock, (3, 6)),
    "fraction": RunSet("share of the features that are minority features (level)", _fraction, (3, 6)),
    "rest": RunSet("no noise; chance that a majority feature is active (level)", _rest, (6, 4)),
    "variants": RunSet("departures from the theory's setting (level)", _variants, (6, 6), probed=True),
    "implicit": RunSet("equal frequencies; chance to survive into the second view (level)", _implicit, (8, 6)),
}
