"""Keep of a run of `make bench` what its README quotes: median, rounds and the ratios of every candidate.

Command:  python -m tests.benchmarks.shorten results/bench.json tests/benchmarks/measured.json

          python -m tests.benchmarks.shorten results/bench.json tests/benchmarks/measured_images.json image_step
          (those alone whose names begin so)
"""

import json
import sys
from pathlib import Path
from typing import Any


def shortened(report: dict[str, Any], begins: str = "") -> dict[str, Any]:
    """Return the summary of a JSON report of pytest-benchmark: {"machine", "commit", "date", "candidates"}.

    Args:
        begins: only candidates whose names begin so are kept.
    """
    rows = {}
    provenance: dict[str, Any] = {}
    for one in report["benchmarks"]:
        extra = dict(one["extra_info"])
        provenance = extra.pop("provenance", provenance)
        name = one["name"].removeprefix("test_")
        if not name.startswith(begins):
            continue
        rows[name] = {"median_ms": 1e3 * one["stats"]["median"], "rounds": one["stats"]["rounds"], **extra}
    cpu = report["machine_info"]["cpu"]
    return {
        "date": report["datetime"],
        "provenance": provenance,
        "machine": {key: cpu.get(key) for key in ("brand_raw", "count", "hz_advertised_friendly", "l2_cache_size")},
        "candidates": rows,
    }


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:3])
    target.write_text(json.dumps(shortened(json.loads(source.read_text()), *sys.argv[3:]), indent=1) + "\n")
