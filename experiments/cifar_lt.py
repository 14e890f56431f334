"""Does masking the smallest weights help an image network on long-tailed data?

A ResNet learns CIFAR-10 with classes of unequal size, without labels (SimCLR), once with all weights and once with the
smallest ones masked in the forward pass of one of the two views (SDCLR). Then its features are judged on all classes
alike, with linear probes and by nearest neighbours. Masks of random or of the largest weights, and less weight decay,
are placebos: magnitude matters only if they do less.

Command:  python experiments/cifar_lt.py [--preset smoke] [--arms ... | --shares ...]
          [--table | --encoder FILE | --exemplars FILE]

Example:  python experiments/cifar_lt.py --preset smoke --network.width 0.125 --seeds 1

Time:     150 minutes on 2 CPU cores with --preset cpu. Finished arms are kept, and an interrupted one is resumed.

Expected: a trained encoder leads raw pixels and the untrained network by at least 5 points. The plan of the comparison,
          written before its first run, is in experiments/cifar/plan.toml.

Table:    --table sets the committed results beside published ones, and beside each what its run differs in. With
          --preset paper (and --long-tail.split drawn for the factors 10 and 50) and the probes --judging.linear sdclr
          --judging.few-shot sdclr_few_shot, the following fill its cells, for each image set and factor:

SimCLR:   and SDCLR, no pruning, pruning: --arms "no mask" magnitude; as it was published, with heads of different
          depth: --arms "published SimCLR" "published SDCLR".

Balanced: SimCLR, balanced set (SDCLR, Tables 1 and 2): --arms "no mask" "no mask, balanced set", and for the masked
          network magnitude "magnitude, balanced set".

MoCo:     --arms "no mask" magnitude --method moco --network.norm-sets 1.

Others:   focal loss: --arms "no mask" --focal 2; dropout: --arms dropout; TS: --arms "no mask" --temperature 0.1
          --highest-temperature 1.

Figures:  of SDCLR: 2 by --exemplars FILE, 3 by --shares 0 0.3 0.5 0.7 0.9.

The images lie in ../shared/data, or where DYNSIM_DATA or --data-folder points; the preset smoke needs none.
Writes summary.json, the figures and the encoders (safetensors) into <out>/cifar_lt-<options hash>/; the last line
printed is the path of summary.json. With --encoder FILE a saved encoder is judged, with --exemplars FILE it is asked
what its mask changes most; with these and with --table nothing is trained.
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
from dynsim.bridge.options import Judging, LongTail, Masking, NetworkShape, Pretraining
from dynsim.config.checks import number, positive_int, require
from dynsim.experiment import Experiment, Figures, Json, Reduced
from experiments.cifar.arms import IMAGE_PLACEBOS, MAIN, ON_BALANCED, find_arm, share_arms

if TYPE_CHECKING:
    from experiments.cifar.runs import ImageRun, Study

COMMITTED_DATA = Path(__file__).resolve().parents[1] / "figures" / "data"


@dataclass(frozen=True)
class CifarLt:
    """Options of this experiment."""

    pretraining: Annotated[Pretraining, tyro.conf.arg(name="")] = field(default_factory=Pretraining)
    long_tail: LongTail = field(default_factory=LongTail)
    judging: Judging = field(default_factory=Judging)
    arms: tuple[str, ...] = (*MAIN, *IMAGE_PLACEBOS)
    """Which arms to run: names of experiments/cifar/arms.py. The mask of the options is that of the masked arms. An arm
    named with ", balanced set" trains on as many images, equally many of each class."""
    shares: tuple[float, ...] = ()
    """Run these shares of masked weights instead of `arms`, each with batch norms of the masked network's own and with
    shared ones (SDCLR, Figure 3)."""
    measured: int = 100
    """Images of each class, not trained on, to which the response of every channel is measured while training."""
    seeds: int = 3
    """Number of seeds; each has a split, first weights, views and an order of its own, which all arms share."""
    seed: int = 0
    """First seed; the others follow it."""
    data_folder: Path | None = None
    """Folder of the image data; by default that of DYNSIM_DATA, or ../shared/data."""
    out: Path = Path("results")
    """Folder for results."""
    redraw: bool = False
    """Draw the figures again from the saved results, without training."""
    encoder: Path | None = None
    """Train nothing, and judge this encoder, a file as an earlier call saved it, on the images of the seeds."""
    exemplars: Path | None = None
    """Train nothing, and tell which test images the mask of this encoder changes most, by group of classes (SDCLR,
    Figure 2). The file is as for --encoder; --seed is the one that it was trained with."""
    table: bool = False
    """Only print the published results with the committed ones beside them."""
    device: Literal["auto", "cpu", "gpu", "tpu"] = "auto"
    """Device to run on; auto takes the fastest that JAX finds."""

    def __post_init__(self) -> None:
        positive_int("measured", self.measured, 2)
        positive_int("seeds", self.seeds)
        positive_int("seed", self.seed, 0)
        once = 0 < len(self.arms) == len(set(self.arms))
        require(once, "arms", "at least one arm, none of them twice", " ".join(self.arms))
        for share in self.shares:
            number("shares", share, 0.0, 1.0)
            require(share < 1, "shares", "shares in [0, 1)", share)
        names = share_arms(self.shares)  # six digits of a share are in the name of its arms
        require(len(set(names)) == len(names), "shares", "none of them twice", self.shares)
        for arm in self.all_arms:
            find_arm(arm)
            twice = self.long_tail.balanced and arm.endswith(ON_BALANCED)
            require(not twice, "arms", "none on the balanced set beside long_tail.balanced, which all arms follow", arm)

    @property
    def all_arms(self) -> tuple[str, ...]:
        """Names of the arms that are run."""
        return share_arms(self.shares) or self.arms


MASK_90 = Masking(kind="lowest", rate=0.9)
PAPER = Pretraining(network=NetworkShape(norm_sets=2), masking=MASK_90)
SMALL_NETWORK = NetworkShape(architecture="resnet18", stem="cifar_strided", width=1 / 4, norm_sets=2)
PRESETS = {
    "cpu": CifarLt(
        pretraining=Pretraining(
            network=SMALL_NETWORK,
            masking=MASK_90,
            epochs=20,
            batch_size=256,
            learning_rate=0.25,
            warmup_epochs=2,
            weight_decay=5e-4,
        ),
        judging=Judging(linear="short"),
    ),
    "smoke": CifarLt(
        pretraining=Pretraining(
            network=dataclasses.replace(SMALL_NETWORK, architecture="resnet20", width=1 / 4, embedding_dim=16),
            masking=MASK_90,
            epochs=4,
            batch_size=64,
            warmup_epochs=1,
        ),
        long_tail=LongTail(images="generated", imbalance=10.0, few_shot=0.1),
        judging=Judging(linear="short", few_shot="short"),
        arms=MAIN,
        measured=6,
        seeds=2,
    ),
    "paper-short": CifarLt(pretraining=dataclasses.replace(PAPER, epochs=500), long_tail=LongTail(split="released")),
    "paper": CifarLt(pretraining=PAPER, long_tail=LongTail(split="released"), seeds=5),
}
ABOUT_PRESETS = {
    "cpu": "CIFAR-10-LT on a CPU, a narrow ResNet-18, 20 epochs: eight minutes an arm and seed on 2 cores",
    "smoke": "generated images, two arms, to see that it runs; two minutes, most of them compilation",
    "paper-short": "ResNet-18, 500 epochs; hours on an accelerator, not measured",
    "paper": "ResNet-18, 2,000 epochs, the five published splits; days on an accelerator, not measured",
}


def identity(options: CifarLt) -> str:
    """Return 12 hexadecimal digits that identify what is run."""
    data = (dataclasses.asdict(one) for one in (options.long_tail, options.judging))
    values = [options.pretraining.values(), *data, options.all_arms, options.measured, options.seeds, options.seed]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def study_folder(options: CifarLt) -> Path:
    """Return where a study is kept."""
    return options.out / f"cifar_lt-{identity(options)}"


def check_images(options: CifarLt) -> None:
    """Refuse what cannot be run before anything is trained: options of an arm, or data that are not there."""
    from dynsim.bridge.data import DataError, why_absent

    for arm in options.all_arms:
        find_arm(arm).change(options.pretraining)
    if options.long_tail.images != "generated" and not options.redraw:
        reason = why_absent(options.long_tail.images, options.data_folder)
        if reason:
            raise DataError(reason)


def study_of(options: CifarLt, folder: Path) -> "Study":
    """Return what all runs of a study share."""
    from experiments.cifar.runs import Study

    parts = (options.pretraining, options.long_tail, options.judging, options.measured)
    return Study(*parts, options.data_folder, folder)


def seeds_of(options: CifarLt) -> range:
    """Return the seeds."""
    return range(options.seed, options.seed + options.seeds)


def simulate_all(options: CifarLt, folder: Path) -> "list[ImageRun]":
    """Train and judge all arms with all seeds."""
    from experiments.cifar.runs import train_and_judge

    return train_and_judge(study_of(options, folder), options.all_arms, seeds_of(options))


def analyse(runs: "list[ImageRun]", options: CifarLt) -> tuple[Json, Reduced]:
    """Return the summary, and the curves of the channels by arm."""
    from experiments.cifar.outcome import channel_curves_by_arm, summarise_images

    told = {name: dataclasses.asdict(getattr(options, name)) for name in ("pretraining", "long_tail", "judging")}
    told["pretraining"] = options.pretraining.values()
    return {**told, "about": about_run(options), **summarise_images(runs, options.all_arms)}, channel_curves_by_arm(
        runs
    )


def about_run(options: CifarLt) -> str:
    """Return in one line what was run."""
    train, data = options.pretraining, options.long_tail
    return (
        f"{data.images}, imbalance {data.imbalance:g}, {train.network.architecture} of width {train.network.width:g}"
        f" with the stem {train.network.stem}, {train.method}, {train.epochs} epochs in batches of {train.batch_size},"
        f" mask of {train.masking.rate:.0%}, {options.seeds} seeds, probe {options.judging.linear}"
    )


def draw(summary: Json, reduced: Reduced) -> Figures:
    """Return the figures."""
    from experiments.cifar import figures

    return figures.draw(summary, reduced)


def words() -> tuple[dict[str, str], Callable[[Json], str]]:
    """Return (captions by name of the figure, function that says a summary as a table)."""
    from experiments.cifar import figures, table

    return figures.CAPTIONS, table.table_text


def quoted(summary: Json) -> Json:
    """Return what documents quote of a summary (`experiments.cifar.table.quoted_numbers`)."""
    from experiments.cifar.table import quoted_numbers

    return quoted_numbers(summary)


def only_print(options: CifarLt) -> str:
    """Return the published table or the accuracies of a saved encoder, if that is all that is asked for, or ""."""
    from dynsim import results
    from experiments.cifar import own
    from experiments.cifar.table import published_table

    if options.table:
        return published_table([results.load_json(path) for path in sorted(COMMITTED_DATA.glob("cifar_lt*.json"))])
    if options.encoder is None and options.exemplars is None:
        return ""
    check_images(options)
    study = study_of(options, study_folder(options))
    if options.exemplars is not None:
        return own.exemplars_of_file(study, options.exemplars, options.seed)
    return own.judge_file(study, options.encoder, seeds_of(options)) if options.encoder is not None else ""


EXPERIMENT = Experiment(
    name="cifar_lt",
    about=__doc__ or "",
    command="python experiments/cifar_lt.py",
    statements="Theorem 3.2 on real images",
    presets=PRESETS,
    about_presets=ABOUT_PRESETS,
    folder=study_folder,
    simulate=simulate_all,
    analyse=analyse,
    draw=draw,
    captions=lambda: words()[0],
    table=lambda numbers: words()[1](numbers),
    check=check_images,
    identity=identity,
    only_print=only_print,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the experiment from a command line."""
    experiment.main(EXPERIMENT, arguments)


if __name__ == "__main__":
    main()
