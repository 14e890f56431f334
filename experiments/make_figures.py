"""Which figures does the repository show, and from which runs?

Draws every committed figure from the summaries in figures/data/ and writes figures/manifest.toml and, from it, the
gallery figures/README.md. This is the only program that writes there, so that a user's run never changes the tree.

Command:  make figures                          draw from the committed summaries (seconds)

          make figures ARGS="--simulate"        run the experiments first and renew the summaries

Time:     seconds; with --simulate about seven hours on 2 CPU cores; figures/manifest.toml has the minutes of each
          experiment.
"""

import dataclasses
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # says in one line which packages are missing, before they are imported
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from dynsim import environment

    environment.check_python(__file__)

from dynsim.cli import Refused, parse_plain, run_main, set_up_jax
from dynsim.config.checks import did_you_mean
from dynsim.experiment import Experiment, Json, load, run, save_figures
from experiments import (
    cifar_lt,
    long_tail_losses,
    pruning_answer,
    pruning_comparison,
    pruning_recipe,
    pruning_regimes,
    stage_tracking,
    step_cost,
)

PROGRAM = "make_figures.py"
QUESTION = (__doc__ or "").partition("\n")[0]
FIGURES = Path(__file__).parent.parent / "figures"
COMMITTED = ("png", "pdf")
"""Formats of the committed figures: one for a screen and one for a paper. A user's run writes SVG as well."""

HEADER = """# Written by `make figures`; do not edit.
# Every figure is committed as a PNG (figure) and as a PDF (pdf), at the width of one column of a paper (3.3 inches) or
# of two (6.8 inches). A run of the experiment writes an SVG as well.

"""


@dataclass(frozen=True)
class MakeFigures:
    """Options of this program."""

    simulate: bool = False
    """Run the experiments first and renew figures/data/."""
    only: str = ""
    """Name of one experiment, such as stage_tracking; all of them if it is empty."""
    out: Path = Path("results")
    """Folder for the runs of --simulate."""


EXPERIMENTS = (
    stage_tracking.EXPERIMENT,
    pruning_comparison.EXPERIMENT,
    step_cost.EXPERIMENT,
    pruning_regimes.EXPERIMENT,
    pruning_answer.EXPERIMENT,
    pruning_recipe.EXPERIMENT,
    cifar_lt.EXPERIMENT,
    long_tail_losses.EXPERIMENT,
)
"""In the order of the manifest."""


def toml_text(value: object) -> str:
    """Return a TOML string or number."""
    if isinstance(value, int | float):
        return repr(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{text}"'


def manifest_rows(experiment: Experiment, numbers: Json, paths: dict[str, Path]) -> list[Json]:
    """Return one row of the manifest per figure of an experiment; `paths` are those of the figures by name."""
    captions = experiment.captions()
    return [
        {
            "figure": path.name,
            "pdf": path.with_suffix(".pdf").name,
            "script": f"experiments/{experiment.program}",
            "command": experiment.command,
            "statement": experiment.statements,
            "config_hash": numbers["config_hash"],
            "commit": numbers["provenance"]["commit"],
            "minutes": round(numbers["total_wall_s"] / 60, 1),
            "caption": captions[name],
        }
        for name, path in paths.items()
    ]


def renew(experiment: Experiment, options: MakeFigures) -> list[Json]:
    """Draw the figures of one experiment into figures/ and return their manifest rows."""
    data, name = FIGURES / "data", experiment.name
    if options.simulate:
        published = experiment.published or experiment.options()
        folder = run(experiment, dataclasses.replace(published, out=options.out))
        data.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / "summary.json", data / f"{name}.json")
        if experiment.curves:
            shutil.copyfile(folder / "curves.nc", data / f"{name}.nc")
    numbers, reduced = load(experiment, data / f"{name}.json", data / f"{name}.nc")

    def place(own: str) -> Path:
        return FIGURES / (own if own == name else f"{name}_{own}")  # an experiment's only figure has its name

    paths = save_figures(experiment, numbers, reduced, place, COMMITTED)
    return manifest_rows(experiment, numbers, paths)


def write_manifest(rows: list[Json]) -> None:
    """Write figures/manifest.toml: one table per figure."""
    from dynsim import results

    tables = ["\n".join(["[[figure]]", *(f"{key} = {toml_text(value)}" for key, value in row.items())]) for row in rows]
    text = HEADER + "\n\n".join(tables) + "\n"
    results.atomic_write(FIGURES / "manifest.toml", lambda temporary: temporary.write_text(text, encoding="utf-8"))


