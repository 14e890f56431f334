"""Records handed to a function of the user's own while a run is going, for a tracker or a live plot.

The function is called on the host, outside the compiled program, and with arrays that cannot be written to. So a run
has the same bits with and without it.
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from dynsim.engine.resume import Recording

Values = dict[str, np.ndarray]
OnRecord = Callable[[int, int, Values], object]
"""(seed, step, values): `values` holds the arrays of the record by name, and `loss` and `positive_weight`, the means
over the steps since the record before (NaN at step 0)."""
OnRecordOf = Callable[[int, int, int, Values], object]
"""The same for several configurations, whose position in `configs` comes first: (position, seed, step, values)."""


def report_records(on_record: OnRecordOf, kept: Recording, seeds: Sequence[int], stops: np.ndarray) -> None:
    """Call `on_record` for the last record of every run.

    Args:
        kept: what has been recorded so far; its runs are those of the first configuration for all seeds, then those of
            the second, and so on.
        seeds: the seeds; stops: the number of updates at each record.
    """
    place = len(kept.records) - 1
    step = int(stops[place])
    since = float(step - int(stops[place - 1])) if place else 0.0
    with np.errstate(invalid="ignore"):
        means = jax.tree.map(lambda total: np.asarray(total / since), kept.totals[-1])
    record = kept.records[-1]
    fields = dict(record) if isinstance(record, dict) else record._asdict()
    fields |= means._asdict()
    n_runs = len(np.asarray(means.loss))
    for run in range(n_runs):
        values = {name: _read_only(array[run]) for name, array in fields.items()}
        position, which = divmod(run, len(seeds))
        on_record(position, int(seeds[which]), step, values)


def _read_only(array: np.ndarray | np.generic) -> np.ndarray:
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view
