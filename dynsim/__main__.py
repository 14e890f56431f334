"""The command python -m dynsim: lists the experiments, or reports whether this machine is ready to run them."""

import sys

USAGE = """usage: python -m dynsim [--help | doctor]

dynsim turns a theory of contrastive learning on imbalanced data into experiments.

  doctor      print versions, devices, precision, threads, memory and a verdict

Experiments (python experiments/NAME --help tells options, time and what to expect):
"""


def experiment_questions() -> dict[str, str]:
    """Return {file name: question} of the experiments; empty if only the package is installed, without them."""
    try:
        from experiments import make_figures
    except ModuleNotFoundError as error:
        if error.name != "experiments":
            raise
        return {}
    found = {experiment.program: experiment.question for experiment in make_figures.EXPERIMENTS}
    return dict(sorted({**found, make_figures.PROGRAM: make_figures.QUESTION}.items()))


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return the exit code: 0, 1 if the doctor finds a problem, 2 for an unknown command."""
    words = sys.argv[1:] if arguments is None else arguments
    if words == ["doctor"]:
        from dynsim.doctor import report

        text, well = report()
        print(text)
        return 0 if well else 1
    if words and words != ["--help"] and words != ["-h"]:
        print(f"dynsim: error: wanted doctor or --help, got {' '.join(words)!r}", file=sys.stderr)
        return 2
    print(USAGE + "\n".join(f"  {name:<24}{question}" for name, question in experiment_questions().items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
