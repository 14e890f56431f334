"""What an experiment is (`Experiment`), and the runner and command line that all experiments share.

The runner saves trained networks before it computes anything from them, saves numbers before it draws them, and
removes intermediate files last, so that an error at a later stage never costs a training.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

from dynsim.cli import RunOptions, parse, parse_plain, run_main, set_up_jax
from dynsim.config import Config
from dynsim.config.checks import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import Dataset

    from dynsim.results.sealed import Json

    Reduced = dict[str, Dataset]
    Figures = dict[str, Figure]
else:  # loading a record imports neither xarray nor matplotlib: --help stays quick
    Json = Reduced = Figures = dict


@runtime_checkable
class StudyOptions(Protocol):
    """The options that every experiment has."""

    @property
    def out(self) -> Path:
        """Folder for results."""

    @property
    def redraw(self) -> bool:
        """Whether to draw the saved results again instead of simulating."""

    @property
    def device(self) -> Literal["auto", "cpu", "gpu", "tpu"]:
        """Device to run on."""


OptionsT = TypeVar("OptionsT", bound=StudyOptions)
RunsT = TypeVar("RunsT")


def configuration_of(options: RunOptions) -> tuple[Config, Sequence[int]]:
    """Return the configuration and the seeds of the options."""
    return options.config, range(options.seed, options.seed + options.seeds)


def check_records(config: Config, least: int) -> None:
    """Refuse a record that is too short for what is found in it. Errors: `ConfigError`."""
    from dynsim.engine.simulate import record_grid

    n_records = len(record_grid(config.train.n_steps, config.train.n_records))
    require(n_records >= least, "train.n_records", f"at least {least} records, at different steps", n_records)


def _accept(options: object) -> None:
    """Accept all options."""


def _nothing(options: object) -> str:
    """Return no text to print instead of running."""
    return ""


@dataclass(frozen=True)
class Experiment(Generic[OptionsT, RunsT]):
    """Everything that the runner, the figure maker and the list of experiments need to know about one experiment.

    `OptionsT` is the type of its options, `RunsT` that of its simulated or measured results. Its functions import what
    they need when they are called, so that listing the experiments and --help stay quick.
    """

    name: str
    """Name of its module, with which the names of its folders and of its committed figures begin."""
    about: str
    """First text of --help: the question in one line, then claim, command, time and what to expect."""
    command: str
    """Command that makes the committed figures."""
    statements: str
    """The statements of the paper that it tests."""
    presets: Mapping[str, OptionsT]
    """Options by the name of their preset, the default first. With a single one, there is no --preset option."""
    folder: Callable[[OptionsT], Path]
    """(options) -> folder of the study."""
    simulate: Callable[[OptionsT, Path], RunsT]
    """(options, folder) -> its runs; finished parts are saved in the folder, and loaded when it is called again."""
    analyse: Callable[[RunsT, OptionsT], tuple[Json, Reduced]]
    """(runs, options) -> (summary, the Datasets that the figures need)."""
    draw: Callable[[Json, Reduced], Figures]
    """(summary, Datasets) -> figures by name."""
    captions: Callable[[], Mapping[str, str]]
    """() -> captions by name of the figure."""
    table: Callable[[Json], str]
    """(summary) -> text to print."""
    check: Callable[[OptionsT], None] = _accept
    """Raises `ConfigError` for options that cannot be run; called before anything is simulated."""
    only_print: Callable[[OptionsT], str] = _nothing
    """(options) -> text to print instead of running anything, or ""."""
    configuration: Callable[[Any], tuple[Config, Sequence[int]]] = configuration_of
    """(options) -> the configuration and the seeds whose hash identifies the study."""
    identity: Callable[[Any], str] | None = None
    """(options) -> what identifies the study instead, where it runs no simulation; it then computes in float32."""
    about_presets: Mapping[str, str] = field(default_factory=dict)
    """What each of several presets runs and how long that takes, in a few words, by name."""
    published: OptionsT | None = None
    """Options with which the committed figures are made; None for those of the first preset."""
    curves: bool = True
    """Whether the figures need more than the summary; it is then kept in curves.nc."""

    @property
    def question(self) -> str:
        """The question that it answers, in one line."""
        return self.about.splitlines()[0]

    @property
    def program(self) -> str:
        """Name of its program in messages and in the metadata of figures."""
        return f"{self.name}.py"

    def config_hash(self, options: OptionsT) -> str:
        """Return 12 hexadecimal digits that identify what the options run."""
        from dynsim.config import serial

        return self.identity(options) if self.identity else serial.config_hash(*self.configuration(options))

    def options(self, preset: str = "") -> OptionsT:
        """Return the options of a preset, by default of the first one."""
        return self.presets[preset or next(iter(self.presets))]


def load(experiment: Experiment[OptionsT, RunsT], summary: Path, curves: Path) -> tuple[Json, Reduced]:
    """Return the saved summary, its verdicts in the words of today, and the saved Datasets.

    Errors: `ResultError` for a missing or damaged file.
    """
    from dynsim import results
    from dynsim.stats import verdicts

    return verdicts.in_present_words(results.load_json(summary)), results.load_many(curves) if experiment.curves else {}


def save_figures(
    experiment: Experiment[OptionsT, RunsT],
    numbers: Json,
    reduced: Reduced,
    place: Callable[[str], Path],
    formats: Sequence[str] = ("png", "pdf", "svg"),
) -> dict[str, Path]:
    """Draw all figures and save each in all formats.

    Args:
        numbers, reduced: summary and Datasets, as `load` returns them.
        place: (name of the figure) -> path to save it at, without suffix.
        formats: some of `plots.FORMATS`, the one to show first.

    Returns:
        The path of each figure in the first format, by its name.
    """
    from dynsim import plots

    metadata = {
        "experiment": experiment.program,
        "commit": numbers["provenance"]["commit"],
        "config": numbers["config_hash"],
    }
    captions, paths = experiment.captions(), {}
    for name, figure in experiment.draw(numbers, reduced).items():
        files = [place(name).with_name(f"{place(name).name}.{kind}") for kind in formats]
        for path in files:
            plots.save_figure(figure, path, captions[name], metadata)
        paths[name] = files[0]
    return paths


def compute(experiment: Experiment[OptionsT, RunsT], options: OptionsT, folder: Path) -> tuple[Json, Reduced]:
    """Simulate and analyse, save the summary and the Datasets in the folder, and return them."""
    from dynsim import results, study

    began = time.perf_counter()
    with study.one_bar(experiment.name) as bar:
        runs = experiment.simulate(options, folder)
    numbers, reduced = experiment.analyse(runs, options)
    numbers["config_hash"] = experiment.config_hash(options)
    numbers.setdefault("provenance", results.provenance())
    numbers["total_wall_s"] = round(time.perf_counter() - began + bar.earlier_s, 1)  # with the parts of earlier calls
    if experiment.curves:
        results.save_many(reduced, folder / "curves.nc")
    results.save_json(numbers, folder / "summary.json")
    return numbers, reduced


def run(experiment: Experiment[OptionsT, RunsT], options: OptionsT) -> Path:
    """Check, simulate, analyse, save, print and draw; with `options.redraw`, only print and draw what was saved.

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


def main(experiment: Experiment[OptionsT, RunsT], arguments: Sequence[str] | None = None, *, program: str = "") -> None:
    """Run an experiment from a command line.

    Args:
        arguments: the command line without the program; None stands for that of the process.
        program: name of the program in messages, by default `Experiment.program`.
    """
    as_typed = program or f"python experiments/{experiment.program}"
    about = experiment.about.replace(f"python experiments/{experiment.program}", as_typed)
    texts = {"program": program or experiment.program, "description": about}
    if len(experiment.presets) > 1:
        _, options = parse(experiment.presets, arguments, **texts, about_presets=experiment.about_presets)
    else:
        options = parse_plain(type(experiment.options()), arguments, **texts)

    def body() -> None:
        precision = "float32" if experiment.identity else experiment.configuration(options)[0].train.precision
        set_up_jax(options.device, precision, texts["program"])
        if text := experiment.only_print(options):
            print(text)
        else:
            run(experiment, options)

    run_main(body, texts["program"])
