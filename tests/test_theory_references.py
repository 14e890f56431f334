"""Every citation of the theory leads to its place in paper_checks/theory.md, and the numbers in that text are right.

A citation is "theory n" or "theory n.m", and further numbers after it ("theory 3.3, 8.5 P3"; "theory 6.1 to 6.3").
A label such as S2c, I1 or P3 names a testable consequence. Python code writes both plainly; in documents each
"theory n" is a link.
"""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from dynsim import theory
from dynsim.config import Config, replace

ROOT = Path(__file__).resolve().parent.parent
THEORY = ROOT / "paper_checks" / "theory.md"
TEXT = THEORY.read_text(encoding="utf-8")
FOLDERS = ("dynsim", "experiments", "figures", "tests", "paper_checks")
ANCHORS = re.findall(r'<a id="([^"]+)"></a>', TEXT)

NUMBER = r"\d+(?:\.\d+)?"
QUALIFIED = rf"{NUMBER}(?: (?:i+|iv|[SIP]\d[a-z]?)\b)?"
CITATION = re.compile(rf"\b[Tt]heory ({QUALIFIED}(?:(?:, | to | and |-){QUALIFIED})*)")
LABEL = re.compile(r"\b(?:S[1-9][a-z]|I[1-9]|P[1-9])\b")
LINK = re.compile(r"\[([^\]\[]*)\]\(([^)\s]+)\)")


def python_files() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if path != Path(__file__))


def documents() -> list[Path]:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md")]
    return sorted([*ROOT.glob("*.md"), *found])


def flowing(text: str) -> str:
    """Return the text in one line, without the marks of comments, so that a citation may wrap."""
    return re.sub(r"\s*\n\s*(?:#+ )?", " ", text)


def cited(text: str) -> set[str]:
    """Return the section numbers that a text cites."""
    return {n for found in CITATION.finditer(flowing(text)) for n in re.findall(rf"(?<![\w.]){NUMBER}", found[1])}


def show(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def section(number: str) -> str:
    """Return the text of a section of the theory, up to the next heading."""
    start = TEXT.index(f'<a id="{number}"></a>')
    end = re.compile(r'^<a id="\d+(?:\.\d+)?"></a>$', re.M).search(TEXT, start + 1)
    return TEXT[start : end.start() if end else len(TEXT)]


def tables(text: str) -> list[list[list[str]]]:
    """Return the cells of every table in a text, without the rows that head it."""
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.M)
    return [[[cell.strip(" `") for cell in row.strip("|").split("|")] for row in b.splitlines()[2:]] for b in blocks]


def written(cell: str, value: float) -> bool:
    """Whether a cell is the value, rounded to the digits that the cell has."""
    mantissa, _, exponent = cell.partition("e")
    digits = len(mantissa.partition(".")[2])
    return abs(float(cell) - value) <= 0.5 * 10.0 ** (int(exponent or 0) - digits) * (1 + 1e-9)


# ----- the grammar


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("drift (theory 6.0).", {"6.0"}),
        ("Theory 6.2 states, for 10 seeds", {"6.2"}),
        ("(theory 3.3, 8.5 P3)", {"3.3", "8.5"}),
        ("(theory 4.4 i, 12.2)", {"4.4", "12.2"}),
        ("theory 6.1 to\n    6.3", {"6.1", "6.3"}),
        ("# wraps (theory\n# 8.4 P1)", {"8.4"}),
        ("theory 3.4-3.6 and theory 1, 3", {"3.4", "3.6", "1", "3"}),
        ("`theory.stage1_end`, the theory of 1905", set()),
    ],
)
def test_citations_are_found(text, numbers):
    assert cited(text) == numbers


# ----- citations


