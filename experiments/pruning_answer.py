"""Does magnitude pruning bring rare features back, beyond what any perturbation of training does?

Claim (Liao et al. 2026, Theorem 3.2): training with the smallest weights masked gives rare (minority) features more
neurons. Every way to read the algorithm (which branch is masked, which gradient masked weights get, which loss) stands
against random masks of the same size and against perturbations without a mask: weaker weight decay, lower thresholds,
noise that fades. Noise is set by how often it makes a neuron fire. Runs go on until they have settled; which contrast
decides which statement was written down before the first run, in experiments/pruning/plan.toml.

Command:  python experiments/pruning_answer.py [--preset search|quick|large] [--redraw]

Time:     default under an hour on 2 CPU cores, resumable; search about 10 minutes; quick about a minute.

Expected: at the points of the plan most rare features are lost without a mask. Masks on one branch bring many of them
          back, noise that fades brings back all of them, and the algorithm taken literally does not help.

Writes summary.json and the figures into <out>/pruning_answer-<preset>/; the last line printed is the path of
summary.json. A stopped run goes on with the same command.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if __name__ == "__main__":  # says in one line which packages are missing, before they are imported
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from dynsim import environment

    environment.check_python(__file__)

import numpy as np

from dynsim import experiment
from dynsim.config import Config
from dynsim.experiment import Experiment
from experiments.pruning import answers, arms, measures
from experiments.pruning import plan as plans
from experiments.pruning.answers import Outcome
from experiments.pruning.arms import FADING, KAPPA, ORACLE, UNMASKED, Arm
from experiments.pruning.plan import AnswerPlan, PlanPoint

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SEARCHED_RATIOS = (0.7, 0.5, 0.4, 0.3, 0.2, 0.15)
FOLLOWED = (UNMASKED, FADING, KAPPA, "one branch", "literal")  # arms drawn in the figure of the mechanism
PREMISE_RATE = 0.3  # share of neurons masked where statements on the mechanism try a mask on recorded weights


@dataclass(frozen=True)
class PruningAnswer:
    """Options of this experiment."""

    preset: Literal["default", "search", "quick", "large"] = "default"
    """What is run, and how long it takes on 2 CPU cores.
    - default: the plan, at 16 features; under an hour
    - search: the cheap runs on which the points of the plan were chosen; about 10 minutes
    - quick: a few arms at toy size, to see what it prints; about a minute, no evidence
    - large: two readings at 64 features and 256 neurons, after equal steps; half an hour"""
    out: Path = Path("results")
    """Folder for results."""
    redraw: bool = False
    """Draw again from the saved summary without simulating."""
    device: Literal["auto", "cpu", "gpu", "tpu"] = "auto"
    """Where to run; auto takes the fastest that JAX finds."""


def plan_of(preset: str) -> AnswerPlan:
    """Return the plan of a preset: that of the file, or the file's at another shape or cut down."""
    plan = plans.load_plan()
    if preset == "search":
        points = [PlanPoint(noise, ratio) for noise in arms.NOISES for ratio in SEARCHED_RATIOS]
        return plan._replace(
            lengths=plan.lengths[:1],
            seeds=plan.searched,
            points=points,
            readings=["one branch"],
            redrawn=[],
            statements=[],
        )
    if preset == "large":
        kept = ("literal beyond random", "MAGNITUDE", "ESCAPE")
        # r = 0.5 leaves room to harm: at r = 0.3 training without a mask covers nothing at this size
        return plan._replace(
            shape="wide",
            lengths=plan.lengths[:1],
            seeds=range(6000, 6016),
            points=[PlanPoint("1 percent", 0.5), PlanPoint("default", 0.5)],
            readings=["one branch", "literal"],
            redrawn=[],
            statements=[one for one in plan.statements if plans.title(one.name) in kept],
        )
    if preset == "quick":
        used = [one for one in plan.statements if one.name in ("MAGNITUDE", "ESCAPE")]
        return plan._replace(
            shape="toy",
            lengths=(400,),
            seeds=range(5000, 5005),
            points=plan.points[-1:],
            readings=["one branch", "literal"],
            redrawn=[],
            statements=used,
        )
    return plan


