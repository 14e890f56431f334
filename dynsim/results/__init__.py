"""Results: one labelled xarray Dataset per set of runs, the files it is saved in, and the record of how it was made."""

from dynsim.results.dataset import FORMAT, SNAPSHOT_DIMS, concat, config_of, provenance_of, to_dataset
from dynsim.results.files import load, load_many, load_tree, save, save_many, save_tree
from dynsim.results.labels import OWN_UNIT, VARIABLES, labelled
from dynsim.results.origin import CODE, code_digest, has_x64, provenance
from dynsim.results.sealed import ResultError, atomic_write, load_json, load_sealed, save_json, save_sealed

__all__ = [
    "CODE",
    "FORMAT",
    "OWN_UNIT",
    "SNAPSHOT_DIMS",
    "VARIABLES",
    "ResultError",
    "atomic_write",
    "code_digest",
    "concat",
    "config_of",
    "has_x64",
    "labelled",
    "load",
    "load_json",
    "load_many",
    "load_sealed",
    "load_tree",
    "provenance",
    "provenance_of",
    "save",
    "save_json",
    "save_many",
    "save_sealed",
    "save_tree",
    "to_dataset",
]
