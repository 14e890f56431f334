"""How do the neurons of a one-layer transformer encoder go through the three stages of training?

Claim (Liao et al. 2026, Lemmas 3.1 and 3.2, Theorem 3.1): neurons first grow along all feature directions; then those
that happened to be well aligned with one feature specialise in it; then all converge. Minority features are learned
later and by fewer neurons.

Command:  python experiments/stage_tracking.py [--preset quick] [--controls]

Example:  python experiments/stage_tracking.py --preset quick --data.minority-ratio 0.5 --seeds 4

Time:     default about 2 minutes and quick about 20 seconds on 2 CPU cores; --controls adds about 6 minutes.

Expected: all three stages in every seed; at the end nearly every neuron is a specialist, more than twice as many for
          majority as for minority features; no stage 2 if the threshold stays zero.

Writes result.nc, curves.nc, summary.json and the figures into <out>/stage_tracking-<config hash>/, with --controls into
a folder whose name ends in -controls; the last line printed is the path of summary.json.
"""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if __name__ == "__main__":  # says in one line which packages are missing, before they are imported
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from dynsim import environment

    environment.check_python(__file__)

import numpy as np

from dynsim import experiment
from dynsim.cli import RunOptions
from dynsim.config import Config, PruneConfig, replace
from dynsim.experiment import Experiment, Figures, Json, Reduced, check_records, configuration_of

if TYPE_CHECKING:
    import xarray as xr

N_CONTROL_SEEDS, RATE_SEEDS = 20, 5
B_ZERO, FROM_START, EQUAL_FREQUENCIES = CONTROLS = ("b = 0", "threshold from step 0", "r = 1")
CONTROL_TITLES = {
    B_ZERO: "thresholds zero, b = 0",
    FROM_START: "thresholds from step 0",
    EQUAL_FREQUENCIES: "equal frequencies, r = 1",
}


@dataclass(frozen=True)
class StageTracking(RunOptions):
    """Options of this experiment."""

    controls: bool = False
    """Also run the null controls: threshold b = 0 throughout (20 seeds), threshold from step 0, and r = 1, where all
    features are equally frequent."""


PRESETS = {
    "default": StageTracking(),
    "quick": StageTracking(
        config=replace(
            Config(),
            **{
                "data.n_features": 16,
                "data.token_dim": 32,
                "encoder.n_neurons": 64,
                "data.batch_size": 128,
                "data.activation_rate": 0.15,
                "train.n_steps": 2000,
                "train.n_records": 120,
            },
        ),
        seeds=3,
    ),
    "harder": StageTracking(config=replace(Config(), **{"data.minority_ratio": 0.5})),
    "large": StageTracking(
        config=replace(
            Config(),
            **{
                "data.n_features": 256,
                "data.token_dim": 512,
                "data.batch_size": 1024,
                "data.activation_rate": 0.03,
                "encoder.n_neurons": 1024,
                "train.n_steps": 12000,
                "train.n_records": 100,
            },
        ),
        seeds=4,
    ),
}


def control_configs(config: Config) -> dict[str, Config]:
    """Return the null controls of a configuration, all unpruned, in which stage 2 should be absent or different."""
    config = dataclasses.replace(config, prune=PruneConfig())
    return {
        B_ZERO: replace(config, **{"threshold.scale": 0.0}),
        FROM_START: replace(config, **{"threshold.start": "at_step", "threshold.start_step": 0}),
        EQUAL_FREQUENCIES: replace(
            config,
            **{"data.frequency_profile": "two_level", "data.relative_frequency": (), "data.keep_probability": ()},
            **dict.fromkeys(("data.minority_ratio", "data.majority_keep", "data.minority_keep"), 1.0),
        ),
    }


class StageRuns(NamedTuple):
    """The runs of a study."""

    main: "xr.Dataset"
    rates: "dict[str, xr.Dataset]"
    """Unpruned runs at a small learning rate, by frequency profile; empty if growth has no closed form."""
    controls: "dict[str, xr.Dataset]"
    """The null controls by name."""


AS_TRAINED = "as trained"
Part = tuple[Config, Sequence[int]]  # configuration and seeds of a part of the study


