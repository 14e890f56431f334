"""The progress bar of a set of runs, or of all sets of runs of a study.

Its estimate of the time left rests on the time spent in training alone: compilation, the first stretch after it, and
whatever is done between two sets of runs do not count, nor do steps that an earlier call has made.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from tqdm.auto import tqdm

from dynsim.config import Config

STUDY_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| trained {elapsed}, about {remaining} left"


class Bar:
    """A progress bar on stderr; in a log file rather than a terminal it writes a line about every half minute."""

    def __init__(self, total: float, label: str, *, shown: bool = True, bar_format: str | None = None) -> None:
        """Show an empty bar.

        Args:
            total: work to do, in steps, or in the unit of `per_step`.
            label: text beside it.
            shown: false for a bar that prints nothing.
            bar_format: as for tqdm.
        """
        every = 0.1 if sys.stderr.isatty() else 30.0
        self.tqdm = tqdm(
            total=total,
            desc=label,
            unit="step",
            mininterval=every,
            smoothing=0,  # the mean over all of the training
            disable=not shown,
            bar_format=bar_format,
            delay=1e-3,  # nothing is shown before training begins: what is refused until then is one line
        )
        self.trained_s = 0.0
        self.per_step: float = 1  # work of one step

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not self.tqdm.disable and self.tqdm.n > 0:
            # tqdm takes a bar that began after it was last shown for one that never was, and would not show its end
            self.tqdm.last_print_t = max(self.tqdm.last_print_t, self.tqdm.start_t + 1)
        self.tqdm.close()

    def begin(self, label: str, n_done: int, n_steps: int) -> None:
        """Begin a set of runs.

        Args:
            label: text beside the bar.
            n_done: steps that an earlier call has made; above 0, a line says so.
            n_steps: steps of the runs.
        """
        if self.tqdm.disable:
            return
        if label != self.tqdm.desc:
            self.tqdm.set_description_str(label, refresh=sys.stderr.isatty())
        if n_done:
            self.say(f"{label}: resumed at step {n_done:,} of {n_steps:,}")
            self.skip(n_done * self.per_step)

    def update(self, n_steps: int, took_s: float | None) -> None:
        """Count steps that took so many seconds; None for those that were compiled meanwhile."""
        if took_s is None:
            self.skip(n_steps * self.per_step)
            return
        self.trained_s += took_s
        self._move(n_steps * self.per_step)

    def skip(self, work: float) -> None:
        """Count work that is no measure of the speed."""
        if not self.tqdm.disable:
            self.tqdm.initial += work
            self._move(work)

    def _move(self, work: float) -> None:
        if not self.tqdm.disable:
            self.tqdm.start_t = self.tqdm._time() - self.trained_s
            self.tqdm.update(work)

    def say(self, text: str) -> None:
        """Print a line above the bar, if that is shown already; or nothing, as the bar itself."""
        if self.tqdm.disable:
            return
        if self.tqdm.n > 0:
            self.tqdm.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr, flush=True)


@contextmanager
def running(progress: bool | Bar, label: str, n_done: int, n_steps: int) -> Iterator[Bar]:
    """Give the bar of one set of runs: a new one, shown or not, or that of the study; arguments as for `Bar.begin`."""
    if isinstance(progress, Bar):
        progress.begin(label, n_done, n_steps)
        yield progress
        return
    with Bar(n_steps, label, shown=progress) as bar:
        bar.begin(label, n_done, n_steps)
        yield bar


def work_per_step(config: Config, n_seeds: int) -> float:
    """Return the multiply-adds of a step of all runs, roughly: tokens, embeddings with their gradient, and logits."""
    data, m = config.data, config.encoder.n_neurons
    tokens = data.batch_size * data.n_tokens * data.token_dim
    logits = data.batch_size * (data.n_negatives or data.batch_size) * m
    return float(n_seeds * (2 * tokens * data.n_features + 6 * tokens * m + 2 * logits))


class StudyBar(Bar):
    """One bar for all parts of a study; a part that was not announced makes the whole longer when it comes."""

    def __init__(self, label: str, *, shown: bool = True) -> None:
        """Show an empty bar, to which `announce` adds work; or none, as for `Bar`."""
        super().__init__(0, label, shown=shown, bar_format=STUDY_FORMAT)
        self.announced: dict[str, float] = {}
        self.counted: set[str] = set()
        self.earlier_s = 0.0
        """Seconds that earlier calls spent on parts of this study."""
        self.lock = threading.RLock()
        """Held while parts are counted: some are finished in other threads."""

    def announce(self, name: str, config: Config, n_seeds: int) -> None:
        """Add the work of a part to the total, once for each name."""
        self.add(name, work_per_step(config, n_seeds) * config.train.n_steps)

    def add(self, name: str, work: float) -> None:
        """Add a part of so much work, in the unit of `work_per_step`, to the total, once for each name."""
        if name not in self.announced:
            self.announced[name] = work
            self.tqdm.total += work

    def begin(self, label: str, n_done: int, n_steps: int) -> None:
        """Begin a part, which was announced by its label."""
        self.counted.add(label)
        self.per_step = self.announced[label] / n_steps
        super().begin(label, n_done, n_steps)

    def finished_earlier(self, name: str, text: str, took_s: float) -> None:
        """Count a part that took so many seconds, and print a line; a part that is used twice counts once."""
        with self.lock:
            if name not in self.counted:
                self.counted.add(name)
                self.earlier_s += took_s
                self.say(text)
                self.skip(self.announced[name])

    def finished_elsewhere(self, name: str, took_s: float) -> None:
        """Count a part that ran in another thread or process, so many seconds after the one before."""
        with self.lock:
            self.counted.add(name)
            self.trained_s += took_s
            self._move(self.announced[name])
