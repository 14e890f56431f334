"""Where does pruning by magnitude help minority features, where does nothing happen, and where does it harm?

Claim (Liao et al. 2026, Theorem 3.2, as read in the notes that this project works from): training with the neurons of
lowest magnitude masked gives minority features more specialists. The map varies one factor at a time around a small
base point, and has two points where the paper's own assumptions lie (`pruning.points`). At every point three ways of
pruning stand against dense runs and against random masks, seed by seed, at equal steps and at equal held-out loss.
Claims are searched for on the seeds 1000 to 1005 and confirmed on 2000 to 2009; only confirmed ones are to be quoted.

Command:  python experiments/pruning_regimes.py [--preset quick|large] [--redraw]

Time:     default about 20 minutes on 2 CPU cores at the first run, half of it compilation; quick about 40 seconds.

Expected: masks of single weights on one branch help at the base point, also against fixed random masks, but not at
          equal loss; masks of neurons make no difference or harm; fixed random masks explode under straight-through.

Writes summary.json and the figures into <out>/pruning_regimes-<preset>/; the last line printed is the path of
summary.json. A stopped run goes on with the same command.
"""

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from dynsim.cli import parse_plain, run_main, set_up_jax
from dynsim.config import Config, replace
from experiments.pruning import points as _regime_points
from experiments.pruning.points import PLACEBOS, READINGS, Point

PROGRAM = "pruning_regimes.py"
N_HELD_OUT = 4  # batches per record of the loss that runs are compared at


@dataclass(frozen=True)
class PruningRegimes:
    """Options of this experiment."""

    preset: Literal["default", "quick", "large"] = "default"
    """quick: four points at toy size; large: all points around the default configuration of the simulator."""
    out: Path = Path("results")
    """Folder for results."""
    redraw: bool = False
    """Draw again from the saved summary without simulating."""
    device: Literal["auto", "cpu", "gpu", "tpu"] = "auto"
    """Where to run; auto takes the fastest that JAX finds."""


class Plan(NamedTuple):
    """What a preset runs."""

    base: Config
    points: list[Point]
    search: range
    """Seeds on which claims are found."""
    confirm: range
    """Fresh seeds on which they are confirmed."""
    most: dict[str, int]
    """Most claims to confirm, by direction."""
    readings: tuple[str, ...] = tuple(READINGS)


def plan(preset: str) -> Plan:
    """Return what a preset runs."""
    if preset == "quick":
        sizes = _regime_points.SMALL | {"data.n_features": 8, "data.token_dim": 16, "encoder.n_neurons": 24,
                                       "data.batch_size": 32, "train.n_steps": 400}  # fmt: skip
        base = _regime_points.base_config(sizes)
        return Plan(base, _regime_points.few_points(base), range(1000, 1004), range(2000, 2005),
                    {"helps": 1, "harms": 1}, ("one branch, weights 0.6",))  # fmt: skip
    if preset == "large":
        base = _regime_points.base_config({})
        return Plan(base, _regime_points.all_points(base), range(1000, 1008), range(2000, 2016),
                    {"helps": 24, "harms": 12})  # fmt: skip
    base = _regime_points.base_config(_regime_points.SMALL)
    points = _regime_points.all_points(base)
    return Plan(base, points, range(1000, 1006), range(2000, 2010), {"helps": 8, "harms": 4})


def reading_config(base: Config, point: Point, reading: str, kind: str = "lowest") -> Config:
    """Return the configuration of one reading at a point; of a placebo where `kind` is that of a random mask."""
    return replace(base, **point.changes, **READINGS[reading], **point.masks, **{"prune.kind": kind})


@cache
def _record_fn(shape: Config) -> Any:
    """Return the record function of a structure: always the same object, so that its program is compiled once."""
    from dynsim.engine import mask_effect, train

    return mask_effect.recorder_with_loss(train.built_in_parts(shape), N_HELD_OUT)


def run(folder: Path, config: Config, seeds: range) -> Any:
    """Return the result of one configuration; the same one at two points is simulated once."""
    from dynsim.config.serial import config_hash
    from dynsim.engine.numbers import resolve
    from dynsim.study import simulate_part

    name = f"run {config_hash(config, seeds)}"
    return simulate_part(folder, name, config, seeds, record_fn=_record_fn(resolve(config).structure))


