"""How does the cost of training grow with the sizes of the problem?

Wanted: the time of a step grows at most in proportion to the number of features d, the neurons m, the tokens L and the
seeds: exponents of at most 1.05. Each sweep has sizes of its own at which the swept quantity matters; d is swept with
the token dimension d1 held fixed (where d1 grows along, as 2 d, the product with the dictionary costs d * d1).

Command:  python experiments/step_cost.py [--preset quick] [--redraw]

Time:     default about 3 minutes on 2 idle CPU cores, of which two are compilation at the first run; quick half a
          minute. All sizes of all sweeps are timed in turn, in one go.

Expected: power laws fitted over all sizes have exponents below 1 for d, m, L and the seeds. The times bend upwards,
          though: between the two largest sizes the exponents for m and the seeds are somewhat above what is wanted.
          The batch size K exceeds 1 from about K = 1.5 L d1 on, where the K * K logits (2 K^2 m multiply-adds) cost
          more than the embeddings and their gradient (3 K L d1 m).

Writes summary.json and the figure (PNG, PDF, SVG) into <out>/step_cost-<preset>/; the last line printed is the path of
summary.json.
"""

import functools
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict

if __name__ == "__main__":  # says in one line which packages are missing, before they are imported
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from dynsim import environment

    environment.check_python(__file__)

from dynsim import experiment
from dynsim.config import Config, replace
from dynsim.config.checks import positive_int
from dynsim.experiment import Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIMIT = 1.05
LIMITED = ("d", "m", "L", "seeds")
FIELDS = {
    "K": "data.batch_size",
    "L": "data.n_tokens",
    "d": "data.n_features",
    "d1": "data.token_dim",
    "m": "encoder.n_neurons",
}
SIZE_LABELS = {
    "d": "features d",
    "d1": "token dimension d1",
    "m": "neurons m",
    "L": "tokens L",
    "K": "batch size K",
    "seeds": "seeds",
    "records": "records of a run",
}
QUICK_SIZES: dict[str, tuple[int, ...]] = {
    "d": (8, 16, 32),
    "d1": (32, 64, 128),
    "m": (32, 64, 128),
    "L": (2, 4, 8),
    "K": (32, 64, 128),
    "seeds": (1, 2, 4),
    "records": (5, 10, 20),
}
CAPTION = (
    "Time against size on logarithmic axes, one size swept per panel and the others held at the values in its title. "
    "Points are the fastest of the rounds and bars reach up to the median; the grey line is a power law fitted by "
    "least squares to the logarithms, with its exponent and 95 % interval; 'last pair' is the exponent between the two "
    "largest sizes. Where this lies outside the interval of the fit, the times bend, no single power law describes "
    "them, the fit is broken and the last pair is joined in black. The last panel compares the exponents (bars: 95 % "
    "intervals of the fits) with the limit of 1.05 that is wanted for d, m, L and seeds (dashed): the fits keep it, "
    "the last pairs of m and of the seeds do not. Time per step grows in K faster than in proportion from about "
    "K = 1.5 L d1 on, where the K * K logits take over."
)


@dataclass(frozen=True)
class StepCost:
    """Options of this experiment."""

    preset: Literal["default", "quick"] = "default"
    """What is timed, and how long it takes on 2 CPU cores.
    - default: seven sweeps of five sizes; about 3 minutes
    - quick: few, small sizes and rounds, to see that it runs; half a minute"""
    rounds: int = 0
    """How often every size is timed; 0 takes 15, or 3 for quick."""
    out: Path = Path("results")
    """Folder for results."""
    redraw: bool = False
    """Draw again from the saved summary without timing."""
    device: Literal["auto", "cpu", "gpu", "tpu"] = "auto"
    """Where to run; auto takes the fastest that JAX finds."""

    def __post_init__(self) -> None:
        positive_int("rounds", self.rounds, 0)


