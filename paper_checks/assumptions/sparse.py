"""SPARSE: at which sizes are the codes as sparse as the theory takes them to be?

Statement (assumed, in our words): a sample has of order log log d active features, so few that a feature is seldom
active, and so many that hardly any sample is empty or has the code of another one, as every other sample counts as a
negative.

In regime: always; nothing is trained, so that the false-firing rate plays no part. The number of active features per
sample is what is tested.

Rivals: a constant number of active features; a number proportional to d.

Claim: of drawn samples, the number of active features, the share of empty ones and the chance of equal codes are the
closed forms of `sparsity` (from `theory.activation_probability` and `theory.empty_probability`); active features per
sample grow as the power 1 of log log d.

Which sizes are sparse: by the closed forms, with one constant C_p at all sizes. Asked for: at most one feature in ten
is active (as in the simulations of the sibling paper, theory 9.4), at most 1 % of the samples are empty, at most 1 % of
the negatives have the query's code.

Samples are drawn here as the statement says, feature by feature; that the engine's sampler does the same is DATA.

Power: 8 blocks of 16,384 samples per size; shares are known to 1 %, the exponent in log log d to 0.01.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from paper_checks import drawing, slopes
from paper_checks.check import OURS, Check, Row, about, over_seeds, row
from paper_checks.run_sets import BASE_RATE
from paper_checks.runs import Source
from paper_checks.size_search import from_size_on, smallest_size

SIZES = (16, 32, 64, 128, 256)
RUN_SIZES = (16, 64)
"""The smallest and the largest size of the default run sets."""
RATIO = 0.5
BLOCKS = 8
SAMPLES = {"quick": 8192, "default": 16384, "large": 16384}
MARGIN, MARGIN_OF_EXPONENT = 0.03, 0.1
ACTIVE_ALLOWED, EMPTY_ALLOWED, EQUAL_ALLOWED = 0.1, 0.01, 0.01
DRAWN = f"drawn samples, d = {SIZES[0]} to {SIZES[-1]}"


class Sparsity(NamedTuple):
    """How full the codes of samples are."""

    active: float
    """Active features per sample, empty samples replaced."""
    empty: float
    """Chance that a sample is empty, before replacement."""
    equal: float
    """Chance that two samples have the same active features with the same signs, empty samples replaced."""


def sparsity(d: int, ratio: float) -> Sparsity:
    """Return the closed forms for `run_sets.base`: half of the features are active with chance q, half with ratio q."""
    q = np.array([1.0, ratio]) * base_rate(d)
    half = np.array([d - round(d / 2), round(d / 2)])
    empty = math.exp(float(half @ np.log1p(-q)))
    agree = math.exp(float(half @ np.log((1 - q) ** 2 + q**2 / 2)))
    return Sparsity(float(half @ q) / (1 - empty), empty, (agree - empty**2) / (1 - empty) ** 2)


def base_rate(d: int) -> float:
    """Return the chance that a majority feature is active in a sample of size d, before replacement."""
    return BASE_RATE * (math.log(math.log(d)) / d) / (math.log(math.log(16)) / 16)


def measure(source: Source) -> xr.Dataset:
    """Return active features, empty samples and equal codes of drawn samples, per block and size."""
    found = np.array(
        [[_drawn(d, SAMPLES[source.preset], source.first_seed, block) for d in SIZES] for block in range(BLOCKS)]
    )
    names = Sparsity._fields
    return xr.Dataset({name: (("block", "d"), found[..., k]) for k, name in enumerate(names)}, {"d": list(SIZES)})


def _drawn(d: int, n_samples: int, seed: int, block: int) -> Sparsity:
    rng = np.random.default_rng([seed, block, d])
    chance = base_rate(d) * np.where(np.arange(d) < d - round(d / 2), 1.0, RATIO)
    uniform = rng.random((n_samples, d), np.float32)
    return counted((uniform < chance).astype(np.int8) - 2 * (uniform < chance / 2).astype(np.int8))


def counted(codes: np.ndarray) -> Sparsity:
    """Return the shares of drawn codes, shape (sample, feature), of which empty ones are kept."""
    n_active = np.abs(codes).sum(axis=1)
    kept = np.ascontiguousarray(codes[n_active > 0], np.int8)
    whole = kept.view(np.dtype((np.void, kept.shape[1])))  # a sample as one item, so that equal ones can be counted
    same = np.unique(whole, return_counts=True)[1].astype(np.float64)
    equal = np.sum(same * (same - 1)) / (len(kept) * (len(kept) - 1))
    return Sparsity(float(n_active[n_active > 0].mean()), float(np.mean(n_active == 0)), float(equal))


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return rows on drawn against computed numbers, on the order of log log d, and on sparsity at the run sizes."""
    sizes = [int(d) for d in arrays["d"].values]
    computed = [sparsity(d, RATIO) for d in sizes]
    rows = []
    for name, claim in (
        ("active", "samples have as many active features as computed"),
        ("empty", "samples are as often empty as computed"),
        ("equal", "codes are as often equal as computed"),
    ):
        expected = sum(getattr(one, name) for one in computed)
        found = over_seeds(arrays[name].sum("d").values / expected)
        rows.append(row(claim, DRAWN, "drawn over computed", found, about(1.0, MARGIN), predicted=1.0))
    fit = slopes.power(np.log(np.log(sizes)), list(arrays["active"].values.T))
    linear = smallest_size(lambda d: _local_exponent(d) >= 1 - MARGIN_OF_EXPONENT)
    rows.append(
        row(
            "active features per sample are of order log log d",
            DRAWN,
            "exponent in log log d",
            fit.span,
            about(1.0, MARGIN_OF_EXPONENT),
            predicted=1.0,
            rival="0: a constant number",
            note=f"replaced empty samples flatten it; within 0.1 of 1 {from_size_on(linear)}; {slopes.goodness(fit)}",
        )
    )
    for d in RUN_SIZES:
        rows += _rows_of_size(arrays.sel(d=d), d)
    return rows


