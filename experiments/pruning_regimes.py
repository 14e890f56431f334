"""Where does pruning by magnitude help minority features, where does nothing happen, and where does it harm?

Claim (Liao et al. 2026, Theorem 3.2, as read in paper_checks/theory.md): training with the neurons of
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

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if __name__ == "__main__":  # says in one line which packages are missing, before they are imported
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from dynsim import environment

    environment.check_python(__file__)

from dynsim import experiment
from dynsim.config import Config, replace
from dynsim.experiment import Experiment
from experiments.pruning import points as _regime_points
from experiments.pruning.points import READING_PLACEBOS, READINGS, Point

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BALANCED_POINT = "imbalance: r = 1"  # the point at which both groups are equally frequent
TOY = {
    "data.n_features": 8,
    "data.token_dim": 16,
    "encoder.n_neurons": 24,
    "data.batch_size": 32,
    "train.n_steps": 400,
}
N_HELD_OUT = 4  # batches per record of the loss that runs are compared at


@dataclass(frozen=True)
class PruningRegimes:
    """Options of this experiment."""

    preset: Literal["default", "quick", "large"] = "default"
    """What is run, and how long it takes on 2 CPU cores.
    - default: all points of the map at 16 features; about 20 minutes, half of it compilation at the first run
    - quick: four points at toy size, to see what it prints; about 40 seconds, no evidence
    - large: all points around the default configuration of the simulator; hours, meant for an accelerator"""
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
        base = _regime_points.base_config(_regime_points.SMALL | TOY)
        points, most = _regime_points.few_points(base), {"helps": 1, "harms": 1}
        return Plan(base, points, range(1000, 1004), range(2000, 2005), most, ("one branch, weights 0.6",))
    if preset == "large":
        base = _regime_points.base_config({})
        points, most = _regime_points.all_points(base), {"helps": 24, "harms": 12}
        return Plan(base, points, range(1000, 1008), range(2000, 2016), most)
    base = _regime_points.base_config(_regime_points.SMALL)
    points = _regime_points.all_points(base)
    return Plan(base, points, range(1000, 1006), range(2000, 2010), {"helps": 8, "harms": 4})


def reading_config(base: Config, point: Point, reading: str, kind: str = "lowest") -> Config:
    """Return the configuration of one reading at a point; of a placebo where `kind` is that of a random mask."""
    return replace(base, **point.changes, **READINGS[reading], **point.masks, **{"prune.kind": kind})


@cache
def _record_fn(structure: Config) -> Any:
    """Return the record function of a structure: always the same object, so that its program is compiled once."""
    from dynsim.engine import mask_effect, train

    return mask_effect.recorder_with_loss(train.built_in_parts(structure), N_HELD_OUT)


def regime_run_name(config: Config, seeds: range) -> str:
    """Return the name of a part of the study: equal configurations share it."""
    from dynsim.config.serial import config_hash

    return f"run {config_hash(config, seeds)}"


def run_at(folder: Path, config: Config, seeds: range) -> Any:
    """Return the result of one configuration; the same one at two points is simulated once."""
    from dynsim.engine.numbers import resolve
    from dynsim.study import simulate_part

    record = _record_fn(resolve(config).structure)
    return simulate_part(folder, regime_run_name(config, seeds), config, seeds, record_fn=record)


def evidence_at(folder: Path, wanted: Plan, point: Point, reading: str, *, fresh: bool) -> dict[str, Any]:
    """Simulate one reading, its dense pair and the placebos that it needs at one point; return `regimes.evidence`.

    The search asks for a placebo only where the reading differs from the dense runs; each further placebo is for the
    case that the one before it loses its runs.
    """
    from experiments.pruning import regimes

    base, seeds = wanted.base, wanted.confirm if fresh else wanted.search
    options = {"n_resamples": 9999 if fresh else 999}
    dense = run_at(folder, replace(base, **point.changes), seeds)
    pruned = run_at(folder, reading_config(base, point, reading), seeds)
    found = regimes.evidence(dense, pruned, **options)
    against_dense = regimes.usable_contrasts(found).get("dense")
    if not fresh and (against_dense is None or regimes.sign(against_dense) == 0):
        return found
    for kind in READING_PLACEBOS[reading]:
        placebo = run_at(folder, reading_config(base, point, reading, kind), seeds)
        found = regimes.with_side(found, kind, placebo, pruned, **options)
        if regimes.is_usable(found["contrasts"][kind]):
            break
    return found


def driver_at(folder: Path, wanted: Plan, point: Point) -> dict[str, Any]:
    """Return `regime_driver.driver_summary` of a point's sound unpruned runs at their end; empty for under three."""
    from dynsim.analysis import outcomes
    from dynsim.analysis.groups import minority_mask
    from dynsim.stats.intervals import FEWEST_SEEDS
    from experiments.pruning import regime_driver

    config = replace(wanted.base, **point.changes)
    dense = run_at(folder, config, wanted.search)
    sound = outcomes.sound_by_loss(dense).nonzero()[0]
    if sound.size < FEWEST_SEEDS:
        return {}
    masks = {reading: reading_config(wanted.base, point, reading).prune for reading in wanted.readings}
    found = regime_driver.feature_drivers_at_end(dense.isel(seed=sound), masks)
    return regime_driver.driver_summary(found, minority_mask(dense))


