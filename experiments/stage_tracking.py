"""How do the neurons of a one-layer transformer encoder go through the three stages of training?

Claim (Liao et al. 2026, Lemmas 3.1 and 3.2, Theorem 3.1, as read in the notes that this project works from): neurons
first grow along all feature directions, then a lucky few specialise in single features, then all converge; minority
features are learned later and by fewer neurons.

Command:  python experiments/stage_tracking.py [--preset quick|default|harder|large] [--controls]

Example:  python experiments/stage_tracking.py --preset quick --data.minority-ratio 0.5 --seeds 4   (half a minute)

Time:     default about 2 minutes and quick about 20 seconds on 2 CPU cores; --controls adds about 6 minutes.

Expected: all three stages in every seed; about 178 majority and 75 minority specialists of 256 neurons at the end; no
          stage 2 with the threshold held at zero.

Writes result.nc, curves.nc, summary.json and the figures into <out>/stage_tracking-<config hash>/, with -controls
behind it where they were asked for; the last line printed is the path of summary.json.
"""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dynsim.cli import RunOptions, parse, run_main, set_up_jax
from dynsim.config import Config, PruneConfig, replace
from dynsim.config.checks import require

PROGRAM = "stage_tracking.py"
N_CONTROL_SEEDS = 20
RATE_SEEDS = 5


@dataclass(frozen=True)
class StageTracking(RunOptions):
    """Options of this experiment."""

    controls: bool = False
    """Also run the null controls: b = 0 throughout (20 seeds), threshold from step 0, and r = 1."""


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


def unpruned(config: Config) -> Config:
    """Return a configuration without masks: controls, rates and reference losses are those of the plain network."""
    return dataclasses.replace(config, prune=PruneConfig())


def control_configs(config: Config) -> dict[str, Config]:
    """Return the null controls of a configuration, all unpruned: what a real stage 2 must be told apart from."""
    config = unpruned(config)
    return {
        "b = 0": replace(config, **{"threshold.scale": 0.0}),
        "threshold from step 0": replace(config, **{"threshold.start": "at_step", "threshold.start_step": 0}),
        "r = 1": replace(
            config,
            **{
                "data.frequency_profile": "two_level",
                "data.relative_frequency": (),
                "data.minority_ratio": 1.0,
                "data.majority_keep": 1.0,
                "data.minority_keep": 1.0,
                "data.keep_probability": (),
            },
        ),
    }


def study_folder(options: StageTracking, *, controls: bool) -> Path:
    """Return where a study with or without controls is kept; its name holds the hash of configuration and seeds."""
    from dynsim.config.serial import config_hash

    name = config_hash(options.config, range(options.seed, options.seed + options.seeds))
    return options.out / f"stage_tracking-{name}{'-controls' if controls else ''}"


def simulate_all(options: StageTracking, folder: Path) -> dict[str, Any]:
    """Run the main configuration, the rate runs and the controls; save each as soon as it is there."""
    from dynsim.analysis.rates import linear_regime, no_closed_form
    from dynsim.study import simulate_part

    config = options.config
    seeds = range(options.seed, options.seed + options.seeds)
    both = [study_folder(options, controls=with_them) / "result.nc" for with_them in (False, True)]
    runs = {"main": simulate_part(folder, "training", config, seeds, finished=both)}
    spread = replace(
        config, **{"data.frequency_profile": "exponential", "data.minority_ratio": 0.1, "data.relative_frequency": ()}
    )
    both_profiles = {"as trained": config, "spread from 1 to 0.1": spread}
    profiles = {} if no_closed_form(config) else {n: one for n, one in both_profiles.items() if not no_closed_form(one)}
    for name, profile in profiles.items():
        rate_seeds = range(options.seed, options.seed + min(RATE_SEEDS, 2 + options.seeds))
        runs[f"rates {name}"] = simulate_part(folder, f"growth rates {name}", linear_regime(profile), rate_seeds)
    if options.controls:
        for name, control in control_configs(config).items():
            n_seeds = N_CONTROL_SEEDS if name == "b = 0" else options.seeds
            control_seeds = range(options.seed, options.seed + n_seeds)
            runs[f"control {name}"] = simulate_part(folder, f"control {name}", control, control_seeds)
    return runs


