"""What do the runs say about the outcome of pruning: P4 to P8 of theory 8.5?

Each function takes the runs by key (`pruning.keys`) and the main configuration.
"""

import numpy as np
import xarray as xr

from dynsim.analysis import outcomes
from dynsim.analysis.outcomes import end_difference
from dynsim.config import Config
from dynsim.results.dataset import config_of
from dynsim.stats.verdicts import judge_settings, judged
from experiments.pruning import measures
from experiments.pruning import runs as table
from experiments.pruning.claims import claim
from experiments.pruning.keys import MAIN_DENSE, MASKED, FactorKey, Key, RunKey, Shape
from experiments.pruning.measures import slope
from experiments.pruning.shared import Judged, Measured, NamedRuns, PairedRow, base, base_key, label_of, row

COUNT = "minority specialists"
BOTH_SHAPES: tuple[Shape, ...] = ("main", "small")
COMPARED = (*MASKED, "literal")
"""The prunings that P5 holds against placebos, where they were run."""
P7_HEADINGS = {False: "equal frequencies, r = 1", True: "r = 1, minority kept with chance 1/2"}
"""{whether the imbalance is implicit: heading}."""


def section_of(shape: str, name: str) -> str:
    """Return the heading under which P5 lists a pruning and its placebos."""
    return f"{shape} shape, {name}"


def release_of(pruning: str) -> str:
    """Return under which name the curves of released masks are kept; `pruning` in words."""
    return f"release {pruning}"


def p4(runs: NamedRuns, config: Config) -> Judged:
    """End states against r (P4)."""
    swept = {key.ratio for key in runs if isinstance(key, RunKey) and key.variant == "dense"}
    ratios = sorted(ratio for ratio in swept if ratio is not None)
    x, dense = np.log(ratios), [runs[RunKey("small", "dense", ratio=r)] for r in ratios]
    parts: list[Measured] = []
    arrays: list[xr.DataArray] = []
    names = []
    for name in MASKED:
        at_ratios = [runs[RunKey("small", name, ratio=r)] for r in ratios]
        ends = measures.end_states(dense, at_ratios)
        pruning = label_of(at_ratios[0])
        names.append(pruning)
        for moment, quantities in ends.items():
            for quantity, values in quantities.items():
                unpruned, pruned = slope(x, values.transpose(0, 2, 1))  # each (seed,)
                words = {"quantity": quantity, "moment": moment, "pruning": pruning}
                if name == "neurons" and moment == "equal steps":
                    parts.append((claim("P4", "unpruned", **words), unpruned))
                parts.append((claim("P4", "pruned", **words), pruned))
                parts.append((claim("P4", "smaller", **words), unpruned - pruned))
        stacked = np.stack([np.stack(list(quantities.values())) for quantities in ends.values()])
        arrays.append(xr.DataArray(stacked, dims=("moment", "quantity", "run", "ratio", "seed")))
    joined = xr.concat(arrays, xr.Variable("variant", names))
    coords = {"moment": list(measures.COMPARED_AT), "quantity": list(measures.QUANTITIES), "ratio": ratios}
    return judged(parts), {}, {"end_states": xr.Dataset({"end_state": joined.assign_coords(coords)})}


def p5(runs: NamedRuns, config: Config) -> Judged:
    """Placebos, and what pruning is worth without them (P5)."""
    parts: list[Measured] = []
    sections = {}
    for shape in BOTH_SHAPES:
        for name in COMPARED:
            if (run := _of_shape(runs, shape, name)) is None:
                continue
            dense = runs[MAIN_DENSE] if shape == "main" else base(runs, "dense")
            words = {"pruning": label_of(run), "shape": shape}
            parts.append((claim("P5", "more than none", **words), end_difference(dense, dense, run, COUNT)))
            rows = [row(label_of(run), dense, run, ("prune",), True)]
            for kind in table.PLACEBOS:
                if (placebo := runs.get(RunKey(shape, name, kind))) is None:
                    continue
                said = claim("P5", "more than masks", placebo=label_of(placebo), **words)
                parts.append((said, end_difference(dense, placebo, run, COUNT)))
                rows.append(row(label_of(placebo), dense, placebo, ("prune",), False))
            sections[section_of(shape, name)] = rows
    dense, rows = base(runs, "dense"), []
    for name in (*table.OTHERS, "oracle"):
        if (placebo := runs.get(RunKey("small", name))) is None:
            continue
        fields = ("own",) if name == "oracle" else tuple(table.OTHERS[name])
        words_of = "inverse-frequency loss" if name == "oracle" else name
        rows.append(row(words_of, dense, placebo, fields, False))
        for variant in MASKED:
            run = base(runs, variant)
            said = claim("P5", "more than others", pruning=label_of(run), placebo=words_of)
            parts.append((said, end_difference(dense, placebo, run, COUNT)))
    sections["small shape, without a mask"] = rows
    of_main: dict[str, Key] = {
        label_of(runs[key]): key for key in runs if isinstance(key, RunKey) and key.shape == "main"
    }
    return judged(parts), {"rows": sections}, {"counts": _counts(runs, MAIN_DENSE, of_main)}