def study_folder(options: StageTracking, *, controls: bool) -> Path:
    """Return where a study with or without controls is kept; its name holds the hash of configuration and seeds."""
    from dynsim.config.serial import config_hash

    name = config_hash(*configuration_of(options))
    return options.out / f"stage_tracking-{name}{'-controls' if controls else ''}"


def rate_parts(options: StageTracking) -> dict[str, Part]:
    """Return the unpruned runs at a small learning rate by frequency profile; none if growth has no closed form."""
    from dynsim.analysis.rates import linear_regime, no_closed_form

    config = options.config
    spread = replace(
        config, **{"data.frequency_profile": "exponential", "data.minority_ratio": 0.1, "data.relative_frequency": ()}
    )
    both = {AS_TRAINED: config, "spread from 1 to 0.1": spread}
    seeds = range(options.seed, options.seed + min(RATE_SEEDS, 2 + options.seeds))
    profiles = {} if no_closed_form(config) else both
    return {name: (linear_regime(one), seeds) for name, one in profiles.items() if not no_closed_form(one)}


def control_parts(options: StageTracking) -> dict[str, Part]:
    """Return the null controls that the options ask for, by name."""
    first, configs = options.seed, control_configs(options.config) if options.controls else {}
    numbers = {name: N_CONTROL_SEEDS if name == B_ZERO else options.seeds for name in configs}
    return {name: (config, range(first, first + numbers[name])) for name, config in configs.items()}


def simulate_all(options: StageTracking, folder: Path) -> StageRuns:
    """Run the main configuration, the growth-rate runs and the controls; save each as soon as it is finished."""
    from dynsim import results
    from dynsim.engine.arguments import check_runnable
    from dynsim.study import announce, simulate_part

    check_runnable(options.config)  # first: closed forms take long at sizes that no memory holds
    of_rate, of_control = rate_parts(options), control_parts(options)
    rates = {name: f"growth rates {name}" for name in of_rate}
    controls = {name: reduced_name(name) for name in of_control}
    parts = {rates[name]: of_rate[name] for name in rates} | {controls[name]: of_control[name] for name in controls}
    announce({"training": configuration_of(options), **parts})
    both = [study_folder(options, controls=with_them) / "result.nc" for with_them in (False, True)]
    main = simulate_part(folder, "training", *configuration_of(options), finished=both)
    others = {label: simulate_part(folder, label, *part) for label, part in parts.items()}
    results.save(main, folder / "result.nc")  # before the analysis, whose errors must not cost a training
    return StageRuns(main, *({name: others[label] for name, label in named.items()} for named in (rates, controls)))


def reduced_name(control: str) -> str:
    """Return the name of a control among the reduced Datasets."""
    return f"control {control}"


def analyse(runs: StageRuns, options: StageTracking) -> tuple[Json, Reduced]:
    """Return (summary, Datasets for the figures) of the runs that did not diverge."""
    from dynsim import predictions, theory
    from dynsim.analysis import curves, summary
    from dynsim.engine import reference_losses

    main, config = runs.main, options.config
    ends = summary.all_stage_ends(main)
    numbers = summary.summarise(main, ends)
    reduced: Reduced = {}
    if "stages" in numbers:
        reduced["main"] = curves.reduce(main, ends)
        numbers["final_loss"]["floors"] = {
            "chance": theory.chance_loss(config),
            "oracle_b_zero": reference_losses.ideal_floor(config, options.seed, thresholded=False)._asdict(),
        }
        if config.threshold.rule != "zero" and config.threshold.start != "never" and config.threshold.kappa > 0:
            thresholded = reference_losses.ideal_floor(config, options.seed, thresholded=True)._asdict()
            numbers["final_loss"]["floors"]["oracle_thresholded"] = thresholded
        numbers["predictions"] = predictions.compare(summary.finite_runs(main))
    numbers["rates"], table = growth_numbers(runs, config)
    if table is not None:
        reduced["rates"] = table
    numbers["controls"] = {}
    for name, run in runs.controls.items():
        control = numbers["controls"][name] = summary.control_numbers(run)
        if control["n_seeds"]:
            reduced[reduced_name(name)] = curves.reduce(run, summary.all_stage_ends(run))
    return numbers, reduced


