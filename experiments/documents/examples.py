"""What the README shows of a first session: the quick run's summary, the plot of its lines of Python, the drawing."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from experiments.documents.numbers import ROOT

PLOT = "imbalance.png"


def lines_of_python(readme: str) -> str:
    """Return the README's example, the one block of Python that saves a plot."""
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if PLOT in block)
    return code


def run_lines(code: str, folder: Path) -> Path:
    """Run the example in a folder, without a display; return the plot that it saves."""
    script = folder / "example.py"
    script.write_text(code, encoding="utf-8")
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, script], cwd=folder, env=environment, check=True, timeout=600)
    return folder / PLOT


def renew_runs() -> None:
    """Run the quick preset and the README's example again; keep the summary and the plot in .docs/."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = ROOT / "experiments" / "stage_tracking.py"
        command = [sys.executable, str(script), "--preset", "quick", "--out", str(folder)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=600)
        (summary,) = folder.glob("*/summary.json")
        shutil.copyfile(summary, ROOT / ".docs" / "stage_tracking_quick.json")
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        shutil.copyfile(run_lines(lines_of_python(readme), folder), ROOT / ".docs" / PLOT)


def draw_model() -> None:
    """Draw the picture of the model anew."""
    from dynsim.plots import style
    from experiments.documents import drawing

    style.save_figure(drawing.model(), ROOT / ".docs" / "model.png", drawing.MODEL_CAPTION, {})
