"""`run.dynsim`: what one asks of a result, as methods of the Dataset itself (an accessor of xarray).

    run = simulate(config, seeds=range(3))
    run.dynsim                      # in a notebook: what differs from the defaults, then the stages
    run.dynsim.stages()             # T1, T2 and T3, by seed and group of features
    run.dynsim.plot.specialists()   # against training steps

`dynsim` registers it when one of its names is first used (`from dynsim import simulate`) or, where xarray is loaded
already, when it is imported. After imports from single rooms alone, `import dynsim.accessor` registers it.
"""

import html
from typing import TYPE_CHECKING, Any

import xarray as xr

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dynsim.config import Config

NAME = "dynsim"


class ResultPlots:
    """Figures of a result, as `run.dynsim.plot.<name>()`; the axis of each is the training step.

    Each is a matplotlib Figure: a notebook shows it, and `figure.savefig("name.png")` saves it.
    """

    def __init__(self, result: xr.Dataset) -> None:
        self._result = result

    def __call__(self, variable: str) -> "Figure":
        """Draw one variable: the mean over neurons, and over the features of each group, of every seed.

        Values of either sign, such as projections, would cancel; the mean is that of their sizes then.

        Args:
            variable: name of a variable with the dimension record, such as "weight_norm".
        Errors:
            `ConfigError` in one line for any other name.
        """
        from dynsim.analysis.groups import group_masks, minority_mask
        from dynsim.config.checks import require
        from dynsim.plots import over_steps
        from dynsim.results.labels import OWN_UNIT

        result = self._result
        known = [str(name) for name in result.data_vars if "record" in result[name].dims]
        require(variable in known, "plot", f"one of {', '.join(known)}", variable)
        values = result[variable] if "seed" in result[variable].dims else result[variable].expand_dims("seed")
        others = [dim for dim in values.dims if dim not in ("seed", "record", "feature")]
        averaged = bool(others) or "feature" in values.dims
        signed = averaged and bool((values < 0).any())
        values = abs(values) if signed else values
        if "feature" in values.dims:
            masks = group_masks(minority_mask(result))
            groups = [values.isel(feature=mask).mean("feature") for mask in masks.values()]
            joined = xr.concat(groups, xr.Variable("group", list(masks)))
            values = joined.sel(group=[name for name in masks if name != "all" or len(masks) == 1])
        means = values.mean(others) if others else values
        attrs = result[variable].attrs
        if attrs.get("units", OWN_UNIT) == OWN_UNIT:  # the user's own: its name says best what it is
            words, attrs = variable, {}
        else:
            words = f"the {attrs['long_name']}" if averaged else attrs["long_name"]
        words = f"mean {'size ' if signed else ''}of {words}" if averaged else words
        return over_steps(means.drop_attrs().assign_attrs(attrs | {"long_name": words}))

    def _curves(self) -> xr.Dataset:
        from dynsim.analysis import curves, labelled, summary

        result = labelled.whole(self._result)
        return curves.reduce(result, summary.all_stage_ends(result))

    def specialists(self) -> "Figure":
        """Draw the number of specialists of each group, and the share of its features that have one."""
        from dynsim import plots

        return plots.specialist_counts(self._curves())

    def projections(self) -> "Figure":
        """Draw how neurons grow along their own feature, the others and outside them, with the closed form if any."""
        from dynsim import plots, theory
        from dynsim.analysis.groups import minority_mask
        from dynsim.analysis.rates import no_closed_form
        from dynsim.results import config_of

        config, minority = config_of(self._result), minority_mask(self._result)
        growth = None if no_closed_form(config) else theory.log_growth(config)
        groups = {"majority": ~minority, "minority": minority}
        closed = {
            name: float(growth[mask].mean()) for name, mask in groups.items() if growth is not None and mask.any()
        }
        return plots.projections(self._curves(), closed)

    def loss(self) -> "Figure":
        """Draw the contrastive loss with its chance level: its value where all similarities are equal."""
        from dynsim import plots, theory
        from dynsim.results import config_of

        return plots.loss_curve(self._curves(), {"chance": theory.chance_loss(config_of(self._result))})

    def cosines(self) -> "Figure":
        """Draw the cosine of every neuron with every feature in one seed, at the start and at T1, T2 and T3."""
        from dynsim import plots

        return plots.cosine_matrix(self._curves())