def _of_shape(runs: NamedRuns, shape: Shape, name: str) -> xr.Dataset | None:
    """Return a pruning at the frequency ratio of the command line, None where it was not run at that shape."""
    return runs.get(RunKey("main", name) if shape == "main" else base_key(runs, name))


def _counts(runs: NamedRuns, dense: Key, named: dict[str, Key]) -> xr.Dataset:
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
    rows: dict[str, list[PairedRow]] = {}
    for key, run in runs.items():
        if isinstance(key, FactorKey):
            prune = config_of(run).prune
            rows.setdefault(key.factor, []).append(row(key.level, dense, run, ("prune",), prune.rate > 0))
    effects = [one["minority"] for of in rows.values() for one in of if one["filled"]]
    tested = [one for one in effects if one is not None and one["low"] is not None]
    worse = sum(one["high"] < 0 for one in tested)
    better = sum(one["low"] > 0 for one in tested)
    ends = [one["estimate"] for one in tested]
    said = claim("P6", "whatever")
    entry = {
        "claim": said.claim,
        "quantity": said.quantity,
        "measured": better,
        "interval": [min(ends, default=None), max(ends, default=None)],
        "interval_is": "smallest and largest mean difference over the settings",
        "settings": len(tested),
        "settings_with_fewer": worse,
        "seeds": int(dense.sizes["seed"]),
        "verdict": judge_settings(len(tested), better, worse),
        "rival": said.rival,
        "what_would_refute": said.refuted_by,
    }
    return [entry], {"rows": rows}, {}


def _balanced(variant: str, implicit: bool) -> RunKey:
    """Return the key of a run with equally frequent features, some of which `implicit` drops from the second view."""
    return RunKey("small", variant, implicit=True) if implicit else RunKey("small", variant, ratio=1.0)


def p7(runs: NamedRuns, config: Config) -> Judged:
    """Equal frequencies, and an imbalance that no frequency shows (P7)."""
    parts: list[Measured] = []
    rows: dict[str, list[PairedRow]] = {}
    for implicit, heading in P7_HEADINGS.items():
        if (dense := runs.get(_balanced("dense", implicit))) is None:
            continue
        rows[heading] = []
        for name in MASKED:
            if (run := runs.get(_balanced(name, implicit))) is None:
                continue
            words = label_of(run)
            rows[heading].append(row(words, dense, run, ("prune",), True))
            more = end_difference(dense, dense, run, COUNT)
            if implicit:
                parts.append((claim("P7", "implicit", pruning=words), more))
            else:
                unpruned = outcomes.MEASURES[COUNT](outcomes.at_end(dense))
                parts.append((claim("P7", "equal", pruning=words), more / np.maximum(unpruned, 1)))
    return judged(parts), {"rows": rows}, {}


def p8(runs: NamedRuns, config: Config) -> Judged:
    """Masks that are released early (P8)."""
    parts: list[Measured] = []
    reduced: dict[str, xr.Dataset] = {}
    detail: dict[str, int] = {}
    dense = base(runs, "dense")
    for name in MASKED:
        key = RunKey("small", name, released=True)
        if key not in runs:
            continue
        released, fixed = runs[key], runs[key._replace(placebo="random_fixed")]
        words = label_of(released)
        named: dict[str, Key] = {
            "no mask": base_key(runs, "dense"),
            "never released": base_key(runs, name),
            "released": key,
            "fixed random, released": key._replace(placebo="random_fixed"),
        }
        reduced[release_of(words)] = _counts(runs, named["no mask"], named)
        detail["step"] = config_of(released).prune.stop_step
        held_against = {"more than none": dense, "more than random": fixed}
        for than, other in held_against.items():
            parts.append((claim("P8", than, pruning=words), end_difference(dense, other, released, COUNT)))
        more_kept = end_difference(dense, released, base(runs, name), COUNT)
        parts.append((claim("P8", "fewer than kept", pruning=words), more_kept))
    return judged(parts), detail, reduced
