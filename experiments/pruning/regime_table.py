"""The map of regimes in words: how many points help or harm, and by how much where that is confirmed."""

from typing import Any

from experiments.pruning.regimes import PRIMARY


def table_text(numbers: dict[str, Any]) -> str:
    """Return per reading its verdicts, the noise level, and a line per confirmed point that helps or harms."""
    lines = []
    for reading in numbers["readings"]:
        of_reading = [(one["name"], one["readings"][reading]) for one in numbers["points"]]
        counts: dict[str, int] = {}
        for _, found in of_reading:
            key = f"{found['verdict']} ({found['seeds']})"
            counts[key] = counts.get(key, 0) + 1
        lines.append(f"{reading}: " + ", ".join(f"{n} {key}" for key, n in sorted(counts.items())))
        if noise := numbers["noise_level"].get(reading):
            lines.append("  at r = 1 the two groups differ by {:+.1f} [{:+.1f}, {:+.1f}]".format(*noise))
        for name, found in of_reading:
            if found["seeds"] == "confirmation" and found["verdict"] in ("helps", "harms"):
                spans = found["confirmation"]["contrasts"]
                texts = [_span_text(side, one) for side, one in spans.items() if "equal steps" in one]
                lines.append(f"  {found['verdict']:<6} {name}: {'; '.join(texts)}")
    return "\n".join(lines)


def _span_text(side: str, one: dict[str, Any]) -> str:
    estimate, low, high = one["equal steps"][PRIMARY]
    return f"{estimate:+.1f} [{low:+.1f}, {high:+.1f}] against {side}"