def search(folder: Path, wanted: Plan) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return ({point: {reading: evidence}}, {point: drivers}) on the search seeds."""
    from dynsim import study

    found: dict[str, dict[str, Any]] = {}
    drivers: dict[str, dict[str, Any]] = {}
    known = [replace(wanted.base, **point.changes) for point in wanted.points]
    known += [reading_config(wanted.base, point, reading) for point in wanted.points for reading in wanted.readings]
    study.announce({regime_run_name(config, wanted.search): (config, wanted.search) for config in known})
    for k, point in enumerate(wanted.points):
        study.say(f"point {k + 1} of {len(wanted.points)}, {point.name}")
        found[point.name] = {
            reading: evidence_at(folder, wanted, point, reading, fresh=False) for reading in wanted.readings
        }
        drivers[point.name] = driver_at(folder, wanted, point)
    return found, drivers


def confirm(folder: Path, wanted: Plan, chosen: set[tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """Return {point: {reading: evidence}} of the chosen (point, reading) on the fresh seeds."""
    from dynsim import study

    found: dict[str, dict[str, Any]] = {}
    for point in wanted.points:
        readings = [reading for reading in wanted.readings if (point.name, reading) in chosen]
        if readings:
            study.say(f"confirming {point.name}: {', '.join(readings)}")
            found[point.name] = {
                reading: evidence_at(folder, wanted, point, reading, fresh=True) for reading in readings
            }
    return found


class SearchedMap(NamedTuple):
    """What the runs of a study show; evidence is {point: {reading: `regimes.evidence`}}."""

    searched: dict[str, dict[str, Any]]
    drivers: dict[str, dict[str, Any]]
    claims: list[Any]
    chosen: set[tuple[str, str]]
    """(point, reading) that were run again on fresh seeds."""
    confirmed: dict[str, dict[str, Any]]


def simulate_all(options: PruningRegimes, folder: Path) -> SearchedMap:
    """Search and confirm at all points; what is confirmed depends on what the search finds."""
    from experiments.pruning import regimes

    wanted = plan(options.preset)
    regimes.check_fresh_seeds(wanted.search, wanted.confirm)
    searched, drivers = search(folder, wanted)
    claims = regimes.claims(searched)
    chosen = {(claim.point, claim.reading) for claim in regimes.to_confirm(claims, wanted.most)}
    chosen |= {(point.name, reading) for point in wanted.points if point.always for reading in wanted.readings}
    return SearchedMap(searched, drivers, claims, chosen, confirm(folder, wanted, chosen))


def analyse(found: SearchedMap, options: PruningRegimes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (summary, nothing more for the figures)."""
    from dynsim.config import serial
    from experiments.pruning import regime_driver, regimes

    wanted = plan(options.preset)
    points = [
        regimes.point_numbers(point, found.searched[point.name], found.confirmed.get(point.name, {}))
        for point in wanted.points
    ]
    for one in points:
        one["driver"] = found.drivers[one["name"]]
    balanced = found.confirmed.get(BALANCED_POINT, {})
    numbers = {
        "points": points,
        "claims": [
            {**c._asdict(), "tested_on_fresh_seeds": (c.point, c.reading) in found.chosen} for c in found.claims
        ],
        "noise_level": {reading: regimes.noise_level(one) for reading, one in balanced.items()},
        "rank_correlation": {reading: regime_driver.correlations(points, reading) for reading in wanted.readings},
        "readings": list(wanted.readings),
        "search_seeds": list(wanted.search),
        "confirmation_seeds": list(wanted.confirm),
        "config": serial.to_dict(wanted.base),
    }
    return numbers, {}


def draw(numbers: dict[str, Any], reduced: dict[str, Any]) -> dict[str, "Figure"]:
    """Return both figures by name; `reduced` is not used, all numbers are in the summary."""
    from experiments.pruning import regime_map

    return {"map": regime_map.regime_map(numbers), "driver": regime_map.driver_map(numbers)}


def words() -> tuple[dict[str, str], Callable[[dict[str, Any]], str]]:
    """Return (captions by name of the figure, function that says a summary in words)."""
    from experiments.pruning import regime_map, regime_table

    return regime_map.CAPTIONS, regime_table.table_text


def configuration(options: PruningRegimes) -> tuple[Config, range]:
    """Return base point and search seeds: the study has many configurations, whose changes are all in "points"."""
    wanted = plan(options.preset)
    return wanted.base, wanted.search


EXPERIMENT = Experiment(
    name="pruning_regimes",
    about=__doc__ or "",
    command="python experiments/pruning_regimes.py",
    statements="Theorem 3.2 and its assumptions",
    presets={"": PruningRegimes()},
    folder=lambda options: options.out / f"pruning_regimes-{options.preset}",
    configuration=configuration,
    simulate=simulate_all,
    analyse=analyse,
    draw=draw,
    captions=lambda: words()[0],
    table=lambda numbers: words()[1](numbers),
    curves=False,
)


def main(arguments: list[str] | None = None) -> None:
    """Run from a command line."""
    experiment.main(EXPERIMENT, arguments)


if __name__ == "__main__":
    main()
