"""How often do verdicts repeat? A preset is run several times with other seeds, and verdicts are counted.

A verdict that changes with the seeds is no finding. A (row, reseeding) pair repeats if its verdict is the one that
most reseedings give this row.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynsim import results, study
from dynsim.results.sealed import Json
from paper_checks import report
from paper_checks.check import Check
from paper_checks.runs import RUN_SETS, Source

REPEATS = "repeats.json"
STRIDE = 100
"""Distance between the first seeds of two reseedings; no run set has as many seeds."""


def verdicts_of(checks: Mapping[str, Check], source: Source) -> dict[str, str]:
    """Return the verdict of each row by "code | regime | claim"."""
    arrays, _ = report.measure_all(checks, source)
    rows = report.judge_all(checks, arrays)
    return {" | ".join((code, row.regime, row.claim)): row.verdict for code, found in rows.items() for row in found}


def repeated(checks: Mapping[str, Check], source: Source, n: int) -> Json:
    """Run the preset `n` times with other seeds and return how often each verdict came out.

    Verdicts of a finished reseeding are kept in the folder of the source, and its runs removed.
    """
    random = {code: check for code, check in checks.items() if any(name in RUN_SETS for name in check.sets)}
    found: dict[str, list[str]] = {}
    for k in range(1, n + 1):
        own = Source(source.folder / f"reseeding {k}", source.preset, source.first_seed + STRIDE * k)
        made_from = {"first_seed": own.first_seed, "preset": own.preset, "checks": sorted(random)}

        def make(own: Source = own) -> Any:
            with study.one_bar(f"reseeding {own.first_seed}"):
                return verdicts_of(random, own)

        verdicts = study.keep_numbers(source.folder / "repeats", f"reseeding {own.first_seed}", made_from, make)
        study.finish(own.folder)
        for name, verdict in verdicts.items():
            found.setdefault(name, []).append(verdict)
    return table(found, n, source)


def table(found: Mapping[str, list[str]], n: int, source: Source) -> Json:
    """Return the table of repeats of the verdicts {row: [one per reseeding]}."""
    rows: dict[str, Json] = {}
    for name, verdicts in found.items():
        (usual, times), *_ = Counter(verdicts).most_common(1)
        rows[name] = {"usual": usual, "repeats": times, "of": len(verdicts), "verdicts": verdicts}
    pairs = sum(row["of"] for row in rows.values())
    return {
        "preset": source.preset,
        "reseedings": n,
        "first_seeds": [source.first_seed + STRIDE * k for k in range(1, n + 1)],
        "pairs": pairs,
        "repeated": sum(row["repeats"] for row in rows.values()) / pairs if pairs else None,
        "provenance": results.provenance(),
        "rows": rows,
    }


def save_table(repeats: Json, folder: Path) -> None:
    """Save the table, print its bottom line and the rows that do not always repeat."""
    results.save_json(repeats, folder / REPEATS)
    if repeats["repeated"] is not None:
        print(f"verdicts repeat in {repeats['repeated']:.1%} of {repeats['pairs']} (row, reseeding) pairs")
    for name, row in repeats["rows"].items():
        if row["repeats"] < row["of"]:
            print(f"{row['repeats']}/{row['of']}  {name}: {', '.join(sorted(set(row['verdicts'])))}")
    print(folder / REPEATS)
