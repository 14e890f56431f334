"""What the README says exists and runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


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


@pytest.mark.slow
def test_the_five_lines_from_nothing_to_a_plot(tmp_path):
    code = next(block for block in re.findall(r"```python\n(.*?)```", README, re.S) if "plot()" in block)
    assert len([line for line in code.splitlines() if line.strip()]) == 5
    script = tmp_path / "five_lines.py"
    script.write_text(code + 'import matplotlib.pyplot as plt\nplt.savefig("five_lines.png")\n')
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, check=True, timeout=300)
    assert (tmp_path / "five_lines.png").stat().st_size > 5000
