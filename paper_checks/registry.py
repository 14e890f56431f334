"""All checks, in the order of the report: found in the folders of this package, one module each."""

import importlib
import pkgutil
from collections.abc import Sequence

import paper_checks
from dynsim.config.checks import ConfigError, did_you_mean
from paper_checks.check import Check

FOLDERS = (
    "assumptions",
    "definition_3_1",
    "lemma_3_1",
    "lemma_3_2",
    "theorem_3_1",
    "imbalance",
    "theorem_3_2",
    "questions",
)
"""Folders of checks, in the order of the paper."""


def all_checks() -> dict[str, Check]:
    """Return the checks by code. Each module of the folders defines one, as CHECK."""
    out: dict[str, Check] = {}
    for folder in FOLDERS:
        package = importlib.import_module(f"{paper_checks.__name__}.{folder}")
        for found in sorted(pkgutil.iter_modules(package.__path__), key=lambda one: one.name):
            check: Check = importlib.import_module(f"{package.__name__}.{found.name}").CHECK
            if check.code in out:
                raise ValueError(f"{check.code}: two checks with one code; rename {found.name}")
            out[check.code] = check
    return out


def chosen(codes: Sequence[str]) -> dict[str, Check]:
    """Return the checks with these codes, all for none. Errors: `ConfigError` in one line for an unknown code."""
    known = all_checks()
    for code in codes:
        if code not in known:
            raise ConfigError(f"only: wanted codes of checks, got {code}{did_you_mean(code, known)}")
    return {code: check for code, check in known.items() if not codes or code in codes}
