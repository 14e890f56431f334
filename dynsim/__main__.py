"""The command `dynsim`, also `python -m dynsim`: runs an experiment, lists them, or examines this machine."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

from dynsim import environment

COMMAND = "dynsim"
USAGE = """usage: dynsim run NAME [options] | experiments | doctor | --version | --help

dynsim simulates how a small encoder learns frequent and rare features under a contrastive loss.

  dynsim run NAME [options]    run an experiment; results go to the folder results/ where you are
  dynsim run NAME --help       its presets with their times, all options, and what to expect
  dynsim experiments           list the experiments with the question that each one answers
  dynsim doctor                check this machine: versions, devices, precision, threads and memory

A first look, in half a minute:

  dynsim run stage_tracking --preset quick

Experiments:
"""
FOLDER = environment.HOME / "experiments"
MAKERS = ("make_documents", "make_figures")
"""They write documents and figures of the repository, so that only a checkout of it can run them."""


def experiment_questions(folder: Path = FOLDER) -> dict[str, str]:
    """Return {name: question} of the experiments; it reads their first lines and imports none of them."""
    found = {}
    for path in sorted(folder.glob("[!_]*.py")):
        first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
        if path.stem not in MAKERS:
            found[path.stem] = first
    return found


def refuse(message: str) -> int:
    """Print one line on stderr and return exit code 2."""
    print(f"{COMMAND}: error: {message}", file=sys.stderr)
    return 2


def list_experiments() -> int:
    """Print the experiments with their questions."""
    for name, question in experiment_questions().items():
        print(f"  {name:<20}{question}")
    if (environment.HOME / environment.MAKEFILE).is_file():
        print("\nmake figures draws the committed figures again.")
    return 0


def print_help() -> int:
    """Print how the command is used, and the experiments."""
    print(USAGE)
    return list_experiments()


def run_experiment(words: list[str]) -> int:
    """Run the experiment that the first word names, with the other words as its options."""
    from dynsim.config.checks import did_you_mean

    names = list(experiment_questions())
    if not words or words[0].startswith("-"):
        return refuse(f"run: wanted the name of an experiment, one of {', '.join(names)}")
    name = words[0].removesuffix(".py").replace("-", "_")
    if name not in names:
        return refuse(f"run: wanted one of {', '.join(names)}, got {words[0]!r}{did_you_mean(name, names)}")
    environment.check_python(COMMAND)
    from dynsim import experiment

    sys.path.insert(0, str(environment.HOME))  # before a folder experiments/ of the user's
    module = importlib.import_module(f"experiments.{name}")
    experiment.main(module.EXPERIMENT, words[1:], program=f"{COMMAND} run {name}")
    return 0


def diagnose() -> int:
    """Print the doctor's report; return 0, or 1 if something is wrong."""
    from dynsim.doctor import report

    text, well = report()
    print(text)
    return 0 if well else 1


def print_version() -> int:
    """Print the version of the package."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        print(f"{COMMAND} {version('dynsim')}")
    except PackageNotFoundError:
        print(f"{COMMAND}, not installed, from {environment.HOME}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return the exit code: 0, 1 if the doctor finds a problem, 2 for a word that it does not know.

    Errors of an experiment's options end the program as they do for its own command (`cli.Refused`).
    """
    environment.check_python(COMMAND, packages=False)
    words = sys.argv[1:] if arguments is None else arguments
    first, rest = (words[0], words[1:]) if words else ("--help", [])
    if first == "run":
        return run_experiment(rest)
    without = {"experiments": list_experiments, "doctor": diagnose, "--version": print_version, "--help": print_help}
    first = {"-h": "--help", "help": "--help"}.get(first, first)
    if first not in without:
        from dynsim.config.checks import did_you_mean

        known = experiment_questions()
        name = first.removesuffix(".py")
        near = f"; did you mean {COMMAND} run {name}?" if name in known else did_you_mean(first, ["run", *without])
        return refuse(f"wanted one of run, {', '.join(without)}, got {first!r}{near}")
    if rest:
        return refuse(f"{first}: wanted nothing after it, got {' '.join(rest)!r}")
    return without[first]()


if __name__ == "__main__":
    sys.exit(main())
