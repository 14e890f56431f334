"""What the comparison on images prints."""

import math
from collections.abc import Sequence
from typing import Any

from dynsim.stats.texts import in_points, percent_and_range, points_text
from experiments.cifar.arms import NO_MASK, ON_BALANCED, find_arm
from experiments.cifar.outcome import METRICS, PROBES
from experiments.cifar.published import FILLED_BY, PLAIN, PUBLISHED, Protocol, Published
from experiments.cifar.runs import BASELINES
from experiments.cifar.verdict import planned_verdict

OUR_PROBE = {"all": "linear", "few-shot": "few_shot", "neighbours": "knn"}


def table_text(summary: dict[str, Any]) -> str:
    """Return the accuracies of all arms, and the differences, as text; numbers are percent."""
    lines = ["Accuracy on the test images, in percent: mean over seeds, with the range over seeds", ""]
    head = [f"{name:>14}" for name in METRICS.values()]
    for probe, text in PROBES.items():
        lines.append(f"{'probe with ' + text if probe != 'knn' else text:<28}" + "".join(head))
        for arm, found in summary["arms"].items():
            cells = [percent_and_range(found[probe][metric]["values"]) for metric in METRICS]
            lines.append(f"  {arm:<26}" + "".join(f"{cell:>14}" for cell in cells))
        lines.append("")
    lines += [f"{arm}: {find_arm(arm).text}" for arm in summary["arms"] if arm not in BASELINES] + [""]
    lines += ["Differences between arms with the same seed, in points, with 95 % intervals", ""]
    lines += [difference_text(one) for one in summary["contrasts"]]
    if summary["above_baselines"]:
        lines += ["", _lead(summary["above_baselines"])]
    answer = answer_lines(summary)
    return "\n".join([*lines, "", *answer] if answer else lines)


def answer_lines(summary: dict[str, Any]) -> list[str]:
    """Return the planned question, its verdict and the differences from the placebos; [] where it is not answered."""
    found = planned_verdict(summary)
    if found is None:
        return []
    asked = f"The planned question: {difference_text(found.difference).strip()}"
    return [asked, f"  verdict: {found.verdict}", *map(difference_text, found.placebos.values())]


def accuracy_rows(summary: dict[str, Any]) -> list[list[str]]:
    """Return a table for a document, heads first: accuracies of each arm in percent, mean and range over seeds."""
    shown = [("linear", "all_classes"), ("linear", "few"), ("few_shot", "all_classes"), ("few_shot", "few")]
    shown.append(("knn", "all_classes"))
    rows = [["arm", *(f"{PROBES[probe]}, {METRICS[metric]}" for probe, metric in shown)]]
    for arm, found in summary["arms"].items():
        words = arm if arm in BASELINES else find_arm(arm).text
        rows.append([words, *(percent_and_range(found[probe][metric]["values"]) for probe, metric in shown)])
    return rows


def accuracy_lines(found: Sequence[dict[str, Any]]) -> list[str]:
    """Return a line per probe: the accuracies of one encoder on the images of several seeds, in percent."""
    lines = [" " * 28 + "".join(f"{name:>14}" for name in METRICS.values())]
    for probe, text in PROBES.items():
        cells = [percent_and_range([one[probe][metric] for one in found]) for metric in METRICS]
        lines.append(f"{text:<28}" + "".join(f"{cell:>14}" for cell in cells))
    return lines


def difference_text(one: dict[str, Any]) -> str:
    """Return a difference in points with its interval, and the smallest one that its seeds could detect."""
    what = f"{one['first']} - {one['second']}, {PROBES[one['probe']]}, {METRICS[one['metric']]}"
    return f"  {what:<62} {points_text(one)}"


def quoted_numbers(summary: dict[str, Any]) -> dict[str, Any]:
    """Return what documents quote of a summary, differences in points.

    Keys: `rows`, the table of accuracies; `lead`, the least lead of the main arms over a baseline in any seed;
    `contrasts`; and, where the planned question is answered, `verdict`, `difference` and, by name, `placebos`.
    """
    found = planned_verdict(summary)
    told = {name: in_points(summary[name]) for name in ("contrasts", "above_baselines")}
    told |= {"rows": accuracy_rows(summary), "lead": told.pop("above_baselines")}
    if found is None:
        return told
    answer = {"difference": in_points(found.difference), "placebos": in_points(found.placebos)}
    return told | {"verdict": found.verdict} | answer


