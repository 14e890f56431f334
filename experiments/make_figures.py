"""Which figures does the repository show, and from which runs?

Draws every committed figure from the summaries in figures/data/ and writes figures/manifest.toml. This is the only
program that writes there, so that a user's run never changes the tree.

Command:  make figures                          draw from the committed summaries (seconds)

          make figures ARGS="--simulate"        run the experiments first and renew the summaries

Time:     seconds; with --simulate about 27 minutes on 2 CPU cores.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynsim.cli import Refused, parse_plain, run_main, set_up_jax
from experiments import pruning_comparison, pruning_regimes, stage_tracking, step_cost

PROGRAM = "make_figures.py"
FIGURES = Path(__file__).parent.parent / "figures"


@dataclass(frozen=True)
class MakeFigures:
    """Options of this program."""

    simulate: bool = False
    """Run the experiments first and renew figures/data/."""
    only: str = ""
    """Name of one study, for instance stage_tracking; all of them where it is empty."""
    out: Path = Path("results")
    """Where the runs of --simulate are kept."""


@dataclass(frozen=True)
class Study:
    """One experiment behind committed figures."""

    command: str
    run: Callable[[Path], Path]
    """(results folder) -> folder with summary.json and, unless `curves` is false, curves.nc."""
    draw: Callable[[dict[str, Any], dict[str, Any], Path], list[Path]]
    captions: Callable[[], dict[str, str]]
    statements: str
    curves: bool = True
    """Whether the figures need more than summary.json."""


def _stage_options(out: Path) -> stage_tracking.StageTracking:
    return stage_tracking.StageTracking(out=out, controls=True)


def _captions() -> dict[str, str]:
    from dynsim import plots

    return plots.CAPTIONS


def _regime_captions() -> dict[str, str]:
    from experiments.pruning import regime_map

    return regime_map.CAPTIONS


STUDIES = {
    "stage_tracking": Study(
        command="python experiments/stage_tracking.py --controls",
        run=lambda out: stage_tracking.study(_stage_options(out)),
        draw=stage_tracking.draw,
        captions=_captions,
        statements="Lemma 3.1, Lemma 3.2, Theorem 3.1",
    ),
    "pruning_comparison": Study(
        command="python experiments/pruning_comparison.py",
        run=lambda out: pruning_comparison.study(pruning_comparison.PruningComparison(out=out)),
        draw=pruning_comparison.draw,
        captions=pruning_comparison.captions,
        statements="Algorithm 1, Theorem 3.2",
    ),
    "step_cost": Study(
        command="python experiments/step_cost.py",
        run=lambda out: step_cost.study(step_cost.StepCost(out=out)),
        draw=step_cost.draw,
        captions=lambda: {"step_cost": step_cost.CAPTION},
        statements="cost of a training step; not a statement of the paper",
        curves=False,
    ),
    "pruning_regimes": Study(
        command="python experiments/pruning_regimes.py",
        run=lambda out: pruning_regimes.study(pruning_regimes.PruningRegimes(out=out)),
        draw=pruning_regimes.draw,
        captions=_regime_captions,
        statements="Theorem 3.2 and its assumptions",
        curves=False,
    ),
}


def toml_text(value: object) -> str:
    """Return a TOML string or number."""
    if isinstance(value, int | float):
        return repr(value)
    text = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{text}"'


def manifest_rows(name: str, study: Study, numbers: dict[str, Any], paths: list[Path]) -> list[dict[str, Any]]:
    """Return one manifest row per figure of a study."""
    captions = study.captions()
    return [
        {
            "figure": path.name,
            "script": f"experiments/{name}.py",
            "command": study.command,
            "statement": study.statements,
            "config_hash": numbers["config_hash"],
            "commit": numbers["provenance"]["commit"],
            "minutes": round(numbers["total_wall_s"] / 60, 1),
            "caption": captions[path.stem.removeprefix(f"{name}_")],
        }
        for path in paths
    ]


def renew(name: str, study: Study, options: MakeFigures) -> list[dict[str, Any]]:
    """Draw the figures of one study into figures/ and return their manifest rows."""
    from dynsim import results

    data = FIGURES / "data"
    if options.simulate:
        folder = study.run(options.out)
        data.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / "summary.json", data / f"{name}.json")
        if study.curves:
            shutil.copyfile(folder / "curves.nc", data / f"{name}.nc")
    numbers = results.load_json(data / f"{name}.json")
    reduced = results.load_many(data / f"{name}.nc") if study.curves else {}
    drawn = study.draw(numbers, reduced, FIGURES / "data" / "drawing")
    prefix = {path: "" if path.stem == name else f"{name}_" for path in drawn}  # a study's only figure has its name
    paths = [path.replace(FIGURES / f"{prefix[path]}{path.name}") for path in drawn]
    shutil.rmtree(FIGURES / "data" / "drawing", ignore_errors=True)
    return manifest_rows(name, study, numbers, paths)


def write_manifest(rows: list[dict[str, Any]]) -> None:
    """Write figures/manifest.toml: one table per figure."""
    from dynsim import results

    tables = ["\n".join(["[[figure]]", *(f"{key} = {toml_text(value)}" for key, value in row.items())]) for row in rows]
    text = "# Written by `make figures`; do not edit.\n\n" + "\n\n".join(tables) + "\n"
    results.atomic_write(FIGURES / "manifest.toml", lambda temporary: temporary.write_text(text))


def make(options: MakeFigures) -> None:
    """Draw everything that was asked for; the manifest keeps the rows of the other studies."""
    import tomllib

    if options.only and options.only not in STUDIES:
        raise Refused(PROGRAM, f"--only: wanted one of {', '.join(STUDIES)}, got {options.only!r}")
    manifest = FIGURES / "manifest.toml"
    old = tomllib.loads(manifest.read_text()).get("figure", []) if manifest.is_file() else []
    rows = []
    for name, study in STUDIES.items():
        if options.only in ("", name):
            rows += renew(name, study, options)
        else:
            rows += [row for row in old if row["script"] == f"experiments/{name}.py"]
    write_manifest(rows)
    for row in rows:
        print(FIGURES / row["figure"])


def main(arguments: list[str] | None = None) -> None:
    """Run from a command line."""
    options = parse_plain(MakeFigures, arguments, program=PROGRAM, description=__doc__ or "")
    set_up_jax("auto", "float32", PROGRAM)
    run_main(lambda: make(options), PROGRAM)


if __name__ == "__main__":
    main()