def evidence_at(folder: Path, wanted: Plan, point: Point, reading: str, *, fresh: bool) -> dict[str, Any]:
    """Simulate one reading, its dense pair and the placebos that it needs at one point; return `regimes.evidence`.

    The search asks for a placebo only where the reading differs from the dense runs; each further placebo is for the
    case that the one before it loses its runs.
    """
    from experiments.pruning import regimes

    base, seeds = wanted.base, wanted.confirm if fresh else wanted.search
    options = {"n_resamples": 9999 if fresh else 999}
    dense = run(folder, replace(base, **point.changes), seeds)
    pruned = run(folder, reading_config(base, point, reading), seeds)
    found = regimes.evidence(dense, pruned, **options)
    against_dense = regimes.usable_contrasts(found).get("dense")
    if not fresh and (against_dense is None or regimes.sign(against_dense) == 0):
        return found
    for kind in PLACEBOS[reading]:
        placebo = run(folder, reading_config(base, point, reading, kind), seeds)
        found = regimes.with_side(found, kind, placebo, pruned, **options)
        if regimes.is_usable(found["contrasts"][kind]):
            break
    return found


def driver_at(folder: Path, wanted: Plan, point: Point) -> dict[str, Any]:
    """Return `regimes.driver_summary` at the ends of the dense runs of a point that are sound; empty without three."""
    import numpy as np

    from dynsim.analysis.groups import minority_mask
    from experiments.pruning import regime_driver, regimes

    config = replace(wanted.base, **point.changes)
    dense = run(folder, config, wanted.search)
    sound = np.flatnonzero(regimes.is_sound(dense))
    if sound.size < regimes.FEWEST:
        return {}
    masks = {reading: reading_config(wanted.base, point, reading).prune for reading in wanted.readings}
    found = regime_driver.feature_drivers_at_end(dense.isel(seed=sound), masks)
    return regime_driver.driver_summary(found, minority_mask(dense))