def test_the_theory_has_every_section_and_label_once():
    twice = {name for name in ANCHORS if ANCHORS.count(name) > 1}
    assert not twice
    last = {1: 6, 2: 5, 3: 7, 4: 5, 5: 5, 6: 4, 7: 3, 8: 6, 9: 4, 10: 0, 11: 5, 12: 9}
    wanted = {"6.0"} | {str(n) for n in last} | {f"{n}.{k}" for n in last for k in range(1, last[n] + 1)}
    wanted |= {f"S{stage}{letter}" for stage in "123" for letter in "abcdef"}
    wanted |= {"T1", "T2", "T3"}
    wanted |= {f"I{n}" for n in range(1, 6)} | {f"P{n}" for n in range(1, 9)} | {"ESCAPE", "FREEZE", "MAGNITUDE"}
    assert set(ANCHORS) == wanted


def moved() -> dict[str, str]:
    """Return {anchor of an earlier section: section in which it stands now}, as the table of section 12 says."""
    return {row[0][1 : row[0].index("]")]: row[1][1 : row[1].index("]")] for row in tables(section("12"))[0]}


def test_an_anchor_stands_at_what_it_names():
    headings = re.findall(r'<a id="([\d.]+)"></a>\n#{2,3} (\d+(?:\.\d+)?)\b', TEXT)
    assert len(headings) == sum(name[0].isdigit() for name in ANCHORS) - len(moved())
    assert all(anchor == heading for anchor, heading in headings)
    assert len(re.findall(r"^#{2,3} \d", TEXT, re.M)) == len(headings)
    labels = re.findall(r'<a id="([A-Z]\w+)"></a>\*\*(\w+)\*\*', TEXT)
    assert len(labels) == len(ANCHORS) - len(headings) - len(moved())
    assert all(anchor == label for anchor, label in labels)


def test_a_moved_section_stands_where_the_list_of_section_12_says():
    assert list(moved()) == [f"12.{n}" for n in range(2, 10)]
    for anchor, place in moved().items():
        assert not place.startswith("12")
        assert f'<a id="{anchor}"></a>' in section(place), (anchor, place)


def test_only_section_12_sends_the_reader_to_section_12():
    before = TEXT[TEXT.index('<a id="1"></a>') : TEXT.index('<a id="12"></a>')]
    assert not re.findall(r"\(#12[^)]*\)", before)
    code = {n for path in python_files() if path.parent.name != "tests" for n in cited(path.read_text("utf-8"))}
    assert not code & set(moved()), "cite the section in which it stands now"


def test_every_cited_section_and_label_is_in_the_theory():
    lost = {}
    for path in [*python_files(), *documents()]:
        text = path.read_text(encoding="utf-8")
        if unknown := (cited(text) | set(LABEL.findall(text))) - set(ANCHORS):
            lost[show(path)] = sorted(unknown)
    assert not lost, f"cited, but not in {show(THEORY)}: {lost}"


def test_the_code_does_cite_the_theory():
    numbers = set().union(*(cited(path.read_text(encoding="utf-8")) for path in python_files()))
    assert len(numbers) > 25, numbers


def test_code_cites_in_one_form():
    other = re.compile(r"\b[Ss]ections? \d[\d.]*|\btheory notes\b")
    found = {show(path): other.findall(flowing(path.read_text(encoding="utf-8"))) for path in python_files()}
    found = {path: styles for path, styles in found.items() if styles}
    assert not found, f'{found}: write "theory 6.1", "theory 6.1 to 6.3", "theory 3.3, 8.5 P3"'


def test_documents_link_their_citations():
    bare = {}
    for path in documents():
        plain = flowing(LINK.sub("", path.read_text(encoding="utf-8")))
        if words := [found[0] for found in CITATION.finditer(plain)]:
            bare[show(path)] = words
    assert not bare, f"these should be links to {show(THEORY)}#n: {bare}"


def test_links_to_the_theory_lead_to_what_they_say():
    wrong, n_links = [], 0
    for path in documents():
        for words, target in LINK.findall(path.read_text(encoding="utf-8")):
            page, _, anchor = target.partition("#")
            if ":" in page or not anchor or (path.parent / page if page else path).resolve() != THEORY:
                continue
            n_links += 1
            named = re.findall(rf"^(?:[Tt]heory )?({NUMBER}|{LABEL.pattern})$", words)
            if anchor not in {*ANCHORS, "symbols"} or (named and named != [anchor]):
                wrong.append((show(path), words, target))
    assert not wrong
    assert n_links > 100


