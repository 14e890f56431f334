"""NOISE: do thresholds filter the noise of a token?

Statement (assumed in the analysis of stages 2 and 3, in our words): a threshold of the order of the largest cosine of a
random direction lets features through and keeps noise out, so that a neuron fires on noise alone more rarely than on
its feature: the false-firing rate phi goes to 0, and faster than the chance log log d / d that a feature is active in a
token.

In regime: always, as the statement is about Gaussian noise and a threshold. The false-firing rate is what is tested;
active features play no part, as the tokens hold none.

Rivals: phi falls more slowly than any power of d (the paper's noise variance sqrt(log d) / d with kappa = 1); phi falls
as the power d^(-kappa^2) (a noise variance of 1/d).

Claim: the exponent in d of phi over log log d / d is below 0, phi by `theory.false_firing_rate`, computed exactly on a
logarithmic grid of d from 16 to 1e6. phi itself is also measured on sampled tokens, d from 16 to 1024.

Power: computed exponents have no scatter; their interval is how far the grid bends away from a line. Sampled rates:
half a million pairs of a token and a neuron per size, so that a rate of 1 % is known to 2 %, and the margin is 5 %.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dynsim import theory
from dynsim.config import Config, replace
from dynsim.stats.trends import exponent
from paper_checks import drawing
from paper_checks.check import BELOW_0, OURS, Check, Row, about, over_seeds, row
from paper_checks.runs import Source
from paper_checks.size_search import from_size_on, smallest_size

SETTINGS = {
    "the paper's noise, kappa 1": ("sqrt_log_d", 1.0),
    "dynsim's default": ("inverse_d", 0.5),
    "noise 1/d, kappa 1": ("inverse_d", 1.0),
}
"""Noise level and threshold scale, by name."""
TITLES = dict(
    zip(SETTINGS, ("paper: σ² = √(log d)/d, κ = 1", "default: σ² = 1/d, κ = 0.5", "σ² = 1/d, κ = 1"), strict=True)
)
GRID = tuple(round(16 * (1e6 / 16) ** (k / 24)) for k in range(25))
SAMPLED = (16, 64, 256, 1024)
LARGEST_RUN = 64
"""Largest d of the default run sets."""
MARGIN = 0.05
FILTERED = 0.01
BLOCKS = 8
TOKENS = {"quick": 1000, "default": 1000, "large": 1000}
"""Tokens of a block, a block being what a seed is elsewhere; each is seen by all neurons."""
NEURONS = 64


def config_of(setting: str, d: int) -> Config:
    """Return a configuration with the noise and thresholds of a setting."""
    noise, kappa = SETTINGS[setting]
    own = {"data.n_features": d, "data.token_dim": 2 * d, "data.activation_rate": 0.1}
    return replace(Config(), **own, **{"data.noise_level": noise, "threshold.scale": kappa})


def rate(setting: str, d: int) -> float:
    """Return phi, exactly."""
    return theory.false_firing_rate(config_of(setting, d))


def signal_rate(d: int) -> float:
    """Return log log d / d, the chance that a feature with relative frequency 1 is active in a token, at C_p = 1."""
    return float(np.log(np.log(d)) / d)


def first_sizes(setting: str) -> str:
    """Return from which sizes on noise is filtered, for a note."""
    below = smallest_size(lambda d: rate(setting, d) < FILTERED)
    rarer = smallest_size(lambda d: rate(setting, d) < signal_rate(d))
    return f"phi is below 1 % {from_size_on(below)}, and below the signal rate {from_size_on(rarer)}"


def measure(source: Source) -> xr.Dataset:
    """Return phi on the grid, exactly, and the false firing of sampled tokens by block, setting and size."""
    names = list(SETTINGS)
    exact = np.array([[rate(name, d) for d in GRID] for name in names])
    fired = np.zeros((BLOCKS, len(names), len(SAMPLED)))
    for block in range(BLOCKS):
        rng = np.random.default_rng([source.first_seed, block])
        for k, d in enumerate(SAMPLED):
            fired[block, :, k] = sampled_firing(rng, d, TOKENS[source.preset])
    coords = {"setting": np.array(names, object), "d": list(GRID), "sampled": list(SAMPLED)}
    return xr.Dataset({"phi": (("setting", "d"), exact), "fired": (("block", "setting", "sampled"), fired)}, coords)


def sampled_firing(rng: np.random.Generator, d: int, n_tokens: int) -> np.ndarray:
    """Return how often random neurons fire on tokens of pure noise in d1 = 2 d dimensions, shape (setting,)."""
    tokens = rng.standard_normal((n_tokens, 2 * d), dtype=np.float32)
    weights = rng.standard_normal((2 * d, NEURONS), dtype=np.float32)
    pre = np.abs(tokens @ (weights / np.linalg.norm(weights, axis=0)))
    out = []
    for setting in SETTINGS:
        config = config_of(setting, d)
        cut = float(theory.threshold_value(config, 1.0)) / np.sqrt(theory.noise_variance(config.data))
        out.append(np.mean(pre > cut))
    return np.array(out)


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return rows on the exponents of phi and of phi over the signal rate, on sampled tokens, and on the run sizes."""
    rows = []
    for name in SETTINGS:
        phi = arrays["phi"].sel(setting=name).values
        fired = dict(zip(arrays["sampled"].values.tolist(), arrays["fired"].sel(setting=name).values.T, strict=True))
        note = first_sizes(name)
        rows += [*_exponent_rows(name, arrays["d"].values, phi, note), *_sampled_rows(name, fired, note)]
    return rows


