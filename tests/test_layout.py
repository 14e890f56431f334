"""The shape of the source: which room imports which, sizes, docstrings, dead fields, figures, forbidden calls.

A room is a folder of dynsim/. The laws are about rooms and hold for whatever modules they have.
"""

import ast
import dataclasses
import functools
import graphlib
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from dynsim.config import Config

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "dynsim"
FIGURES = ROOT / "figures"

TOP = "dynsim"
# What each room may import beside itself; data flow downwards. The modules of the package's own folder join the rooms.
MAY_IMPORT = {
    "config": "",
    "theory": "config",
    "stats": "config",
    "randomness": "",
    "losses": "",
    "prune": "losses",
    "results": "config",
    "engine": "config theory randomness losses prune results",
    "analysis": "config theory stats results",
    "plots": "config theory stats results analysis",
    "bridge": "config theory stats randomness losses prune results engine analysis plots",
    TOP: "config theory stats randomness losses prune results engine analysis plots",
}
# Rooms that image networks and checks of the theory use too: no JAX in them, nor in what they import.
WITHOUT_JAX = ("config", "theory", "stats", "analysis")
# The same for parts of a room: reading images needs NumPy only, and so do options.
PARTS_WITHOUT_JAX = ("bridge/data", "bridge/options")

MAX_MODULE = 299
MAX_FUNCTION = 49
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@functools.cache
def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.cache
def parse(path: Path) -> ast.Module:
    return ast.parse(read(path), filename=str(path))


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(parse(path)))


def show(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_name(path: Path) -> str:
    """Return the dotted name of a module, that of the package for its __init__."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """Return the room of a dotted name below dynsim, `TOP` for the modules of the package's own folder."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (PACKAGE / parts[1]).is_dir() else TOP


def imported(path: Path, top: str = "dynsim") -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of each module or name below `top` that a file imports, wherever the import stands."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name.split(".")[0] == top)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{show(path)}:{node.lineno} has a relative import; say where it comes from"
            if (node.module or "").split(".")[0] == top:
                yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def complaint(room: str, target: str) -> str:
    """Say what is wrong with a module of `room` importing the dotted name `target`; "" when nothing is."""
    other = room_of(target)
    if target == TOP or (other == TOP and room != TOP):
        return f"imports {target}, which lies above all rooms"
    if other != room and other not in MAY_IMPORT[room].split():
        return f"imports {target}; the room {room} may import {MAY_IMPORT[room] or 'no other'}"
    return ""


def test_every_room_has_a_row():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert rooms <= set(MAY_IMPORT), f"add to MAY_IMPORT: {sorted(rooms - set(MAY_IMPORT))}"
    assert all((PACKAGE / room / "__init__.py").is_file() for room in rooms)


def test_rooms_import_only_rooms_below_them():
    wrong = []
    for path in sources("dynsim"):
        for line, target in imported(path):
            if said := complaint(room_of(module_name(path)), target):
                wrong.append(f"{show(path)}:{line} {said}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("room", "target", "fine"),
    [
        ("engine", "dynsim.losses.contrastive.info_nce", True),
        ("analysis", "dynsim.engine.train", False),
        ("losses", "dynsim.config.Config", False),
        ("engine", "dynsim.study.finish", False),
        ("engine", "dynsim.engine.data.Batch", True),
        (TOP, "dynsim.plots", True),
        (TOP, "dynsim.cli.parse", True),
        ("theory", "dynsim", False),
    ],
)
def test_the_import_rule_itself(room, target, fine):
    assert (complaint(room, target) == "") is fine


@pytest.mark.parametrize("folder", ["dynsim", "experiments", "paper_checks"])
def test_no_circle_of_imports(folder):
    names = {module_name(path): path for path in sources(folder)}
    graph = {}
    for name, path in names.items():
        wanted = [target for _, target in imported(path, folder)]
        # a target is a module, or a name in one; a room's __init__ joins its modules and is no stop on the way
        modules = {target if target in names else target.rpartition(".")[0] for target in wanted}
        graph[name] = {module for module in modules if module in names and names[module].name != "__init__.py"}
    list(graphlib.TopologicalSorter(graph).static_order())  # CycleError names the circle


def test_rooms_without_jax_load_none():
    for room in WITHOUT_JAX:
        assert set(MAY_IMPORT[room].split()) <= {*WITHOUT_JAX, "results"}
    folders = [f"dynsim/{folder}" for folder in (*WITHOUT_JAX, *PARTS_WITHOUT_JAX)]
    for path in sources(*folders):
        found = [line for line, _ in imported(path, "jax")]
        assert not found, f"{show(path)}:{found[0]} imports JAX"
    modules = [module_name(path) for path in sources(*folders)]
    code = f"import importlib, sys; [importlib.import_module(m) for m in {modules}]; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_experiments_share_only_their_own_folder():
    """A folder of experiments/ is used by the experiments that have its name in theirs, and by no other."""
    wrong = []
    for path in sources("experiments"):
        for line, target in imported(path, "experiments"):
            folder = target.split(".")[1]
            inside = path.parent.name == folder or path.stem.removeprefix("make_").startswith(folder)
            if (ROOT / "experiments" / folder).is_dir() and not inside:
                wrong.append(f"{show(path)}:{line} imports {target}")
    assert not wrong, "\n".join(wrong)


def test_experiments_have_a_record_and_no_runner_of_their_own():
    """Each experiment says what it does in EXPERIMENT; its main, like any other's, only calls the shared one."""
    for path in (ROOT / "experiments").glob("[!_]*.py"):
        if path.stem in ("make_figures", "make_documents"):
            continue
        body = parse(path).body
        names = {ast.unparse(target) for node in body if isinstance(node, ast.Assign) for target in node.targets}
        assert "EXPERIMENT" in names, f"{show(path)} has no EXPERIMENT"
        functions = {node.name: node.body for node in body if isinstance(node, FUNCTIONS)}
        assert ast.unparse(functions["main"][-1]) == "experiment.main(EXPERIMENT, arguments)", show(path)
        assert len(functions["main"]) == 2, f"{show(path)}: main does more than call the shared one"  # and a docstring


def test_modules_and_functions_are_short():
    long = []
    for path in sources("dynsim", "experiments", "paper_checks"):
        lines = len(read(path).splitlines())
        if lines > MAX_MODULE:
            long.append(f"{show(path)}: {lines} lines, wanted at most {MAX_MODULE}")
        for node in nodes(path):
            if isinstance(node, FUNCTIONS) and node.end_lineno - node.lineno + 1 > MAX_FUNCTION:
                length = node.end_lineno - node.lineno + 1
                long.append(f"{show(path)}:{node.lineno} {node.name}: {length} lines, wanted at most {MAX_FUNCTION}")
    assert not long, "\n".join(long)


def formatting_switched_off(source: str) -> list[int]:
    """Return the lines with a comment that keeps the formatter away."""
    if "fmt:" not in source:
        return []
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [
        one.start[0] for one in tokens if one.type == tokenize.COMMENT and re.search(r"fmt:\s*(skip|off)", one.string)
    ]


def test_all_code_is_formatted():
    """Code that reads badly when it is formatted is written anew; it is not kept from the formatter."""
    found = [
        f"{show(path)}:{line}"
        for path in sources("dynsim", "experiments", "paper_checks")
        for line in formatting_switched_off(read(path))
    ]
    assert not found, f"comments that keep the formatter away: {', '.join(found)}"


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("x = [1,\n     2]  # fmt: skip\n", [2]),
        ("# fmt: off\nx = 1\n", [1]),
        ("x = '# fmt: off'  # fmt is a tool\n", []),
    ],
)
def test_the_formatting_rule_itself(code, lines):
    assert formatting_switched_off(code) == lines


