"""Numbers of the committed summaries under the names that the sources of documents use.

A placeholder in a source is a path in a summary: {stage_tracking[stages_found][majority][T2]} reads
figures/data/stage_tracking.json. Steps of a path are keys and places in lists. In a list of rows, [reading=literal]
keeps the rows with that value, and the only row that is left stands for itself. How a value is written:

    a number                          by its format, {...:+.2f}; percentages as "1.6 %"
    an estimate with its interval     +0.16 [0.07, 0.25]
    a list of numbers                 its range, 175-184; .spread is 178 [175, 184] with the median first;
                                      .median, .mean and .count give one number, and .interval
                                      takes a list of three for (estimate, low, high)
    .negated                          the number or estimate with the opposite sign: "0.4 fewer"
"""

import json
import statistics
import tomllib
from pathlib import Path
from typing import Any

from dynsim.stats import verdicts

ROOT = Path(__file__).resolve().parents[2]


class DocumentError(Exception):
    """A document cannot be written; the message is one line."""


class Quantity:
    """A part of a summary, and the path that leads to it."""

    def __init__(self, value: Any, path: str) -> None:
        self.value = value
        self.path = path

    def __getitem__(self, step: int | str) -> "Quantity":
        path = f"{self.path}[{step}]"
        name, equals, wanted = str(step).partition("=")
        try:
            if isinstance(self.value, dict) and not (equals and step not in self.value):
                return Quantity(self.value[str(step)], path)
            if isinstance(self.value, list) and isinstance(step, int):
                return Quantity(self.value[step], path)
            rows = [row for row in self._rows() if equals and str(row[name]) == wanted]
        except (KeyError, IndexError, TypeError):
            raise DocumentError(f"{path} is in no committed summary; {self.path} {self._contents()}") from None
        if not rows:
            raise DocumentError(f"{path} is in no committed summary; {self.path} {self._contents()}")
        return Quantity(rows[0] if len(rows) == 1 else rows, path)

    def _rows(self) -> list[Any]:
        return self.value if isinstance(self.value, list) else [self.value]

    def _contents(self) -> str:
        if isinstance(self.value, dict):
            return f"has {', '.join(map(str, self.value))}"
        return f"has {len(self.value)} entries" if isinstance(self.value, list) else f"is {self.value!r}"

    def numbers(self) -> list[float]:
        """Return the numbers of a list. Errors: `DocumentError` if it is not one."""
        if isinstance(self.value, list) and self.value and all(is_number(one) for one in self.value):
            return self.value
        raise DocumentError(f"{self.path}: wanted a list of numbers; it {self._contents()}")

    @property
    def median(self) -> "Quantity":
        """The median of a list of numbers."""
        return Quantity(statistics.median(self.numbers()), f"{self.path}.median")

    @property
    def mean(self) -> "Quantity":
        """The mean of a list of numbers."""
        return Quantity(statistics.mean(self.numbers()), f"{self.path}.mean")

    @property
    def spread(self) -> "Quantity":
        """The median of a list of numbers with its range in brackets, where an estimate has its interval."""
        found = {"estimate": statistics.median(self.numbers()), "low": min(self.numbers()), "high": max(self.numbers())}
        return Quantity(found, f"{self.path}.spread")

    @property
    def interval(self) -> "Quantity":
        """A list of three, (estimate, low, high), as an estimate with its interval."""
        found = self.numbers()
        if len(found) != 3:
            raise DocumentError(f"{self.path}: wanted (estimate, low, high); it {self._contents()}")
        return Quantity(dict(zip(("estimate", "low", "high"), found, strict=True)), f"{self.path}.interval")

    @property
    def count(self) -> "Quantity":
        """How many entries a list or a dictionary has."""
        return Quantity(len(self.value), f"{self.path}.count")

    @property
    def negated(self) -> "Quantity":
        """The number, or the estimate with its interval, with the opposite sign."""
        if is_number(self.value):
            return Quantity(-self.value, f"{self.path}.negated")
        estimate, low, high = self.estimate()
        return Quantity({"estimate": -estimate, "low": -high, "high": -low}, f"{self.path}.negated")

    def estimate(self) -> tuple[float, float, float]:
        """Return (estimate, low, high). Errors: `DocumentError` if there is no interval here."""
        row = self.value if isinstance(self.value, dict) else {}
        interval = row.get("interval") or [None, None]
        found = row.get("estimate", row.get("measured")), row.get("low", interval[0]), row.get("high", interval[1])
        if not all(is_number(one) for one in found):
            raise DocumentError(f"{self.path}: wanted an estimate with its interval; it {self._contents()}")
        return found  # type: ignore[return-value]  # all three are numbers

    def __format__(self, spec: str) -> str:
        try:
            if isinstance(self.value, dict):
                estimate, low, high = self.estimate()
                bare = spec.removeprefix("+")
                return f"{written(estimate, spec)} [{written(low, bare)}, {written(high, bare)}]"
            if isinstance(self.value, list):
                ends = [written(end, spec) for end in (min(self.numbers()), max(self.numbers()))]
                return "-".join(dict.fromkeys(ends))  # one number where both ends are equal
            if self.value is None:
                raise DocumentError(f"{self.path} is empty: nothing was measured there")
            return written(self.value, spec)
        except ValueError as error:
            raise DocumentError(f"{self.path}: {error}") from None


def is_number(value: object) -> bool:
    """Tell whether a value is a number and not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def written(value: Any, spec: str) -> str:
    """Return a value as text, percentages with a space before the sign."""
    text = format(value, spec)
    return f"{text[:-1]} %" if spec.endswith("%") else text


class Names(dict[str, Any]):
    """What placeholders may begin with."""

    def __missing__(self, name: str) -> Any:
        raise DocumentError(f"there is no summary or look-up called {name!r}; there are {', '.join(sorted(self))}")


def summaries(root: Path = ROOT) -> Names:
    """Return the committed summaries by name: of their file, or `manifest` (figures), `checks` and `repeats`."""
    names = Names()
    for path in sorted([*(root / "figures" / "data").glob("*.json"), *(root / ".docs").glob("*.json")]):
        summary = verdicts.in_present_words(json.loads(path.read_text(encoding="utf-8")))
        names[path.stem] = Quantity(summary, path.stem)
    for name, file in (("checks", "report.json"), ("repeats", "repeats.json")):
        if (root / "paper_checks" / file).is_file():
            names[name] = Quantity(json.loads((root / "paper_checks" / file).read_text(encoding="utf-8")), name)
    manifest = tomllib.loads((root / "figures" / "manifest.toml").read_text(encoding="utf-8"))["figure"]
    names["manifest"] = Quantity(manifest, "manifest")
    return names
