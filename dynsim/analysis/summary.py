"""The main numbers of a set of runs: plain dictionaries for summary.json, and the table that is printed."""

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

from dynsim import results
from dynsim.analysis import groups, stages
from dynsim.analysis.groups import minority_mask
from dynsim.analysis.stages import STAGES, GroupEnds, StageEnd, Trajectory
from dynsim.config import serial
from dynsim.results.sealed import Json
from dynsim.theory import GROUPS
from dynsim.theory.specialists import COVERED, NORM_FLOOR, Snapshot, is_active, is_specialist, purity, residual_share

FLOORS = (0.03, 0.1, 0.3)
ALL_BELOW = round(1 / (1 - COVERED))
"""Of fewer features than this, the share `COVERED` of whole features is all of them."""
_NEARLY_ALL = f"{COVERED:.0%} of the features that end with a specialist (all of fewer than {ALL_BELOW})"
_LEGEND = f"""
  T1   end of collective growth: projections on the group's features have outgrown the initial weights
  T2   end of specialisation: {_NEARLY_ALL} have one
  T3   convergence: the number of specialists and their projections stay near their final values
  T1*  under "all", where both groups count together: the squared norms of the weights have doubled, an earlier event
A specialist is a neuron that has learned one feature; coverage is the share of the features with at least one.
""".strip("\n")
"""What the rows of the printed table are; the rules are in `stages`."""
_FEWER = """Each row is over the seeds in which its stage was found, and shows "-" where these are fewer than half. Of a
later stage that was found in fewer seeds the median may come before that of an earlier one."""


def seed_trajectory(result: xr.Dataset, position: int) -> Trajectory:
    """Return the record of the run at one position of the seed axis."""
    one = result.isel(seed=position)
    snapshot = Snapshot(*(one[name].values for name in Snapshot._fields))
    return Trajectory(result["step"].values, snapshot)


def all_stage_ends(result: xr.Dataset, **options: float) -> list[GroupEnds]:
    """Return `stages.find_stages` of every seed, in the order of the seed axis."""
    minority = minority_mask(result)
    lost = dict.fromkeys(STAGES, StageEnd(None, "the run diverged", {}))
    return [
        stages.find_stages(seed_trajectory(result, position), minority, **options)
        if result["diverged_step"].values[position] < 0
        else dict.fromkeys(groups.group_masks(minority), lost)
        for position in range(result.sizes["seed"])
    ]


def finite_runs(result: xr.Dataset) -> xr.Dataset:
    """Return the runs of a result that did not diverge; its seed axis may then be empty."""
    return result.isel(seed=np.flatnonzero(result["diverged_step"].values < 0))


def _per_group(specialists: np.ndarray, minority: np.ndarray) -> dict[str, Json]:
    """Return specialists and coverage per group of Boolean `specialists` (neuron, feature)."""
    out = {}
    for name, mask in groups.group_masks(minority).items():
        own = specialists[:, mask]
        out[name] = {"specialists": int(own.sum()), "coverage": float(own.any(axis=0).mean())}
    return out


def counts_at(result: xr.Dataset, ends: list[GroupEnds], norm_floor: float = NORM_FLOOR) -> list[Json]:
    """Return per seed {moment: {group: {specialists, coverage}}} at T1, T2, T3 (each group's own) and the end."""
    minority = minority_mask(result)
    out = []
    for position, found in enumerate(ends):
        trajectory = seed_trajectory(result, position)
        snapshot = trajectory.snapshot

        def at(record: int, snapshot: Snapshot = snapshot) -> dict[str, Json]:
            one = [part[record] for part in (snapshot.alignment, snapshot.weight_norm, snapshot.firing)]
            return _per_group(is_specialist(*one, norm_floor=norm_floor), minority)

        moments: Json = {"end": at(-1)}
        for stage in STAGES:
            moments[stage] = {}
            for group in found:
                step = found[group][stage].step
                record = None if step is None else int(np.flatnonzero(trajectory.steps == step)[0])
                moments[stage][group] = None if record is None else at(record)[group]
        out.append(moments)
    return out