def test_weights_are_replaced_in_two_places_only():
    """By the update of a training step, and where recorded weights come back (engine/replay.py)."""
    allowed = {"dynsim/engine/replay.py", "dynsim/engine/train.py"}
    found = {
        show(path)
        for path in sources("dynsim", "experiments", "paper_checks")
        for node in nodes(path)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "_replace"
        and any(keyword.arg == "weight" for keyword in node.keywords)
    }
    assert found == allowed, f"replace weights through engine/replay.py: {sorted(found - allowed)}"


def attributes(found: Iterable[ast.AST]) -> set[str]:
    return {node.attr for node in found if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}


def is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)


def is_property(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and any(ast.unparse(d).endswith("property") for d in node.decorator_list)


def test_every_configuration_field_is_used():
    """Each field is read somewhere outside the room of the configuration, or through a property that is."""
    own = sources("dynsim/config")
    used = set().union(*(attributes(nodes(path)) for path in sources("dynsim") if path not in own))
    classes = [cls for path in own for cls in parse(path).body if isinstance(cls, ast.ClassDef)]
    sections = {type(getattr(Config(), field.name)).__name__ for field in dataclasses.fields(Config)}
    assert {cls.name for cls in classes if is_dataclass(cls)} == sections | {"Config"}, "not all sections are looked at"
    dead = []
    for cls in classes:
        # What a property reads is used when the property is.
        through = [attributes(ast.walk(node)) for node in cls.body if is_property(node) and node.name in used]
        alive = used.union(*through)
        fields = [node.target.id for node in cls.body if isinstance(node, ast.AnnAssign)]
        dead += [f"{cls.name}.{name}" for name in fields if name not in alive]
    assert not dead, f"fields that nothing reads outside the configuration: {dead}"


def public(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Yield the public functions and classes of a module, and the public methods of those classes."""
    for node in body:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{node.name}.")


# Words of a runner, which every experiment has; and the texts of the figures that a module draws.
RUNNER_NAMES = {
    *("main", "study_folder", "simulate_all", "analyse", "draw", "table_text"),
    *("words", "PRESETS", "CAPTIONS", "EXPERIMENT"),
}
# A figure is named after what it draws; a checkpoint and a result are both saved and loaded; a sweep has candidates to
# time as a query has candidates to be told from.
PAIRED_NAMES = {"candidates", "driver", "load", "save"}
# Masks act at a step (prune) and neurons have a norm above the floor (theory).
OTHER_NAMES = {"is_active"}
EXCEPTIONS = RUNNER_NAMES | PAIRED_NAMES | OTHER_NAMES


def top_level(path: Path) -> Iterator[str]:
    """Yield the public names that a module defines itself."""
    for node in parse(path).body:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]
        else:
            names = []
        yield from (name for name in names if not name.startswith("_"))


def test_a_public_name_is_defined_in_one_module():
    homes: dict[str, set[str]] = {}
    notebooks = set((ROOT / "experiments" / "notebooks").glob("n[0-9]_*.py"))  # which nothing imports from
    for path in sorted({*sources("dynsim", "experiments")} - notebooks):
        for name in top_level(path):
            homes.setdefault(name, set()).add(show(path))
    twice = {name: sorted(paths) for name, paths in homes.items() if len(paths) > 1}
    wrong = {name: paths for name, paths in twice.items() if name not in EXCEPTIONS}
    assert not wrong, "\n".join(f"{name}: {', '.join(paths)}" for name, paths in wrong.items())
    assert set(twice) >= EXCEPTIONS, "an exception that is no longer needed"


def test_public_names_have_docstrings():
    bare = []
    for path in sources("dynsim", "paper_checks"):
        tree = parse(path)
        for name, node in [("the module", tree), *public(tree.body)]:
            if not ast.get_docstring(node):
                bare.append(f"{show(path)}: {name}")
    assert not bare, "without a docstring:\n" + "\n".join(bare)


def test_experiments_parse():
    for path in sources("experiments", "paper_checks"):
        assert ast.get_docstring(parse(path)), f"{show(path)} does not say in a docstring what it asks"


def test_figures_and_manifest_agree():
    manifest = FIGURES / "manifest.toml"
    committed = {path.name for kind in ("svg", "png", "pdf") for path in FIGURES.glob(f"*.{kind}")}
    if not manifest.exists():
        assert not committed, f"figures without figures/manifest.toml: {sorted(committed)}"
        pytest.skip("there are no figures yet")
    content = tomllib.loads(manifest.read_text(encoding="utf-8"))
    rows = [row for table in content.values() if isinstance(table, list) for row in table]
    assert rows, "figures/manifest.toml has no rows"
    bare = [row for row in rows if not {"figure", "script", "caption"} <= set(row)]
    assert not bare, f"rows without figure, script or caption: {bare}"
    bare = [row["figure"] for row in rows if row.get("pdf") != f"{Path(row['figure']).stem}.pdf"]
    assert not bare, f"rows without the PDF of their figure: {bare}"
    listed = [row[key].removeprefix("figures/") for row in rows for key in ("figure", "pdf")]
    assert len(listed) == len(set(listed)), "a figure has two rows"
    assert set(listed) == committed, "figures/manifest.toml and the committed figures differ"
    missing = [row["script"] for row in rows if not (ROOT / row["script"]).is_file()]
    assert not missing, f"scripts in figures/manifest.toml that do not exist: {missing}"


def dotted(node: ast.expr) -> str:
    """Return a dotted name as it is written; "" for any other expression."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def forbidden(found: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    """Yield (line, what) of each way to run code out of data: eval, exec, unpickling."""
    for node in found:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if {"pickle", "dill", "cloudpickle", "joblib"} & {name.split(".")[0] for name in names}:
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Call):
            called = dotted(node.func)
            if called in {"eval", "exec", "builtins.eval", "builtins.exec"} or called.startswith("pickle.load"):
                yield node.lineno, f"{called}()"
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False":
                    yield node.lineno, f"{called}(allow_pickle=...)"


def test_no_code_is_run_out_of_data():
    found = [
        f"{show(path)}:{line} {what}"
        for path in sources("dynsim", "experiments", "paper_checks", "tests")
        for line, what in forbidden(nodes(path))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("import pickle", 1),
        ("pickle.load(f)", 1),
        ("eval('1')", 1),
        ("np.load(f, allow_pickle=True)", 1),
        ("model.eval()", 0),
        ("np.load(f, allow_pickle=False)", 0),
    ],
)
def test_the_forbidden_rule_itself(code, count):
    assert len(list(forbidden(ast.walk(ast.parse(code))))) == count
