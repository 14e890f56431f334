"""dynsim: training dynamics of contrastive learning on imbalanced sparse-coding data.

What a session needs is here under short names, for instance

    from dynsim import Config, replace, simulate
    run = simulate(replace(Config(), **{"data.minority_ratio": 0.5}), seeds=range(3))

and is loaded when it is first used, so that `import dynsim` itself takes no time and loads no JAX. The rooms of the
package, in the order in which data flows, are told in dynsim/README.md.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dynsim import losses, plots, prune, theory
    from dynsim.analysis.pairs import compare_runs
    from dynsim.analysis.stages import find_stages
    from dynsim.analysis.summary import summarise
    from dynsim.config import Config, replace
    from dynsim.engine.data import Batch, DataModel
    from dynsim.engine.encoder import Encoder
    from dynsim.engine.simulate import simulate, simulate_many
    from dynsim.engine.snapshot import built_in_record
    from dynsim.losses.contrastive import LossValue
    from dynsim.points import joined
    from dynsim.results import concat, load, load_tree, save, save_tree
    from dynsim.stats.intervals import bca_interval as interval
    from dynsim.sweeps import sweep
    from dynsim.theory.specialists import is_specialist, purity

_HOMES = {
    "Batch": "engine.data.Batch",
    "Config": "config.Config",
    "DataModel": "engine.data.DataModel",
    "Encoder": "engine.encoder.Encoder",
    "LossValue": "losses.contrastive.LossValue",
    "built_in_record": "engine.snapshot.built_in_record",
    "compare_runs": "analysis.pairs.compare_runs",
    "concat": "results.concat",
    "find_stages": "analysis.stages.find_stages",
    "interval": "stats.intervals.bca_interval",
    "is_specialist": "theory.specialists.is_specialist",
    "joined": "points.joined",
    "load": "results.load",
    "load_tree": "results.load_tree",
    "purity": "theory.specialists.purity",
    "replace": "config.replace",
    "save": "results.save",
    "save_tree": "results.save_tree",
    "simulate": "engine.simulate.simulate",
    "simulate_many": "engine.simulate.simulate_many",
    "summarise": "analysis.summary.summarise",
    "sweep": "sweeps.sweep",
}
_ROOMS = ("losses", "plots", "prune", "theory")

__all__ = [
    "Batch",
    "Config",
    "DataModel",
    "Encoder",
    "LossValue",
    "built_in_record",
    "compare_runs",
    "concat",
    "find_stages",
    "interval",
    "is_specialist",
    "joined",
    "load",
    "load_tree",
    "losses",
    "plots",
    "prune",
    "purity",
    "replace",
    "save",
    "save_tree",
    "simulate",
    "simulate_many",
    "summarise",
    "sweep",
    "theory",
]


def _register() -> None:
    """Give xarray's Datasets the accessor `run.dynsim`, once xarray is there; this module itself does not load it."""
    if "xarray" in sys.modules:
        importlib.import_module("dynsim.accessor")


def __getattr__(name: str) -> Any:
    """Load a name when it is first asked for."""
    if name in _ROOMS:
        return importlib.import_module(f"dynsim.{name}")
    if name in _HOMES:
        module, _, there = _HOMES[name].rpartition(".")
        found = getattr(importlib.import_module(f"dynsim.{module}"), there)
        globals()[name] = found
        _register()
        return found
    raise AttributeError(f"dynsim has no {name!r}; it offers {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_register()