def _lead(above: dict[str, dict[str, float]]) -> str:
    """Return by how much the trained encoders lead."""
    parts = [
        f"{arm}: {100 * lead:+.1f} points to the {baseline}"
        for arm, leads in above.items()
        for baseline, lead in leads.items()
    ]
    return "Smallest lead in any seed, linear probe with all labels: " + "; ".join(parts)


def published_table(summaries: Sequence[dict[str, Any]]) -> str:
    """Return the published accuracies with ours beside them; a cell that was not run is empty.

    Beside a cell of ours stands in what its run differs from the published protocol, first of all in the epochs. Of
    several runs that fit a cell the one whose epochs are nearest is taken.

    Args:
        summaries: committed summaries, of any presets; each says what it ran.
    """
    lines = ["Published accuracy, in percent, and what was run here (the number in brackets is that of the run)", ""]
    lines.append(f"{'method':<26}{'images':<10}{'factor':>7}  {'probe':<11}{'published':>14}    {'here':<10} protocol")
    for row in PUBLISHED:
        spread = "" if row.spread is None else f" +-{row.spread:g}"
        ours, differs = _ours(row, summaries)
        cell = f"{row.method:<26}{row.images:<10}{row.imbalance:>7}  {row.metric:<11}{row.value:>9.2f}{spread:<9}"
        lines.append(f"{cell}{ours:<10} {row.source}: {row.protocol.text}{differs}")
    for number, one in enumerate(summaries, start=1):
        lines += ["", f"[{number}] {one['about']}"]
    return "\n".join(lines)


def _ours(row: Published, summaries: Sequence[dict[str, Any]]) -> tuple[str, str]:
    """Return our mean for a published cell, and in what the run differs; both empty if it was not run."""
    fitting = [
        (_epochs_apart(one, row.protocol), number, one, arm)
        for number, one in enumerate(summaries, start=1)
        if (arm := _arm_of(one, row)) is not None
    ]
    if not fitting:
        return "", ""
    _, number, one, arm = min(fitting, key=lambda found: found[:2])
    probe = OUR_PROBE[row.metric]
    differs = ", ".join(_differences(one, row, arm, probe))
    mean = one["arms"][arm][probe]["all_classes"]["mean"]
    return f"{100 * mean:.1f} [{number}]", f"; here {differs}" if differs else ""


def _arm_of(summary: dict[str, Any], row: Published) -> str | None:
    """Return which arm of a summary stands beside a published cell, None if there is none."""
    filled, data, train = FILLED_BY.get(row.method), summary["long_tail"], summary["pretraining"]
    if filled is None or (data["images"], data["imbalance"]) != (row.images, row.imbalance):
        return None
    if any(train.get(name, PLAIN.get(name)) != value for name, value in (PLAIN | filled.options).items()):
        return None
    arms = [arm for arm in filled.arms if arm in summary["arms"]]
    if data.get("balanced", False):  # all arms of this summary were trained on the balanced set
        arms = [NO_MASK] if filled.arms == (NO_MASK + ON_BALANCED,) and NO_MASK in summary["arms"] else []
    return arms[0] if arms else None


def _epochs_apart(summary: dict[str, Any], protocol: Protocol) -> float:
    """Return by what factor the epochs of a run are others than published, as a logarithm; 0 if they are not stated."""
    ours = summary["pretraining"]["epochs"]
    return 0.0 if protocol.epochs is None else abs(math.log(ours / protocol.epochs))


def _differences(summary: dict[str, Any], row: Published, arm: str, probe: str) -> list[str]:
    """Return in what a run differs from the protocol of a published cell."""
    train, wanted = summary["pretraining"], row.protocol
    found = [] if train["epochs"] == wanted.epochs else [f"{train['epochs']:,} epochs"]
    recipe = summary["judging"].get(probe)
    if recipe is not None and recipe != wanted.probe:
        found.append(f"probe {recipe}")
    if summary["long_tail"]["split"] != "released":
        found.append("splits drawn anew")
    network = train["network"]
    shape = (network["architecture"], network["width"], network["stem"])
    if shape != ("resnet18", 1.0, "cifar"):
        found.append("{} of width {:g} with the stem {}".format(*shape))
    share = train["masking"]["rate"]
    if arm not in (NO_MASK, "published SimCLR", NO_MASK + ON_BALANCED) and share != 0.9:
        found.append(f"{share:.0%} masked")
    return found
