"""The printed table of labels against masks: verdicts counted, where each method ends, the planned statements."""

from typing import Any

from dynsim.stats.verdicts import STATEMENT_VERDICTS
from experiments.pruning.answer_table import counted_lines, in_order_of_noise, point_name, statement_lines
from experiments.pruning.recipe_table import recipe_line

_LEGEND = """
minority   share of the rare (minority) features that have at least one specialist neuron after equal numbers of steps;
           majority: the same of the frequent ones
settled    whether training had stopped changing by then
labels     the class of a sample is its rarest active feature, where the name of the method says nothing else
mask       hides the 70 % smallest weights on one of the two branches during the first 500 steps; random: as many others
""".strip()


def table_text(numbers: dict[str, Any]) -> str:
    """Return the verdicts counted, a legend, and the methods and statements with their numbers.

    Args:
        numbers: of summary.json.
    """
    numbers = in_order_of_noise(numbers)
    lines = ["Verdicts on the planned statements after equal numbers of steps, by point:", ""]
    lines += [*counted_lines(numbers["statements_at_equal_steps"], STATEMENT_VERDICTS), "", _LEGEND]
    lines.append(f"plan       {numbers['plan']}, digest of the plan that was committed before the runs")
    for point in numbers["points"]:
        here = point_name(point)
        rate = f"false firing: noise alone makes a neuron fire on {point['false_firing_rate']:.3g} of the tokens"
        header = f"  {'method':<44}minority  majority   minority minus that of no labels, 95 % interval, seeds"
        lines += ["", f"{here} ({rate})", header]
        lines += [recipe_line(row) for row in numbers["methods"] if point_name(row) == here]
    lines += ["", "After equal numbers of steps:", "", *statement_lines(numbers["statements_at_equal_steps"])]
    lines += ["", "Once both sides have settled:", "", *statement_lines(numbers["statements"])]
    return "\n".join(line.rstrip() for line in lines)
