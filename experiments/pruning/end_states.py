"""What do the runs say about the outcome of pruning: P4 to P8 of theory 8.5?

Each function takes the runs by name (`pruning.runs`) and the main configuration.
"""

from typing import Any

import numpy as np
import xarray as xr

from dynsim.analysis import outcomes
from dynsim.analysis.outcomes import end_difference
from dynsim.config import Config
from dynsim.results.dataset import config_of
from dynsim.stats.verdicts import Statement, judged
from experiments.pruning import measures
from experiments.pruning import runs as table
from experiments.pruning.measures import slope
from experiments.pruning.shared import ABOVE_0, Judged, NamedRuns, base, label_of, row, statement

COUNT = "minority specialists"
FLAT, UNIT = (-0.25, 0.25), (0.75, 1.25)
SMALL_GAIN = 0.1
"""P7: a gain at r = 1 is small within this share of the unpruned number of specialists of that half."""


def p4(runs: NamedRuns, config: Config) -> Judged:
    """End states against r (P4)."""
    ratios = sorted({float(name.split("r=")[1]) for name in runs if name.startswith("small/dense r=")})
    x, dense = np.log(ratios), [runs[f"small/dense r={r:g}"] for r in ratios]
    parts: list[tuple[Statement, np.ndarray]] = []
    arrays: list[xr.DataArray] = []
    for name in ("neurons", "weights"):
        ends = measures.end_states(dense, [runs[f"small/{name} r={r:g}"] for r in ratios])
        words = label_of(runs[f"small/{name} r={ratios[0]:g}"])
        for moment, quantities in ends.items():
            for quantity, values in quantities.items():
                slopes = slope(x, values.transpose(0, 2, 1))  # (run, seed)
                what = f"{quantity}, {moment}"
                rival = "all features grow alike, so that ratios stay what they were"
                if name == "neurons" and moment == "equal steps":
                    parts.append((statement("Without pruning the minority falls behind in proportion to r.",
                                             f"slope in log r of log {what}, unpruned", UNIT, "saturation hides r",
                                             "a slope outside 0.75 to 1.25"), slopes[0]))  # fmt: skip
                parts += [
                    (statement(f"With pruning the end state does not depend on r ({words}).",
                                f"slope in log r of log {what}, pruned", FLAT, "it did not without pruning either",
                                "a slope outside -0.25 to 0.25"), slopes[1]),
                    (statement(f"Pruning makes the dependence on r smaller ({words}).",
                                f"slope unpruned - slope pruned of log {what}", ABOVE_0, rival, "no smaller slope"),
                     slopes[0] - slopes[1]),
                ]  # fmt: skip
        stacked = np.stack([np.stack(list(quantities.values())) for quantities in ends.values()])
        arrays.append(xr.DataArray(stacked, dims=("moment", "quantity", "run", "ratio", "seed")))
    names = [label_of(runs[f"small/{name} r={ratios[0]:g}"]) for name in ("neurons", "weights")]
    joined = xr.concat(arrays, xr.Variable("variant", names))
    coords = {"moment": list(measures.COMPARED_AT), "quantity": list(measures.QUANTITIES), "ratio": ratios}
    return judged(parts), {}, {"end_states": xr.Dataset({"end_state": joined.assign_coords(coords)})}


def _more(
    first: xr.Dataset, second: xr.Dataset, dense: xr.Dataset, claim: str, rival: str
) -> tuple[Statement, np.ndarray]:
    """Return the statement that `second` ends with more minority specialists than `first`, and its numbers."""
    said = statement(claim, "difference in the number of minority specialists at the end", ABOVE_0, rival,
                           "no more minority specialists")  # fmt: skip
    return said, end_difference(dense, first, second, COUNT)


def p5(runs: NamedRuns, config: Config) -> Judged:
    """Placebos, and what pruning is worth without them (P5)."""
    parts, sections = [], {}
    for shape, dense, pick in (("main", runs["main/dense"], lambda name: runs[f"main/{name}"]),
                               ("small", base(runs, "dense"), lambda name: base(runs, name))):  # fmt: skip
        for name in ("neurons", "weights", *(["literal"] if f"{shape}/literal" in runs else [])):
            run = pick(name)
            words = f"{label_of(run)}, {shape} shape"
            parts.append(_more(dense, run, dense, f"Pruning gives more minority specialists than none ({words}).",
                               "fewer neurons, whichever, or a larger step"))  # fmt: skip
            rows = [row(label_of(run), dense, run, ("prune",), True)]
            for kind in table.PLACEBOS:
                if (placebo := runs.get(f"{shape}/{name} {kind}")) is None:
                    continue
                words_of = label_of(placebo)
                parts.append(_more(placebo, run, dense, f"{words}: more minority specialists than under its placebo, "
                                   f"{words_of}.", "what helps is masking, not whom it masks"))  # fmt: skip
                rows.append(row(words_of, dense, placebo, ("prune",), False))
            sections[f"{shape} shape, {name}"] = rows
    dense, rows = base(runs, "dense"), []
    for name in (*table.OTHERS, "oracle"):
        if (placebo := runs.get(f"small/{name}")) is None:
            continue
        fields = ("own",) if name == "oracle" else tuple(table.OTHERS[name])
        words = "inverse-frequency loss" if name == "oracle" else name
        rows.append(row(words, dense, placebo, fields, False))
        for variant in ("neurons", "weights"):
            run = base(runs, variant)
            claim = f"{label_of(run)}, small shape: more minority specialists than with {words}."
            parts.append(_more(placebo, run, dense, claim, "any faster or stronger training does it"))
    sections["small shape, without a mask"] = rows
    return judged(parts), {"rows": sections}, {"counts": _counts(runs, "main/dense", table_main(runs))}


