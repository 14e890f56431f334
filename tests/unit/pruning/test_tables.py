"""The printed tables of the pruning experiments: by hand, and on the committed summaries."""

import itertools
from collections import Counter
from pathlib import Path

import pytest

from dynsim import results
from dynsim.stats import verdicts
from experiments import pruning_answer, pruning_comparison, pruning_recipe, pruning_regimes
from experiments.pruning import comparison_table, regime_table
from experiments.pruning.comparison_table import count_lines, p_text
from experiments.pruning.plan import title
from tests import quoted

DATA = Path(__file__).resolve().parents[3] / "figures" / "data"


def committed(one):
    return verdicts.in_present_words(results.load_json(DATA / f"{one.EXPERIMENT.name}.json"))


def entry(claim, quantity, verdict, measured=0.5, wanted=(0.0, None), **more):
    interval = [None, None] if measured is None else [measured - 0.25, measured + 0.25]
    made = {"claim": claim, "quantity": quantity, "measured": measured, "interval": interval, "wanted": list(wanted)}
    return made | {"p_holm": 0.0004, "seeds": 10, "verdict": verdict, **more}


def test_counts_by_hand():
    rows = [("a", "yes"), ("bee", "no"), ("a", "no"), ("a", "no")]
    assert count_lines(rows, ["yes", "no"]) == [
        "          yes  no",
        "a           1   2",
        "bee         0   1",
        "together    1   3",
    ]


@pytest.mark.parametrize(
    ("p_value", "text"), [(None, ""), (0.0, "<0.001"), (9.9e-4, "<0.001"), (0.0123, "0.012"), (1.0, "1")]
)
def test_p_values(p_value, text):
    assert p_text(p_value) == text


def test_the_comparison_by_hand():
    of_p4 = [
        entry("It falls behind.", "slope of strength", "supported"),
        entry("It is flat.", "slope", "undecided", None),
        entry("It falls behind.", "slope of counts", "not supported", wanted=(0.75, 1.25), p_holm=None),
    ]
    settings = {"interval_is": "range of differences", "settings": 7, "settings_with_fewer": 2}
    of_p6 = [entry("Whatever its share.", "settings with more", "not supported", 3, **settings)]
    del of_p6[0]["wanted"], of_p6[0]["p_holm"]
    lines = comparison_table.table_text({"tests": {"P4": of_p4, "P6": of_p6}}).splitlines()
    assert lines[0] == "How often each verdict was reached, by test:"
    assert [line.split()[-3:] for line in lines[3:6]] == [["1", "1", "1"], ["0", "1", "0"], ["1", "2", "1"]]
    head = next(k for k, line in enumerate(lines) if line.split()[:2] == ["verdict", "measured"])
    assert lines[head].endswith("quantity")
    wanted = [
        "P4 dependence on the frequency ratio r",
        "  It falls behind.",
        "    supported               0.5  [0.25, 0.75]        10     <0.001  above 0         slope of strength",
        "    not supported           0.5  [0.25, 0.75]        10             0.75 to 1.25    slope of counts",
        "  It is flat.",
        "    undecided                 -  [-, -]              10     <0.001  above 0         slope",
        "",
        "P6 other shares, gradients and moments",
        "  Whatever its share.",
        "    not supported        3 of 7  [2.75, 3.25]        10             all above 0     settings with more; "
        "the interval is the range of differences",
    ]
    assert lines[head + 2 :] == wanted


@pytest.mark.parametrize("one", [pruning_comparison, pruning_answer, pruning_regimes])
def test_verdicts_are_counted_before_anything_else(one):
    lines = one.EXPERIMENT.table(committed(one)).splitlines()
    assert "erdict" in lines[0] and lines[0].endswith(("test:", "point:", "by verdict"))
    assert next(line for line in lines if line.startswith("together"))
    assert not [line for line in lines if line != line.rstrip()]


