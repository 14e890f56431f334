"""Which numbers do the documents of this repository quote?

Writes README.md and the other documents that have a source below .docs/. Every number that was measured is read from
the committed summaries in figures/data/; the sources hold the text, with placeholders such as
{stage_tracking[stages_found][majority][T2]}. tests/test_documents.py fails where a document differs from its source.

Command:  make documents                        write them from the committed summaries

          make documents ARGS="--simulate"      run the README's examples first and renew what they show

Time:     seconds; with --simulate about a minute on 2 CPU cores.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # says in one line which packages are missing, before they are imported
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from dynsim import environment

    environment.check_python(__file__)

from dynsim.cli import Refused, parse_plain, run_main
from experiments.documents import lookups
from experiments.documents.numbers import ROOT, DocumentError
from experiments.documents.sources import render, source_files

DOCUMENT_PROGRAM = "make_documents.py"


@dataclass(frozen=True)
class MakeDocuments:
    """Options of this program."""

    simulate: bool = False
    """Run the quick preset and the README's lines of Python first, and renew their results in .docs/."""


def documents() -> dict[str, str]:
    """Return the text of each document by its path. Errors: `DocumentError` in one line."""
    names = lookups.names()
    return {
        path.relative_to(ROOT).as_posix(): render(
            source.read_text(encoding="utf-8"), names, source.relative_to(ROOT).as_posix()
        )
        for source, path in source_files().items()
    }


def write_all(options: MakeDocuments) -> None:
    """Write all documents, draw the README's picture of the model, and print the paths of the documents."""
    from experiments.documents import examples

    if options.simulate:
        examples.renew_runs()
    examples.draw_model()
    try:
        texts = documents()
    except DocumentError as error:
        raise Refused(DOCUMENT_PROGRAM, str(error)) from None
    for path, text in texts.items():
        (ROOT / path).write_text(text, encoding="utf-8")
        print(path)


def main(arguments: list[str] | None = None) -> None:
    """Run from a command line."""
    options = parse_plain(MakeDocuments, arguments, program=DOCUMENT_PROGRAM, description=__doc__ or "")
    run_main(lambda: write_all(options), DOCUMENT_PROGRAM)


if __name__ == "__main__":
    main()
