"""S2a: do the neurons that were lucky at the start become the specialists?

Statement (Lemma 3.2, in our words): a neuron that is lucky for feature j before the first step has at the end of stage
2 at least the squared projection 2 r_j ||w^(T1)||^2 on it, with r_j the frequency of j over the largest one.

In regime: there must be lucky neurons. Our cut is (1/r_j) sqrt(2 log d / d) (theory 5.3). It exceeds 1, the largest
cosine there is, for r_j = 0.5 up to d = 26 or so, and at the widths that can be run hardly any neuron is lucky for a
rare feature. A row is judged with at least 20 lucky pairs in all runs together; all features with r_j below 0.8, for
which hardly one pair is expected, share a row. Two noise regimes; 2 to 3 features are active in a sample at every size.

Rivals: the label says nothing (its precision is the base rate, the share of all pairs that end as specialists); the
largest initial projection times the predicted gain says more (theory 6.2, S2f).

Claim: at least nine in ten lucky neurons fulfil the inequality (the lemma says all, with high probability; the tenth
allows for finite d); lucky pairs end as specialists more often than by chance, and that label predicts better than the
rival one. The ends T1 and T2 are those of the feature's group in the same run; only runs that have both are counted.

Power: at r_j = 1 there are hundreds of lucky pairs, so a share is known to a few hundredths.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from dynsim import theory
from dynsim.analysis import labelled
from dynsim.analysis.groups import minority_mask
from dynsim.config import Config
from dynsim.plots.style import COLOR
from dynsim.theory.specialists import is_lucky
from paper_checks import costs, drawing
from paper_checks.check import INF, Check, Row, at_points, only, over_seeds, row, vacuous
from paper_checks.runs import DEFAULT, NOISES, Source, base
from paper_checks.specialist_sizes import GROUPS, finite_runs, found_at, record_after

FEWEST = 20
"""Lucky pairs in all runs together without which nothing is judged."""
JUDGED = 0.8
"""Relative frequency below which features share a row: there less than one lucky pair is expected in all runs."""
MOST = 0.9
"""Share of the lucky neurons that must fulfil the lemma."""
N_SEEDS = 6


def measure(source: Source) -> xr.Dataset:
    """Return numbers of pairs per seed and group: lucky, as the lemma says, predicted, specialists."""
    points, runs = source.points("stages"), source.runs("stages")
    return at_points({point: _of_run(points[point], finite_runs(result)) for point, result in runs.items()})


def _of_run(config: Config, result: xr.Dataset) -> xr.Dataset:
    start = result["alignment"].values[:, 0].astype(np.float64)
    share = theory.frequency_ratio(config)
    lucky = is_lucky(start, theory.unit_cut(config) / share)
    end = found_at(result)
    gain = theory.log_growth(config) * theory.stage1_end(config, "all")
    lead = np.abs(start) * np.exp(gain - gain.max())
    predicted = lead == lead.max(axis=-1, keepdims=True)
    able, fulfils = _inequality(result, lucky, share)
    minority = minority_mask(result)
    parts = {
        "lucky": lucky,
        "lucky_able": lucky & able,
        "fulfil": lucky & fulfils,
        "specialists": end,
        "lucky_right": lucky & end,
        "race": predicted,
        "race_right": predicted & end,
        "pairs": np.ones_like(end),
    }
    counts = {
        name: (("seed", "group"), np.stack([part[..., mask].sum((1, 2)) for mask in (~minority, minority)], -1) * 1.0)
        for name, part in parts.items()
    }
    return xr.Dataset(counts)


def _inequality(result: xr.Dataset, lucky: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which pairs are in runs with T1 and T2, and which of these have <w^(T2), M_j>^2 >= 2 r_j ||w^(T1)||^2."""
    ends = labelled.stages_of(result)["step"]
    minority = minority_mask(result)
    able, fulfils = np.zeros_like(lucky), np.zeros_like(lucky)
    for seed in range(len(lucky)):
        for group, mask in zip(GROUPS, (~minority, minority), strict=True):
            t1, t2 = (float(ends.isel(seed=seed).sel(group=group, stage=stage)) for stage in ("T1", "T2"))
            if not (np.isfinite(t1) and np.isfinite(t2)):
                continue
            first, second = (result.isel(seed=seed, record=record_after(result, t)) for t in (t1, t2))
            need = 2 * share[None, mask] * first["weight_norm"].values[:, None] ** 2
            able[seed][:, mask] = True
            fulfils[seed][:, mask] = second["alignment"].values[:, mask] ** 2 >= need
    return able, fulfils


