"""What the documents quote of labels against masks: statements by point, and the table of methods."""

from typing import Any

from experiments.documents.numbers import Names, written

PART_SUMMARIES = {"ACL": "long_tail_acl_parts", "RCL": "long_tail_rcl_parts"}
"""The summaries of a loss with fewer of its parts."""


def label_names(found: Names) -> dict[str, Any]:
    """Return names for what came out of losses with labels, and under `rows` tables by name.

    label_statement[name][shape][noise] a statement of pruning_labels after equal steps: [found], [verdict]
    label_statement_long[name][shape][noise]  the same of its preset long: more steps, other seeds
    label_end[form][shape][noise]       how its methods ended after equal steps: [method][ends][quantity]
    losses                              what came out of long_tail_losses: [verdict], and in points [difference][a][b]
    loss_masks                          the same of its masks, [masks][loss][classes] being the verdicts
    loss_parts[loss]                    the same of a loss with fewer parts, [parts][loss][method][classes] being those
    """
    from experiments import long_tail_losses

    losses = long_tail_losses.quoted_methods(found["long_tail_losses"].value)
    labels = found["pruning_labels"].value
    return {
        "label_statement": label_statements(labels),
        "label_statement_long": label_statements(found["pruning_labels_long"].value),
        "label_end": label_ends(labels),
        "losses": losses,
        "loss_parts": {
            loss: long_tail_losses.quoted_methods(found[name].value) for loss, name in PART_SUMMARIES.items()
        },
        "loss_masks": long_tail_losses.quoted_methods(found["long_tail_masks"].value),
        "rows": {
            "losses": losses.pop("rows"),
            "published_losses": losses.pop("published"),
            "labels": label_rows(labels),
        },
    }


def label_statements(numbers: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return {statement: {shape: {noise: row}}} of pruning_labels after equal numbers of steps."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in numbers["statements_at_equal_steps"]:
        found.setdefault(row["name"], {}).setdefault(row["shape"], {})[row["noise"]] = row
    return found


def label_ends(numbers: dict[str, Any]) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """Return {form: {shape: {noise: {method: row}}}} of pruning_labels after equal numbers of steps."""
    found: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
    for row in numbers["methods"]:
        at = found.setdefault(row["form"], {}).setdefault(row["shape"], {}).setdefault(row["noise"], {})
        at[row["method"]] = row["equal_steps"]
    return found


def label_rows(numbers: dict[str, Any]) -> list[list[str]]:
    """Return a table, heads first: coverage of minority and majority features by method, a column per point."""
    points, ends = numbers["points"], label_ends(numbers)
    heads = [
        f"{point['form']}, d = {point['config']['data']['n_features']}, "
        f"false firing {written(point['false_firing_rate'], '.0%')}"
        for point in points
    ]
    rows = [["minority / majority coverage", *heads]]
    for method in dict.fromkeys(row["method"] for row in numbers["methods"]):
        cells = []
        for point in points:
            one = ends[point["form"]][point["shape"]][point["noise"]][method]
            minority, majority = (
                written(one["ends"][f"{group} coverage"]["estimate"], ".2f") for group in ("minority", "majority")
            )
            cells.append(f"{minority} / {majority}{'' if one['settled'] else '*'}")
        rows.append([method, *cells])
    return rows
