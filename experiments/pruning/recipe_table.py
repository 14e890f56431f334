"""The printed table of the recipes: verdicts counted, then where each recipe ends, then the planned statements."""

from typing import Any

from dynsim.stats.verdicts import STATEMENT_VERDICTS
from experiments.pruning.answer_table import (
    counted_lines,
    in_order_of_noise,
    point_name,
    span_text,
    statement_lines,
)

_LEGEND = """
minority   share of the rare (minority) features that have at least one specialist neuron after equal numbers of steps;
           majority: the same of the frequent ones
settled    whether training had stopped changing by then
""".strip()


def table_text(numbers: dict[str, Any]) -> str:
    """Return the verdicts counted, a legend, and the recipes and statements with their numbers.

    Args:
        numbers: of summary.json.
    """
    numbers, lines = in_order_of_noise(numbers), []
    if numbers["statements"]:
        lines += ["Verdicts on the planned statements, by point:", ""]
        lines += [*counted_lines(numbers["statements"], STATEMENT_VERDICTS), ""]
    lines += [_LEGEND, f"plan       {numbers['plan']}, digest of the plan that was committed before the runs"]
    for point in numbers["points"]:
        here = point_name(point)
        rate = f"false firing: noise alone makes a neuron fire on {point['false_firing_rate']:.3g} of the tokens"
        header = f"  {'recipe':<44}minority  majority   minority minus that without a mask, 95 % interval, seeds"
        lines += ["", f"{here} ({rate})", header]
        lines += [recipe_line(row) for row in numbers["recipes"] if point_name(row) == here]
    if numbers["statements"]:
        lines += ["", "After equal numbers of steps:", "", *statement_lines(numbers["statements_at_equal_steps"])]
        lines += ["", "Once both sides have settled:", "", *statement_lines(numbers["statements"])]
    return "\n".join(line.rstrip() for line in lines)


def recipe_line(row: dict[str, Any]) -> str:
    """Return where a method ends after equal steps, how far from its partner, and whether it had settled."""
    found = row["equal_steps"]
    shares = [found["ends"][f"{group} coverage"]["estimate"] for group in ("minority", "majority")]
    minority, majority = ("-" if share is None else f"{share:.2f}" for share in shares)
    difference = span_text(found["against_no_mask"]["minority coverage"])
    state = f"{'settled' if found['settled'] else 'not settled'} after {found['n_steps']:,} steps"
    return f"  {row['method']:<44}{minority:>8}{majority:>10}    {difference}  {state}"
