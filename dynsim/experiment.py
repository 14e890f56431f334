"""An experiment is a record of what it asks and does; one runner and one command line serve all of them.

The order of the runner is the point: what was trained is saved before anything is computed from it, numbers are saved
before they are drawn, and the parts of an unfinished study go last, so that no failure costs a training.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dynsim.cli import RunOptions, parse, parse_plain, run_main, set_up_jax
from dynsim.config import Config

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def configuration_of(options: RunOptions) -> tuple[Config, Sequence[int]]:
    """Return the configuration and the seeds of the options."""
    return options.config, range(options.seed, options.seed + options.seeds)


def _nothing(options: Any) -> None:
    """Accept all options."""


@dataclass(frozen=True)
class Experiment:
    """All that the runner, the figure maker and the list of experiments need to know of one experiment.

    What a function needs beyond the configuration it imports itself, so that a record is cheap to load.
    """

    name: str
    """Name of its module; begins the names of its folders and of its committed figures."""
    about: str
    """What --help says first: the question in one line, then claim, command, time and what to expect."""
    command: str
    """The command that gives the committed figures."""
    statements: str
    """Which statements of the paper it is about."""
    presets: Mapping[str, Any]
    """Options by name of a preset, the default first; one alone means that there is no choice."""
    folder: Callable[[Any], Path]
    """(options) -> folder of the study."""
    simulate: Callable[[Any, Path], Any]
    """(options, folder) -> what was run, saved in the folder or loaded from there."""
    analyse: Callable[[Any, Any], tuple[dict[str, Any], dict[str, Any]]]
    """(runs, options) -> (summary, reduced Datasets for the figures)."""
    draw: Callable[[dict[str, Any], dict[str, Any]], dict[str, "Figure"]]
    """(summary, reduced) -> figures by name."""
    captions: Callable[[], Mapping[str, str]]
    """() -> captions by name of the figure."""
    table: Callable[[dict[str, Any]], str]
    """(summary) -> text to print."""
    check: Callable[[Any], None] = _nothing
    """Refuse options that cannot be run, with a `ConfigError`, before anything is trained."""
    configuration: Callable[[Any], tuple[Config, Sequence[int]]] = configuration_of
    """(options) -> configuration and seeds whose hash names the study."""
    curves: bool = True
    """Whether the figures need more than the summary: curves.nc."""
    suffix: str = ".png"
    """Kind of picture."""

    @property
    def question(self) -> str:
        """The question that it asks, in one line."""
        return self.about.splitlines()[0]

    @property
    def program(self) -> str:
        """Name of its program in messages and in the metadata of figures."""
        return f"{self.name}.py"

    def options(self, preset: str = "") -> Any:
        """Return the options of a preset, of the first one where none is named."""
        return self.presets[preset or next(iter(self.presets))]


def load(experiment: Experiment, summary: Path, curves: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the saved summary and reduced Datasets. Errors: `ResultError` for a missing or damaged file."""
    from dynsim import results

    return results.load_json(summary), results.load_many(curves) if experiment.curves else {}


def save_figures(
    experiment: Experiment, numbers: dict[str, Any], reduced: dict[str, Any], place: Callable[[str], Path]
) -> dict[str, Path]:
    """Draw and save all figures.

    Args:
        place: (name of the figure with its suffix) -> where it goes.

    Returns:
        Their paths by name.
    """
    from dynsim import plots

    metadata = {
        "experiment": experiment.program,
        "commit": numbers["provenance"]["commit"],
        "config": numbers["config_hash"],
    }
    captions, paths = experiment.captions(), {}
    for name, figure in experiment.draw(numbers, reduced).items():
        paths[name] = place(f"{name}{experiment.suffix}")
        plots.save_figure(figure, paths[name], captions[name], metadata)
    return paths


def compute(experiment: Experiment, options: Any, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Simulate and analyse, save summary and curves in the folder, and return them."""
    from dynsim import results
    from dynsim.config import serial

    began = time.perf_counter()
    runs = experiment.simulate(options, folder)
    numbers, reduced = experiment.analyse(runs, options)
    numbers["config_hash"] = serial.config_hash(*experiment.configuration(options))
    numbers.setdefault("provenance", results.provenance())
    numbers["total_wall_s"] = round(time.perf_counter() - began, 1)
    if experiment.curves:
        results.save_many(reduced, folder / "curves.nc")
    results.save_json(numbers, folder / "summary.json")
    return numbers, reduced


def run(experiment: Experiment, options: Any) -> Path:
    """Check, simulate, analyse, save, print and draw; or, with `options.redraw`, print and draw what was saved.

    Returns:
        The folder with summary.json, the figures and, unless `experiment.curves` is false, curves.nc.
    Errors:
        `ConfigError` for options that cannot run, `ResultError` for a damaged or missing file.
    """
    from dynsim import study

    experiment.check(options)
    folder = experiment.folder(options)
    if options.redraw:
        numbers, reduced = load(experiment, folder / "summary.json", folder / "curves.nc")
    else:
        numbers, reduced = compute(experiment, options, folder)
    print(experiment.table(numbers))
    for path in save_figures(experiment, numbers, reduced, lambda name: folder / name).values():
        print(path)
    print(folder / "summary.json")
    if not options.redraw:
        study.finish(folder)
    return folder


def main(experiment: Experiment, arguments: Sequence[str] | None = None) -> None:
    """Run an experiment from a command line; `arguments` None takes that of the process."""
    if len(experiment.presets) > 1:
        presets = dict(experiment.presets)
        _, options = parse(presets, arguments, program=experiment.program, description=experiment.about)
    else:
        kind = type(experiment.options())
        options = parse_plain(kind, arguments, program=experiment.program, description=experiment.about)
    config, _ = experiment.configuration(options)
    set_up_jax(options.device, config.train.precision, experiment.program)
    run_main(lambda: run(experiment, options), experiment.program)
