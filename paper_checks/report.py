"""The report: measures and judges checks, saves numbers, arrays and figures, and computes every number again."""

import math
import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import xarray as xr

from dynsim import results, study
from dynsim.plots import save_figure
from dynsim.results.sealed import Json, ResultError
from dynsim.stats.verdicts import CHECK_VERDICTS
from paper_checks import registry
from paper_checks.check import ORIGINS, Check, Row
from paper_checks.runs import RUN_SETS, Source

SUMMARY, ARRAYS = "report.json", "report.nc"
COMMITTED_FORMATS, OTHER_FORMATS = ("png", "pdf"), ("png",)
"""Formats of the figures of the committed report, and of all others: to draw one takes half a second."""
Arrays = dict[str, xr.Dataset]
PROCESSES, WORTH_A_PROCESS = 2, 10
"""How many processes draw figures, and from how many figures on: to begin takes as long as a few of them."""


def measure_all(checks: Mapping[str, Check], source: Source) -> tuple[Arrays, dict[str, float]]:
    """Return the arrays of each check, and the seconds of measuring it; runs may be made meanwhile."""
    needed = dict.fromkeys(name for check in checks.values() for name in check.sets if name in RUN_SETS)
    source.announce(needed)
    arrays, took = {}, {}
    with source.made_meanwhile(needed):
        for code, check in checks.items():
            for name in check.sets:
                if name in RUN_SETS:
                    source.runs(name)
            began = time.perf_counter()
            arrays[code] = check.measure(source)
            took[code] = time.perf_counter() - began
            study.say(f"{code}: measured in {took[code]:.1f} s")
    return arrays, took


def judge_all(checks: Mapping[str, Check], arrays: Arrays) -> dict[str, list[Row]]:
    """Return the rows of each check, from its arrays alone."""
    return {code: check.judge(arrays[code]) for code, check in checks.items()}


def verdict_counts(entries: Mapping[str, Json], origins: Collection[str] = tuple(ORIGINS)) -> dict[str, int]:
    """Return the number of rows by verdict, in the order of `CHECK_VERDICTS`: all rows, or those on claims of some."""
    rows = [row for entry in entries.values() for row in entry["rows"]]
    found = Counter(row["verdict"] for row in rows if row["origin"] in origins)
    return {word: found[word] for word in CHECK_VERDICTS}


def plain_rows(check: Check, rows: Sequence[Row]) -> list[Json]:
    """Return rows as the report keeps them: each with its `origin`, that is whose claim it is about."""
    return [row.plain() | {"origin": check.origin_of(row.claim)} for row in rows]


def primary_rows(check: Check, rows: Sequence[Json]) -> list[Json]:
    """Return the rows that the summary shows: one claim, at each place where it was measured."""
    begins = check.primary or (rows[0]["claim"] if rows else "")
    return [row for row in rows if row["claim"].startswith(begins)]


def entry_of(check: Check, rows: list[Row], source: Source, took: float, commit: str | None) -> Json:
    """Return what the report says of one check, measured at a commit."""
    simulated = [name for name in check.sets if name in RUN_SETS]
    return {
        "statement": check.statement,
        "title": check.title,
        "rows": plain_rows(check, rows),
        "commit": commit,
        "sets": list(check.sets),
        "config_hash": source.hash_of(simulated),
        "simulated_s": round(source.wall_s(simulated), 1),
        "measured_s": round(took, 1),
    }


def make(checks: Mapping[str, Check], source: Source) -> tuple[Json, Arrays]:
    """Simulate what is missing, measure and judge; return the summary and the arrays."""
    arrays, took = measure_all(checks, source)
    rows, provenance = judge_all(checks, arrays), results.provenance()
    commit = provenance["commit"]
    entries = {code: entry_of(check, rows[code], source, took[code], commit) for code, check in checks.items()}
    simulated = dict.fromkeys(name for check in checks.values() for name in check.sets if name in RUN_SETS)
    summary = {
        "preset": source.preset,
        "first_seed": source.first_seed,
        "provenance": provenance,
        "simulated_s": {name: round(source.wall_s([name]), 1) for name in simulated},
        "verdicts": verdict_counts(entries),
        "checks": entries,
    }
    return summary, arrays


def save(summary: Json, arrays: Arrays, folder: Path) -> tuple[Json, Arrays]:
    """Save summary and arrays, and return all that the folder then holds.

    What it holds of other checks, of the same preset and seeds, is kept. The provenance is that of the last command;
    each check keeps the commit at which it was measured.
    """
    if (folder / SUMMARY).is_file():
        earlier, kept = load(folder)
        if any("commit" not in entry for entry in earlier["checks"].values()):
            raise ResultError(f"{folder / SUMMARY}: made by an earlier version; run once with --redraw, then again")
        if all(earlier[name] == summary[name] for name in ("preset", "first_seed")):
            summary["checks"] = {**earlier["checks"], **summary["checks"]}
            summary["simulated_s"] = {**earlier["simulated_s"], **summary["simulated_s"]}
            summary["verdicts"] = verdict_counts(summary["checks"])
            arrays = {**kept, **arrays}
    results.save_many(arrays, folder / ARRAYS)
    results.save_json(summary, folder / SUMMARY)
    return results.load_json(folder / SUMMARY), arrays


