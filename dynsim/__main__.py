"""python -m dynsim: list the experiments, or examine the machine."""

import ast
import sys
from pathlib import Path

EXPERIMENTS = Path(__file__).parent.parent / "experiments"

USAGE = """usage: python -m dynsim [--help | doctor]

dynsim turns a theory of contrastive learning on imbalanced data into experiments.

  doctor      print versions, devices, precision, threads, memory and a verdict

Experiments (python experiments/NAME --help tells options, time and what to expect):
"""


def experiment_questions() -> dict[str, str]:
    """Return {file name: first line of its docstring} of the experiments beside the package."""
    found = {}
    for path in sorted(EXPERIMENTS.glob("*.py")):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if text and not path.name.startswith("_"):
            found[path.name] = text.splitlines()[0]
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return the exit code: 0, 1 where the doctor is not content, 2 for an unknown word."""
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