@dataclass(frozen=True)
class Sweep:
    """One size and the values that it takes, with the others held fixed."""

    field: str
    """Field of the configuration; seeds and records are not fields of it."""
    label: str
    base: dict[str, int]
    sizes: tuple[int, ...]

    def config(self, size: int) -> Config:
        """Return the configuration of one size."""
        changes = {FIELDS[name]: value for name, value in self.base.items()}
        changes |= {FIELDS[self.field]: size} if self.field in FIELDS else {}
        probe = {} if self.field == "records" else {"train.n_probe": 1}  # a step does not see the probe samples
        return replace(Config(), **changes, **probe)

    def title(self) -> str:
        """Return the sizes that are held fixed, in words."""
        return ", ".join(f"{name} = {value}" for name, value in self.base.items())


class TimedKey(NamedTuple):
    """What is timed: one size of one sweep."""

    sweep: str
    size: int


class Times(TypedDict):
    """The times of one sweep."""

    sizes: list[int]
    seconds: list[list[float]]
    """Seconds per step (per run in the sweep of records) of each size, one per round."""


def sweeps(preset: str) -> dict[str, Sweep]:
    """Return the sweeps of a preset by name."""
    if preset == "quick":
        sizes = QUICK_SIZES
        bases = {name: {"K": 32, "L": 2, "d": 32, "d1": 32, "m": 32} for name in sizes}
    else:
        sizes = {
            "d": (64, 128, 256, 512, 1024),
            "d1": (64, 128, 256, 512, 1024),
            "m": (256, 512, 1024, 2048, 4096),
            "L": (2, 4, 8, 16, 32),
            "K": (64, 128, 256, 512, 1024),
            "seeds": (1, 2, 4, 8, 16),
            "records": (10, 20, 40, 80, 160),
        }
        bases = {
            "d": {"K": 128, "L": 2, "d1": 1024, "m": 64},
            "d1": {"K": 128, "L": 4, "d": 32, "m": 256},
            "m": {"K": 128, "L": 4, "d": 32, "d1": 64},
            "L": {"K": 128, "d": 64, "d1": 128, "m": 256},
            "K": {"L": 2, "d": 64, "d1": 128, "m": 256},
            "seeds": {"K": 128, "L": 2, "d": 32, "d1": 64, "m": 128},
            "records": {"K": 2, "L": 1, "d": 64, "d1": 128, "m": 512},
        }
    held = {name: {key: value for key, value in bases[name].items() if key != name} for name in sizes}
    return {name: Sweep(name, SIZE_LABELS[name], held[name], sizes[name]) for name in sizes}


def candidates(sweep: Sweep, seconds: float) -> dict[int, tuple[Callable[[], object], int]]:
    """Return {size: (what to time, number of steps or runs in it)}; a call of it takes about `seconds`.

    The size of the sweep of records is the number of records that a real run of 400 steps keeps, told by its grid.
    """
    from dynsim.engine.simulate import record_grid, simulate
    from dynsim.engine.timing import Steps

    found: dict[int, tuple[Callable[[], object], int]] = {}
    for size in sweep.sizes:
        config = sweep.config(size)
        if sweep.field == "records":
            recorded = replace(config, **{"train.n_steps": 400, "train.n_records": size})
            kept = len(record_grid(400, size))
            found[kept] = (functools.partial(simulate, recorded, [0]), 1)
        else:
            steps = Steps(config, size if sweep.field == "seeds" else 1, begin=3).fill(seconds)
            found[size] = (steps, steps.n_steps)
    return found


def time_all(named: dict[str, Sweep], rounds: int, seconds: float = 0.05) -> dict[str, Times]:
    """Time every size of every sweep in turn; return the times by sweep."""
    from dynsim.engine.timing import interleaved

    found = {name: candidates(sweep, seconds) for name, sweep in named.items()}
    runs = {TimedKey(name, size): one[0] for name, many in found.items() for size, one in many.items()}
    times = interleaved(runs, rounds=rounds, warm_up=1)
    return {
        name: {
            "sizes": list(many),
            "seconds": [[s / n for s in times[TimedKey(name, size)]] for size, (_, n) in many.items()],
        }
        for name, many in found.items()
    }


