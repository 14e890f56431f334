"""Which loss with labels helps rare classes of long-tailed images, and is it the loss that does it?

A ResNet learns CIFAR-10 with classes of unequal size from labels, once for each method: a classifier's loss, and beside
it a contrastive loss of the embeddings (SupCon, BCL, RCL, ACL; by --methods also KCL, TSC, PaCo, GPaCo). The methods of
the plan see the same views of the same images, but for one that sees one view of each, so that what ACL gains by its
loss is told apart from what it gains by showing each image several times.

Command:  python experiments/long_tail_losses.py [--preset smoke] [--methods ...] [--table]

Example:  python experiments/long_tail_losses.py --preset smoke --methods SupCon ACL --seeds 1
          python experiments/long_tail_losses.py --preset cpu --methods acl-parts      (which part of ACL does it?)

Time:     the preset cpu 70 minutes on 2 CPU cores, beside other work; others see --preset. Each finished run is saved,
          and an interrupted one goes on from its last checkpoint.

Expected: more views of rare classes help Balanced Softmax; what the contrastive losses add to it is undecided at this
          size. The plan, written before the first run, is in experiments/long_tail/plan.toml.

The images lie in ../shared/data, or where DYNSIM_DATA or --data-folder points; the preset smoke needs none.
Writes summary.json, the figures and the encoders (safetensors) into <out>/long_tail_losses-<options hash>/; the last
line printed is the path of summary.json. With --table nothing is run: the committed results are printed beside the
published ones.
"""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

if __name__ == "__main__":  # says in one line which packages are missing, before they are imported
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from dynsim import environment

    environment.check_python(__file__)

import tyro

from dynsim import experiment
from dynsim.bridge.options import LongTail, NetworkShape, Supervised
from dynsim.config.checks import choice, number, positive_int, require
from dynsim.experiment import Experiment, Figures, Json, Reduced
from experiments.long_tail.methods import ACL, BALANCED, COMPARED_METHODS
from experiments.long_tail.variants import KNOWN_METHODS, VARIANT_SETS, method_names

if TYPE_CHECKING:
    from experiments.long_tail.runs import LossStudy, MethodRow

COMMITTED_RESULTS = Path(__file__).resolve().parents[1] / "figures" / "data"


@dataclass(frozen=True)
class LongTailLosses:
    """Options of this experiment."""

    training: Annotated[Supervised, tyro.conf.arg(name="")] = field(default_factory=Supervised)
    long_tail: LongTail = field(default_factory=LongTail)
    methods: tuple[str, ...] = COMPARED_METHODS
    """Which methods to run, by name; they replace the losses of the options. A set stands for its methods, each with
    one thing changed: acl-parts, rcl-parts, rcl-scale, weights, views, masks (experiments/long_tail/variants.py)."""
    measured_batches: int = 4
    """Batches on which conflicts between positives are counted while training."""
    measured: int = 100
    """Images of each class, not trained on, whose features are measured while training."""
    margin: float = 0.01
    """Largest difference in accuracy that the verdict counts as none."""
    encoder: Path | None = None
    """Start from this encoder, a file as an earlier call or experiments/cifar_lt.py saved it."""
    seeds: int = 3
    """Number of seeds; each has a split, first weights, views and an order of its own, which all methods share."""
    seed: int = 0
    """First seed; the others follow it."""
    data_folder: Path | None = None
    """Folder of the image data; by default that of DYNSIM_DATA, or ../shared/data."""
    out: Path = Path("results")
    """Folder for results."""
    redraw: bool = False
    """Draw the figures again from the saved results, without training."""
    table: bool = False
    """Only print the published results with the committed ones beside them."""
    device: Literal["auto", "cpu", "gpu", "tpu"] = "auto"
    """Device to run on; auto takes the fastest that JAX finds."""

    def __post_init__(self) -> None:
        positive_int("measured_batches", self.measured_batches)
        positive_int("measured", self.measured)
        positive_int("seeds", self.seeds)
        positive_int("seed", self.seed, 0)
        number("margin", self.margin, 0.0, 1.0, open_low=True)
        once = 0 < len(self.methods) == len(set(self.methods))
        require(once, "methods", "at least one method, none of them twice", " ".join(self.methods))
        for name in self.methods:
            choice("methods", name, (*KNOWN_METHODS, *VARIANT_SETS))


CPU_TRAINING = Supervised(
    network=NetworkShape(architecture="resnet20", stem="cifar_strided", width=1 / 2, head_width=64, embedding_dim=32),
    weight=0.35,
    temperature=0.1,
    views=("probe",) * 4,
    epochs=15,
    learning_rate=0.1,
    schedule="cosine",
    milestones=(),
    warmup_epochs=1,
)
SMOKE_NETWORK = NetworkShape(
    architecture="resnet20", stem="cifar_strided", width=1 / 4, head_width=16, embedding_dim=16
)
PRESETS = {
    "cpu": LongTailLosses(training=CPU_TRAINING),
    "smoke": LongTailLosses(
        training=dataclasses.replace(CPU_TRAINING, network=SMOKE_NETWORK, epochs=4, batch_size=64),
        long_tail=LongTail(images="generated", imbalance=10.0, few_shot=0.1),
        methods=(BALANCED, ACL),
        measured_batches=2,
        measured=6,
        seeds=2,
    ),
    "paper": LongTailLosses(
        training=Supervised(), long_tail=LongTail(images="cifar100", held_out=0.0, shuffled=False), seeds=3
    ),
}
ABOUT_LOSS_PRESETS = {
    "cpu": "CIFAR-10-LT on a CPU, a narrow ResNet-20, 15 epochs, three seeds; 70 minutes on 2 cores",
    "smoke": "generated images, two methods, to see that it runs; two minutes, most of them compilation",
    "paper": "CIFAR-100-LT, ResNet-32, 200 epochs, the last one judged; hours on an accelerator, not measured",
}


