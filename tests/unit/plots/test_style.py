"""The palette, which no other module adds to, the presets, and figures in notebooks."""

import ast
import io
import itertools
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import CSS4_COLORS
from matplotlib.figure import Figure
from PIL import Image

from dynsim.plots import parts, style
from dynsim.plots.style import COLOR, DPI, ONE_COLUMN, STYLE, TWO_COLUMNS

ROOT = Path(__file__).resolve().parents[3]
NAMED = {"white", "black", "red", "green", "blue", "gray", "grey"} | set(CSS4_COLORS)
KEYWORDS = {"color", "c", "mfc", "mec", "markerfacecolor", "markeredgecolor", "facecolor", "edgecolor", "ecolor"}
DRAWS = {"plot", "errorbar", "axhline", "axvline"}


def colours_named(source: str) -> list[str]:
    """Return the colours that a module names: as hex numbers, CSS names, letters, or in a format such as "k--"."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
            if re.fullmatch(r"#[0-9A-Fa-f]{3,8}", text) or text in NAMED or re.fullmatch(r"C\d|tab:\w+", text):
                found.append(text)
        if isinstance(node, ast.Call):
            given = [key.value for key in node.keywords if key.arg in KEYWORDS]
            formats = node.args if isinstance(node.func, ast.Attribute) and node.func.attr in DRAWS else []
            for value in given:
                if isinstance(value, ast.Constant) and re.fullmatch("[bgrcmykw]|0?\\.\\d+", str(value.value)):
                    found.append(value.value)
            for value in formats:
                if isinstance(value, ast.Constant) and re.fullmatch(
                    r"[-.:ovsD^x|]*[bgrcmykw][-.:ovsD^x|]*", str(value.value)
                ):
                    found.append(value.value)
    return found


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("A = '#0072B2'", ["#0072B2"]),
        ("ax.axhline(0, color='k')", ["k"]),
        ("ax.plot(x, y, 'k--')", ["k--"]),
        ("ax.plot(x, y, '--', color=COLOR['theory'])", []),
        ("ax.plot(x, y, 'o', color=c, mfc='white')", ["white"]),
        ("ax.set(edgecolor='none')", []),
        ("ax.text(0, 0, 'k = 3')", []),
    ],
)
def test_the_rule_on_colours_itself(code, found):
    assert colours_named(code) == found


def test_only_the_palette_names_colours():
    """Of modules that draw: elsewhere "grey" may be a step that turns images grey."""
    own, found = Path(style.__file__), {}
    for path in (path for folder in ("dynsim", "experiments") for path in (ROOT / folder).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if path != own and ("matplotlib" in text or "plots" in text) and (colours := colours_named(text)):
            found[path.relative_to(ROOT).as_posix()] = colours
    assert not found, f"take the colour of a meaning from plots.style.COLOR: {found}"


def channels(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def test_a_hue_has_one_meaning():
    hues = [colour for colour in COLOR.values() if np.ptp(channels(colour)) > 0]
    assert len(hues) == len(set(hues)) >= 10


# How people with each kind of colour blindness see linear light: Machado, Oliveira and Fernandes (2009), full severity.
SEEN = {
    "all cones": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour: str, seen: np.ndarray) -> np.ndarray:
    """Return CIE L*a*b* of a colour as it is seen."""
    c = channels(colour)
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.asarray(seen) @ linear, 0, 1) / TO_XYZ.sum(axis=1)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize(
    "together",
    [
        ("majority", "minority", "ordinary neurons", "other neurons"),
        ("majority", "minority", "all"),
        ("no mask", "smallest masked", "fixed random mask", "redrawn random mask", "perturbed"),
        ("smallest masked", "fixed random mask", "largest masked"),
        ("helps", "helps alike", "harms", "no verdict"),
    ],
)
def test_colours_of_one_figure_are_told_apart_by_everyone(together, seen):
    """A difference of 2.3 is just seen side by side (Mahy et al. 1994); lines and points need several times that."""
    for one, two in itertools.combinations(together, 2):
        distance = np.linalg.norm(lab(COLOR[one], SEEN[seen]) - lab(COLOR[two], SEEN[seen]))
        assert distance > 14, f"{one} and {two}: {distance:.0f}"


def test_black_and_white_are_a_hundred_apart():
    np.testing.assert_allclose(lab("#FFFFFF", np.eye(3)) - lab("#000000", np.eye(3)), [100, 0, 0], atol=0.02)


def test_a_notebook_shows_a_figure_at_its_true_size_without_pyplot():
    with matplotlib.rc_context(STYLE):
        figure, axes = parts.panels(1, 1, (ONE_COLUMN, 1.0))
        axes[0, 0].plot([0, 1])
    data, size = figure._repr_png_()
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (round(DPI * ONE_COLUMN), DPI)
    assert size == {"width": round(96 * ONE_COLUMN), "height": 96} and TWO_COLUMNS > 2 * ONE_COLUMN


def test_plots_choose_no_backend():
    """In a notebook the choice is the notebook's: nothing here loads pyplot, which would choose one, or names one."""
    for folder in ("dynsim/plots", "experiments"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.parent.name == "notebooks":
                continue  # a notebook may choose
            text = path.read_text(encoding="utf-8")
            assert "pyplot" not in text.replace("pyplot or a magic command", "") and "matplotlib.use(" not in text, path


def test_a_figure_is_laid_out_once_whatever_the_users_settings(tmp_path, monkeypatch):
    drawn, draw = [], Figure.draw

    def counted(self, renderer):
        drawn.append(renderer)
        return draw(self, renderer)

    monkeypatch.setattr(Figure, "draw", counted)
    with matplotlib.rc_context({"figure.constrained_layout.use": True}):
        figure = Figure(layout="constrained")
        figure.subplots().plot([1, 2])
        style.save_figure(figure, tmp_path / "a.png", "caption", {})
        assert len(drawn) == 2 and figure.get_layout_engine() is None
        style.save_figure(figure, tmp_path / "a.pdf", "caption", {})
    assert len(drawn) == 3 and figure.get_layout_engine() is None
