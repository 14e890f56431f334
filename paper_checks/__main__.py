"""Which statements of the theory hold at the sizes that can be simulated?

Measures every statement and says for each: supported, not supported, undecided, out of regime (an assumption does not
hold in these runs) or vacuous here (nothing could break it), with the number, its interval, what was predicted and what
a rival predicts.

Command:  make checks                         simulate, judge, write paper_checks/report.json and README.md

          make checks ARGS="--preset quick"   the same with few seeds and sizes, into results/checks/quick

          make checks VERIFY=1                compute every number of the committed report again from its arrays

Time:     an hour on 2 CPU cores; quick: 4 minutes; VERIFY: seconds. Killed runs are resumed by the same command.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dynsim.cli import parse_plain, run_main, set_up_jax
from dynsim.config.checks import positive_int, require

PROGRAM = "paper_checks"
FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class CheckOptions:
    """Options of this program."""

    preset: Literal["default", "quick", "large"] = "default"
    """default: what the report is made of; quick: few seeds and small sizes; large: more sizes, for accelerators."""
    only: tuple[str, ...] = ()
    """Codes of the checks to run, such as S1a I5; all by default."""
    verify: bool = False
    """Simulate nothing; compute the numbers of the saved report again from its arrays, and fail if one differs."""
    redraw: bool = False
    """Simulate nothing; judge and draw the saved arrays again, and write the report anew."""
    repeats: int = 0
    """Run the preset so many times with other seeds, and save how often each verdict repeats."""
    seed: int | None = None
    """First seed; None takes the one of the report."""
    out: Path = Path("results/checks")
    """Folder for runs, and for the reports of all presets but default."""
    device: Literal["auto", "cpu", "gpu", "tpu"] = "auto"
    """Device to run on; auto takes the fastest that JAX finds."""

    def __post_init__(self) -> None:
        positive_int("repeats", self.repeats, 0)
        if self.seed is not None:
            positive_int("seed", self.seed, 0)
        alone = self.verify + self.redraw + (self.repeats > 0)
        require(alone <= 1, "verify", "one of --verify, --redraw and --repeats", alone)
        part = self.repeats > 0 and self.only
        require(not part, "only", "none with --repeats, whose table is about all checks", self.only)


def report_folder(options: CheckOptions) -> Path:
    """Return where the report of these options lies: that of the default preset is the committed one."""
    published = options.preset == "default" and options.seed is None
    return FOLDER if published else options.out / options.preset


def run(options: CheckOptions) -> None:
    """Run the checks, or verify or redraw a report."""
    from dynsim import study
    from paper_checks import document, registry, repeats, report
    from paper_checks.runs import FIRST_SEED, Source

    checks, folder = registry.chosen(options.only), report_folder(options)
    figures = FOLDER.parent / "figures" / "checks" if folder == FOLDER else folder
    if options.verify:
        n_rows = report.require_alike(checks, folder, options.only)
        print(f"{n_rows} rows of {folder / report.SUMMARY} computed again: no difference")
        return
    runs_folder = options.out / options.preset
    source = Source(runs_folder, options.preset, FIRST_SEED if options.seed is None else options.seed)
    if options.repeats:
        repeats.save_table(repeats.repeated(checks, source, options.repeats), folder_of_repeats(options))
        return
    if options.redraw:
        report.rejudge(checks, folder)
        summary, arrays = report.load(folder)
    else:
        with study.one_bar(PROGRAM):
            summary, arrays = report.make(checks, source)
        summary, arrays = report.save(summary, arrays, folder)
    formats = report.COMMITTED_FORMATS if folder == FOLDER else report.OTHER_FORMATS
    for path in report.draw_in_processes(list(checks), arrays, summary, figures, formats):
        print(path)
    print(document.table_text(summary))
    (folder / "README.md").write_text(
        document.render(summary, registry.all_checks(), folder, figures), encoding="utf-8"
    )
    print(folder / "README.md")


def folder_of_repeats(options: CheckOptions) -> Path:
    """Return where the table of repeats is saved: beside the committed report for the preset that it is about."""
    return FOLDER if options.preset == "quick" and options.seed is None else options.out / options.preset


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from a command line."""
    options = parse_plain(CheckOptions, arguments, program=PROGRAM, description=__doc__ or "")

    def body() -> None:
        set_up_jax(options.device, "float32", PROGRAM)
        run(options)

    run_main(body, PROGRAM)


if __name__ == "__main__":
    main()