def test_every_row_of_the_comparison_says_which_quantity_it_is_about():
    """No two rows have one text: where the claim is the same the quantity differs."""
    numbers = committed(pruning_comparison)
    text = comparison_table.table_text(numbers)
    entries = [(name, one) for name, of in numbers["tests"].items() for one in of]
    below: list[tuple[str, str]] = []
    claim = ""
    for line in text.split("quantity\n")[1].splitlines():
        if line.startswith("    "):
            below.append((claim, line))
        elif line.startswith("  "):
            claim = line
    assert len(below) == len(entries)
    said = Counter(
        (claim, next(one["quantity"] for _, one in entries if one["quantity"] in line)) for claim, line in below
    )
    assert max(said.values()) == 1, said.most_common(3)
    together = next(line for line in text.splitlines() if line.startswith("together")).split()[1:]
    found = Counter(one["verdict"] for _, one in entries)
    assert [int(number) for number in together] == [found[verdict] for verdict in comparison_table.VERDICTS]


def test_the_answer_counts_what_it_lists():
    numbers = committed(pruning_answer)
    lines = pruning_answer.words()[1](numbers).splitlines()
    head = lines[2].split("  ")
    assert {one.strip() for one in head if one.strip()} == {row["verdict"] for row in numbers["verdicts"]}
    totals = [line for line in lines if line.startswith("together")]
    assert [sum(map(int, line.split()[1:])) for line in totals] == [
        len(numbers["verdicts"]),
        len(numbers["statements"]),
    ]
    statements = lines[next(k for k, line in enumerate(lines) if line.startswith("Planned statements")) :]
    for row in numbers["statements"]:
        assert f"  {title(row['name'])}: {row['claim']}" in statements
        assert f"    number: {row['quantity']}, {row['contrast']}" in statements
    assert len(statements) == 2 + 2 * len({row["name"] for row in numbers["statements"]}) + len(numbers["statements"])


def test_the_map_tells_the_search_from_the_confirmation():
    numbers = committed(pruning_regimes)
    lines = pruning_regimes.words()[1](numbers).splitlines()
    confirmed, searched = (line.split()[1:] for line in lines if line.startswith("together"))
    counts: dict[str, Counter] = {"confirmation": Counter(), "search": Counter()}
    for point in numbers["points"]:
        for found in point["readings"].values():
            counts[found["seeds"]][found["verdict"]] += 1
    for shown, seeds in ((confirmed, "confirmation"), (searched, "search")):
        assert [int(one) for one in shown] == [counts[seeds][verdict] for verdict in regime_table.REGIME_VERDICTS]
    listed = [line for line in lines if line.startswith(("  helps ", "  harms ", "  nothing ", "  unstable "))]
    assert len(listed) == counts["confirmation"].total() and all(" against dense runs" in line for line in listed)


@pytest.mark.parametrize("one", [pruning_answer, pruning_recipe], ids=lambda one: one.EXPERIMENT.name)
def test_every_table_begins_with_the_least_noise_as_the_figures_do(one):
    numbers = committed(one)
    numbers["points"].reverse()
    lines = one.words()[1](numbers).splitlines()
    told = [level for level in ("none", "1 percent", "default") if any(f"noise {level}," in line for line in lines)]
    places = {level: [k for k, line in enumerate(lines) if f"noise {level}," in line] for level in told}
    for before, after in itertools.pairwise(told):
        assert all(first < second for first, second in zip(places[before], places[after], strict=True))
    assert len(told) == len(numbers["points"]) and all(len(found) > 2 for found in places.values())


def test_the_tables_of_the_documents_begin_with_the_least_noise_too():
    for name in ("coverage", "probe", "verdicts", "recipes"):
        head = quoted.names()["tables"][name].value.splitlines()[0]
        rates = [float(cell.split("false firing")[1].split("%")[0]) for cell in head.split("|") if "false" in cell]
        assert rates == sorted(rates) and len(rates) > 1, head