def _local_exponent(d: int) -> float:
    """Return the exponent of active features in log log d between d and 1.1 d, by the closed form."""
    larger = math.ceil(1.1 * d)
    gained = math.log(sparsity(larger, RATIO).active / sparsity(d, RATIO).active)
    return gained / math.log(math.log(math.log(larger)) / math.log(math.log(d)))


def _rows_of_size(drawn: xr.Dataset, d: int) -> list[Row]:
    exact = sparsity(d, RATIO)
    few = smallest_size(lambda n: sparsity(n, RATIO).active / n <= ACTIVE_ALLOWED, least=8)
    full = smallest_size(lambda n: sparsity(n, RATIO).empty <= EMPTY_ALLOWED)
    apart = smallest_size(lambda n: sparsity(n, RATIO).equal <= EQUAL_ALLOWED)
    return [
        row(
            f"few features are active at once, d = {d}",
            "drawn samples",
            "share of the features that are active in a sample",
            over_seeds(drawn["active"].values / d),
            (0.0, ACTIVE_ALLOWED),
            predicted=exact.active / d,
            note=f"{exact.active:.2f} of {d} features; at most one in ten {from_size_on(few)}",
        ),
        row(
            f"hardly any sample is empty, d = {d}",
            "drawn samples",
            "share of empty samples before they are replaced",
            over_seeds(drawn["empty"].values),
            (0.0, EMPTY_ALLOWED),
            predicted=exact.empty,
            note=f"at most 1 % {from_size_on(full)}",
        ),
        row(
            f"hardly any negative has the code of the query, d = {d}",
            "drawn samples",
            "chance that two samples have equal codes",
            over_seeds(drawn["equal"].values),
            (0.0, EQUAL_ALLOWED),
            predicted=exact.equal,
            note=f"at most 1 % {from_size_on(apart)}; such negatives are left out of the loss",
        ),
    ]


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw active features, empty samples and equal codes against d."""
    fig, axes = drawing.panels(3)
    sizes = arrays["d"].values
    grid = np.unique(np.geomspace(8, 1e5, 40).astype(int))
    computed = [sparsity(int(d), RATIO) for d in grid]
    for ax, name, label, allowed in (
        (axes[0], "active", "active features", None),
        (axes[1], "empty", "share of empty samples", EMPTY_ALLOWED),
        (axes[2], "equal", "chance of equal codes", EQUAL_ALLOWED),
    ):
        drawing.points(ax, sizes, arrays[name].values, label="drawn", color="all")
        drawing.predicted(ax, grid, [getattr(one, name) for one in computed], label="closed form")
        level = ACTIVE_ALLOWED * grid if allowed is None else np.full(len(grid), allowed)
        within = level <= 8 if allowed is None else level > 0
        drawing.predicted(ax, grid[within], level[within], label="largest that counts as sparse", kind="rival")
        ax.set_xscale("log")
        drawing.words(ax, x="number of features d", y=label)
    for ax in axes[1:]:
        ax.set_yscale("log")
    drawing.legend_below(fig, axes[0])
    return fig


CHECK = Check(
    code="SPARSE",
    origins={"samples have as many": OURS, "samples are as often": OURS, "codes are as often": OURS},
    statement="Assumptions",
    title="at which sizes are the codes sparse?",
    formula="A sample has of order log log d active features; few samples are empty, few have equal codes "
    "(`theory.activation_probability`, `theory.empty_probability`).",
    rival="a constant number of active features, or one proportional to d.",
    constants="C_p, fixed by the chance 0.15 at d = 16. One in ten, 1 % and 1 % as what is sparse are our choice.",
    power="130,000 samples per size.",
    sets=(),
    measure=measure,
    judge=judge,
    draw=draw,
    primary="active features per sample are of order",
    caption="At sizes that can be simulated few features are active at once, but one sample in ten is empty: log log d "
    "grows too slowly. Points: drawn samples, with 95 % intervals; solid lines: closed forms; broken lines, up to "
    "which codes count as sparse: at most one feature in ten is active, at most 1 % of the samples are empty, at most "
    "1 % of the pairs have equal codes.",
)
