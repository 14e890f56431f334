"""I2: what explains how well a linear probe reads a feature: purity, size, or the number of specialists?

Statement (the paper's remark, theory 7.2): the purer the neurons, the better features can be separated linearly.

In regime: whole training with a probe per feature on the frozen embedding; d = 16, r of at most 0.7, since at r near 1
every feature is read without error and nothing is left to explain. False firing 1 % and default (24 %); about 1.8
active features per sample.

Rivals: the largest projection on the feature explains accuracy (signal against noise), or the number of specialists
does (averaging). The three go together, so that what is compared is how well each alone orders the features of a run.

Claim: the accuracy (few labels) rises with the best purity, which explains at least half of its variance, and more
than either rival does. Measures: Spearman's rank correlation over the features of a run, averaged over r per seed, and
the R² of a straight line over all features of a seed. Controls: accuracy above that of the untrained encoder (record
0), and below that of an ideal one with W = M^T, which the experiment on pruning measured (r = 0.3 and 0.15).

Power: six seeds with 16 features at up to three r; a rank correlation is known to 0.06, and to less in the difference
of two over the same features.
"""

import textwrap
from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy import stats

from dynsim.results import provenance_of
from paper_checks import committed, drawing
from paper_checks.check import ABOVE_0, INF, OURS, Check, Row, at_points, only, out_of_regime, over_seeds, row
from paper_checks.committed import POINTS, Found, Quote, answer_regime, difference, interval
from paper_checks.end_states import per_feature
from paper_checks.runs import NOISES, Source

PREDICTORS = {
    "purity": "best purity of a neuron on the feature",
    "largest": "largest projection of a neuron on the feature",
    "count": "number of specialists of the feature",
}
AT, LARGEST_RATIO = 16, 0.7
KEPT = ("probe_few", "untrained_probe_few", *PREDICTORS)
CORRELATION, EXPLAINED = "rank correlation with accuracy", "R² of a line over the features of a seed"
DIFFERENCE = "difference of two such R²"
RIVALS = {
    "largest": f"the {PREDICTORS['largest']}",
    "count": f"the {PREDICTORS['count']}",
    "covered": "whether there is a specialist at all",
}
LEAST_BARE = 0.05
"""Share of the features that must be without a specialist, else there is nothing to explain."""


def _against_ideal(noise: str, which: str) -> Quote:
    def find(source: Source) -> Found:
        summary = source.committed("pruning_answer")
        ratio = POINTS[noise][1]
        point = next(one for one in summary["points"] if one["noise"] == noise and one["ratio"] == ratio)
        name = "minority probe, few labels"
        arm = next(a for a in summary["arms"] if (a["noise"], a["ratio"], a["label"]) == (noise, ratio, "no mask"))
        return difference(interval(arm["ends"][name]), interval(point["probe_controls"][which][name]))

    claim, wanted = {
        "ideal encoder": ("imbalance costs accuracy against the ideal encoder W = M^T", (-INF, 0.0)),
        "untrained encoder": ("training makes the minority easier to read than random weights do", ABOVE_0),
    }[which]
    quantity = "difference in accuracy, minority, trained - control"
    note = "control with thresholds, from the experiment on pruning; compared as independent runs"
    return Quote(claim, answer_regime(noise), quantity, find, wanted, note=note)


QUOTES = [
    _against_ideal(noise, which)
    for which in ("ideal encoder", "untrained encoder")
    for noise in ("1 percent", "default")
]


def measure(source: Source) -> xr.Dataset:
    """Return accuracy, purity, size and count per seed and feature at d = 16 and small r, and the quoted controls."""
    runs = {
        point: result
        for point, result in source.runs("stages").items()
        if point.d == AT and point.ratio <= LARGEST_RATIO
    }
    arrays = at_points({point: _of_run(result) for point, result in runs.items()})
    return arrays.merge(committed.measure(QUOTES, source))


def _of_run(result: xr.Dataset) -> xr.Dataset:
    return per_feature(result)[[*KEPT, "is_minority"]].assign(wall_s=float(provenance_of(result)["wall_s"]))


def rank_correlations(one: xr.Dataset, name: str) -> np.ndarray:
    """Return Spearman's correlation of accuracy with a predictor over the features of a run, mean over points."""
    accuracy, predictor = (one[key].transpose("point", "seed", "feature").values for key in ("probe_few", name))
    found = np.full(accuracy.shape[:2], np.nan)
    for k in np.ndindex(*found.shape):
        a, b = accuracy[k], predictor[k]
        if np.isfinite(a).all() and np.isfinite(b).all() and np.ptp(a) > 0 and np.ptp(b) > 0:
            found[k] = stats.spearmanr(a, b).statistic
    there = np.isfinite(found)
    return np.where(there.any(axis=0), np.where(there, found, 0).sum(axis=0) / np.maximum(there.sum(axis=0), 1), np.nan)


