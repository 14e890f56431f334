"""The table of the losses with labels: one signature per family, what a loss needs, documents, and refusals."""

import inspect
import re
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from dynsim.losses.label_table import LABEL_LOSSES, SYMBOLS, label_loss, label_loss_help, label_loss_markdown
from dynsim.losses.labelled_views import Classes, Views
from tests.label_batches import C, D, N, a_batch

MAP = (Path(__file__).parents[3] / "dynsim" / "README.md").read_text(encoding="utf-8")
SIGNATURES = {
    "contrastive": ["views", "classes", "temperature", "memory"],
    "classifier": ["logits", "labels", "counts", "is_valid"],
}


@pytest.mark.parametrize("name", list(LABEL_LOSSES))
def test_losses_of_a_family_have_one_signature(name):
    row = LABEL_LOSSES[name]
    assert row.function.__name__ == name
    parameters = inspect.signature(row.function).parameters.values()
    plain = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    own = {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}
    assert plain == SIGNATURES[row.family]
    assert inspect.Parameter.empty not in own.values()  # a loss can be called by its name alone
    for argument in row.unknown:
        text = " ".join(inspect.getdoc(row.function).split())
        said = text[text.index(f"{argument}:") :]
        assert argument in own and ("unknown" in said or "leaves open" in said), argument


def arguments(name, **changes):
    """The arguments of a loss, as arrays that are not compiled."""
    made = {key: jax.device_put(value) for key, value in {**a_batch(), **changes}.items()}
    if LABEL_LOSSES[name].family == "classifier":
        return [made["f"], made["y"], made["counts"], made["valid"]]
    views = Views(made["z"], made["y"], made["valid"], made["f"])
    return [views, Classes(made["counts"], made["centres"]), 0.2]


NEEDED = [(name, field) for name, row in LABEL_LOSSES.items() if row.family == "contrastive" for field in row.needs]


@pytest.mark.parametrize(("name", "field"), NEEDED)
def test_what_a_loss_needs(name, field):
    """Counts and logits are asked for; without centres there are none, except in ACL, where they are a part."""
    views, classes, temperature = arguments(name)
    if field == "logits":
        views = views._replace(logits=None)
    else:
        classes = classes._replace(**{field: None})
    if field == "centres" and name != "acl":
        loss = jax.jit(LABEL_LOSSES[name].function)
        assert abs(loss(views, classes, temperature).loss - loss(*arguments(name)).loss) > 1e-3
    else:
        with pytest.raises(ValueError, match=rf"^(views|classes)\.{field}: wanted .*, got None: pass them[^\n]*$"):
            LABEL_LOSSES[name].function(views, classes, temperature)


@pytest.mark.parametrize("name", [name for name, row in LABEL_LOSSES.items() if row.family == "contrastive"])
def test_what_a_loss_does_not_need(name):
    """What is not in the table may be absent, and changes nothing."""
    row = LABEL_LOSSES[name]
    views, classes, temperature = arguments(name)
    less = views if "logits" in row.needs else views._replace(logits=None)
    few = Classes(**{field: getattr(classes, field) for field in row.needs if field != "logits"})
    loss = jax.jit(row.function)  # one program is compiled sooner than each operation by itself
    assert loss(less, few, temperature) == loss(views, classes, temperature)


wide = np.zeros((N, D + 1))
CONTRASTIVE = [
    ({"y": np.arange(N) % 5}, "views.labels: wanted classes from 0 to 3, got 4: mark padding in is_valid"),
    ({"y": np.zeros(N - 1, int)}, "views.labels: wanted 9 rows, one per embedding, got 8"),
    ({"valid": np.ones(2, bool)}, "views.is_valid: wanted 9 rows, one per embedding, got 2"),
    ({"z": np.zeros((0, D)), "y": np.zeros(0, int), "valid": np.zeros(0, bool), "f": np.zeros((0, C))}, "at least one"),
    ({"z": wide}, "classes.centres: wanted 4 columns, as in the embeddings, got 3"),
    ({"counts": np.ones(3, int)}, r"classes: wanted counts, centres and has_centre of one length, got \[3, 4\]"),
    ({"counts": np.array([3, 0, 1, 1])}, "counts: wanted a positive number for each class, got 0 for class 1"),
]


