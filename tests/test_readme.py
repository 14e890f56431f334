"""What the README says exists and runs."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAP = (ROOT / "dynsim" / "README.md").read_text(encoding="utf-8")


def test_every_name_of_the_notation_table_exists():
    rows = [line for line in README.splitlines() if re.match(r"\| `", line)]
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert len(names) > 20
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "dynsim").rglob("*.py"))
    missing = [name for name in names if not re.search(rf"\b{name}\b", sources)]
    assert not missing, f"in the README's notation table, but nowhere in dynsim/: {missing}"


def test_every_path_that_the_readme_names_exists():
    paths = re.findall(r"(?:dynsim|experiments|tests|figures|paper_checks)/[\w./-]*\w", README)
    missing = sorted({path for path in paths if not (ROOT / path).exists()})
    assert not missing, f"named in the README, but not there: {missing}"


def test_the_map_names_every_room_and_nothing_else():
    rooms = {path.name for path in (ROOT / "dynsim").iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert set(re.findall(r"^\| `(\w+)/` \|", MAP, re.M)) == rooms
    order = [f"`{room}/`" for room in ("config", "theory", "losses", "prune", "engine", "analysis", "plots")]
    places = [MAP.index(f"| {room} |") for room in order]
    assert places == sorted(places)


def test_every_name_on_the_map_exists():
    """Dotted names are modules or names in them, files are there; option words and symbols are no names."""
    names = set(re.findall(r"`((?:\w+\.)+\w+)`", MAP)) - {"summary.json", "curves.nc"}
    missing = []
    for name in names:
        if (ROOT / "dynsim" / name).exists() or name.endswith((".toml", ".json", ".nc")):
            continue
        try:
            importlib.import_module(f"dynsim.{name}")
        except ImportError:
            module, _, attribute = name.rpartition(".")
            if not hasattr(importlib.import_module(f"dynsim.{module}"), attribute):
                missing.append(name)
    files = re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", MAP)
    missing += [path for path in files if not ((ROOT / path).exists() or (ROOT / "dynsim" / path).exists())]
    assert len(names) > 15 and not missing, missing


@pytest.mark.slow
def test_the_five_lines_from_nothing_to_a_plot(tmp_path):
    code = next(block for block in re.findall(r"```python\n(.*?)```", README, re.S) if "plot()" in block)
    assert len([line for line in code.splitlines() if line.strip()]) <= 5
    script = tmp_path / "five_lines.py"
    script.write_text(code + 'import matplotlib.pyplot as plt\nplt.savefig("five_lines.png")\n')
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, check=True, timeout=300)
    assert (tmp_path / "five_lines.png").stat().st_size > 5000
