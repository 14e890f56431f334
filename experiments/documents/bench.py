"""The numbers of the last `make bench`, as tests/benchmarks/README.md quotes them; read, never computed anew."""

import json
import re
from typing import Any

from experiments.documents.numbers import ROOT

MEASURED = ROOT / "tests" / "benchmarks" / "measured.json"
MEASURED_ON_IMAGES = MEASURED.with_name("measured_images.json")
"""The steps on images, which were measured on another day."""
SIDE = 1024
"""Rows of the square matrices whose product is the machine's rate (`tests/benchmarks/candidates.py`)."""
ONE_RUN, MANY_RUNS = "engine_1_seed", "engine_16_seeds"
MASKS = {"neurons": "engine_neuron_masks", "single weights": "engine_weight_masks"}
ASKED_FOR = {
    "eager": "2 and 2.3 (goals 2.5 and 3)",
    "compiled": "1",
    "share": "45 and 60 % (goals 60 and 75 %)",
    "neurons": "0.85",
    "single weights": "",
    "first": "10 s, cached",
    "memory": "flat",
}
"""What was asked of each row before it was measured."""


def measured() -> dict[str, Any]:
    """Return {shape: {candidate: its numbers}}, the same of parts and processes, and where they come from.

    steps[shape][candidate]    one training step: [median_ms] and ratios
    parts[shape][part]         a part of the step by itself, and the machine's own rates
    recording                  what records cost
    images[shape][candidate]   one step of pre-training on images; nothing where that was not measured
    of_images                  where these come from: [commit], [date]
    """
    report = json.loads(MEASURED.read_text(encoding="utf-8"))
    out: dict[str, Any] = {"steps": {}, "parts": {}, "fresh": {}, "images": {}, "provenance": report["provenance"]}
    on_images = json.loads(MEASURED_ON_IMAGES.read_text(encoding="utf-8"))
    for name, row in (report["candidates"] | on_images["candidates"]).items():
        kind, what = re.fullmatch(r"(\w+)\[(.*)\]", name).groups()  # type: ignore[union-attr]  # names of pytest
        shape, _, candidate = what.partition("-")
        if kind == "image_step":
            out["images"].setdefault(shape, {})[candidate] = row
        elif kind in ("step", "part"):
            out[f"{kind}s"].setdefault(shape, {})[candidate] = row
        elif kind == "fresh_process":
            out["fresh"][what] = row
        else:
            out["recording"] = row
    flops = [2e-6 * SIDE**3 / parts["product"]["median_ms"] for parts in out["parts"].values()]
    out["of_images"] = {"commit": on_images["provenance"]["commit"][:7], "date": on_images["date"][:10]}
    return out | {"commit": report["provenance"]["commit"][:7], "date": report["date"][:10], "gflops": flops}


def mask_speed(steps: dict[str, dict[str, float]], candidate: str) -> float:
    """Return the speed with a new mask at each step, as a share of that without.

    It is the ratio within rounds, or, in measurements that did not keep it, the quotient of both ratios to PyTorch.
    """
    peer = "torch_eager / this"
    return steps[candidate].get("no mask / this", steps[candidate][peer] / steps[ONE_RUN][peer])


def bench_rows(numbers: dict[str, Any]) -> list[list[str]]:
    """Return the rows of the table of `make bench`, a column per shape, with what was wanted in the last one."""
    steps, shapes = numbers["steps"], list(numbers["steps"])

    def row(head: str, cell: Any, wanted: str = "") -> list[str]:
        return [head, *(cell(shape) for shape in shapes), ASKED_FOR.get(wanted, "")]

    def both(shape: str, key: str, scale: float = 1.0, digits: int = 1) -> str:
        return " / ".join(f"{scale * steps[shape][name][key]:.{digits}f}" for name in (ONE_RUN, MANY_RUNS))

    def compiled(shape: str) -> str:
        keys = ("torch_compiled / this", "torch_compiled_update / this")
        return " / ".join(f"{min(steps[shape][name][key] for key in keys):.1f}" for name in (ONE_RUN, MANY_RUNS))

    def first(shape: str) -> str:
        found = numbers["fresh"][shape]
        return f"{found['median_ms'] / 1e3:.1f} / {found['from the cache, s']:.1f} s"

    def memory(shape: str) -> str:
        found = numbers["fresh"][shape]
        return ", ".join(f"{value:.0f}" for name, value in found.items() if name.startswith("peak memory")) + " MB"

    rows = [["", *shapes, "wanted"], row("one run, ms per step", lambda s: f"{steps[s][ONE_RUN]['median_ms']:.3g}")]
    rows += [
        row("16 runs, ms per step of one", lambda s: f"{steps[s][MANY_RUNS]['median_ms']:.3g}"),
        row("times faster than PyTorch eager, one run / 16", lambda s: both(s, "torch_eager / this"), "eager"),
        row("times faster than torch.compile, the better of two", compiled, "compiled"),
        row(
            "useful operations, % of the product rate",
            lambda s: both(s, "share of the product rate", 100, 0),
            "share",
        ),
    ]
    rows += [
        row(f"new masks of {unit} each step, speed", lambda s, name=name: f"{mask_speed(steps[s], name):.2f}", unit)
        for unit, name in MASKS.items()
    ]
    return [
        *rows,
        row("first step, empty / full cache", first, "first"),
        row("peak memory, 1 and 4 times as many steps", memory, "memory"),
    ]


def image_rows(numbers: dict[str, Any]) -> list[list[str]]:
    """Return the rows of the table of training on images, a column per shape; only heads where nothing was measured."""
    images = numbers["images"]
    shapes = list(images) or ["not measured yet"]
    peers = ("torch_eager", "torch_compiled")
    own, viewed = "dynsim", "dynsim_random_views"

    def cells(head: str, cell: Any) -> list[list[str]]:
        return [[head, *(cell(images[shape]) for shape in shapes)]] if images else []

    def against(found: dict[str, Any]) -> str:
        return " / ".join(f"{found[own][f'{peer} / this']:.2f}" for peer in peers if f"{peer} / this" in found[own])

    def with_views(found: dict[str, Any]) -> str:
        return f"{found[viewed]['images per second']:.0f}"

    return [
        ["", *shapes],
        *cells("images in a batch", lambda found: f"{found[own]['batch']:.0f}"),
        *cells("images per second", lambda found: f"{found[own]['images per second']:.0f}"),
        *cells("the same with the random views of SDCLR", with_views),
        *cells("times as fast as PyTorch, eager / compiled", against),
        *cells("useful operations, % of the product rate", lambda found: _share_of_product(found, own)),
        *cells("the same of eager PyTorch", lambda found: _share_of_product(found, peers[0])),
    ]


def _share_of_product(found: dict[str, Any], name: str) -> str:
    return f"{100 * found[name]['share of the product rate']:.0f}" if name in found else ""


BENCH_TABLES = {"bench": bench_rows, "image_bench": image_rows}
"""{name in the documents: its rows}."""