def explained(one: xr.Dataset, name: str) -> np.ndarray:
    """Return R² of accuracy on a predictor over all features and points of a seed, shape (seed,)."""
    accuracy, predictor = (
        one[key].stack(all=("point", "feature")).transpose("seed", "all").values for key in ("probe_few", name)
    )
    out = []
    for a, b in zip(accuracy, predictor, strict=True):
        kept = np.isfinite(a) & np.isfinite(b)
        varies = kept.sum() > 2 and np.ptp(a[kept]) > 0 and np.ptp(b[kept]) > 0
        out.append(np.corrcoef(a[kept], b[kept])[0, 1] ** 2 if varies else np.nan)
    return np.array(out)


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return, for each noise level, rows on purity, on purity against its rivals, and on training; then the "
    "controls."""
    rows = []
    for noise in NOISES:
        one = only(arrays, noise=noise)
        rows += _on_predictors(one, noise)
        gained = (one["probe_few"] - one["untrained_probe_few"]).where(one["is_minority"].astype(bool)).mean("feature")
        found = over_seeds(gained.mean("point").values)
        claim, quantity = "training makes the minority easier to read than at the start", "gain in accuracy, minority"
        note = "before the first step there are no thresholds, which help a probe"
        rows.append(row(claim, noise, quantity, found, ABOVE_0, rival="0 or below", note=note))
    return rows + committed.judge(QUOTES, arrays)


def _on_predictors(one: xr.Dataset, noise: str) -> list[Row]:
    """Return the rows on what explains accuracy; out of regime where nearly all features have a specialist."""
    ranks = {name: rank_correlations(one, name) for name in PREDICTORS}
    shares = {name: explained(one, name) for name in PREDICTORS}
    shares["covered"] = explained(one.assign(covered=np.sign(one["count"])), "covered")
    bare = float((one["count"].values == 0).mean())
    said = ", ".join(f"{name} {over_seeds(values)[0]:.2f}" for name, values in ranks.items())
    rival = ", ".join(f"{name} {over_seeds(values)[0]:.2f}" for name, values in shares.items() if name != "purity")
    claims = [
        ("accuracy rises with purity", CORRELATION, ranks["purity"], ABOVE_0, f"0; {said}"),
        ("purity explains at least half of the accuracy", EXPLAINED, shares["purity"], (0.5, 1.0), rival),
    ]
    claims += [
        (
            f"purity explains accuracy better than {words}",
            DIFFERENCE,
            shares["purity"] - shares[name],
            ABOVE_0,
            "0 or below",
        )
        for name, words in RIVALS.items()
    ]
    if bare >= LEAST_BARE:
        note = f"{bare:.0%} of the features have no specialist"
        return [row(c, noise, q, over_seeds(values), wanted, rival=r, note=note) for c, q, values, wanted, r in claims]
    hours = float(one["wall_s"].mean()) / 3600
    why = (
        f"{bare:.0%} of the features have no specialist, so that accuracy varies by the probe's sampling alone; at "
        f"r = 0.15 plain training leaves most rare features without one (P4), about {hours:.2g} hours on 2 cores"
    )
    return [
        out_of_regime(claim, noise, quantity, why, found=over_seeds(values)) for claim, quantity, values, *_ in claims
    ]


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw accuracy of every feature against each of the three numbers, one row of panels for each noise level."""
    fig, axes = drawing.panels(len(NOISES) * len(PREDICTORS), columns=len(PREDICTORS), height=2.0)
    panels = iter(axes)
    for noise in NOISES:
        one = only(arrays, noise=noise)
        for name, words in PREDICTORS.items():
            ax = next(panels)
            for group in ("majority", "minority"):
                chosen = one["is_minority"].astype(bool) == (group == "minority")
                x, y = (one[key].where(chosen).values.ravel() for key in (name, "probe_few"))
                ax.plot(x, y, "o", markersize=2, alpha=0.5, color=drawing.COLOR[group], label=group, linewidth=0)
            title = f"{noise}\nR² {over_seeds(explained(one, name))[0]:.2f}"
            drawing.words(ax, x=textwrap.fill(words, 24), y="accuracy", title=title)
    drawing.legend_below(fig, axes[0])
    return fig


CHECK = Check(
    code="I2",
    origins={"imbalance costs accuracy against": OURS},
    statement="Theorem 3.1",
    title="purer neurons make features easier to read",
    formula="accuracy of a linear probe for a feature is a rising function of max over i of |cos(w_i, M_j)|.",
    rival="it is the largest projection, or the number of specialists, that counts.",
    constants="none.",
    power="six seeds, 16 features at up to three r.",
    sets=("stages", "pruning_answer"),
    measure=measure,
    judge=judge,
    draw=draw,
    primary="purity explains at least half of the accuracy",
    caption="Purity explains the accuracy where some features have no specialist; at default noise all have one. "
    "Accuracy of a linear probe with few labels for each feature at the end, against three properties of the "
    "neurons. Points: features of all seeds and r of at most 0.7. R² is that of a straight line, mean over "
    "seeds.",
)
