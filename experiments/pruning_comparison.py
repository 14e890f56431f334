"""Does pruning during training rescue minority features, and if so, why?

Claim (Liao et al. 2026, Algorithm 1 and Theorem 3.2, as read in paper_checks/theory.md): masking the
neurons of lowest magnitude while all weights go on being updated amplifies the growth of minority features, so that in
the end their strength does not depend on their frequency. The tests P1 to P8 of theory 8.5 ask for the premise, the
mechanism, the end state, and for placebos that could do the same.

Command:  python experiments/pruning_comparison.py [--preset quick]

Example:  python experiments/pruning_comparison.py --preset quick --prune.rate 0.7

Time:     default about half an hour and quick about 40 seconds on 2 CPU cores; large is meant for an accelerator.

Expected: one line per statement with its number, interval and verdict; the verdicts follow by the rule that
          dynsim/stats/verdicts.py states.

The options --prune.* are the pruning of neurons that is tested; its placebos, sweeps and the unpruned runs follow from
them. Writes curves.nc, summary.json and the figures into <out>/pruning_comparison-<config hash>-<sweeps>/; the last
line printed is the path of summary.json.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

if __name__ == "__main__":  # says in one line which packages are missing, before they are imported
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from dynsim import environment

    environment.check_python(__file__)

import tyro

from dynsim import experiment
from dynsim.cli import RunOptions
from dynsim.config import Config, replace
from dynsim.experiment import Experiment, check_records, configuration_of
from experiments.pruning import runs as table
from experiments.pruning.keys import DimensionKey, Key

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from experiments.pruning.shared import NamedRuns

LOSS_BATCHES = 4
BASE = replace(
    Config(),
    **{
        "data.minority_ratio": 0.5,
        "train.n_records": 60,
        "prune.kind": "lowest",
        "prune.rate": 0.5,
        "prune.semantics": "straight_through",
    },
)


@dataclass(frozen=True)
class PruningComparison(RunOptions):
    """Options of this experiment."""

    config: Annotated[Config, tyro.conf.arg(name="")] = field(default_factory=lambda: BASE)
    seed: int = 100
    """First seed; the others follow."""
    sweeps: Literal["full", "few"] = "full"
    """few: fewer values, placebos and factors, for a quick look."""
    sweep_shape: Literal["small", "medium", "tiny", "main"] = "small"
    """Sizes of the sweeps: small (d = 16), medium (d = 64), tiny (d = 8), or those of the main runs."""


PRESETS = {
    "default": PruningComparison(),
    "quick": PruningComparison(
        # a stop beyond the end: masks that are released then share the compiled program of those that are not
        config=replace(BASE, **table.SHAPES["tiny"], **{"prune.stop": "at_step", "prune.stop_step": 10**6}),
        seeds=4,
        sweeps="few",
        sweep_shape="main",
    ),
    "large": PruningComparison(
        config=replace(
            BASE,
            **{
                "data.n_features": 256,
                "data.token_dim": 512,
                "data.batch_size": 1024,
                "data.activation_rate": 0.03,
                "encoder.n_neurons": 1024,
                "train.n_steps": 12000,
            },
        ),
        sweep_shape="medium",
    ),
}


def study_folder(options: PruningComparison) -> Path:
    """Return where a study is kept; its name holds the hash of configuration and seeds, and what was swept."""
    from dynsim.config.serial import config_hash

    name = config_hash(*configuration_of(options))
    return options.out / f"pruning_comparison-{name}-{options.sweeps}-{options.sweep_shape}"


def all_runs(options: PruningComparison) -> dict[Key, table.RunSet]:
    """Return every run that the tests need, by key."""
    few = options.sweeps == "few"
    small = table.small_config(options.config, options.sweep_shape)
    return {
        **table.main_runs(options.config, few),
        **table.sweep_runs(small, few),
        **table.factor_runs(small, few),
        **{DimensionKey(d): run for d, run in table.shape_runs(small, options.config, few).items()},
    }


@lru_cache(maxsize=128)
def _recorder(structure: Config, keep_weights: bool) -> Callable[..., Any]:
    """Return one record function per structure, so that equal structures share their compiled program."""
    from dynsim.engine import train
    from dynsim.engine.mask_effect import recorder_with_loss

    return recorder_with_loss(train.built_in_parts(structure), LOSS_BATCHES, keep_weights=keep_weights)


def simulate_all(options: PruningComparison, folder: Path) -> "NamedRuns":
    """Train every distinct run, or load it where an earlier call finished it; return the results by key."""
    from dynsim.engine.numbers import resolve
    from dynsim.study import announce, simulate_part
    from experiments.pruning.reweighted import inverse_frequency_loss

    named = all_runs(options)
    _, seeds = configuration_of(options)
    results: dict[table.RunSet, xr.Dataset] = {}
    unique = table.unique(list(named.items()))
    announce({key.label: (run.config, seeds) for run, key in unique.items()})
    for run, key in unique.items():
        own: dict[str, Any] = {"loss": inverse_frequency_loss} if run.oracle else {}
        record = _recorder(resolve(run.config).structure, run.keep_weights)
        results[run] = simulate_part(folder, key.label, run.config, seeds, record_fn=record, **own)
    return {key: results[run] for key, run in named.items()}


def analyse(runs: "NamedRuns", options: PruningComparison) -> tuple[dict[str, Any], dict[str, "xr.Dataset"]]:
    """Return (summary, reduced Datasets for the figures) of the runs."""
    from dynsim.config import serial
    from experiments.pruning import end_states as outcome
    from experiments.pruning import mechanism

    of_mechanism = {"P1": mechanism.p1, "P2": mechanism.p2, "P3": mechanism.p3}
    of_outcome = {"P4": outcome.p4, "P5": outcome.p5, "P6": outcome.p6, "P7": outcome.p7, "P8": outcome.p8}
    _, seeds = configuration_of(options)
    numbers: dict[str, Any] = {"config": serial.to_dict(options.config), "seeds": list(seeds)}
    numbers |= {"tests": {}, "details": {}}
    reduced: dict[str, xr.Dataset] = {}
    for name, test in (of_mechanism | of_outcome).items():
        numbers["tests"][name], numbers["details"][name], more = test(runs, options.config)
        reduced |= more
    return numbers, reduced


def captions() -> dict[str, str]:
    """Return the captions of all figures by name."""
    from dynsim.plots import end_states, forest, masking
    from dynsim.plots import pruning as pruning_plots

    return masking.CAPTIONS | pruning_plots.CAPTIONS | end_states.CAPTIONS | forest.CAPTIONS


def draw(numbers: dict[str, Any], reduced: dict[str, "xr.Dataset"]) -> dict[str, "Figure"]:
    """Return every figure by name."""
    from dynsim.config import serial
    from dynsim.plots import end_states, forest, masking
    from dynsim.plots import pruning as pruning_plots
    from experiments.pruning.end_states import COMPARED, release_of, section_of
    from experiments.pruning.mechanism import FIGURE_RATES, slopes_up_to_half
    from experiments.pruning.shared import label

    details, config = numbers["details"], serial.from_dict(numbers["config"])
    masks = table.variants(config)
    prunings = [label(table.changed(Config(), changes).prune) for changes in masks.values()]
    release = {pruning: reduced[name] for pruning in prunings if (name := release_of(pruning)) in reduced}
    sections = details["P5"]["rows"]
    of_main = [row for name in COMPARED for row in sections.get(section_of("main", name), [])]
    rows = {row["label"]: row["all"] for row in of_main}
    slopes = slopes_up_to_half(reduced["amplification"]["straight_through"].sel(kind=["lowest"])).sel(kind="lowest")
    return {
        "counts": pruning_plots.counts(reduced["counts"], rows),
        "who_is_masked": masking.who_is_masked(reduced["masked"], FIGURE_RATES),
        "amplification": masking.amplification(reduced["amplification"], slopes, config.data.n_features),
        "driver": masking.driver(reduced["driver"], details["P3"]["uniform_until_step"]),
        "end_state": end_states.end_state(reduced["end_states"]),
        "placebos": forest.forest(details["P5"]["rows"]),
        "factors": forest.factors(details["P6"]["rows"]),
        "balance": forest.forest(details["P7"]["rows"], shared=True),
        "release": pruning_plots.release(release, details["P8"]["step"]),
    }


def table_text(numbers: dict[str, Any]) -> str:
    """Return the printed table."""
    from experiments.pruning import comparison_table

    return comparison_table.table_text(numbers)


def check(options: PruningComparison) -> None:
    """Refuse what cannot be swept or is too short, before anything is trained. Errors: `ConfigError`."""
    from dynsim.engine.simulate import check_runnable

    table.check_base(options.config)
    all_runs(options)
    check_runnable(options.config)
    check_records(options.config, 5)


EXPERIMENT = Experiment(
    name="pruning_comparison",
    about=__doc__ or "",
    command="python experiments/pruning_comparison.py",
    statements="Algorithm 1, Theorem 3.2",
    presets=PRESETS,
    about_presets={
        "default": "64 features, 256 neurons, 10 seeds, sweeps at 16 features; about half an hour on 2 CPU cores",
        "quick": "8 features, 4 seeds and few sweeps, to see what it prints; about 40 seconds",
        "large": "256 features, 1024 neurons, sweeps at 64 features; days on 2 CPU cores, meant for an accelerator",
    },
    folder=study_folder,
    check=check,
    simulate=simulate_all,
    analyse=analyse,
    draw=draw,
    captions=captions,
    table=table_text,
)


def main(arguments: list[str] | None = None) -> None:
    """Run from a command line."""
    experiment.main(EXPERIMENT, arguments)


if __name__ == "__main__":
    main()
