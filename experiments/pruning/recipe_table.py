"""The printed table of the recipes: where each ends at each point, and the planned contrasts."""

from typing import Any

from experiments.pruning.answer_table import span_text


def table_text(numbers: dict[str, Any]) -> str:
    """Return the summary in words: recipes by point, each with its difference from no mask, then the contrasts.

    Args:
        numbers: of summary.json.
    """
    lines = [
        f"Shares of the features with a specialist after equal numbers of steps; margin {numbers['margin']:g}; "
        f"plan {numbers['plan']}; {len(numbers['seeds'])} seeds"
    ]
    for point in numbers["points"]:
        here = (point["shape"], point["noise"], point["ratio"])
        rows = [row for row in numbers["recipes"] if (row["shape"], row["noise"], row["ratio"]) == here]
        lines += [
            "",
            f"{here[0]}: noise {here[1]} (false-firing rate {point['false_firing_rate']:.3g}), r = {here[2]:g}",
        ]
        lines += [f"  {'recipe':<40} minority majority  minority - no mask"]
        lines += [_recipe_line(row) for row in rows]
    if numbers["statements"]:
        lines += ["", "Planned contrasts, once settled (p after Holm's correction):"]
    for row in numbers["statements"]:
        at = f"{row['shape']}, {row['noise']}, r={row['ratio']:g}"
        verdict = f"{row['verdict']:<18}{span_text(row['found'])} p={row['p_holm']:.2g}"
        lines.append(f"  {row['name']:<10}{at:<26}{verdict}  {row['claim']}")
    return "\n".join(lines)


def _recipe_line(row: dict[str, Any]) -> str:
    found = row["equal_steps"]
    shares = [found["ends"][f"{group} coverage"]["estimate"] for group in ("minority", "majority")]
    state = "settled" if found["settled"] else "not settled"
    difference = span_text(found["against_no_mask"]["minority coverage"])
    left = f"  {row['method']:<40} {shares[0]:8.2f} {shares[1]:8.2f}  {difference}"
    return f"{left}  {state} after {found['n_steps']:,} steps"