def _exponent_rows(name: str, sizes: np.ndarray, phi: np.ndarray, note: str) -> list[Row]:
    signal = np.array([signal_rate(int(d)) for d in sizes])
    falls, against = (exponent(sizes, [np.array([one]) for one in values]) for values in (phi, phi / signal))
    return [
        row(
            "false firing vanishes",
            name,
            "exponent of phi in d, 16 to 1e6",
            falls.span,
            BELOW_0,
            note=f"computed; {note}",
        ),
        row(
            "false firing vanishes faster than features are active",
            name,
            "exponent in d of phi over log log d / d, 16 to 1e6",
            against.span,
            BELOW_0,
            rival="near 1: phi falls more slowly than any power",
            note="computed",
        ),
    ]


def _sampled_rows(name: str, fired: dict[int, np.ndarray], note: str) -> list[Row]:
    """Return rows on sampled tokens; `fired` is {d: share per block}."""
    expected, signal = {d: rate(name, d) for d in fired}, signal_rate(LARGEST_RUN)
    relative = np.sum(list(fired.values()), axis=0) / sum(expected.values())
    return [
        row(
            "sampled tokens fire as the Gaussian tail says",
            name,
            "measured over computed phi, sums over d = 16 to 1024",
            over_seeds(relative),
            about(1.0, MARGIN),
            predicted=1.0,
        ),
        row(
            f"noise alone is filtered at d = {LARGEST_RUN}: phi below 1 %",
            name,
            "phi of sampled tokens",
            over_seeds(fired[LARGEST_RUN]),
            (0.0, FILTERED),
            predicted=expected[LARGEST_RUN],
            note=note,
        ),
        row(
            f"noise fires a neuron more rarely than a feature is active at d = {LARGEST_RUN}",
            name,
            "phi of sampled tokens over log log d / d",
            over_seeds(fired[LARGEST_RUN] / signal),
            (0.0, 1.0),
            predicted=expected[LARGEST_RUN] / signal,
            note=note,
        ),
    ]


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw phi against d for each setting, computed and sampled, beside the signal rate."""
    fig, axes = drawing.panels(len(SETTINGS))
    grid, sampled = arrays["d"].values, arrays["sampled"].values
    for ax, name in zip(axes, SETTINGS, strict=True):
        drawing.points(ax, sampled, arrays["fired"].sel(setting=name).values, label="sampled tokens", color="all")
        drawing.predicted(ax, grid, arrays["phi"].sel(setting=name).values, label="false firing, computed")
        signal = [signal_rate(int(d)) for d in grid]
        drawing.predicted(ax, grid, signal, label="a feature is active in a token", kind="rival")
        drawing.predicted(ax, grid, np.full(len(grid), FILTERED), label="filtered: 1 %", kind="second rival")
        ax.set(xscale="log", yscale="log", ylim=(1e-7, 1))
        drawing.words(ax, x="number of features d", y="chance per token" if ax is axes[0] else "", title=TITLES[name])
    drawing.legend_below(fig, axes[0], columns=4)
    return fig


CHECK = Check(
    code="NOISE",
    origins={"sampled tokens fire as": OURS},
    statement="Assumptions",
    title="do thresholds filter noise?",
    formula="phi = 2 Phi(-kappa sqrt(2 log d / d) / sigma) (`theory.false_firing_rate`) should fall faster than the "
    "chance log log d / d that a feature is active in a token.",
    rival="at the paper's noise variance sqrt(log d) / d, phi falls more slowly than any power of d.",
    constants="C_p = 1 in the chance that a feature is active, as in theory 4.4 of the theory.",
    power="exponents are computed, so that they have no scatter.",
    sets=(),
    measure=measure,
    judge=judge,
    draw=draw,
    primary="false firing vanishes faster",
    caption="At the paper's noise, and at dynsim's default, noise alone fires a neuron more often than a feature is "
    "active, and the more so the larger d is. Chance per token against the number of features: false firing, computed "
    "(line) and on sampled tokens (points, with 95 % intervals); broken line: a feature is active; dotted: 1 %.",
)
