"""Saving and loading results as netCDF-4 files.

Only complete and undamaged files that dynsim wrote are loaded; for any other there is an error of one line. Loading
never executes anything in a file.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import xarray as xr

from dynsim.results.dataset import FORMAT, config_of, provenance_of
from dynsim.results.labels import labelled
from dynsim.results.sealed import ADVICE, ResultError, load_sealed, save_sealed


def save(result: xr.Dataset, path: str | Path) -> None:
    """Save a result with a digest of its content. The file is replaced in one step, so it is never half written."""
    save_sealed(bytes(result.to_netcdf(engine="h5netcdf")), Path(path))


class _ReadOnce(h5py.File):
    """An HDF5 file that is only read, and looks up each object once.

    h5netcdf looks up an object by its path again for each of its properties, which takes much of the time of loading a
    small result.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), "r")
        self._found: dict[Any, Any] = {}

    def __getitem__(self, name: Any) -> Any:
        if not isinstance(name, str):  # such as a reference
            return super().__getitem__(name)
        if name not in self._found:
            self._found[name] = super().__getitem__(name)
        return self._found[name]


def load(path: str | Path) -> xr.Dataset:
    """Load a result.

    Errors: `ResultError` in one line for a file that is missing, damaged, unfinished or not written by dynsim, and for
    one with several results (`save_tree`).
    """
    data = load_sealed(Path(path))
    try:
        with _ReadOnce(data) as file, xr.open_dataset(file, engine="h5netcdf") as opened:
            result = opened.load()
    except Exception as error:  # h5py, h5netcdf and xarray raise errors of many kinds
        raise _unreadable(path, error) from None
    if "dynsim_tree" in result.attrs:
        raise ResultError(f"{path}: wanted one result, found a tree of them; load it with load_tree")
    _check(result, str(path))
    return labelled(result) if "dictionary" in result else result  # what was reduced for figures is no run


def _unreadable(path: str | Path, error: Exception) -> ResultError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ResultError(f"{path}: not a readable netCDF-4 file ({reason}); {ADVICE}")


def _check(result: xr.Dataset, where: str) -> None:
    """Refuse a Dataset that is no finished result of this format; `where` begins the message."""
    found = str(result.attrs.get("dynsim_format", "none"))
    if found != str(FORMAT):
        raise ResultError(f"{where}: wanted a dynsim result of format {FORMAT}, found format {found}; run again")
    if str(result.attrs.get("finished")) != "1":
        raise ResultError(f"{where}: the run that wrote this did not finish; run the same command again to go on")
    try:
        parts = [result]
        if "configs" in result.attrs:
            dim, names = json.loads(result.attrs["joined"])
            parts = [xr.Dataset(coords={dim: name}, attrs=result.attrs) for name in names]
        for part in parts:
            config_of(part), provenance_of(part)
    except (LookupError, TypeError, ValueError) as error:
        raise ResultError(f"{where}: no valid configuration or provenance in it ({error}); run again") from None


def save_tree(results: Mapping[str, xr.Dataset], path: str | Path) -> None:
    """Save several results in one file, each as a netCDF group of its own name, with a digest of the whole.

    Unlike the results that `concat` joins, they may differ in seeds, records, neurons and features.

    Args:
        results: results by name, for instance {"r = 0.3": first, "r = 0.7": second}.
    Errors:
        `ResultError` in one line for no result, for a name that cannot be one of a netCDF group, and for a Dataset that
        is not a result; `OSError` as for `save`.
    """
    path = Path(path)
    if not results:
        raise ResultError(f"{path}: wanted at least one result to save, got none")
    for name, result in results.items():
        if not isinstance(name, str) or not name or "/" in name or name in (".", "..") or name != name.strip():
            raise ResultError(f"{path}: wanted names without '/' and outer blanks, got {name!r}; rename it")
        if not isinstance(result, xr.Dataset):
            raise ResultError(f"{path}: wanted a result as {name!r}, got {type(result).__name__}; give Datasets")
        _check(result, f"{path}: {name}")
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs={"dynsim_tree": FORMAT}), **results})
    save_sealed(bytes(tree.to_netcdf(engine="h5netcdf")), path)


def load_tree(path: str | Path) -> xr.DataTree:
    """Load what `save_tree` wrote: a tree with one child per result, as in `tree["r = 0.3"].to_dataset()`.

    Errors: `ResultError` in one line, as for `load`.
    """
    data = load_sealed(Path(path))
    try:
        with _ReadOnce(data) as file, xr.open_datatree(file, engine="h5netcdf") as opened:
            tree = opened.load()
    except Exception as error:  # as for `load`
        raise _unreadable(path, error) from None
    if str(tree.attrs.get("dynsim_tree", "none")) != str(FORMAT):
        raise ResultError(f"{path}: wanted a tree of results, found another file; load one result with load")
    for name, child in tree.children.items():
        _check(child.to_dataset(), f"{path}: {name}")
    return tree


def save_many(named: dict[str, xr.Dataset], path: Path) -> None:
    """Save several Datasets in one file, each as a netCDF group, with a digest of the whole."""
    # a "/" in a name would nest groups, so names are kept as an attribute
    groups = {f"part{k}": result.assign_attrs(name=name) for k, (name, result) in enumerate(named.items())}
    save_sealed(bytes(xr.DataTree.from_dict(groups).to_netcdf(engine="h5netcdf")), path)


def load_many(path: Path) -> dict[str, xr.Dataset]:
    """Load what `save_many` wrote. Errors: `ResultError` in one line, as for `load`."""
    data = load_sealed(path)
    try:
        with _ReadOnce(data) as file, xr.open_datatree(file, engine="h5netcdf") as opened:
            parts = {name: part.load().to_dataset() for name, part in opened.children.items()}
        loaded = [parts[f"part{k}"] for k in range(len(parts))]
        return {result.attrs.pop("name"): result for result in loaded}
    except (OSError, KeyError, ValueError) as error:
        raise ResultError(f"{path}: not a readable file of this experiment ({error}); {ADVICE}") from None
