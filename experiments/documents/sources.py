"""From the source of a document, a file below .docs/, to the document at the same path of the repository.

Sources are Markdown for `str.format`: {name[key]:.2f} is replaced by a number of a committed summary
(experiments/documents/numbers.py), and a brace that is meant is typed twice. Measured numbers are never typed.
"""

import re
import textwrap
from pathlib import Path

from experiments.documents.numbers import ROOT, DocumentError, Names

WIDTH = 120
SETTINGS = {
    r"(?:[Tt]heory|Theorem|Lemma|section) \d+(?:\.\d+)*": "place in a text",
    r"Python 3\.\d+": "version that is needed",
    r"\b2026\b": "year of the paper",
    r"smallest 60 % of": "share of the weights that is masked where nothing else is said",
    r"(?:at 20, 40 and 60|at 70|mask of 60|Shares of 90|from 90|the 30) %": "masked share",
    r"30 % masked": "masked share",
    r"1,000 steps": "time in which noise fades",
    r"mask 70%": "name of a recipe",
    r"smallest 70 %|[Mm]asks of 70 %": "masked share",
    r"500( to|\.| steps|\")": "step at which an early mask is released",
    r"16 / d": "variance of the noise that fades",
    r"below 0\.05": "level of significance",
}
"""Numbers that may be typed, since no run measures them: pattern, where a space may be a line break, and what it is."""

NOT_TEXT = (
    r"^```.*?^```",  # code
    r"`[^`]*`",
    r"\[[\d.]+\]\([^)\s]*\)",  # a link to a section by its number
    r"\]\([^)\s]*\)",  # the address of a link
    r"https?://\S+",
    r"<img [^>]*>",
    r"\{\{|\}\}",
    r"\{[^{}]*\}",  # placeholders
    r"^ *\d+\. ",  # the number of a list item
)
TYPED = re.compile(
    r"(?<![\w.])[+-]?(?:\d[\d,]*\.\d+|\d[\d,]*\d|\d+(?= ?%)|\d(?= of \d)|\d(?=-\d))(?![\w])|\[[-+\d., ]+\]"
)
"""Decimals, numbers of two digits or more, percentages, ranges, "2 of 3" and intervals; single digits are words."""

GLUED = re.compile(r"\[[-+\d., %]+\]|\d %|\w = [\d.,]+")
"""What is not broken over two lines: an interval, a percentage, the value of a symbol."""


def source_files(root: Path = ROOT) -> dict[Path, Path]:
    """Return the document that each source is the source of."""
    folder = root / ".docs"
    return {path: root / path.relative_to(folder) for path in sorted(folder.rglob("*.md"))}


def typed_numbers(source: str) -> list[tuple[int, str]]:
    """Return (line, number) for each number in the text of a source that is typed and no setting."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    for pattern in (*NOT_TEXT, *(setting.replace(" ", r"\s+") for setting in SETTINGS)):
        source = re.sub(pattern, blank, source, flags=re.MULTILINE | re.DOTALL)
    return [(source.count("\n", 0, found.start()) + 1, found[0]) for found in TYPED.finditer(source)]


def render(source: str, names: Names, origin: str) -> str:
    """Return the document of a source. Errors: `DocumentError` in one line, with `origin` in it."""
    if typed := typed_numbers(source):
        line, number = typed[0]
        raise DocumentError(f"{origin}:{line}: the number {number} is typed; read it from a summary by a placeholder")
    try:
        text = source.format_map(names)
    except DocumentError as error:
        raise DocumentError(f"{origin}: {error}") from None
    except (ValueError, IndexError, AttributeError) as error:
        raise DocumentError(f"{origin}: a placeholder cannot be read ({error}); type other braces twice") from None
    return f"<!-- Written by `make documents`; edit {origin} instead. -->\n\n{wrap(text)}"


def wrap(text: str) -> str:
    """Return Markdown with paragraphs and list items wrapped anew; code, tables and headings stay as they are."""
    lines: list[str] = []
    in_code = False
    for line in text.splitlines():
        fence = line.lstrip().startswith("```")
        in_code ^= fence
        starts = re.match(r"$|[|#<!]|\s*(?:[-*]|\d+\.) ", line)
        kept = in_code or fence or not lines or bool(starts) or not joinable(lines[-1])
        if kept:
            lines.append(line)
        else:
            lines[-1] += " " + line.strip()
    in_code = False
    wrapped: list[str] = []
    for line in lines:
        fence = line.lstrip().startswith("```")
        in_code ^= fence
        wrapped += [line] if in_code or fence or not joinable(line) else wrap_line(line)
    return "\n".join(wrapped) + "\n"


def joinable(line: str) -> bool:
    """Tell whether a line is running text, which may go on in the next line."""
    return bool(line.strip()) and not re.match(r"[|#<]|!\[|\s*```", line)


def wrap_line(line: str) -> list[str]:
    """Return one paragraph or list item in lines of at most WIDTH characters."""
    indent = " " * len(re.match(r"\s*(?:(?:[-*]|\d+\.) +)?", line)[0])  # type: ignore[index]  # matches anything
    glued = GLUED.sub(lambda found: found[0].replace(" ", "\xa0"), line)
    lines = textwrap.wrap(glued, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [one.replace("\xa0", " ") for one in lines]
