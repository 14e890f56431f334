"""Do losses that learn from labels do for rare features what magnitude pruning is said to do, at the same budget?

Claim (Liao et al. 2026, Theorem 3.2; losses for long-tailed images, 2020 to 2025): masks of the smallest weights bring
rare features back, and so do losses that know the labels and count rare classes as much as frequent ones. Here features
are known, so the class of a sample is its rarest active feature: SupCon, BCL, RCL and ACL with these labels stand
against the same loss without labels, labels of other samples, labels that name the most frequent feature, and masks.

Command:  python experiments/pruning_labels.py [--preset quick] [--redraw]

Time:     70 minutes on 2 CPU cores beside other work, resumable; quick a minute.

Expected: see the section on labels in experiments/README.md.

Writes summary.json and the figure into <out>/pruning_labels-<preset>/; the last line printed is the path of
summary.json. A stopped run goes on with the same command.
"""

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if __name__ == "__main__":  # says in one line which packages are missing, before they are imported
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from dynsim import environment

    environment.check_python(__file__)

from dynsim import experiment
from dynsim.config import Config
from dynsim.experiment import Experiment
from experiments.pruning import plan as plans
from experiments.pruning import two_times
from experiments.pruning.label_methods import NO_LABELS, LabelRun, label_run_config, own_label_loss
from experiments.pruning.label_plan import LabelPlan, LabelPoint, load_label_plan
from experiments.pruning.two_times import Ends

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

METHOD_QUANTITIES = (
    "minority coverage",
    "majority coverage",
    "minority probe, few labels",
    "majority probe, few labels",
)
QUICK_METHODS = (NO_LABELS, "SupCon", "ACL", "early mask")


@dataclass(frozen=True)
class PruningLabels:
    """Options of this experiment."""

    preset: Literal["default", "long", "quick"] = "default"
    """What is run, and how long it takes on 2 CPU cores.
    - default: the plan, at 64 and 16 features; 70 minutes beside other work
    - long: its statements at 64 features after three times as many steps, on other seeds; an hour
    - quick: four methods at toy size, to see what it prints; a minute, no evidence"""
    out: Path = Path("results")
    """Folder for results."""
    redraw: bool = False
    """Draw again from the saved summary without simulating."""
    device: Literal["auto", "cpu", "gpu", "tpu"] = "auto"
    """Where to run; auto takes the fastest that JAX finds."""


def label_plan_of(preset: str) -> LabelPlan:
    """Return the plan of a preset: that of the file, or the file's cut down."""
    plan = load_label_plan()
    if preset == "default":
        return plan
    if preset == "quick":
        quick = plan._replace(
            points=[LabelPoint("inner products", "toy", "default", 0.5)],
            lengths={"toy": (400,)},
            seeds=range(7600, 7603),
            methods=list(QUICK_METHODS),
            statements=[one for one in plan.statements if {*one[2:]} <= set(QUICK_METHODS)],
        )
        return quick._replace(digest=other_digest(quick))
    # preset long, decided before the first result of the default was seen: does what is seen last?
    points = [point for point in plan.points if point.shape == "wide"]
    judged = plan.judged(points[0])
    longer = plan._replace(
        points=points,
        lengths={"wide": (3 * plan.lengths["wide"][0],)},
        seeds=range(7520, 7528),
        methods=[method for method in plan.methods if method in judged],
        statements=[one for one in plan.statements if one[1] == points[0].form],
    )
    return longer._replace(digest=other_digest(longer))


def other_digest(plan: LabelPlan) -> str:
    """Return the digest of a plan of which the file does not say all: its seeds, lengths and methods are in it too."""
    said = [plan.digest, plan.seeds, plan.lengths, plan.points, plan.methods]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:12]


def simulate_all(options: PruningLabels, folder: Path) -> dict[LabelRun, Ends]:
    """Run every method of the plan at every point."""
    from dynsim import study
    from experiments.pruning.probed_runs import run_name

    plan = label_plan_of(options.preset)
    plans.hold(folder, plan.digest)
    todo = [LabelRun(*point, method) for point in plan.points for method in plan.methods]
    known = {one: label_run_config(one, plan.lengths[one.shape][0]) for one in todo}
    study.announce(
        {run_name(config, plan.seeds, own_label_loss(one)): (config, plan.seeds) for one, config in known.items()}
    )
    found: dict[LabelRun, Ends] = {}
    partners: dict[LabelRun, xr.Dataset] = {}
    for k, one in enumerate(todo):
        study.say(f"{k + 1} of {len(todo)}: {one.form}, {one.shape}, noise {one.noise}, {one.label}")
        found[one], first = method_ends(folder, plan, one, partners.get(one.partner))
        if one.method == NO_LABELS:
            partners[one] = first
    return found


def method_ends(
    folder: Path, plan: LabelPlan, one: LabelRun, partner: "xr.Dataset | None"
) -> "tuple[Ends, xr.Dataset]":
    """Train until settled or until the plan's last length is reached; return the outcomes and the first result."""
    from experiments.pruning.probed_runs import probed_run

    lengths = plan.lengths[one.shape]
    if one.method not in plan.judged(LabelPoint(*one[:4])):
        lengths = lengths[:1]

    def run(n_steps: int) -> "xr.Dataset":
        return probed_run(folder, label_run_config(one, n_steps), plan.seeds, loss=own_label_loss(one))

    return two_times.until_settled(run, lengths, partner)


def analyse(found: dict[LabelRun, Ends], options: PruningLabels) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (summary, nothing more for the figures)."""
    from dynsim import theory
    from dynsim.config import serial

    plan = label_plan_of(options.preset)
    configs = {
        point: label_run_config(LabelRun(*point, NO_LABELS), plan.lengths[point.shape][0]) for point in plan.points
    }
    numbers: dict[str, Any] = {
        "plan": plan.digest,
        "preset": options.preset,
        "seeds": list(plan.seeds),
        "margin": plan.margin,
        "points": [
            point._asdict() | {"false_firing_rate": theory.false_firing_rate(config), "config": serial.to_dict(config)}
            for point, config in configs.items()
        ],
        "methods": [
            one._asdict() | two_times.rows(ends, found[one.partner], METHOD_QUANTITIES, METHOD_QUANTITIES)
            for one, ends in found.items()
        ],
        **two_times.statements(plan.contrasts(), found),
    }
    return numbers, {}


def opening_run(options: PruningLabels) -> tuple[Config, range]:
    """Return the first configuration and the seeds; all others follow from the plan."""
    plan = label_plan_of(options.preset)
    point = plan.points[0]
    return label_run_config(LabelRun(*point, NO_LABELS), plan.lengths[point.shape][0]), plan.seeds


def draw(numbers: dict[str, Any], reduced: dict[str, Any]) -> dict[str, "Figure"]:
    """Return the figures by name; `reduced` is not used, all numbers are in the summary."""
    from experiments.pruning import label_plots

    return label_plots.label_figures(numbers)


def words() -> tuple[dict[str, str], Callable[[dict[str, Any]], str]]:
    """Return (captions by name of the figure, function that says a summary as a table)."""
    from experiments.pruning import label_plots, label_table

    return label_plots.CAPTIONS, label_table.table_text


EXPERIMENT = Experiment(
    name="pruning_labels",
    about=__doc__ or "",
    command="python experiments/pruning_labels.py",
    statements="Theorem 3.2; losses with labels",
    presets={"": PruningLabels()},
    folder=lambda options: options.out / f"pruning_labels-{options.preset}",
    configuration=opening_run,
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