GALLERY = """# Every figure, by experiment

<!-- Written by `make figures` from manifest.toml and from the questions of the experiments; do not edit. -->

Under each figure stand the command that computes its numbers and the files that hold them. `make figures` draws all
figures from these files within seconds, without simulating. A command writes into `results/` and changes nothing here.
[manifest.toml](manifest.toml) also has, for each figure, the code (`commit`), the configuration (`config_hash`) and the
time it took, and the statement of the paper that it is about. The figures of the checks, one for each statement of the
theory, are in [checks](checks) and shown in [paper_checks/README.md](../paper_checks/README.md).
"""


def plain_markdown(text: str) -> str:
    """Return Markdown that shows a text as it stands; an underscore inside a word needs no protection."""
    return re.sub(r"(?<!\w)_|_(?!\w)|[\\`*<>\[\]|$~]", r"\\\g<0>", text)


def gallery_entry(experiment: Experiment, row: Json) -> str:
    """Return the part of the gallery about one figure: picture, caption, command, numbers and other formats."""
    name = Path(row["figure"])
    title = name.stem.removeprefix(f"{experiment.name}_").replace("_", " ")
    numbers = sorted(path.name for path in (FIGURES / "data").glob(f"{experiment.name}.*"))
    others = sorted(path.name for path in FIGURES.glob(f"{name.stem}.*") if path.name != name.name)
    source = [
        f"`{row['command']}`",
        "numbers: " + ", ".join(f"[{file}](data/{file})" for file in numbers),
        *(f"[{Path(file).suffix[1:].upper()}]({file})" for file in others),
    ]
    picture = f"![{plain_markdown(experiment.name)}: {title}]({name})"
    return "\n\n".join([f"### {title}", picture, plain_markdown(row["caption"]), " · ".join(source)])


def gallery(rows: Sequence[Json]) -> str:
    """Return figures/README.md for the rows of the manifest: the figures of every experiment below its question."""
    contents, sections = [], []
    for experiment in EXPERIMENTS:
        own: dict[str, Json] = {}  # a figure in several formats has one entry, with its picture
        for row in sorted(rows, key=lambda row: row["figure"].endswith(".pdf")):
            if row["script"] == f"experiments/{experiment.program}":
                own.setdefault(Path(row["figure"]).stem, row)
        if own:
            question = plain_markdown(experiment.question)
            contents.append(f"- [{experiment.name}](#{experiment.name}): {question}")
            sections += [f"## {experiment.name}", question]
            sections += [gallery_entry(experiment, row) for row in own.values()]
    return "\n\n".join([GALLERY.rstrip(), "\n".join(contents), *sections]) + "\n"


def read_manifest() -> list[Json]:
    """Return the rows of figures/manifest.toml, none if there is no such file."""
    import tomllib

    manifest = FIGURES / "manifest.toml"
    return tomllib.loads(manifest.read_text(encoding="utf-8")).get("figure", []) if manifest.is_file() else []


def write_gallery() -> None:
    """Write the gallery, figures/README.md, from figures/manifest.toml."""
    from dynsim import results

    text = gallery(read_manifest())
    results.atomic_write(FIGURES / "README.md", lambda temporary: temporary.write_text(text, encoding="utf-8"))


def make(options: MakeFigures) -> None:
    """Draw the figures of the chosen experiments; the manifest keeps the rows of the others."""

    names = [experiment.name for experiment in EXPERIMENTS]
    if options.only and options.only not in names:
        near = did_you_mean(options.only, names)
        raise Refused(PROGRAM, f"--only: wanted one of {', '.join(names)}, got {options.only!r}{near}")
    old, rows = read_manifest(), []
    for experiment in EXPERIMENTS:
        if options.only in ("", experiment.name):
            rows += renew(experiment, options)
        else:
            rows += [row for row in old if row["script"] == f"experiments/{experiment.program}"]
    write_manifest(rows)
    write_gallery()
    for row in rows:
        print(FIGURES / row["figure"])


def main(arguments: list[str] | None = None) -> None:
    """Run from a command line."""
    options = parse_plain(MakeFigures, arguments, program=PROGRAM, description=__doc__ or "")
    set_up_jax("auto", "float32", PROGRAM)
    run_main(lambda: make(options), PROGRAM)


if __name__ == "__main__":
    main()