def growth_numbers(runs: StageRuns, config: Config) -> "tuple[Json, xr.Dataset | None]":
    """Return the growth rates for the summary, and the Dataset of their figure, None if there is nothing to draw."""
    from dynsim.analysis import rates, summary

    if reason := rates.no_closed_form(config):
        return {"not_measured": reason}, None
    main = summary.finite_runs(runs.main)
    # a seed that diverged in one frequency profile is left out of all, so that all have the same seeds
    good = np.all([run["diverged_step"].values < 0 for run in runs.rates.values()], axis=0)
    small = {name: run.isel(seed=np.flatnonzero(good)) for name, run in runs.rates.items()}
    record = rates.linear_record(main)
    as_trained = (
        {"not_measured": "thresholds are on from step 0"} if record is None else rates.group_rates(main, record)
    )
    numbers = {"small_learning_rate": rates.group_rates(small[AS_TRAINED], -1), "as_trained": as_trained}
    return numbers, rates.rate_table(small) if good.any() else None


def draw(numbers: Json, reduced: Reduced) -> Figures:
    """Return the figures by name, without those that the runs gave no numbers for."""
    from dynsim import plots, theory
    from dynsim.config import serial

    config = serial.from_dict(numbers["config"])
    figures = {}
    if "main" in reduced:
        minority = theory.is_minority(config.data)
        closed_form = {
            group: float(np.mean(theory.log_growth(config)[minority == (group == "minority")]))
            for group in numbers["rates"].get("small_learning_rate", {})
        }
        floors = numbers["final_loss"]["floors"]
        levels = {
            "chance, log(|N|+1)": floors["chance"],
            "ideal encoder, thresholds zero": floors["oracle_b_zero"]["loss"],
        }
        if "oracle_thresholded" in floors:
            levels["ideal encoder, with thresholds"] = floors["oracle_thresholded"]["loss"]
        figures = {
            "projections": plots.projections(reduced["main"], closed_form),
            "specialists": plots.specialist_counts(reduced["main"]),
            "loss": plots.loss_curve(reduced["main"], levels),
            "cosines": plots.cosine_matrix(reduced["main"]),
        }
    if "rates" in reduced:
        figures["growth_rates"] = plots.growth_rates(reduced["rates"])
    run = {CONTROL_TITLES[name]: reduced[reduced_name(name)] for name in CONTROLS if reduced_name(name) in reduced}
    if "main" in reduced and run:
        counted = {CONTROL_TITLES[name]: one for name, one in numbers["controls"].items()}
        figures["controls"] = plots.controls({"main run": reduced["main"], **run}, counted)
    return figures


def words() -> tuple[dict[str, str], Callable[[Json], str]]:
    """Return (captions by name of the figure, function that says a summary as a table)."""
    from dynsim import plots
    from dynsim.analysis import summary

    return plots.CAPTIONS, summary.table_text


EXPERIMENT = Experiment(
    name="stage_tracking",
    about=__doc__ or "",
    command="python experiments/stage_tracking.py --controls",
    statements="Lemma 3.1, Lemma 3.2, Theorem 3.1",
    presets=PRESETS,
    about_presets={
        "default": "64 features, 256 neurons, 10 seeds; about 2 minutes on 2 CPU cores, --controls adds 6",
        "quick": "16 features, 64 neurons, 3 seeds; about 20 seconds",
        "harder": "as default, with minority features half as frequent as the others; about 2 minutes",
        "large": "256 features, 1024 neurons, 4 seeds; hours on 2 CPU cores, meant for an accelerator",
    },
    published=StageTracking(controls=True),
    folder=lambda options: study_folder(options, controls=options.controls),
    check=lambda options: check_records(options.config, 3),
    simulate=simulate_all,
    analyse=analyse,
    draw=draw,
    captions=lambda: words()[0],
    table=lambda numbers: words()[1](numbers),
)


def main(arguments: list[str] | None = None) -> None:
    """Run from a command line."""
    experiment.main(EXPERIMENT, arguments)


if __name__ == "__main__":
    main()