def run_arm(folder: Path, arm: Arm, shape: str, n_steps: int, seeds: range) -> "xr.Dataset":
    """Return the result of one arm after a number of steps; equal configurations are simulated once."""
    from experiments.pruning.probed_runs import oracle, probed_run

    keep = arm.reading == UNMASKED or arm == Arm(arm.noise, arm.ratio, "one branch")
    config = arms.arm_config(arm, shape, n_steps)
    return probed_run(folder, config, seeds, loss=oracle() if arm.reading == ORACLE else None, keep_weights=keep)


def outcome_of(folder: Path, plan: AnswerPlan, arm: Arm, partner: "xr.Dataset | None") -> tuple[Outcome, "xr.Dataset"]:
    """Train an arm until it has settled or the plan's last length is reached; return its outcome and its result."""
    for n_steps in plan.lengths:
        result = run_arm(folder, arm, plan.shape, n_steps, plan.seeds)
        found = answers.outcome(result, partner)
        if found.settled:
            break
    return found, result


def simulate_all(options: PruningAnswer, folder: Path) -> dict[Arm, Outcome]:
    """Run every arm of the plan."""
    from dynsim import study
    from experiments.pruning.probed_runs import oracle, run_name

    plan = plan_of(options.preset)
    if options.preset != "search":  # the points of the plan were chosen by it
        plans.hold(folder, plan.digest)
    found: dict[Arm, Outcome] = {}
    partners: dict[Arm, xr.Dataset] = {}
    todo = [arm for point in plan.points for arm in plan.arms(point)]
    known = [
        (arms.arm_config(arm, plan.shape, plan.lengths[0]), oracle() if arm.reading == ORACLE else None) for arm in todo
    ]
    study.announce({run_name(config, plan.seeds, loss): (config, plan.seeds) for config, loss in known})
    for k, arm in enumerate(todo):
        study.say(f"arm {k + 1} of {len(todo)}: noise {arm.noise}, r = {arm.ratio:g}, {arm.label}")
        found[arm], result = outcome_of(folder, plan, arm, partners.get(arm.partner))
        if arm.kind == UNMASKED:
            partners[arm] = result
        if arm.reading == UNMASKED:
            found[arm] = found[arm]._replace(values=found[arm].values | premises(result))
        if PlanPoint(arm.noise, arm.ratio) in plan.points:
            found[arm] = found[arm]._replace(curves=measures.life(result))
    return found


def premises(result: "xr.Dataset") -> dict[str, np.ndarray]:
    """Return what the statements on the mechanism need of unmasked runs, (seed,); see `plan.MEASURED_ON_ONE`."""
    from experiments.pruning import probe

    masked = measures.masked_shares(result.isel(record=[-1]), [PREMISE_RATE])["masked"]
    minority = masked.sel(neuron_class="minority").values[:, 0, 0] / PREMISE_RATE - 1
    grown = probe.amplifications(result, "straight_through", ["lowest"], [PREMISE_RATE])
    grown = grown.sel(moment="end", kind="lowest").isel(rate=0)
    gap = (grown.sel(group="minority") - grown.sel(group="majority")).values
    switch = int(result["switch_step"].values.min())
    early = max(0, int(np.searchsorted(result["step"].values, max(switch, 1))) - 1)
    driver = (
        probe.group_drivers_over_time(result, ["lowest"], PREMISE_RATE, [early]).sel(group="minority").isel(record=0)
    )
    change = (driver.sel(kind="lowest") / driver.sel(kind="none") - 1).values
    return dict(zip(plans.MEASURED_ON_ONE, (minority, gap, change), strict=True))


