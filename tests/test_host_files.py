"""What a public host reads: citation, contribution guide, public CI, and the checks before a commit."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from dynsim import results

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
CONTRIBUTING = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
PRE_COMMIT = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
GATE_TEXT = (ROOT / ".github" / "workflows" / "gate.yml").read_text(encoding="utf-8")
GATE = yaml.safe_load(GATE_TEXT)
CONSTRAINTS = {
    path.stem.removeprefix("constraints-"): dict(
        line.split("==") for line in path.read_text(encoding="utf-8").splitlines() if re.match(r"[\w.-]+==", line)
    )
    for path in (ROOT / ".ci").glob("constraints-*.txt")
}


def name_of(person: dict[str, str]) -> str:
    return person.get("name") or f"{person['given-names']} {person['family-names']}"


# ----- the citation


def test_the_citation_has_what_its_format_requires():
    assert CITATION["cff-version"] == "1.2.0" and CITATION["type"] == "software"
    for key in ("message", "title", "version", "license"):
        assert isinstance(CITATION[key], str) and CITATION[key], key
    for work in (CITATION, *CITATION["references"]):
        assert work["authors"] and all(name_of(person).strip() for person in work["authors"])
        assert {"type", "title"} <= set(work)


def test_the_citation_agrees_with_the_package():
    assert (CITATION["version"], CITATION["license"]) == (PROJECT["version"], PROJECT["license"])
    assert [name_of(person) for person in CITATION["authors"]] == [author["name"] for author in PROJECT["authors"]]
    assert set(CITATION["keywords"]) <= set(PROJECT["keywords"])


def test_the_cited_paper_is_the_one_that_the_readme_names():
    (paper,) = CITATION["references"]
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert paper["type"] == "conference-paper" and paper["title"] in readme
    assert paper["authors"][0]["family-names"] in readme and str(paper["year"]) in readme


# ----- public CI


def test_public_ci_runs_the_gate_on_every_tested_python():
    (job,) = GATE["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == sorted(CONSTRAINTS)
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert not any("continue-on-error" in part or "if" in part for part in (job, *job["steps"]))


def test_public_ci_may_only_read():
    assert GATE["permissions"] == {"contents": "read"} and "secrets" not in GATE_TEXT
    (job,) = GATE["jobs"].values()
    assert "permissions" not in job
    actions = [step["uses"] for step in job["steps"] if "uses" in step]
    wrong = [action for action in actions if not re.fullmatch(r"actions/[\w-]+@v\d+", action)]
    assert actions and not wrong, f"wanted the host's own actions at a major version: {wrong}"


# ----- before a commit


def test_checks_before_a_commit_have_the_versions_of_the_gate():
    hooks = [hook for repo in PRE_COMMIT["repos"] for hook in repo["hooks"]]
    pins = {pin for hook in hooks for pin in hook.get("additional_dependencies", [])}
    for python, versions in CONSTRAINTS.items():
        assert pins == {f"ruff=={versions['ruff']}"}, f"constraints-{python}.txt has ruff {versions['ruff']}"
    assert len({versions["mypy"] for versions in CONSTRAINTS.values()}) == 1  # make's environment has this one
    commands = {hook["id"]: hook["entry"] for hook in hooks}
    assert commands["mypy"].split()[0] == "make" and commands["mypy"].split()[-1] == "types"
    assert {"ruff check", "ruff format"} <= {" ".join(command.split()[:2]) for command in commands.values()}


# ----- line ends


def test_summaries_survive_a_checkout_that_rewrites_line_ends(tmp_path):
    """As git for Windows does by default: a summary with other line ends has another digest, and is refused."""
    first, second = tmp_path / "first", tmp_path / "second"
    name = Path("figures") / "data" / "summary.json"
    results.save_json({"one": 1, "two": [2]}, first / name)
    (first / "module.py").write_bytes(b"x = 1\ny = 2\n")
    attributes = ROOT / ".gitattributes"
    if attributes.is_file():
        shutil.copy(attributes, first)
    user = ("-c", "user.name=n", "-c", "user.email=e@x", "-c", "core.autocrlf=false")
    for words in (["init", "-q"], [*user, "add", "."], [*user, "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=first, check=True)
    subprocess.run(["git", "-c", "core.autocrlf=true", "clone", "-q", first, second], check=True)
    assert results.load_json(second / name) == {"one": 1, "two": [2]}
    assert (second / "module.py").read_bytes() == b"x = 1\ny = 2\n"  # else the digest of the code differs by machine


# ----- the guide


def test_the_guide_names_files_and_targets_that_exist():
    paths = re.findall(r"`((?:[\w.-]+/)+[\w.-]*|[\w.-]+\.(?:md|toml))`", CONTRIBUTING)
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert len(paths) > 8 and not missing, missing
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"\bmake ([a-z-]+)", CONTRIBUTING)
    assert "figures" in targets and all(re.search(rf"^{target}:", makefile, re.M) for target in targets), targets


def test_the_guide_names_the_parts_of_the_gate_in_order():
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    parts = re.findall(r"^(?:part|make --no-print-directory) ([a-z-]+)", gate, re.M)
    sentence = CONTRIBUTING.partition("\nruns ")[2].partition(", on two CPU")[0]
    assert re.findall(r"`make ([a-z-]+)`", sentence) == [one for one in parts if one != "notebook-packages"]


def test_the_guide_states_the_limits_that_the_layout_test_has():
    layout = (ROOT / "tests" / "test_layout.py").read_text(encoding="utf-8")
    limits = {name: int(re.search(rf"^{name} = (\d+)", layout, re.M)[1]) for name in ("MAX_MODULE", "MAX_FUNCTION")}
    assert f"under {limits['MAX_MODULE'] + 1} lines, a function under {limits['MAX_FUNCTION'] + 1}" in CONTRIBUTING
