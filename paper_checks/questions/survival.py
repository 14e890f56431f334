"""QSURVIVE: which results need the theory's setting, and which hold without it?

Question (ours): every departure from the setting in one table. Departures: correlated directions, features that occur
together, few neurons, other attention, cosine similarity, NT-Xent, complementary views, Adam.

In regime: departures on purpose; d = 16, r = 0.5. False firing 1 % and default (24 %); about 1.8 active features per
sample.

Rival: a result needs identity attention, independent features, a one-sided gradient, the inner product or plain SGD.

Claim: each result of the plain setting has its sign under every departure whose runs have settled (results about the
end only). Where plain runs do not have it the row is vacuous. Measured: the number of departures in which the mean has
it; the interval runs from those in which the 95 % interval lies on that side, to those in which it reaches there. With
six results and two noise levels some interval of 150 misses by chance: one departure off is no strong evidence. Fewer
than eight departures decide nothing.

Power: six seeds for each departure.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dynsim.plots.style import SMALL_TEXT, TWO_COLUMNS
from dynsim.stats.verdicts import NOT_SUPPORTED, OUT_OF_REGIME, SUPPORTED
from paper_checks import drawing
from paper_checks.check import OURS, Check, Row, planned, row, vacuous
from paper_checks.runs import NOISES, VARIANTS, Source
from paper_checks.variant_results import PLAIN, RATIO, RESULTS, measure_points, result_row, variant

DEPARTURES = tuple(name for name in VARIANTS if name != PLAIN and "masked" not in name)
FEWEST = 8
"""Departures without which nothing is said of all of them; the quick preset has two."""
QUANTITY = "departures in which the result holds"
SIGN = {SUPPORTED: "holds", NOT_SUPPORTED: "fails"}


def measure(source: Source) -> xr.Dataset:
    """Return the group measures of all variants without a mask at r = 0.5."""
    runs = source.runs("variants").items()
    kept = (PLAIN, *DEPARTURES)
    return measure_points({p: one for p, one in runs if p.level in kept and p.ratio == RATIO})


Cells = dict[str, dict[str, Row]]
"""{departure: {result: its row}}, without the departures whose runs are not there."""


def cells(arrays: xr.Dataset, noise: str) -> Cells:
    """Return the row of every result under every departure, and in plain runs."""
    found = {name: variant(arrays, name, noise) for name in (PLAIN, *DEPARTURES)}
    return {
        name: {key: result_row(key, name, noise, there) for key in RESULTS}
        for name, there in found.items()
        if there is not None
    }


def judge(arrays: xr.Dataset) -> list[Row]:
    """Return one row for each noise level and result, over all departures."""
    rows = []
    for noise in NOISES:
        table = cells(arrays, noise)
        for key, result in RESULTS.items():
            there = {name: of_name[key] for name, of_name in table.items() if name != PLAIN}
            unsettled = [name for name, one in there.items() if one.verdict == OUT_OF_REGIME]
            there = {name: one for name, one in there.items() if name not in unsettled}
            verdicts = [one.verdict for one in there.values()]
            middle, (low, high) = [one.measured for one in there.values()], result.wanted
            holds = sum(value is not None and low < value < high for value in middle)
            sure, may = verdicts.count(SUPPORTED), len(verdicts) - verdicts.count(NOT_SUPPORTED)
            fails = [name for name, one in there.items() if one.verdict == NOT_SUPPORTED]
            plain = table[PLAIN][key].verdict if PLAIN in table else "not there"
            note = f"plain: {plain}; fails with: {', '.join(fails) or 'none'}"
            note += f"; left out, as still changing at the end: {', '.join(unsettled)}" if unsettled else ""
            n, numbers = len(there), (float(np.clip(holds, sure, may)), float(sure), float(may))
            claim = f"{result.claim}, whatever the departure"
            counted = row(claim, noise, QUANTITY, numbers, (n, n), predicted=n, note=note)
            n_run = len(table) - (PLAIN in table)
            if n_run < FEWEST:
                rows.append(planned(counted, n_run, FEWEST, "departures"))
            elif plain != SUPPORTED:
                why = f"plain runs do not show this result, so that nothing is left to survive; {note}"
                rows.append(vacuous(claim, noise, QUANTITY, why, found=numbers))
            else:
                rows.append(counted)
    return rows


def draw(arrays: xr.Dataset, rows: Sequence[Row]) -> Figure:
    """Draw a table: departures by results, each cell with the measured number and whether the result holds."""
    names = [PLAIN, *DEPARTURES]
    fig, axes = drawing.panels(len(NOISES), columns=1, height=0.8 + 0.2 * len(names))
    fig.set_size_inches(TWO_COLUMNS, fig.get_size_inches()[1])
    shade = {"holds": drawing.COLOR["helps alike"], "fails": drawing.COLOR["harms"], "": drawing.COLOR["grid"]}
    for ax, noise in zip(axes, NOISES, strict=True):
        table = cells(arrays, noise)
        for y, name in enumerate(names):
            for x, key in enumerate(RESULTS):
                found = table.get(name, {}).get(key)
                word = "" if found is None else SIGN.get(found.verdict, "")
                ax.add_patch(Rectangle((x + 0.03, y + 0.06), 0.94, 0.88, color=shade[word], linewidth=0))
                text = "" if found is None or found.measured is None else f"{found.measured:.2f}"
                ink = drawing.COLOR["empty" if word == "fails" else "ink"]
                ax.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=SMALL_TEXT, color=ink)
        ax.set(xlim=(0, len(RESULTS)), ylim=(len(names), 0))
        ax.set_xticks(np.arange(len(RESULTS)) + 0.5, list(RESULTS))
        ax.set_yticks(np.arange(len(names)) + 0.5, names)
        ax.tick_params(length=0)
        drawing.words(ax, x="", y="", title=noise)
    marks = {"holds": "the result holds", "fails": "it does not", "": "undecided"}
    for word, text in marks.items():
        axes[0].add_patch(Rectangle((0, 0), 0, 0, color=shade[word], label=text))
    drawing.legend_below(fig, axes[0])
    return fig


CHECK = Check(
    code="QSURVIVE",
    origin=OURS,
    statement="question",
    title="which results need the theory's setting",
    formula=f"the sign of each result at r = {RATIO:g} under every departure.",
    rival="a result needs identity attention, independent features, a one-sided gradient, the inner product or plain "
    "SGD.",
    constants="none.",
    power="six seeds for each departure; one departure of twelve may be off by chance.",
    sets=("variants",),
    measure=measure,
    judge=judge,
    draw=draw,
    primary="rare features are left without specialists",
    caption="Stages and slower growth survive most departures; gaps in coverage and probe do not. Results by "
    "departure from the theory's setting, at both noise levels. Light: the 95 % interval lies where the "
    "result holds; dark: on the other side; grey: it reaches over. Numbers: stages, share of runs; growth and "
    "sizes, log of minority over majority; counts, coverage and probe, majority minus minority.",
)
