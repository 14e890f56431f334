"""The report as text: paper_checks/README.md, and the table that is printed. All numbers come from the summary."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from dynsim import results
from dynsim.results.sealed import Json
from dynsim.stats.verdicts import CHECK_VERDICTS, NOT_SUPPORTED, SUPPORTED
from paper_checks.check import ORIGINS, OURS, PAPER, RIVAL, Check
from paper_checks.choices import choices_table
from paper_checks.repeats import REPEATS
from paper_checks.report import figure_name, primary_rows, verdict_counts

WORDS = {
    "supported": "the interval of the measured number lies in the range that the statement allows",
    "not supported": "the interval lies outside that range",
    "undecided": "the interval reaches over an end of the range, or there are fewer seeds or settings than planned",
    "out of regime": "the runs break an assumption, so that they say nothing about the statement",
    "vacuous here": "nothing that could come out at these sizes would break the statement",
}
HEAD = """<!-- Written by `make checks`. -->

# Which statements of the theory hold at finite size?

Each statement of [the theory](theory.md) is measured and gets a verdict. {counts}

A verdict concerns *our reading* of the paper: its full text was not available to us, and what it leaves open we chose
([below](#what-is-assumed)). A statement that is not supported here speaks against that reading first.

{words}

Claims are of three kinds, in the column *whose*:

{origins}

Two noise levels are the rule: *false firing 1 %*, where noise alone fires a neuron on one token in a hundred, and
*default noise*, where it does so many times as often ([NOISE](#noise) measures it). The theory's noise vanishes. A
verdict that differs between them stands in two rows. Numbers in brackets are 95 % intervals over seeds, or of a slope
over sizes. Made by `{command}` (preset {preset}, seeds from {first_seed}, {minutes:.0f} minutes of simulation)
at {commits}; `make checks VERIFY=1` computes every number again from the arrays in `report.nc`.

## In short

One line for the main claim of each check at each place where it was measured; the counts are over all of its rows.
"""


def number_text(value: float | None) -> str:
    """Return a number with three digits that count; "-" for none."""
    if value is None:
        return "-"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def interval_text(ends: list[float | None] | None, *, opens: bool = False) -> str:
    """Return an interval in brackets; an open end of a wanted range is written as infinity."""
    if ends is None:
        return ""
    low, high = (number_text(end) if end is not None else sign for end, sign in zip(ends, ("-∞", "∞"), strict=True))
    if not opens and None in ends:
        return "[-]"
    return f"[{low}, {high}]"


def wanted_text(row: Json) -> str:
    """Return what a row wants: the predicted number where there is one, and the allowed range."""
    said = "" if row["predicted"] is None else number_text(row["predicted"])
    allowed = "" if row["wanted"] is None else f"in {interval_text(row['wanted'], opens=True)}"
    return ", ".join(part for part in (said, allowed) if part) or "-"


def counts_text(summary: Json) -> str:
    """Return how many rows have each verdict, those on claims of the paper first."""
    counted = {origin: verdict_counts(summary["checks"], [origin]) for origin in ORIGINS}
    n = {origin: sum(found.values()) for origin, found in counted.items()}
    said = {
        origin: ", ".join(f"{number} {word}" for word, number in found.items() if number) or "no verdict"
        for origin, found in counted.items()
    }
    return (
        f"{len(summary['checks'])} checks say {sum(n.values())} verdicts. On the {n[PAPER]} claims of the paper: "
        f"{said[PAPER]}. On the {n[RIVAL]} of rival explanations: {said[RIVAL]}. "
        f"On the {n[OURS]} about our sampler, controls and questions: {said[OURS]}."
    )


def table_text(summary: Json) -> str:
    """Return the printed table: one line for each row, counts first."""
    lines = [counts_text(summary), ""]
    for code, entry in summary["checks"].items():
        for row in entry["rows"]:
            measured = f"{number_text(row['measured'])} {interval_text(row['interval'])}".strip()
            said = f"{code:<7}{row['origin']:<7}{row['verdict']:<15}{measured:<28}wanted {wanted_text(row):<24} "
            lines.append(f"{said}{row['regime']}: {row['claim']}")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _anchor(code: str, theory_codes: set[str]) -> str:
    return f"[{code}](theory.md#{code})" if code in theory_codes else f"[{code}](#{code.lower()})"


def commits_text(summary: Json) -> str:
    """Return at which commit the checks were measured; where there are several, which checks at which."""
    codes: dict[str, list[str]] = {}
    for code, entry in summary["checks"].items():
        codes.setdefault(str(entry["commit"])[:7], []).append(code)
    if len(codes) == 1:
        return f"commit {next(iter(codes))}"
    usual = max(codes, key=lambda commit: len(codes[commit]))
    others = "; ".join(f"{', '.join(found)} at commit {one}" for one, found in codes.items() if one != usual)
    return f"commit {usual} ({others})"


def verdict_table(summary: Json, figures: str, theory_codes: set[str]) -> str:
    """Return the table with one line for each row."""
    lines = [
        "| statement | whose | claim | where | measured | wanted | verdict | rival predicts | figure | configuration | "
        "time |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for code, entry in summary["checks"].items():
        for row in entry["rows"]:
            measured = f"{number_text(row['measured'])} {interval_text(row['interval'])}".strip()
            cells = [
                f"{entry['statement']}, {_anchor(code, theory_codes)}",
                *(row["origin"], row["claim"], row["regime"], f"{measured} ({row['quantity']})", wanted_text(row)),
                f"**{row['verdict']}**",
                row["rival"] or "-",
                f"[picture]({figures}/{figure_name(code)}.png)",
                f"`{entry['config_hash']}`",
                f"{entry['simulated_s'] + entry['measured_s']:.0f} s",
            ]
            lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines)


def summary_table(summary: Json, checks: Mapping[str, Check], theory_codes: set[str]) -> str:
    """Return the table of the main claim of each check."""
    lines = ["| statement | check | whose | claim | where | verdict | all rows |", "|---|---|---|---|---|---|---|"]
    for code, entry in summary["checks"].items():
        found = Counter(row["verdict"] for row in entry["rows"])
        counts = ", ".join(f"{found[word]} {word}" for word in CHECK_VERDICTS if found[word])
        for place, row in enumerate(primary_rows(checks[code], entry["rows"])):
            first = (entry["statement"], _anchor(code, theory_codes)) if place == 0 else ("", "")
            cells = (*first, row["origin"], row["claim"], row["regime"], f"**{row['verdict']}**")
            cells = (*cells, counts if place == 0 else "")
            lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines)


def section(code: str, check: Check, entry: Json, figures: str) -> str:
    """Return the part about one check: claim, how it is tested, figure, and what its rows add."""
    notes = [f"- *{row['regime']}*, {row['claim']}: {row['note']}" for row in entry["rows"] if row["note"]]
    return "\n\n".join(
        [
            f'<a id="{code.lower()}"></a>\n### {code}: {check.title}',
            f"*{check.statement}.* {check.formula}",
            f"Rival: {check.rival}\n\nFree constants: {check.constants}\n\nSizes and seeds: {check.power}",
            *(["\n".join(notes)] if notes else []),
            f"![{check.title}]({figures}/{figure_name(code)}.png)",
            f"*{check.caption}*",
        ]
    )


def usual_text(repeats: Json) -> str:
    """Return how many rows of a table of repeats usually decide something, and how often these repeat."""
    usual = Counter(row["usual"] for row in repeats["rows"].values())
    decided = [row for row in repeats["rows"].values() if row["usual"] in (SUPPORTED, NOT_SUPPORTED)]
    counted = ", ".join(f"{usual[word]} {word}" for word in CHECK_VERDICTS if usual[word])
    share = sum(row["repeats"] for row in decided) / max(sum(row["of"] for row in decided), 1)
    return f"Usual verdicts: {counted}; those that support or do not support repeat in {share:.1%} of their pairs."


def repeats_text(folder: Path) -> str:
    """Return what the committed table of repeats says, "" without one."""
    if not (folder / REPEATS).is_file():
        return ""
    repeats = results.load_json(folder / REPEATS)
    lines = [
        "## Do verdicts repeat?",
        "",
        f"The {repeats['preset']} preset was run {repeats['reseedings']} times with other seeds, from "
        f"{repeats['first_seeds'][0]} on, at commit {str(repeats['provenance']['commit'])[:7]}. In "
        f"{repeats['repeated']:.1%} of {repeats['pairs']} (row, reseeding) pairs the verdict was the usual one of its "
        f"row, and in {repeats['main_repeated']:.1%} of the {repeats['main_pairs']} pairs on main claims. "
        f"{usual_text(repeats)} In {repeats['opposite'] or 'none'} of all pairs one verdict said supported and the "
        "other not supported; all other changes are to or from a verdict that decides nothing. A row for which fewer "
        "seeds or settings were run than planned is undecided in every reseeding, which repeats, but says nothing. The "
        "rows that did not always repeat:",
        "",
        "| row | usual verdict | repeated | verdicts |",
        "|---|---|---|---|",
    ]
    for name, row in repeats["rows"].items():
        if row["repeats"] < row["of"]:
            others = ", ".join(sorted(set(row["verdicts"])))
            lines.append(f"| {_cell(name)} | {row['usual']} | {row['repeats']} of {row['of']} | {others} |")
    return "\n".join(lines) + "\n"


def render(summary: Json, checks: Mapping[str, Check], folder: Path, figures: Path) -> str:
    """Return the text of README.md for a report in `folder` with its figures in `figures`."""
    theory_text = (Path(__file__).resolve().parent / "theory.md").read_text(encoding="utf-8")
    theory_codes = {code for code in checks if f'<a id="{code}"></a>' in theory_text}
    place = os.path.relpath(figures.resolve(), folder.resolve())
    head = HEAD.format(
        counts=counts_text(summary),
        words="\n".join(f"- *{word}*: {meaning}" for word, meaning in WORDS.items()),
        origins="\n".join(f"- *{origin}*: {meaning}" for origin, meaning in ORIGINS.items()),
        command="make checks" if summary["preset"] == "default" else f'make checks ARGS="--preset {summary["preset"]}"',
        preset=summary["preset"],
        first_seed=summary["first_seed"],
        minutes=sum(summary["simulated_s"].values()) / 60,
        commits=commits_text(summary),
    )
    shown = {code: entry for code, entry in summary["checks"].items() if entry["rows"]}
    sections = [section(code, checks[code], entry, place) for code, entry in shown.items()]
    parts = [head, summary_table(summary, checks, theory_codes), "\n## What is assumed\n", choices_table()]
    parts += ["## All verdicts\n", verdict_table(summary, place, theory_codes), ""]
    parts += [repeats_text(folder), "## The checks, one by one\n", "\n\n".join(sections)]
    text = "\n".join(part for part in parts if part) + "\n"
    return re.sub(r"(?<!\[)\btheory (\d+(?:\.\d+)*)", r"[theory \1](theory.md#\1)", text)