class ResultAccessor:
    """What one asks of a result of `simulate` or `load`, as `run.dynsim`."""

    def __init__(self, result: xr.Dataset) -> None:
        self._result = result

    @property
    def config(self) -> "Config":
        """The configuration that made the result.

        Errors: `ResultError` in one line for a Dataset that is no result, and for joined results (`concat`).
        """
        from dynsim.results import ResultError, config_of

        if not {"config", "configs"} & set(self._result.attrs):
            raise ResultError(f"{NAME}: wanted a result of simulate or load, got a Dataset without a configuration")
        return config_of(self._result)

    @property
    def provenance(self) -> dict[str, Any]:
        """How the result was made: command, commit, versions, device and time."""
        from dynsim.results import provenance_of

        self.config  # noqa: B018  refuses what is no result
        return provenance_of(self._result)

    @property
    def plot(self) -> ResultPlots:
        """Figures: `plot.specialists()`, `.projections()`, `.loss()`, `.cosines()`, or `plot("weight_norm")`."""
        self.config  # noqa: B018  refuses what is no result
        return ResultPlots(self._result)

    def stages(self, **options: float) -> xr.Dataset:
        """Return T1, T2 and T3 by seed, group and stage; see `analysis.labelled.stages_of`."""
        from dynsim.analysis.labelled import stages_of

        return stages_of(self._result, **options)

    def specialists(self, **options: float) -> xr.Dataset:
        """Return who is a specialist, and how many are, at every record; see `analysis.labelled.specialists_of`."""
        from dynsim.analysis.labelled import specialists_of

        return specialists_of(self._result, **options)

    def purity(self) -> xr.DataArray:
        """Return the purity of every neuron at every record; see `analysis.labelled.purity_of`."""
        from dynsim.analysis.labelled import purity_of

        return purity_of(self._result)

    def diff(self, other: xr.Dataset) -> dict[str, tuple[Any, Any]]:
        """Return {field: (value here, value there)} for the fields in which the configurations of two results differ.

        Seeds that differ are there as "seeds", functions of the user's own as "own functions".
        """
        from dynsim.config.differences import differing_values

        pair = (self, ResultAccessor(other))
        out = differing_values(*(one.config for one in pair))
        more = {
            "seeds": [one._result["seed"].values.ravel().tolist() for one in pair],
            "own functions": [one.provenance.get("own", {}) for one in pair],
        }
        return out | {name: (first, second) for name, (first, second) in more.items() if first != second}

    def _facts(self) -> str:
        """Return the sizes of the result in one line of words."""
        from dynsim.analysis.groups import minority_mask

        result, minority = self._result, minority_mask(self._result)
        seeds = result["seed"].values.ravel().tolist()
        steps, made = result["step"].values.ravel(), self.provenance
        return (
            f"seeds {', '.join(map(str, seeds))}; {int(steps[-1])} steps in {len(steps)} records; "
            f"{minority.size} features, {int(minority.sum())} of them minority; "
            f"{self.config.encoder.n_neurons} neurons; {made.get('wall_s', '?')} s on {made.get('device', '?')}"
        )

    def _stage_rows(self) -> list[tuple[str, str, str, str, str]]:
        """Return (group, stage, found in, median [min, max] step, why not) of every stage.

        The step is "-" where fewer than half of the seeds have it; T1* of "all" is another event than T1 of a group.
        The last cell is "" where all seeds have the stage.
        Errors: `ValueError` in one line for a record from which no stages can be found.
        """
        from dynsim.analysis.summary import spread_text, stage_name

        found = self.stages()
        rows = []
        for group in found["group"].values:
            for stage in found["stage"].values:
                one = found.sel(group=group, stage=stage)
                steps = [None if step != step else step for step in one["step"].values.tolist()]
                share = f"{len(steps) - steps.count(None)} of {len(steps)} seeds"
                why = "; ".join(dict.fromkeys(filter(None, one["reason"].values.tolist())))
                rows.append((str(group), stage_name(str(group), str(stage)), share, spread_text(steps), why))
        return rows

    def __repr__(self) -> str:
        """Return the result in a few lines of text; a stage that seeds lack has the reasons in a line of its own."""
        from dynsim.config import Config
        from dynsim.config.differences import differing_values

        changed = differing_values(Config(), self.config)
        lines = [f"  {name} = {value!r} (default {default!r})" for name, (default, value) in changed.items()]
        try:
            rows = self._stage_rows()
        except ValueError as error:
            return "\n".join(["dynsim result: " + self._facts(), *lines, f"  no stages: {error}"])
        for group, stage, share, step, why in rows:
            lines.append(f"  {group:<9}{stage:<3} {step}  found in {share}")
            lines += [f"      where it was not: {why}"] if why else []
        return "\n".join(["dynsim result: " + self._facts(), *lines])

    def _repr_html_(self) -> str:
        """Return the result as a notebook shows it: what differs from the defaults, sizes, stages."""
        from dynsim.config.rich import changes_html, table_html

        head = ("group of features", "stage end", "found in", "step: median [min, max]", "where it was not found")
        note = "<p>T1*: the squared norms of the weights have doubled. -: found in fewer than half of the seeds.</p>"
        try:
            stages = table_html(head, self._stage_rows()) + note
        except ValueError as error:
            stages = f"<p>no stages: {html.escape(str(error))}</p>"
        facts = html.escape(self._facts())
        return f"<div><b>dynsim result</b>{changes_html(self.config)}<p>{facts}</p>{stages}</div>"


xr.register_dataset_accessor(NAME)(ResultAccessor)