def search(folder: Path, wanted: Plan) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return ({point: {reading: evidence}}, {point: drivers}) on the search seeds."""
    found: dict[str, dict[str, Any]] = {}
    drivers: dict[str, dict[str, Any]] = {}
    for k, point in enumerate(wanted.points):
        print(f"point {k + 1} of {len(wanted.points)}, {point.name}", flush=True)
        found[point.name] = {
            reading: evidence_at(folder, wanted, point, reading, fresh=False) for reading in wanted.readings
        }
        drivers[point.name] = driver_at(folder, wanted, point)
    return found, drivers


def confirm(folder: Path, wanted: Plan, chosen: set[tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """Return {point: {reading: evidence}} of the chosen (point, reading) on the fresh seeds."""
    found: dict[str, dict[str, Any]] = {}
    for point in wanted.points:
        readings = [reading for reading in wanted.readings if (point.name, reading) in chosen]
        if readings:
            print(f"confirming {point.name}: {', '.join(readings)}", flush=True)
            found[point.name] = {
                reading: evidence_at(folder, wanted, point, reading, fresh=True) for reading in readings
            }
    return found


def simulate_all(options: PruningRegimes, folder: Path) -> dict[str, Any]:
    """Search and confirm at all points; return the summary but for provenance and times."""
    from experiments.pruning import regime_driver, regimes

    wanted = plan(options.preset)
    regimes.check_seeds(wanted.search, wanted.confirm)
    searched, drivers = search(folder, wanted)
    claims = regimes.claims(searched)
    chosen = {(claim.point, claim.reading) for claim in regimes.to_confirm(claims, wanted.most)}
    chosen |= {(point.name, reading) for point in wanted.points if point.always for reading in wanted.readings}
    confirmed = confirm(folder, wanted, chosen)
    points = [point_numbers(point, searched[point.name], confirmed.get(point.name, {})) for point in wanted.points]
    for one in points:
        one["driver"] = drivers[one["name"]]
    balanced = confirmed.get("imbalance: r = 1", {})
    return {
        "points": points,
        "claims": [{**c._asdict(), "tested_on_fresh_seeds": (c.point, c.reading) in chosen} for c in claims],
        "noise_level": {reading: regimes.noise_level(found) for reading, found in balanced.items()},
        "rank_correlation": {reading: regime_driver.correlations(points, reading) for reading in wanted.readings},
        "readings": list(wanted.readings),
        "search_seeds": list(wanted.search),
        "confirmation_seeds": list(wanted.confirm),
    }


def point_numbers(point: Point, searched: dict[str, Any], confirmed: dict[str, Any]) -> dict[str, Any]:
    """Return what the summary says of a point; verdicts rest on the confirmation where there is one."""
    from experiments.pruning import regimes

    readings = {}
    for reading, found in searched.items():
        best = confirmed.get(reading, found)
        readings[reading] = {
            "verdict": regimes.verdict(best),
            "verdict_at_equal_loss": regimes.verdict(best, "equal loss"),
            "seeds": "confirmation" if reading in confirmed else "search",
            "nothing_learned": regimes.learned_nothing(best),
            "search": found,
            "confirmation": confirmed.get(reading),
        }
    return {
        "name": point.name,
        "axis": point.axis,
        "label": point.label,
        "paper": point.paper,
        "changes": point.changes | point.masks,
        "readings": readings,
    }


def table_text(numbers: dict[str, Any]) -> str:
    """Return per reading its verdicts, the noise level, and a line per confirmed point that helps or harms."""
    lines = []
    for reading in numbers["readings"]:
        of_reading = [(one["name"], one["readings"][reading]) for one in numbers["points"]]
        counts: dict[str, int] = {}
        for _, found in of_reading:
            key = f"{found['verdict']} ({found['seeds']})"
            counts[key] = counts.get(key, 0) + 1
        lines.append(f"{reading}: " + ", ".join(f"{n} {key}" for key, n in sorted(counts.items())))
        if noise := numbers["noise_level"].get(reading):
            lines.append("  at r = 1 the two groups differ by {:+.1f} [{:+.1f}, {:+.1f}]".format(*noise))
        for name, found in of_reading:
            if found["seeds"] == "confirmation" and found["verdict"] in ("helps", "harms"):
                spans = found["confirmation"]["contrasts"]
                texts = [_span_text(side, one) for side, one in spans.items() if "equal steps" in one]
                lines.append(f"  {found['verdict']:<6} {name}: {'; '.join(texts)}")
    return "\n".join(lines)


def _span_text(side: str, one: dict[str, Any]) -> str:
    from experiments.pruning.regimes import PRIMARY

    estimate, low, high = one["equal steps"][PRIMARY]
    return f"{estimate:+.1f} [{low:+.1f}, {high:+.1f}] against {side}"


def draw(numbers: dict[str, Any], reduced: dict[str, Any], folder: Path) -> list[Path]:
    """Draw both figures into a folder and return their paths; `reduced` is not used, all numbers are in the summary."""
    from dynsim import plots
    from experiments.pruning import regime_map

    figures = {"map": regime_map.regime_map(numbers), "driver": regime_map.driver_map(numbers)}
    metadata = {"experiment": PROGRAM, "commit": numbers["provenance"]["commit"], "config": numbers["config_hash"]}
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        plots.save_figure(figure, paths[-1], regime_map.CAPTIONS[name], metadata)
    return paths


def study(options: PruningRegimes) -> Path:
    """Simulate, save, draw and print; return the folder."""
    from dynsim import results
    from dynsim.config import serial
    from dynsim.study import finish

    began = time.perf_counter()
    folder = options.out / f"pruning_regimes-{options.preset}"
    if options.redraw:
        numbers = results.load_json(folder / "summary.json")
    else:
        wanted = plan(options.preset)
        numbers = simulate_all(options, folder)
        numbers |= {
            "config": serial.to_dict(wanted.base),
            # the figure has many configurations: the hash is that of the base point, the changes are all in "points"
            "config_hash": serial.config_hash(wanted.base, wanted.search),
            "provenance": results.provenance(),
            "total_wall_s": round(time.perf_counter() - began, 1),
        }
        results.save_json(numbers, folder / "summary.json")
        finish(folder)
    print(table_text(numbers))
    for path in draw(numbers, {}, folder):
        print(path)
    print(folder / "summary.json")
    return folder


def main(arguments: list[str] | None = None) -> None:
    """Run from a command line."""
    options = parse_plain(PruningRegimes, arguments, program=PROGRAM, description=__doc__ or "")
    set_up_jax(options.device, "float32", PROGRAM)
    run_main(lambda: study(options), PROGRAM)


if __name__ == "__main__":
    main()