def study_identity(options: LongTailLosses) -> str:
    """Return 12 hexadecimal digits that identify what is run."""
    first = None if options.encoder is None else str(options.encoder)
    values: list[object] = [
        options.training.values(),
        dataclasses.asdict(options.long_tail),
        method_names(options.methods),
        first,
    ]
    values += [options.measured_batches, options.measured, options.margin, options.seeds, options.seed]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def study_folder(options: LongTailLosses) -> Path:
    """Return where a study is kept."""
    return options.out / f"long_tail_losses-{study_identity(options)}"


def check_study(options: LongTailLosses) -> None:
    """Refuse what cannot be run before anything is trained: options of a method, or data that are not there."""
    from dynsim.bridge.data import DataError, why_absent

    trainings: dict[str, str] = {}
    for name in method_names(options.methods):
        same = trainings.setdefault(repr(KNOWN_METHODS[name].change(options.training)), name)
        alike = "they are the same with these options; leave one of them out"
        require(same == name, "methods", "trainings that differ", f"{name} and {same}", alike)
    if options.encoder is not None:
        from dynsim.bridge.networks import load_safetensors

        load_safetensors(options.encoder)
    if options.long_tail.images != "generated" and not options.redraw:
        reason = why_absent(options.long_tail.images, options.data_folder)
        if reason:
            raise DataError(reason)


def losses_study(options: LongTailLosses, folder: Path) -> "LossStudy":
    """Return what all runs of a study share."""
    from experiments.long_tail.runs import LossStudy

    parts = (options.training, options.long_tail, options.measured_batches, options.measured, options.encoder)
    return LossStudy(*parts, options.data_folder, folder)


def simulate_all(options: LongTailLosses, folder: Path) -> "list[MethodRow]":
    """Train and test all methods with all seeds."""
    from experiments.long_tail.runs import train_methods

    seeds = range(options.seed, options.seed + options.seeds)
    return train_methods(losses_study(options, folder), method_names(options.methods), seeds)


def analyse(runs: "list[MethodRow]", options: LongTailLosses) -> tuple[Json, Reduced]:
    """Return the summary; it has all that the figures need."""
    from experiments.long_tail.outcome import summarise_methods

    told = {"training": options.training.values(), "long_tail": dataclasses.asdict(options.long_tail)}
    found = summarise_methods(runs, method_names(options.methods), options.margin)
    return {**told, "about": about_study(options), **found}, {}


def about_study(options: LongTailLosses) -> str:
    """Return in one line what was run."""
    train, data = options.training, options.long_tail
    return (
        f"{data.images}, imbalance {data.imbalance:g}, {train.network.architecture} of width {train.network.width:g}"
        f" with the stem {train.network.stem}, {train.epochs} epochs in batches of {train.batch_size}, contrastive"
        f" weight {train.weight:g} at temperature {train.temperature:g}, views {train.views[0]} {train.view_counts},"
        f" {options.seeds} seeds"
    )


def draw(summary: Json, reduced: Reduced) -> Figures:
    """Return the figures."""
    from experiments.long_tail import figures

    return figures.draw(summary, reduced)


def words() -> tuple[dict[str, str], Callable[[Json], str]]:
    """Return (captions by name of the figure, function that says a summary as a table)."""
    from experiments.long_tail import figures, table

    return figures.CAPTIONS, table.table_text


def quoted_methods(summary: Json) -> Json:
    """Return what documents quote of a summary (`experiments.long_tail.table.quoted_losses`)."""
    from experiments.long_tail.table import quoted_losses

    return quoted_losses(summary)


def print_table(options: LongTailLosses) -> str:
    """Return the published table, if that is all that is asked for, or ""."""
    from dynsim import results
    from experiments.long_tail.table import published_losses

    if not options.table:
        return ""
    return published_losses([results.load_json(path) for path in sorted(COMMITTED_RESULTS.glob("long_tail*.json"))])


EXPERIMENT = Experiment(
    name="long_tail_losses",
    about=__doc__ or "",
    command="python experiments/long_tail_losses.py",
    statements="related work: aligned and rebalanced contrastive losses",
    presets=PRESETS,
    about_presets=ABOUT_LOSS_PRESETS,
    folder=study_folder,
    simulate=simulate_all,
    analyse=analyse,
    draw=draw,
    captions=lambda: words()[0],
    table=lambda numbers: words()[1](numbers),
    check=check_study,
    identity=study_identity,
    only_print=print_table,
    curves=False,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the experiment from a command line."""
    experiment.main(EXPERIMENT, arguments)


if __name__ == "__main__":
    main()