def stage_table(result: xr.Dataset, ends: list[GroupEnds]) -> Json:
    """Return {seed: {group: {T1: step or null, T1_reason: why not, T1_evidence: {...}, ...}}}.

    The evidence is that of `stages.StageEnd`: among it `after`, the record before the end.
    """
    table: Json = {}
    for seed, found in zip(result["seed"].values, ends, strict=True):
        rows: Json = {}
        for group, by_stage in found.items():
            rows[group] = {}
            for stage, end in by_stage.items():
                rows[group][stage] = end.step
                rows[group][f"{stage}_evidence"] = {name: _number(value) for name, value in end.evidence.items()}
                if end.step is None:
                    rows[group][f"{stage}_reason"] = end.reason
        table[str(int(seed))] = rows
    return table


def control_numbers(result: xr.Dataset) -> Json:
    """Return n_seeds, n_diverged, found (see `found_counts`) and specialists_at_end of a control.

    Diverged runs are left out; if all diverged, only the first two numbers are there.
    """
    good = finite_runs(result)
    n_good = good.sizes["seed"]
    out: Json = {"n_seeds": n_good, "n_diverged": result.sizes["seed"] - n_good}
    if n_good:
        ends = all_stage_ends(good)
        out["found"] = found_counts(ends)
        out["specialists_at_end"] = pick(counts_at(good, ends), "specialists")["end"]
    return out


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def found_counts(ends: list[GroupEnds]) -> dict[str, dict[str, int]]:
    """Return {group: {stage: number of seeds in which it was found}}; at least one seed."""
    groups = [group for group in GROUPS if group in ends[0]]
    return {
        group: {stage: sum(found[group][stage].step is not None for found in ends) for stage in STAGES}
        for group in groups
    }


def purity_quantiles(result: xr.Dataset) -> dict[str, float]:
    """Return quantiles of the purity of the neurons above the norm floor at the last record, all seeds pooled."""
    last = result.isel(record=-1)
    norm = last["weight_norm"].values
    pure = purity(last["alignment"].values, norm)[is_active(norm)]
    return {f"{q:g}": float(np.quantile(pure, q)) for q in (0.1, 0.25, 0.5, 0.75, 0.9)}


def summarise(result: xr.Dataset, ends: list[GroupEnds]) -> Json:
    """Return config, provenance, stages, counts, purity, residual share and loss of a run set.

    Diverged runs are listed with their step and left out of everything else.
    """
    provenance = results.provenance_of(result)
    diverged = result["diverged_step"].values
    good = diverged < 0
    out: Json = {
        "config": serial.to_dict(results.config_of(result)),
        "provenance": provenance,
        "seeds": [int(seed) for seed in result["seed"].values],
        "diverged": {
            str(int(seed)): {"step": int(at), "reason": str(why)}
            for seed, at, why in zip(result["seed"].values, diverged, result["diverged_reason"].values, strict=True)
            if at >= 0
        },
        "false_firing_rate": result.attrs.get("false_firing_rate"),
        "wall_s": provenance["wall_s"],
        "steps_per_s": provenance["steps_per_s"],
    }
    if not good.any():
        return out
    kept = finite_runs(result)
    ends = [found for found, ok in zip(ends, good, strict=True) if ok]
    last = kept.isel(record=-1)
    loss = kept["loss"].values[:, -1]
    share = residual_share(last["residual_norm"].values, last["weight_norm"].values)
    counts = counts_at(kept, ends)
    out |= {
        "seeds_used": [int(seed) for seed in kept["seed"].values],
        "switch_step": [int(step) for step in kept["switch_step"].values],
        "records_before_switch": [int(np.sum(kept["step"].values < s)) for s in kept["switch_step"].values],
        "stages": stage_table(kept, ends),
        "stages_found": found_counts(ends),
        "specialists": pick(counts, "specialists"),
        "coverage": pick(counts, "coverage"),
        "specialists_at_norm_floor": {
            f"{floor:g}": pick(counts_at(kept, ends, floor), "specialists")["end"] for floor in FLOORS
        },
        "purity": purity_quantiles(kept),
        "residual_share": float(np.mean(share[is_active(last["weight_norm"].values)])),
        "final_loss": {"mean": float(loss.mean()), "per_seed": [float(value) for value in loss]},
    }
    return out