def probe_controls(config: Config, seeds: range) -> dict[str, dict[str, Any]]:
    """Return the probe's accuracy for encoders that bound it: the untrained one, and one made of the features."""
    import jax
    import jax.numpy as jnp

    from dynsim.engine import initial, linear_probe, train
    from dynsim.engine.numbers import resolve
    from dynsim.stats.intervals import t_paired

    resolved = resolve(config)
    parts, minority = train.built_in_parts(resolved.structure), resolved.groups.minority
    numbers = jax.tree.map(jnp.asarray, resolved.numbers)
    states = {"untrained encoder": linear_probe.untrained_state, "ideal encoder": linear_probe.ideal_state}

    @jax.jit
    def measure(state: Any, world: Any) -> dict[str, linear_probe.ProbeAccuracy]:
        return {
            name: linear_probe.probe_accuracy(make(state, world, parts), world, parts) for name, make in states.items()
        }

    each = jax.device_get([measure(*initial.init(jnp.uint32(seed), numbers, parts)) for seed in seeds])
    return {
        name: {
            f"minority probe, {labels} labels": t_paired(
                np.array([getattr(one[name], labels)[minority].mean() for one in each])
            ).plain()
            for labels in linear_probe.ProbeAccuracy._fields
        }
        for name in states
    }


def analyse(found: dict[Arm, Outcome], options: PruningAnswer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (summary, nothing more for the figures)."""
    from dynsim import theory
    from dynsim.config import serial

    plan = plan_of(options.preset)
    readings = [Arm(*point, name) for point in plan.points for name in plan.readings]
    points = [
        {
            **point._asdict(),
            "false_firing_rate": theory.false_firing_rate(arms.point_config(plan.shape, *point, plan.lengths[0])),
            "config": serial.to_dict(arms.point_config(plan.shape, *point, plan.lengths[0])),
            "probe_controls": probe_controls(arms.point_config(plan.shape, *point, plan.lengths[0]), plan.seeds),
        }
        for point in plan.points
    ]
    numbers = {
        "plan": plan.digest,
        "preset": options.preset,
        "seeds": list(plan.seeds),
        "margin": plan.margin,
        "points": points,
        "arms": [arm_row(arm, one) for arm, one in found.items()],
        "verdicts": answers.all_verdicts(found, readings, plan.margin),
        "verdicts_by_probe": answers.all_verdicts(found, readings, plan.margin, "minority probe, few labels"),
        "curves": [
            {**arm._asdict(), "label": arm.label, **found[arm].curves}
            for arm in found
            if arm.reading in FOLLOWED and found[arm].curves
        ],
        "statements": answers.judge_statements(plan.contrasts(), found),
    }
    return numbers, {}


def arm_row(arm: Arm, one: Outcome) -> dict[str, Any]:
    """Return what the summary says of one arm."""
    ends = {name: answers.ends(one, name) for name in one.values}
    return {**arm._asdict(), "label": arm.label, "settled": one.settled, "n_steps": one.n_steps, "ends": ends}


def shown_statements(numbers: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the statements of a summary under the names that readers see."""
    return [{**row, "name": plans.title(row["name"])} for row in numbers["statements"]]


def opening_configuration(options: PruningAnswer) -> tuple[Config, range]:
    """Return the first unmasked configuration and the seeds; all others follow from the plan."""
    plan, point = plan_of(options.preset), plan_of(options.preset).points[0]
    return arms.point_config(plan.shape, point.noise, point.ratio, plan.lengths[0]), plan.seeds


def draw(numbers: dict[str, Any], reduced: dict[str, Any]) -> dict[str, "Figure"]:
    """Return the figures by name; `reduced` is not used, all numbers are in the summary."""
    from experiments.pruning import answer_overview

    return answer_overview.all_figures(numbers)


def words() -> tuple[dict[str, str], Callable[[dict[str, Any]], str]]:
    """Return (captions by name of the figure, function that says a summary as a table)."""
    from experiments.pruning import answer_overview, answer_table

    return answer_overview.CAPTIONS, answer_table.table_text


EXPERIMENT = Experiment(
    name="pruning_answer",
    about=__doc__ or "",
    command="python experiments/pruning_answer.py",
    statements="Algorithm 1, Theorem 3.2",
    presets={"": PruningAnswer()},
    folder=lambda options: options.out / f"pruning_answer-{options.preset}",
    configuration=opening_configuration,
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
