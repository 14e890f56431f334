"""figures/README.md: every committed figure with its question, caption, command and numbers."""

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest

from experiments import make_figures, stage_tracking, step_cost

FIGURES = Path(__file__).parents[2] / "figures"


def row(**changes: str) -> dict[str, str]:
    return {
        "figure": "step_cost.svg",
        "script": "experiments/step_cost.py",
        "command": "python experiments/step_cost.py",
        "caption": "Time against size.",
    } | changes


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    for name in ("step_cost.svg", "step_cost.pdf", "step_cost_other.svg", "data/step_cost.json", "data/other.json"):
        (tmp_path / name).touch()
    monkeypatch.setattr(make_figures, "FIGURES", tmp_path)
    return tmp_path


def test_the_committed_gallery_is_that_of_the_manifest():
    if (FIGURES / "README.md").read_text(encoding="utf-8") != make_figures.gallery(make_figures.read_manifest()):
        pytest.fail("figures/README.md is out of date: run make figures and commit what it changes", pytrace=False)


def test_the_committed_gallery_shows_every_figure_and_links_to_files_that_exist():
    text = (FIGURES / "README.md").read_text(encoding="utf-8")
    rows = tomllib.loads((FIGURES / "manifest.toml").read_text(encoding="utf-8"))["figure"]
    shown = re.findall(r"^!\[[^]]*\]\(([^)]*)\)$", text, re.M)
    assert sorted(Path(name).stem for name in shown) == sorted({Path(one["figure"]).stem for one in rows})
    targets = re.findall(r"\]\(([^)]*)\)", text)
    anchors = {f"#{heading}" for heading in re.findall(r"^## (.*)$", text, re.M)}
    missing = [target for target in targets if target not in anchors and not (FIGURES / target).exists()]
    assert len(anchors) == len({one["script"] for one in rows}) and not missing, missing


def test_one_figure_has_its_question_caption_command_numbers_and_other_formats(folder):
    text = make_figures.gallery([row()])
    assert f"\n## step_cost\n\n{step_cost.EXPERIMENT.question}\n\n### step cost\n" in text
    assert "\n\n![step_cost: step cost](step_cost.svg)\n\nTime against size.\n\n" in text
    last = text.splitlines()[-1]
    assert (
        last
        == "`python experiments/step_cost.py` · numbers: [step_cost.json](data/step_cost.json) · [PDF](step_cost.pdf)"
    )
    assert stage_tracking.EXPERIMENT.name not in text  # no heading without a figure


def test_a_figure_in_two_formats_has_one_entry_with_a_picture(folder):
    text = make_figures.gallery([row(figure="step_cost.pdf"), row(), row(figure="step_cost_other.svg")])
    assert re.findall(r"\]\((step_cost.*)\)$", text.partition("## step_cost")[2], re.M) == [
        *("step_cost.svg", "step_cost.pdf"),
        "step_cost_other.svg",
    ]


def test_figures_stand_under_their_own_experiment(folder):
    other = row(figure="stage_tracking_growth_rates.png", script="experiments/stage_tracking.py")
    text = make_figures.gallery([row(), other])
    headings = re.findall(r"^##+ .*$", text, re.M)
    assert headings == ["## stage_tracking", "### growth rates", "## step_cost", "### step cost"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("P_j and D_j", "P_j and D_j"),
        ("2 * K * m", r"2 \* K \* m"),
        ("|<w_i, M_j>| [1]", r"\|\<w_i, M_j\>\| \[1\]"),
        ("_so_ `x` \\", r"\_so\_ \`x\` " + "\\\\"),
    ],
)
def test_captions_are_shown_as_they_are_written(folder, text, shown):
    assert f"\n\n{shown}\n\n" in make_figures.gallery([row(caption=text)])


def test_another_question_changes_the_gallery(folder, monkeypatch):
    before = make_figures.gallery([row()])
    asked = dataclasses.replace(step_cost.EXPERIMENT, about="What else?\n\nClaim: ...")
    monkeypatch.setattr(make_figures, "EXPERIMENTS", (asked,))
    after = make_figures.gallery([row()])
    assert after == before.replace(step_cost.EXPERIMENT.question, "What else?")