def simulate_all(options: StepCost, folder: Path) -> dict[str, Any]:
    """Return the times of `time_all`: those that an earlier call kept where the computation after them failed."""
    from dynsim.config.serial import to_dict
    from dynsim.study import keep_numbers

    quick, named = options.preset == "quick", sweeps(options.preset)
    rounds = options.rounds or (3 if quick else 15)
    first = {name: {"sizes": list(s.sizes), "config": to_dict(s.config(s.sizes[0]))} for name, s in named.items()}
    made = {"rounds": rounds, "sweeps": first}
    times = keep_numbers(folder, "times", made, lambda: time_all(named, rounds, 0.005 if quick else 0.05))
    return {"rounds": rounds, "times": times}


def fits(named: dict[str, Sweep], times: dict[str, Times]) -> dict[str, dict[str, Any]]:
    """Return the power laws of the times of `time_all`, as plain values by sweep."""
    from dynsim.engine.timing import power_law

    out = {}
    for name, sweep in named.items():
        sizes, each = times[name]["sizes"], times[name]["seconds"]
        # other programs can only add to a time, and they add most where a step keeps all cores busy: take the fastest
        fastest = [min(seconds) for seconds in each]
        out[name] = {
            "label": sweep.label,
            "held": sweep.title(),
            "sizes": sizes,
            "ms": [1e3 * value for value in fastest],
            "ms_median": [1e3 * statistics.median(seconds) for seconds in each],
            **power_law(sizes, fastest)._asdict(),
        }
    return out


def analyse(runs: dict[str, Any], options: StepCost) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (summary, nothing more for the figure)."""
    return {"sweeps": fits(sweeps(options.preset), runs["times"]), "rounds": runs["rounds"]}, {}


def table_text(numbers: dict[str, Any]) -> str:
    """Return the exponents as a table, and which of them are above the limit."""
    lines = [f"{'':<22}{'exponent':>9}  {'95 % interval':<16}{'last two sizes':>15}"]
    for one in numbers["sweeps"].values():
        span = f"{one['low']:.2f} to {one['high']:.2f}"
        lines.append(f"{one['label']:<22}{one['exponent']:>9.2f}  {span:<16}{one['last']:>15.2f}")
    swept = {name: numbers["sweeps"][name] for name in LIMITED if name in numbers["sweeps"]}
    for key, words in (("exponent", "fits"), ("last", "last two sizes")):
        above = [f"{name} ({one[key]:.2f})" for name, one in swept.items() if one[key] > LIMIT]
        lines.append(f"{words} above {LIMIT}: {', '.join(above) or 'none'} of {', '.join(LIMITED)}")
    return "\n".join(lines)


def draw(numbers: dict[str, Any], reduced: dict[str, Any]) -> dict[str, "Figure"]:
    """Return the figure by name; `reduced` is not used, all numbers are in the summary."""
    from dynsim.plots.cost import cost_growth

    return {"step_cost": cost_growth(numbers["sweeps"], LIMIT, LIMITED)}


def first_configuration(options: StepCost) -> tuple[Config, list[int]]:
    """Return the first configuration of the sweep of features: the study has many, whose sizes are all in "sweeps"."""
    first = sweeps(options.preset)["d"]
    return first.config(first.sizes[0]), [0]


EXPERIMENT = Experiment(
    name="step_cost",
    about=__doc__ or "",
    command="python experiments/step_cost.py",
    statements="cost of a training step; not a statement of the paper",
    presets={"": StepCost()},
    folder=lambda options: options.out / f"step_cost-{options.preset}",
    configuration=first_configuration,
    simulate=simulate_all,
    analyse=analyse,
    draw=draw,
    captions=lambda: {"step_cost": CAPTION},
    table=table_text,
    curves=False,
)


def main(arguments: list[str] | None = None) -> None:
    """Run from a command line."""
    experiment.main(EXPERIMENT, arguments)


if __name__ == "__main__":
    main()
