"""What the README says exists and runs."""

import importlib
import re
from pathlib import Path

import pytest

from dynsim.accessor import ResultAccessor
from experiments.documents import examples

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAP = (ROOT / "dynsim" / "README.md").read_text(encoding="utf-8")


DOCUMENTS = sorted(
    path
    for pattern in (
        "*.md",
        ".github/*.md",
        "dynsim/*.md",
        "experiments/*.md",
        "figures/*.md",
        "paper_checks/*.md",
        "tests/benchmarks/*.md",
    )
    for path in ROOT.glob(pattern)
)


def anchors(markdown: str) -> set[str]:
    """Return what a link into a document may end with: its headings as a public host spells them, and its own ids."""
    found = set(re.findall(r'<a (?:id|name)="([^"]+)"', markdown))
    for heading in re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", markdown, flags=re.DOTALL), re.M):
        found.add(re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-"))
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_of_a_document_leads_somewhere(path):
    text = path.read_text(encoding="utf-8")
    links = re.findall(r'\]\(([^)\s]+)\)|<img src="([^"]+)"', text)
    broken = []
    for link in (one or other for one, other in links):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    assert not broken, f"links of {path.name} that lead nowhere: {broken}"


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
    names = set(re.findall(r"`((?:\w+\.)+\w+)`", MAP)) - {"summary.json", "curves.nc", "run.dynsim"}
    missing = []
    for name in names:
        if name.startswith("run.dynsim."):
            missing += [] if hasattr(ResultAccessor, name.removeprefix("run.dynsim.")) else [name]
            continue
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
@pytest.mark.usefixtures("as_for_users")
def test_the_lines_of_python_make_a_plot(tmp_path):
    code = examples.lines_of_python(README)
    assert len([line for line in code.splitlines() if line.strip()]) == 10, "the README calls them ten lines"
    assert examples.run_lines(code, tmp_path).stat().st_size > 5000
