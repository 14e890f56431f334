"""The shape of the source: who imports whom, sizes, docstrings, dead fields, figures, forbidden calls."""

import ast
import dataclasses
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynsim.config import Config

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ROOT / "dynsim"
FIGURES = ROOT / "figures"
CONFIG_MODULES = sorted(path for path in ENGINE.glob("config*.py") if path.stem != "config_json")

# A module may import only modules that stand before it. __init__ may import any.
ORDER_TEXT = (
    "checks files config_model config_training config config_json memory criteria streams theory theory_counts hyper "
    "draws data "
    "embedding encoder loss oracle prune threshold masking train measure mask_effect stages results compare outcome "
    "checkpoint program timing resume simulate study rates floor summary mask_probe prune_tests predictions curves "
    "regimes regime_driver sweep plot_parts plots cost_plot prune_plots prune_forest regime_plots report cli doctor "
    "__main__ "
)
ORDER = ORDER_TEXT.split()
# What dynsim/bridge/ may import besides itself; nothing in the engine imports the bridge.
BRIDGE_MAY_IMPORT = {"checks", "config", "config_json", "streams", "hyper", "loss", "prune", "results"}

MAX_MODULE = 299
MAX_FUNCTION = 49
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def show(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def engine_imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, what follows `dynsim.`) of each import of our own, "" for a name taken from the package itself."""
    modules = {*ORDER, "bridge", *(p.stem for p in ENGINE.glob("*.py"))}
    package = ["dynsim", *path.relative_to(ENGINE).parent.parts]
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                head, _, rest = alias.name.partition(".")
                if head == "dynsim":
                    yield node.lineno, rest
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            full = base + (node.module.split(".") if node.module else [])
            if full == ["dynsim"]:
                for alias in node.names:
                    yield node.lineno, alias.name if alias.name in modules else ""
            elif full[:1] == ["dynsim"]:
                yield node.lineno, ".".join(full[1:])


def module_complaint(name: str, target: str) -> str:
    """Say what is wrong with module `name` importing `dynsim.<target>`; "" when nothing is."""
    head = target.split(".")[0]
    if head == "":
        return "imports a name from the package; import it from its module"
    if head == "bridge":
        return "imports the bridge, and nothing in the engine may"
    if head not in ORDER:
        return f"imports dynsim.{head}, which has no place in ORDER of tests/test_layout.py; add it"
    if name == "train" and head == "measure":
        return "imports measure; the record function is an argument of train"
    if ORDER.index(head) >= ORDER.index(name):
        return f"imports dynsim.{head}, which does not stand before it"
    return ""


def test_every_module_has_a_place_in_the_order():
    unknown = [path.stem for path in ENGINE.glob("*.py") if path.stem not in {*ORDER, "__init__"}]
    assert not unknown, f"add to ORDER in tests/test_layout.py: {sorted(unknown)}"


def test_modules_import_only_modules_before_them():
    wrong = []
    for path in ENGINE.glob("*.py"):
        if path.stem in ORDER:
            for line, target in engine_imports(path):
                if complaint := module_complaint(path.stem, target):
                    wrong.append(f"{show(path)}:{line} {complaint}")
    assert not wrong, "\n".join(sorted(wrong))


def test_the_bridge_imports_only_the_shared_modules():
    wrong = []
    for path in (ENGINE / "bridge").rglob("*.py"):
        for line, target in engine_imports(path):
            if target.split(".")[0] not in {*BRIDGE_MAY_IMPORT, "bridge"}:
                wrong.append(f"{show(path)}:{line} imports dynsim.{target}")
    assert not wrong, "\n".join(sorted(wrong))


@pytest.mark.parametrize(
    ("name", "target", "fine"),
    [
        ("train", "loss", True),
        ("train", "measure", False),
        ("measure", "train", True),
        ("theory", "theory", False),
        ("config", "checks", True),
        ("simulate", "bridge.resnet", False),
        ("simulate", "", False),
        ("simulate", "no_such_module", False),
    ],
)
def test_the_import_rule_itself(name, target, fine):
    assert (module_complaint(name, target) == "") is fine


def test_modules_and_functions_are_short():
    long = []
    for path in sources("dynsim", "experiments"):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_MODULE:
            long.append(f"{show(path)}: {lines} lines, wanted at most {MAX_MODULE}")
        for node in ast.walk(parse(path)):
            if isinstance(node, FUNCTIONS) and node.end_lineno - node.lineno + 1 > MAX_FUNCTION:
                length = node.end_lineno - node.lineno + 1
                long.append(f"{show(path)}:{node.lineno} {node.name}: {length} lines, wanted at most {MAX_FUNCTION}")
    assert not long, "\n".join(long)


def attributes(tree: ast.AST) -> set[str]:
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}


def is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)


def is_property(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and any(ast.unparse(d).endswith("property") for d in node.decorator_list)


def test_every_configuration_field_is_used():
    if not (ENGINE / "simulate.py").exists():
        pytest.skip("the engine is not complete")
    used = set().union(*(attributes(parse(path)) for path in sources("dynsim") if path not in CONFIG_MODULES))
    classes = [cls for path in CONFIG_MODULES for cls in parse(path).body if isinstance(cls, ast.ClassDef)]
    sections = {type(getattr(Config(), field.name)).__name__ for field in dataclasses.fields(Config)}
    assert {cls.name for cls in classes if is_dataclass(cls)} == sections | {"Config"}, "not all sections are looked at"
    dead = []
    for cls in classes:
        # What a property reads is used when the property is.
        through = [attributes(node) for node in cls.body if is_property(node) and node.name in used]
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


def test_public_names_have_docstrings():
    bare = []
    for path in sources("dynsim"):
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
    listed = [row["figure"].removeprefix("figures/") for row in rows]
    assert len(listed) == len(set(listed)), "a figure has two rows"
    assert set(listed) == committed, "figures/manifest.toml and the committed figures differ"
    missing = [row["script"] for row in rows if not (ROOT / row["script"]).is_file()]
    assert not missing, f"scripts in figures/manifest.toml that do not exist: {missing}"


def forbidden(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, what) of each way to run code out of data: eval, exec, unpickling."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if {"pickle", "dill", "cloudpickle", "joblib"} & {name.split(".")[0] for name in names}:
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in {"eval", "exec", "builtins.eval", "builtins.exec"} or called.startswith("pickle.load"):
                yield node.lineno, f"{called}()"
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False":
                    yield node.lineno, f"{called}(allow_pickle=...)"


def test_no_code_is_run_out_of_data():
    found = [
        f"{show(path)}:{line} {what}"
        for path in sources("dynsim", "experiments", "paper_checks", "tests")
        for line, what in forbidden(parse(path))
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
    assert len(list(forbidden(ast.parse(code)))) == count