def table_main(runs: NamedRuns) -> dict[str, str]:
    """Return {label: run name} of the main shape, the unpruned run first."""
    return {label_of(run): name for name, run in runs.items() if name.startswith("main/")}


def _counts(runs: NamedRuns, dense: str, named: dict[str, str]) -> xr.Dataset:
    """Return specialists (variant, seed, record, group); NaN for seeds that are left out of that variant."""
    arrays = []
    for name in named.values():
        kept = outcomes.usable(runs[dense], runs[name])
        curves = measures.count_curves(runs[name], kept)
        full = np.full((runs[dense].sizes["seed"], *curves.shape[1:]), np.nan)
        full[kept] = curves.values
        arrays.append(xr.DataArray(full, curves.coords, curves.dims))
    return xr.Dataset({"specialists": xr.concat(arrays, xr.Variable("variant", list(named)))})


def p6(runs: NamedRuns, config: Config) -> Judged:
    """One choice of the pruning at a time (P6)."""
    dense = base(runs, "dense")
    rows: dict[str, list[dict[str, Any]]] = {}
    for name, run in runs.items():
        if name.startswith("factor/"):
            _, factor, level = name.split("/")
            prune = config_of(run).prune
            rows.setdefault(factor, []).append(row(level, dense, run, ("prune",), prune.rate > 0))
    tested = [one for of in rows.values() for one in of if one["filled"] and one["minority"] is not None]
    tested = [one for one in tested if one["minority"]["low"] is not None]
    worse = sum(one["minority"]["high"] < 0 for one in tested)
    better = sum(one["minority"]["low"] > 0 for one in tested)
    ends = [one["minority"]["estimate"] for one in tested]
    all_better = bool(tested) and better == len(tested)
    verdict = "not as stated" if worse else "as stated" if all_better else "not at this size"
    entry = {
        "claim": "Pruning gives more minority specialists whatever its share, gradient, refresh and start.",
        "quantity": "settings with more, of all settings with three seeds left (intervals apart from 0)",
        "measured": better,
        "interval": [min(ends, default=None), max(ends, default=None)],
        "interval_is": "smallest and largest mean difference over the settings",
        "settings": len(tested),
        "settings_with_fewer": worse,
        "seeds": int(dense.sizes["seed"]),
        "verdict": verdict,
        "rival": "one lucky setting",
        "what_would_refute": "a setting with fewer minority specialists than without pruning",
    }  # fmt: skip
    return [entry], {"rows": rows}, {}


def p7(runs: NamedRuns, config: Config) -> Judged:
    """Equal frequencies, and an imbalance that no frequency shows (P7)."""
    parts: list[tuple[Statement, np.ndarray]] = []
    rows: dict[str, list[dict[str, Any]]] = {}
    for heading, end in (("equal frequencies, r = 1", "r=1"), ("r = 1, minority kept with chance 1/2", "implicit")):
        if (dense := runs.get(f"small/dense {end}")) is None:
            continue
        rows[heading] = []
        for name in ("neurons", "weights"):
            if (run := runs.get(f"small/{name} {end}")) is None:
                continue
            words = label_of(run)
            rows[heading].append(row(words, dense, run, ("prune",), True))
            if end == "implicit":
                parts.append(_more(dense, run, dense, f"Pruning helps where imbalance is implicit ({words}).",
                                   "it raises all features alike"))  # fmt: skip
                continue
            unpruned = outcomes.MEASURES[COUNT](outcomes.at_end(dense))
            parts.append((statement(f"Where frequencies are equal pruning gains little ({words}).",
                                     "difference in specialists of the second half, over their unpruned number",
                                     (-SMALL_GAIN, SMALL_GAIN), "it acts on all features alike",
                                     "a change of more than a tenth"),
                          end_difference(dense, dense, run, COUNT) / np.maximum(unpruned, 1)))  # fmt: skip
    return judged(parts), {"rows": rows}, {}


def p8(runs: NamedRuns, config: Config) -> Judged:
    """Masks that are released early (P8)."""
    parts, reduced, detail = [], {}, {}
    dense = base(runs, "dense")
    for name in ("neurons", "weights"):
        if f"small/{name} released" not in runs:
            continue
        released, fixed = runs[f"small/{name} released"], runs[f"small/{name} random_fixed released"]
        words = label_of(released)
        r = config_of(dense).data.minority_ratio
        named = {
            "no mask": f"small/dense r={r:g}",
            "never released": f"small/{name} r={r:g}",
            "released": f"small/{name} released",
            "fixed random, released": f"small/{name} random_fixed released",
        }
        reduced[f"release {words}"] = _counts(runs, named["no mask"], named)
        detail["step"] = config_of(released).prune.stop_step
        parts += [
            _more(dense, released, dense, f"A released mask leaves more minority specialists ({words}).",
                  "learning with fewer neurons for a while"),
            _more(fixed, released, dense, f"More than a fixed random mask that is released ({words}).",
                  "learning with fewer neurons for a while"),
            _more(released, base(runs, name), dense, f"Fewer than with a mask to the end ({words}).",
                  "what counts is decided early"),
        ]  # fmt: skip
    return judged(parts), detail, reduced