def rejudge(checks: Mapping[str, Check], folder: Path) -> None:
    """Judge the saved arrays again and save the rows; what was measured stays as it is."""
    summary, arrays = load(folder)
    for code, rows in judge_all({c: check for c, check in checks.items() if c in arrays}, arrays).items():
        entry = summary["checks"][code]
        entry |= {"rows": plain_rows(checks[code], rows), "title": checks[code].title}
        entry.setdefault("commit", summary["provenance"]["commit"])  # reports of one command said it once
    summary["verdicts"] = verdict_counts(summary["checks"])
    results.save_json(summary, folder / SUMMARY)


def load(folder: Path) -> tuple[Json, Arrays]:
    """Return the saved summary and arrays. Errors: `ResultError` in one line."""
    return results.load_json(folder / SUMMARY), results.load_many(folder / ARRAYS)


def draw_all(
    checks: Mapping[str, Check],
    arrays: Arrays,
    summary: Json,
    folder: Path,
    formats: Sequence[str] = COMMITTED_FORMATS,
) -> list[Path]:
    """Save one figure for each check, from its arrays alone, and return the paths of the first format."""
    import matplotlib.pyplot as plt

    paths = []
    for code, check in checks.items():
        rows = check.judge(arrays[code]) if code in arrays else []
        if not rows:  # the preset has none of the runs that it is about
            continue
        figure = check.draw(arrays[code], rows)
        metadata = {"check": code, "config": summary["checks"][code]["config_hash"]}
        files = [folder / f"{figure_name(code)}.{kind}" for kind in formats]
        for path in files:
            save_figure(figure, path, check.caption, metadata)
        plt.close(figure)
        paths.append(files[0])
    return paths


def draw_in_processes(
    codes: Sequence[str], arrays: Arrays, summary: Json, folder: Path, formats: Sequence[str]
) -> list[Path]:
    """Do what `draw_all` does, for these of the registered checks; where they are many, in several processes."""
    if len(codes) < WORTH_A_PROCESS:
        return _draw_share(codes, arrays, summary, folder, formats)
    shares = [codes[k::PROCESSES] for k in range(PROCESSES)]
    given = [{code: arrays[code] for code in share if code in arrays} for share in shares]
    more = [[one] * PROCESSES for one in (summary, folder, formats)]
    # a Ctrl-C reaches all processes, and this one says it
    quiet = (signal.SIGINT, signal.SIG_IGN)
    try:
        with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn"), signal.signal, quiet) as pool:
            drawn = {path.stem: path for paths in pool.map(_draw_share, shares, given, *more) for path in paths}
    except BrokenProcessPool:
        raise ResultError("figures: a process that draws was killed; run the same command with --redraw") from None
    return [drawn[figure_name(code)] for code in codes if figure_name(code) in drawn]


def _draw_share(
    codes: Sequence[str], arrays: Arrays, summary: Json, folder: Path, formats: Sequence[str]
) -> list[Path]:
    return draw_all(registry.chosen(codes), arrays, summary, folder, formats)


def figure_name(code: str) -> str:
    """Return the name of a check's figure without suffix."""
    return code.lower().replace(" ", "_")


def differences(checks: Mapping[str, Check], summary: Json, arrays: Arrays) -> list[str]:
    """Judge the saved arrays again and say in one line each what differs from the saved summary.

    Numbers may differ in the last digits, since other versions of NumPy add in another order.
    """
    out = []
    for code, entry in summary["checks"].items():
        if code not in checks or code not in arrays:
            out.append(f"{code}: {'no check of this name' if code not in checks else 'its arrays are missing'}")
            continue
        again = plain_rows(checks[code], checks[code].judge(arrays[code]))
        if len(again) != len(entry["rows"]):
            out.append(f"{code}: {len(entry['rows'])} rows in the report, {len(again)} computed again")
            continue
        for old, new in zip(entry["rows"], again, strict=True):
            names = [name for name in new if not _alike(old.get(name), new[name])]
            out += [
                f"{code}, {old['regime']}: {name} {old.get(name)} in the report, {new[name]} again" for name in names
            ]
    return out + [f"{code}: not in the report" for code in checks if code not in summary["checks"]]


def _alike(old: object, new: object) -> bool:
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(_alike(a, b) for a, b in zip(old, new, strict=True))
    if isinstance(old, float | int) and isinstance(new, float | int):
        return math.isclose(old, new, rel_tol=1e-6, abs_tol=1e-9)
    return old == new


def require_alike(checks: Mapping[str, Check], folder: Path, only: Sequence[str] = ()) -> int:
    """Return how many rows were computed again: all of the report, or those of the checks `only`.

    Errors: `ResultError` in one line if one differs from the report.
    """
    summary, arrays = load(folder)
    if only:
        summary["checks"] = {code: entry for code, entry in summary["checks"].items() if code in only}
    found = differences(checks, summary, arrays)
    if found:
        raise ResultError(f"{folder / SUMMARY}: {len(found)} differences, first: {found[0]}; run make checks")
    return sum(len(entry["rows"]) for entry in summary["checks"].values())
