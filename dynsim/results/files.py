"""Saving and loading results as netCDF-4 files.

Only complete and undamaged files that dynsim wrote are loaded; for any other there is an error of one line. Loading
never executes anything in a file.
"""

import io
import json
from pathlib import Path

import xarray as xr

from dynsim.results.dataset import FORMAT, config_of, provenance_of
from dynsim.results.sealed import ADVICE, ResultError, load_sealed, save_sealed


def save(result: xr.Dataset, path: Path) -> None:
    """Save a result with a digest of its content. The file is replaced in one step, so it is never half written."""
    save_sealed(bytes(result.to_netcdf(engine="h5netcdf")), path)


def load(path: Path) -> xr.Dataset:
    """Load a result.

    Errors: `ResultError` in one line for a file that is missing, damaged, unfinished or not written by dynsim.
    """
    data = load_sealed(path)
    try:
        with xr.open_dataset(io.BytesIO(data), engine="h5netcdf") as opened:
            result = opened.load()
    except Exception as error:  # h5py, h5netcdf and xarray raise errors of many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ResultError(f"{path}: not a readable netCDF-4 file ({reason}); {ADVICE}") from None
    found = str(result.attrs.get("dynsim_format", "none"))
    if found != str(FORMAT):
        raise ResultError(f"{path}: wanted a dynsim result of format {FORMAT}, found format {found}; run again")
    if str(result.attrs.get("finished")) != "1":
        raise ResultError(f"{path}: the run that wrote this did not finish; run the same command again to go on")
    try:
        parts = [result]
        if "configs" in result.attrs:
            dim, names = json.loads(result.attrs["joined"])
            parts = [xr.Dataset(coords={dim: name}, attrs=result.attrs) for name in names]
        for part in parts:
            config_of(part), provenance_of(part)
    except (LookupError, TypeError, ValueError) as error:
        raise ResultError(f"{path}: no valid configuration or provenance in it ({error}); run again") from None
    return result


def save_many(named: dict[str, xr.Dataset], path: Path) -> None:
    """Save several Datasets in one file, each as a netCDF group, with a digest of the whole."""
    # a "/" in a name would nest groups, so names are kept as an attribute
    groups = {f"part{k}": result.assign_attrs(name=name) for k, (name, result) in enumerate(named.items())}
    save_sealed(bytes(xr.DataTree.from_dict(groups).to_netcdf(engine="h5netcdf")), path)


def load_many(path: Path) -> dict[str, xr.Dataset]:
    """Load what `save_many` wrote. Errors: `ResultError` in one line, as for `load`."""
    data = load_sealed(path)
    try:
        with xr.open_datatree(io.BytesIO(data), engine="h5netcdf") as opened:
            parts = {name: part.load().to_dataset() for name, part in opened.children.items()}
        loaded = [parts[f"part{k}"] for k in range(len(parts))]
        return {result.attrs.pop("name"): result for result in loaded}
    except (OSError, KeyError, ValueError) as error:
        raise ResultError(f"{path}: not a readable file of this experiment ({error}); {ADVICE}") from None