def analyse(runs: dict[str, Any], options: StageTracking) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (summary, reduced Datasets for the figures) of the runs; what diverged enters neither."""
    from dynsim import predictions, theory
    from dynsim.analysis import curves, summary
    from dynsim.engine import reference_losses

    main, config = runs["main"], options.config
    ends = summary.all_stage_ends(main)
    numbers = summary.summarise(main, ends)
    reduced: dict[str, Any] = {}
    if "stages" in numbers:
        reduced["main"] = curves.reduce(main, ends)
        numbers["final_loss"]["floors"] = {
            "chance": theory.chance_loss(config),
            "oracle_b_zero": reference_losses.oracle_floor(config, options.seed, thresholded=False)._asdict(),
        }
        if config.threshold.rule != "zero" and config.threshold.start != "never" and config.threshold.kappa > 0:
            thresholded = reference_losses.oracle_floor(config, options.seed, thresholded=True)._asdict()
            numbers["final_loss"]["floors"]["oracle_thresholded"] = thresholded
        numbers["predictions"] = predictions.compare(summary.finite_runs(main))
    numbers["rates"], table = growth(runs, config)
    if table is not None:
        reduced["rates"] = table
    numbers["controls"] = {}
    for name, run in runs.items():
        if name.startswith("control "):
            control = numbers["controls"][name.removeprefix("control ")] = summary.control_numbers(run)
            if control["n_seeds"]:
                reduced[name] = curves.reduce(run, summary.all_stage_ends(run))
    return numbers, reduced


def growth(runs: dict[str, Any], config: Config) -> tuple[dict[str, Any], Any]:
    """Return the rates of the summary, and the table of the growth-rate figure or None."""
    from dynsim.analysis import rates, summary

    if reason := rates.no_closed_form(config):
        return {"not_measured": reason}, None
    main = summary.finite_runs(runs["main"])
    # a seed that diverged in one profile is left out of all, so that they stay comparable
    small = {name.removeprefix("rates "): run for name, run in runs.items() if name.startswith("rates ")}
    good = np.all([run["diverged_step"].values < 0 for run in small.values()], axis=0)
    small = {name: run.isel(seed=np.flatnonzero(good)) for name, run in small.items()}
    record = rates.linear_record(main)
    as_trained = (
        {"not_measured": "thresholds are on from step 0"} if record is None else rates.group_rates(main, record)
    )
    numbers = {"small_learning_rate": rates.group_rates(small["as trained"], -1), "as_trained": as_trained}
    return numbers, rates.rate_table(small) if good.any() else None


def draw(numbers: dict[str, Any], reduced: dict[str, Any], folder: Path) -> list[Path]:
    """Draw every figure that there are numbers for into a folder and return their paths."""
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
            "log(|N|+1)": floors["chance"],
            "best W = a M^T, b = 0": floors["oracle_b_zero"]["loss"],
        }
        if "oracle_thresholded" in floors:
            levels["best W = a M^T, thresholded"] = floors["oracle_thresholded"]["loss"]
        figures = {
            "projections": plots.projections(reduced["main"], closed_form),
            "specialists": plots.specialist_counts(reduced["main"]),
            "loss": plots.loss_curve(reduced["main"], levels),
            "cosines": plots.cosine_matrix(reduced["main"]),
        }
    if "rates" in reduced:
        figures["growth_rates"] = plots.growth_rates(reduced["rates"])
    controls = {name.removeprefix("control "): run for name, run in reduced.items() if name.startswith("control ")}
    if "main" in reduced and controls:
        figures["controls"] = plots.controls({"main run": reduced["main"], **controls}, numbers["controls"])
    paths = []
    metadata = {"experiment": PROGRAM, "commit": numbers["provenance"]["commit"], "config": numbers["config_hash"]}
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        plots.save_figure(figure, paths[-1], plots.CAPTIONS[name], metadata)
    return paths


def load_reduced(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return summary and reduced Datasets that an earlier run saved."""
    from dynsim import results

    return results.load_json(folder / "summary.json"), results.load_many(folder / "curves.nc")


def check_enough_records(config: Config) -> None:
    """Refuse a record that is too short to find stages in. Errors: `ConfigError`."""
    from dynsim.engine.simulate import record_grid

    n_records = len(record_grid(config.train.n_steps, config.train.n_records))
    require(n_records >= 3, "train.n_records", "at least 3 records, at different steps", n_records)


def study(options: StageTracking) -> Path:
    """Simulate, analyse, save, draw and print; return the folder."""
    from dynsim import results
    from dynsim.analysis import summary
    from dynsim.config import serial
    from dynsim.study import finish

    check_enough_records(options.config)
    began = time.perf_counter()
    seeds = range(options.seed, options.seed + options.seeds)
    folder = study_folder(options, controls=options.controls)
    if options.redraw:
        numbers, reduced = load_reduced(folder)
    else:
        runs = simulate_all(options, folder)
        results.save(runs["main"], folder / "result.nc")  # first of all: whatever comes of the rest
        numbers, reduced = analyse(runs, options)
        numbers["config_hash"] = serial.config_hash(options.config, seeds)
        numbers["total_wall_s"] = round(time.perf_counter() - began, 1)
        results.save_many(reduced, folder / "curves.nc")
        results.save_json(numbers, folder / "summary.json")
        finish(folder)
    print(summary.table_text(numbers))
    for path in draw(numbers, reduced, folder):
        print(path)
    print(folder / "summary.json")
    return folder


def main(arguments: list[str] | None = None) -> None:
    """Run from a command line."""
    _, options = parse(PRESETS, arguments, program=PROGRAM, description=__doc__ or "")
    set_up_jax(options.device, options.config.train.precision, PROGRAM)
    run_main(lambda: study(options), PROGRAM)


if __name__ == "__main__":
    main()