def test_the_map_says_where_the_theory_is():
    assert "paper_checks/theory.md" in (ROOT / "dynsim" / "README.md").read_text(encoding="utf-8")


# ----- names and numbers in the text


def test_every_name_of_the_symbol_table_is_in_the_code():
    rows = tables(TEXT[TEXT.index("## Symbols") : TEXT.index('<a id="1"></a>')])[0]
    names = [name.strip(" `") for row in rows for name in row[1].split(",") if name.strip(" `")]
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "dynsim").rglob("*.py"))
    assert len(names) > 35
    assert not [name for name in names if not re.search(rf"\b{name}\b", sources)]


def test_every_function_and_file_that_the_theory_names_exists():
    functions = set(re.findall(r"\btheory\.(\w+)", TEXT)) - {"md"}
    assert len(functions) > 15
    assert not [name for name in functions if not hasattr(theory, name)]
    paths = set(re.findall(r"`((?:dynsim|experiments|tests|figures)/[\w./-]+)`", TEXT))
    assert len(paths) > 5
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_the_tables_of_5_4():
    widths, sizes = tables(section("5.4"))
    assert [row[0] for row in widths] == [row[0] for row in sizes] == ["32", "64", "128", "256"]
    for cells in widths:
        d = int(cells[0])
        values = [d**1.01, *(1 / theory.power_law_tail(d, 1 / np.array([1, 0.9, 0.8, 0.7, 0.5])))]
        assert all(map(written, cells[1:], values)), (cells, values)
    for cells in sizes:
        values = int(cells[0]) * theory.power_law_tail(int(cells[0]), np.array([0.9, 0.7, 0.5, 0.2]))
        assert all(map(written, cells[1:], values)), (cells, values)


def test_the_bound_of_5_4_at_the_default():
    config, text = Config(), flowing(section("5.4"))
    data = config.data
    named = f"`d = {data.n_features}`, `m = {config.encoder.n_neurons}`, `r = {data.minority_ratio}`"
    majority, minority = theory.paper_specialist_count(config)[[0, -1]]
    assert f"{minority:.2f} neurons at dynsim's default ({named})" in text
    assert f"a bound of its own, {majority:.1f}." in text


def test_the_factors_of_5_3():
    cut = theory.unit_cut(replace(Config(), **{"data.n_features": 32})) / 0.7
    exact = theory.lucky_tail(32, cut)
    tails = theory.gaussian_tail, theory.power_law_tail
    for (name, cell), tail in zip(tables(section("5.3"))[0], tails, strict=True):
        assert written(cell, float(tail(32, 1 / 0.7) / exact)), name


def test_the_table_of_4_4():
    for d, cut, fired, signal in tables(section("4.4"))[0]:
        sizes = {"data.n_features": int(d), "data.token_dim": int(d), "data.noise_level": "sqrt_log_d"}
        config = replace(Config(), **sizes, **{"threshold.scale": 1.0})
        sigma = math.sqrt(theory.noise_variance(config.data))
        assert written(cut, float(theory.threshold_value(config, 1.0)) / sigma)
        assert written(fired, 100 * theory.false_firing_rate(config))
        assert written(signal, 100 * math.log(math.log(int(d))) / int(d))


def test_the_second_table_of_4_4():
    for d, fired in tables(section("4.4"))[1]:
        assert written(fired, 100 * theory.false_firing_rate(replace(Config(), **{"data.n_features": int(d)})))


def test_the_masking_correction_of_6_1():
    for d, most in tables(section("6.1"))[0]:
        config = replace(Config(), **{"data.n_features": int(d)})
        N = theory.n_negatives(config.data)
        share = theory.masking_correction(config.data) / (theory.second_moment(config.data) * N / (N + 1))
        assert np.all(share >= 0)
        assert written(most, 100 * float(share.max()))