@pytest.mark.parametrize(("changes", "message"), CONTRASTIVE)
def test_what_does_not_fit_is_refused_in_one_line(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        LABEL_LOSSES["acl"].function(*arguments("acl", **changes))
    assert "\n" not in str(caught.value)


def test_a_memory_that_does_not_fit():
    views, classes, temperature = arguments("sup_con")
    with pytest.raises(ValueError, match=r"^memory.embeddings: wanted the shape \(view, 3\), got \(9, 4\)$"):
        LABEL_LOSSES["sup_con"].function(views, classes, temperature, views._replace(embeddings=jnp.asarray(wide)))
    with pytest.raises(ValueError, match=r"^memory.labels: wanted classes from 0 to 3, got -1: mark padding"):
        LABEL_LOSSES["sup_con"].function(views, classes, temperature, Views(views.embeddings, views.labels - 1))


CLASSIFIER = [
    ({"y": np.arange(N) - 1}, "labels: wanted classes from 0 to 3, got -1: mark padding in is_valid"),
    ({"y": np.zeros(4, int)}, "labels: wanted 9 values, one per row of the logits, got 4"),
    ({"counts": np.ones(5, int)}, "counts: wanted 4 numbers, one per column of the logits, got 5"),
    ({"counts": np.array([1, 2, 3, 0])}, "counts: wanted a positive number for each class, got 0 for class 3"),
    ({"f": np.zeros((0, C)), "y": np.zeros(0, int), "valid": np.zeros(0, bool)}, "logits: wanted at least one sample"),
]


@pytest.fixture
def without_type_checks(monkeypatch):
    """Leave out the checks of types that the tests switch on, as a user does."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.parametrize("name", [name for name, row in LABEL_LOSSES.items() if row.family == "classifier"])
@pytest.mark.parametrize(("changes", "message"), CLASSIFIER)
@pytest.mark.usefixtures("without_type_checks")
def test_what_does_not_fit_a_classifier_is_refused_in_one_line(name, changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        LABEL_LOSSES[name].function(*arguments(name, **changes))
    assert "\n" not in str(caught.value)


def test_names():
    assert label_loss("acl") is LABEL_LOSSES["acl"]
    with pytest.raises(ValueError, match=r"^loss: wanted one of sup_con, kcl, .*, ldam, got 'arc'$"):
        label_loss("arc")
    lines = label_loss_help().splitlines()
    assert [line.split(":")[0] for line in lines] == [f"- {name}" for name in LABEL_LOSSES]


def test_the_map_has_the_table_and_the_symbols():
    assert label_loss_markdown() in MAP, "put the text of label_loss_markdown() into dynsim/README.md"
    assert SYMBOLS in MAP, "put the text of SYMBOLS into dynsim/README.md"


def test_the_example_of_the_map(tmp_path, capsys):
    """As a user runs it, who has not asked JAX for strict arithmetic."""
    script = tmp_path / "example.py"
    script.write_text(re.search(r"## Losses that learn from labels\n.*?```python\n(.*?)```", MAP, re.S)[1], "utf-8")
    with jax.enable_x64(False), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        names = runpy.run_path(str(script))
    assert 0 < float(capsys.readouterr().out) < 20
    assert names["slope"].shape == (6, 4) and np.all(np.isfinite(names["slope"]))


@pytest.mark.usefixtures("without_type_checks")
def test_class_sizes_that_are_missing():
    for name in ("cross_entropy", "ldam"):
        logits, labels, _, valid = arguments(name)
        with pytest.raises(ValueError, match=r"^counts: wanted 4 numbers, one per column of the logits, got None$"):
            LABEL_LOSSES[name].function(logits, labels, None, valid)