def _by_ratio(arrays: xr.Dataset) -> list[tuple[float, xr.Dataset]]:
    """Return counts per seed by r_j, added up over sizes and runs: of all features with the largest frequency first."""
    counts = arrays.fillna(0)
    ratios = sorted({float(r) for r in arrays["ratio"].values}, reverse=True)
    out = []
    for ratio in ratios:
        rare = only(counts, ratio=ratio)
        if ratio == 1:
            total = counts.isel(group=0).sum("point") + rare.isel(group=1).sum("point")
        else:
            total = rare.isel(group=1).sum("point")
        out.append((ratio, total))
    return out


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return one row on the inequality per noise and r_j, and three on the label as a predictor per noise."""
    rows = []
    for noise in NOISES:
        here = only(arrays, noise=noise)
        if here.sizes["point"] == 0:
            continue
        by_ratio = _by_ratio(here)
        rows += [_lemma_row(noise, ratio, total) for ratio, total in by_ratio if ratio >= JUDGED]
        rarer = [(ratio, total) for ratio, total in by_ratio if ratio < JUDGED]
        if rarer:
            rows.append(_rarer_row(noise, rarer))
        rows += _predictor_rows(noise, here.fillna(0).sum(("point", "group")))
    return rows


def _lemma_row(noise: str, ratio: float, total: xr.Dataset) -> Row:
    claim = f"lucky neurons reach 2 r_j ||w(T1)||² by T2 for features with r_j = {ratio:g}"
    quantity = "share of the lucky pairs"
    n = int(total["lucky_able"].sum())
    note = f"{n} lucky pairs in all runs together"
    if n == 0:
        return vacuous(claim, noise, quantity, f"{note}; {needed(ratio, noise)}")
    with np.errstate(invalid="ignore"):
        found = over_seeds((total["fulfil"] / total["lucky_able"]).values)
    if n < FEWEST:
        found, note = (found[0], np.nan, np.nan), f"{note}, {FEWEST} are needed; {needed(ratio, noise)}"
    return row(claim, noise, quantity, found, (MOST, 1.0), predicted=1.0, note=note)


def _rarer_row(noise: str, rarer: list[tuple[float, xr.Dataset]]) -> Row:
    """Return the one row on features so rare that hardly a neuron is lucky for them."""
    most = max(ratio for ratio, _ in rarer)
    claim = f"lucky neurons reach 2 r_j ||w(T1)||² by T2 for features with r_j of at most {most:g}"
    able, fulfil = (np.sum([total[name].values for _, total in rarer], axis=0) for name in ("lucky_able", "fulfil"))
    note, quantity = f"{int(able.sum())} lucky pairs in all runs together", "share of the lucky pairs"
    if able.sum() < FEWEST:
        return vacuous(claim, noise, quantity, f"{note}; at r_j = {most:g} {needed(most, noise)}")
    with np.errstate(invalid="ignore"):
        return row(claim, noise, quantity, over_seeds(fulfil / able), (MOST, 1.0), predicted=1.0, note=note)


def needed(ratio: float, noise: str = DEFAULT) -> str:
    """Return the cheapest size at which a run has a lucky neuron for half of its minority features, and its cost."""
    sizes = []
    for d in (16, 32, 64, 128, 256):
        config = base(d, ratio, noise, train__n_steps=4000)
        share = float(theory.lucky_tail(d, theory.unit_cut(config) / ratio))
        if share > 0:
            m = 0.5 / share
            sizes.append((costs.hours(config, N_SEEDS) * m / config.encoder.n_neurons, d, m))
    cost, d, m = min(sizes)
    return f"one for every second rare feature takes at least m = {m:.2g} neurons (d = {d}), {costs.in_words(cost)}"


def _predictor_rows(noise: str, total: xr.Dataset) -> list[Row]:
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = (total["specialists"] / total["pairs"]).values
        precision = (total["lucky_right"] / total["lucky"]).values
        recall = (total["lucky_right"] / total["specialists"]).values
        race = (total["race_right"] / total["race"]).values
        found = (total["race_right"] / total["specialists"]).values
        scores = 2 * precision * recall / (precision + recall) - 2 * race * found / (race + found)
    told = f"precision {np.mean(precision):.2f}, base rate {np.mean(rate):.3f}"
    rival = f"largest projection times gain: precision {np.mean(race):.2f}, recall {np.mean(found):.2f}"
    return [
        row(
            "lucky pairs end as specialists more often than by chance",
            noise,
            "precision over base rate",
            over_seeds(precision / rate),
            (1.0, INF),
            rival="1: the label says nothing",
            note=told,
        ),
        row(
            "most specialists were lucky at the start",
            noise,
            "share of the specialists that were lucky (recall)",
            over_seeds(recall),
            (0.5, 1.0),
            rival=rival,
            note="our reading: the paper only bounds their number from below",
        ),
        row(
            "being lucky predicts better than the largest projection times its gain",
            noise,
            "difference of the harmonic means of precision and recall",
            over_seeds(scores),
            (0.0, INF),
            rival=rival,
        ),
    ]


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw precision and recall of both labels beside the base rate, and the share that fulfils the lemma."""
    fig, axes = drawing.panels(2)
    for place, noise in enumerate(NOISES):
        here = only(arrays, noise=noise)
        if here.sizes["point"] == 0:
            continue
        total = here.fillna(0).sum(("point", "group"))
        shift = 0.08 * (2 * place - 1)
        style = {"marker": "os"[place]}
        for color, label, hit, said in (
            ("all", "lucky at the start", "lucky_right", "lucky"),
            ("other neurons", "largest gain times projection", "race_right", "race"),
        ):
            values = np.stack([(total[hit] / total[said]).values, (total[hit] / total["specialists"]).values], axis=1)
            drawing.points(axes[0], np.arange(2) + shift, values, label=f"{label}, {noise}", color=color, **style)
        by_chance = float((total["specialists"] / total["pairs"]).mean())
        axes[0].axhline(by_chance, ls=":", color=COLOR["mark"], lw=1, label="share of all pairs")
        usable = [(r, t) for r, t in _by_ratio(here) if float(t["lucky_able"].sum()) >= FEWEST]
        shares = np.stack([(t["fulfil"] / t["lucky_able"]).values for _, t in usable], axis=1)
        drawing.points(
            axes[1],
            [r + shift / 8 for r, _ in usable],
            shares,
            label=f"lucky at the start, {noise}",
            color="all",
            **style,
        )
    axes[0].set_xticks([0, 1], ["precision", "recall"])
    axes[0].set_xlim(-0.5, 1.5)
    axes[1].axhline(1.0, color=COLOR["theory"], lw=1, label="the lemma: all of them")
    axes[1].set_ylim(0, 1.05)
    axes[1].set_xlim(0.2, 1.1)
    drawing.words(axes[0], x="", y="share of pairs", title="who becomes a specialist")
    drawing.words(
        axes[1], x="relative frequency $r_j$", y="share of lucky pairs", title="who fulfils the lemma's inequality"
    )
    drawing.legend_below(fig, *axes, columns=2)
    return fig


CHECK = Check(
    code="S2a",
    statement="Lemma 3.2",
    title="neurons that are lucky at the start become the specialists",
    formula="<w^(T2), M_j>² ≥ 2 r_j ||w^(T1)||² for neurons with |<w, M_j>| ≥ (1/r_j) sqrt(2 log d/d) ||M Mᵀ w|| at "
    "the start (`theory.specialists.is_lucky`, `theory.unit_cut`).",
    rival="the base rate; the largest initial projection times exp(`theory.log_growth` · `theory.stage1_end`).",
    constants="the constant 2 is the lemma's, the cut our reading of its exponent; nothing is fitted.",
    power="a row is judged from 20 lucky pairs on.",
    sets=("stages",),
    measure=measure,
    judge=judge,
    draw=draw,
    caption="Lucky neurons become specialists, but most specialists were not lucky. Left: of the pairs of a neuron "
    "and a feature that a label picks at the start, how many end as specialists (precision), and how many of "
    "the specialists it had picked (recall); dotted: share of all pairs. Right: share of the lucky pairs that "
    "fulfil the lemma's inequality at T2, where at least 20 exist; the lemma says 1. Circles: false firing 1 "
    "%, squares: default noise.",
)
