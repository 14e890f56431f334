"""What do the runs say about the mechanism of pruning: P1, P2 and P3 of theory 8.5?

Each function takes the runs by key (`pruning.keys`) and the main configuration.
"""

import numpy as np
import xarray as xr

from dynsim.analysis import outcomes
from dynsim.config import Config
from dynsim.stats.verdicts import judged
from experiments.pruning import measures, probe
from experiments.pruning.claims import claim
from experiments.pruning.keys import MAIN_DENSE, DimensionKey
from experiments.pruning.measures import slope, slope_through_origin
from experiments.pruning.shared import Judged, Measured, NamedRuns

FIGURE_RATES = (0.3, 0.5, 0.7)
PROBE_RATES = tuple(round(0.1 * k, 1) for k in range(1, 10))
LINEAR_UP_TO = 0.5
KINDS = ("lowest", "random_fixed", "highest")


def p1(runs: NamedRuns, config: Config) -> Judged:
    """Who is masked (theory 8.5 P1)."""
    dense, rate = runs[MAIN_DENSE], config.prune.rate
    dense = dense.isel(seed=outcomes.usable(dense))
    shares = measures.masked_shares(dense, sorted({*FIGURE_RATES, rate}))
    places = probe.moments(dense)
    parts: list[Measured] = []
    detail = {}
    for moment in ("T2", "end"):
        at = shares.sel(rate=rate).isel(record=xr.DataArray(places[:, probe.PROBE_MOMENTS.index(moment)], dims="seed"))
        of = {name: at["masked"].sel(neuron_class=name).values for name in measures.MASKED_CLASSES}
        share = {name: at["of_masked"].sel(neuron_class=name).values for name in measures.MASKED_CLASSES}
        words = {"moment": moment, "rate": rate}
        parts.append((claim("P1", "lowest norms", **words), of["minority"] - of["majority"]))
        parts.append((claim("P1", "most masked", **words), share["minority"]))
        known = {name: (values[np.isfinite(values)], share[name]) for name, values in of.items()}
        detail[moment] = {
            name: {"masked": float(a.mean()) if len(a) else None, "of_masked": float(b.mean())}
            for name, (a, b) in known.items()
        }
    return judged(parts), detail, {"masked": shares}


def p2(runs: NamedRuns, config: Config) -> Judged:
    """One-step amplification at the same weights, its slope in the masked share, and its trend in d (P2)."""
    main = runs[MAIN_DENSE]
    main = main.isel(seed=outcomes.usable(main))
    straight = probe.amplifications(main, "straight_through", KINDS, PROBE_RATES)
    literal = probe.amplifications(main, "literal", ("lowest",), PROBE_RATES).sel(kind="lowest", drop=True)
    slopes = slopes_up_to_half(straight)
    by_d = {int(main.sizes["feature"]): slopes.sel(kind="lowest")}
    for key, run in runs.items():
        if isinstance(key, DimensionKey):
            good = run.isel(seed=outcomes.usable(run))
            found = probe.amplifications(good, "straight_through", ("lowest",), PROBE_RATES)
            by_d.setdefault(int(run.sizes["feature"]), slopes_up_to_half(found).sel(kind="lowest"))
    parts: list[Measured] = [
        (claim("P2", "before thresholds"), slopes.sel(kind="lowest", moment="stage 1", group="minority").values)
    ]
    for moment in ("T2", "end"):
        at = slopes.sel(moment=moment)
        low, fixed = at.sel(kind="lowest"), at.sel(kind="random_fixed")
        minority, majority = (low.sel(group=group).values for group in ("minority", "majority"))
        of_literal = slopes_up_to_half(literal.expand_dims(kind=["lowest"])).sel(
            moment=moment, kind="lowest", group="minority"
        )
        random = fixed.sel(group="minority").values
        parts += [
            (claim("P2", "in proportion", moment=moment), minority),
            (claim("P2", "more than majority", moment=moment), minority - majority),
            (claim("P2", "more than random", moment=moment), minority - random),
            (claim("P2", "literal gradient", moment=moment), of_literal.values),
        ]
    parts.append((claim("P2", "factor d"), _trend_exponent(by_d, "T2")))
    trend = {str(d): _plain(_ratio(found.sel(moment="T2"))) for d, found in by_d.items()}
    data = xr.Dataset({"straight_through": straight, "literal": literal})
    return judged(parts), {"trend_in_d": trend}, {"amplification": data}


def slopes_up_to_half(gain: xr.DataArray) -> xr.DataArray:
    """Return the slope of A - 1 in the masked share up to one half, (seed, moment, kind, group)."""
    few = gain.sel(rate=gain["rate"].values[gain["rate"].values <= LINEAR_UP_TO]).transpose(..., "rate")
    slopes = slope_through_origin(few["rate"].values, few.values - 1)
    return xr.DataArray(slopes, few.isel(rate=0, drop=True).coords, few.dims[:-1])


def _ratio(slopes: xr.DataArray) -> np.ndarray:
    minority = slopes.sel(group="minority").values
    return slopes.sel(group="majority").values / np.where(minority == 0, np.nan, minority)


def _trend_exponent(by_d: dict[int, xr.DataArray], moment: str) -> np.ndarray:
    """Return per seed the exponent in d of the ratio of slopes; NaN where a slope is not above 0 or d is one alone."""
    n_seeds = min(found.sizes["seed"] for found in by_d.values())
    if len(by_d) < 2:
        return np.full(n_seeds, np.nan)
    sizes = sorted(by_d)
    ratios = []
    for d in sizes:
        at = by_d[d].sel(moment=moment).transpose("group", "seed").values[:, :n_seeds]
        ratios.append(np.where((at > 0).all(axis=0), _ratio(by_d[d].sel(moment=moment))[:n_seeds], np.nan))
    return slope(np.log(np.array(sizes, float)), np.log(np.stack(ratios, axis=-1)))


def _plain(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def p3(runs: NamedRuns, config: Config) -> Judged:
    """The driver D with and without masks (P3)."""
    dense = runs[MAIN_DENSE]
    dense = dense.isel(seed=outcomes.usable(dense))
    n = dense.sizes["record"]
    found = probe.group_drivers_over_time(dense, KINDS, config.prune.rate, sorted({0, *range(n - 1, -1, -2)}))
    without = found.sel(kind="none").transpose("seed", "record", "group").values
    safe = np.where(without > 0, without, np.nan)
    change = {kind: found.sel(kind=kind).transpose("seed", "record", "group").values / safe for kind in KINDS}
    uniform = measures.uniform_until(dense)
    early = found["step"].values <= uniform
    low, fixed = change["lowest"], change["random_fixed"]
    minority, majority = low[:, -1, 0], low[:, -1, 1]  # at the end, (seed,)
    parts: list[Measured] = [
        (claim("P3", "uniform"), low[:, early, 0].mean(axis=1)),
        (claim("P3", "raised"), minority),
        (claim("P3", "more than majority"), minority - majority),
        (claim("P3", "more than random"), minority - fixed[:, -1, 0]),
    ]
    detail = {"uniform_until_step": uniform, "rate": config.prune.rate}
    return judged(parts), detail, {"driver": xr.Dataset({"driver": found})}