def pick(counts: list[Json], what: str) -> Json:
    """Return {moment: {group: [value per seed, null where the stage was not found]}}."""
    groups = list(counts[0]["end"])
    return {
        moment: {
            group: [None if row[moment][group] is None else row[moment][group][what] for row in counts]
            for group in groups
        }
        for moment in (*STAGES, "end")
    }


def spread_text(values: Sequence[float | None], digits: int = 0) -> str:
    """Return "median [min, max]" of the values that are known, or "-" where these are none or fewer than half."""
    known = [value for value in values if value is not None]
    if not known or 2 * len(known) < len(values):
        return "-"
    middle = float(np.median(known))
    return f"{middle:.{digits}f} [{min(known):.{digits}f}, {max(known):.{digits}f}]"


def table_text(summary: Json) -> str:
    """Return the printed table: stage ends and specialists per group, median [min, max] over seeds, and a legend."""
    gone = [f"diverged: seed {s} at step {end['step']}, {end['reason']}" for s, end in summary["diverged"].items()]
    if "stages" not in summary:
        return "\n".join(["no run to summarise", *gone])
    seeds = list(summary["stages"].values())
    number = f"{len(seeds)} seed" + ("s" if len(seeds) > 1 else "")
    lines = [f"Stages of training: median [min, max] over {number}; found says in how many of them.", _LEGEND, ""]
    lines += [f"{'group':<10}{'stage':<7}{'found':<8}{'step':<20}{'specialists':<18}coverage"]
    for group in seeds[0]:
        for stage in (*STAGES, "end"):
            counts = summary["specialists"][stage][group]
            cover = summary["coverage"][stage][group]
            if stage == "end":
                found, step = "", ""
            else:
                steps = [row[group][stage] for row in seeds]
                found, step = f"{sum(s is not None for s in steps)}/{len(seeds)}", spread_text(steps)
            name = stage_name(group, stage)
            lines.append(f"{group:<10}{name:<7}{found:<8}{step:<20}{spread_text(counts):<18}{spread_text(cover, 2)}")
    if any(len({sum(row[group][stage] is not None for row in seeds) for stage in STAGES}) > 1 for group in seeds[0]):
        lines.append(_FEWER)
    if controls := summary.get("controls"):
        lines += ["", "Null controls: in how many of their runs each stage was found."]
        lines += [line for name, control in controls.items() for line in _control_lines(name, control)]
    lines += _not_found_lines(seeds)
    if (rate := summary.get("false_firing_rate")) is not None:
        lines.append(f"false firing: noise alone makes a neuron fire on {rate:.3g} of the tokens")
    return "\n".join(lines + gone)


def stage_name(group: str, stage: str) -> str:
    """Return what a printed table calls a stage end; T1 of all features is another event than T1 of a group."""
    return "T1*" if (group, stage) == ("all", "T1") else stage


def _not_found_lines(seeds: Sequence[Json]) -> list[str]:
    """Return one line per group, stage and reason for which a stage end was not found, with the number of seeds."""
    why = [
        (group, stage, row[group][f"{stage}_reason"])
        for group in seeds[0]
        for stage in STAGES
        for row in seeds
        if f"{stage}_reason" in row[group]
    ]
    each = {one: why.count(one) for one in dict.fromkeys(why)}
    return [f"not found: {group} {stage} in {n}/{len(seeds)}: {text}" for (group, stage, text), n in each.items()]


def _control_lines(name: str, control: Json) -> list[str]:
    """Return the rows of one control: in how many runs each stage was found, per group."""
    n = control["n_seeds"]
    title = f"control {name}, {n} runs" + (f" ({control['n_diverged']} diverged)" if control["n_diverged"] else "")
    rows = []
    for group, found in control.get("found", {}).items():
        stages_found = "  ".join(f"{stage} in {found[stage]}/{n}" for stage in STAGES)
        at_end = spread_text(control["specialists_at_end"][group])
        rows.append(f"  {group:<10}{stages_found}  specialists at the end {at_end}")
    return [title, *rows]


def as_text(values: Json) -> str:
    """Return a dictionary as indented JSON."""
    return json.dumps(values, indent=1)
