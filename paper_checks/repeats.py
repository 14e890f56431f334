"""How often do verdicts repeat? A preset is run several times with other seeds, and verdicts are counted.

A verdict that changes with the seeds is no finding. A (row, reseeding) pair repeats if its verdict is the one that
most reseedings give this row. It is opposite if one of the two says supported and the other not supported: worse than a
verdict that few seeds leave undecided. The main claims are those that the summary of the report shows.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from dynsim import results, study
from dynsim.results.sealed import Json
from dynsim.stats.verdicts import NOT_SUPPORTED, SUPPORTED
from paper_checks import report
from paper_checks.check import Check
from paper_checks.runs import RUN_SETS, Source

REPEATS = "repeats.json"
STRIDE = 100
"""Distance between the first seeds of two reseedings; no run set has as many seeds."""
EARLIER = 10
"""Reseedings that are passed over: their verdicts were looked at when the numbers of seeds were chosen."""


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
    for k, first_seed in enumerate(first_seeds(source, n), start=1):
        own = Source(source.folder / f"reseeding {k}", source.preset, first_seed)
        made_from = {"first_seed": own.first_seed, "preset": own.preset, "checks": sorted(random)}

        def make(own: Source = own) -> Any:
            with study.one_bar(f"reseeding {own.first_seed}"):
                return verdicts_of(random, own)

        verdicts = study.keep_numbers(source.folder / "repeats", f"reseeding {own.first_seed}", made_from, make)
        study.finish(own.folder)
        for name, verdict in verdicts.items():
            found.setdefault(name, []).append(verdict)
    return table(found, n, source, main_claims(random, found))


def first_seeds(source: Source, n: int) -> list[int]:
    """Return the first seed of each of `n` reseedings."""
    return [source.first_seed + STRIDE * (EARLIER + k) for k in range(1, n + 1)]


def main_claims(checks: Mapping[str, Check], names: Collection[str]) -> set[str]:
    """Return which rows, named as by `verdicts_of`, are about the main claim of their check."""
    out = set()
    for code, check in checks.items():
        own = [name for name in names if name.split(" | ")[0] == code]
        begins = check.primary or (own[0].split(" | ")[2] if own else "")
        out |= {name for name in own if name.split(" | ")[2].startswith(begins)}
    return out


def _share(rows: Collection[Json]) -> float | None:
    pairs = sum(row["of"] for row in rows)
    return sum(row["repeats"] for row in rows) / pairs if pairs else None


def table(found: Mapping[str, list[str]], n: int, source: Source, main: Collection[str] = ()) -> Json:
    """Return the table of repeats of the verdicts {row: [one per reseeding]}; `main` are the rows on main claims."""
    rows: dict[str, Json] = {}
    for name, verdicts in found.items():
        (usual, times), *_ = Counter(verdicts).most_common(1)
        opposite = sum({usual, verdict} == {SUPPORTED, NOT_SUPPORTED} for verdict in verdicts)
        rows[name] = {"usual": usual, "repeats": times, "opposite": opposite, "of": len(verdicts), "verdicts": verdicts}
    return {
        "preset": source.preset,
        "reseedings": n,
        "first_seeds": first_seeds(source, n),
        "pairs": sum(row["of"] for row in rows.values()),
        "repeated": _share(rows.values()),
        "main_pairs": sum(rows[name]["of"] for name in main),
        "main_repeated": _share([rows[name] for name in main]),
        "opposite": sum(row["opposite"] for row in rows.values()),
        "provenance": results.provenance(),
        "rows": rows,
    }


def save_table(repeats: Json, folder: Path) -> None:
    """Save the table, print its bottom line and the rows that do not always repeat."""
    results.save_json(repeats, folder / REPEATS)
    if repeats["repeated"] is not None:
        print(f"verdicts repeat in {repeats['repeated']:.1%} of {repeats['pairs']} (row, reseeding) pairs")
    if repeats["main_repeated"] is not None:
        print(f"those on main claims in {repeats['main_repeated']:.1%} of {repeats['main_pairs']}")
    for name, row in repeats["rows"].items():
        if row["repeats"] < row["of"]:
            print(f"{row['repeats']}/{row['of']}  {name}: {', '.join(sorted(set(row['verdicts'])))}")
    print(folder / REPEATS)
