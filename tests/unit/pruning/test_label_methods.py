"""Labels against masks: the classes of samples, the methods as configurations and losses, and the plan."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dynsim import theory
from dynsim.config.checks import ConfigError
from dynsim.engine.data import Batch
from dynsim.engine.numbers import resolve
from experiments.pruning import label_methods, label_plan
from experiments.pruning.label_methods import LABEL_METHODS, NO_LABELS, LabelRun
from experiments.pruning.label_rules import LABEL_RULES
from experiments.pruning_labels import label_plan_of
from tests.reference import toy

CODES = np.array([[1.0, 0, 0], [1, 0, -1], [1, 1, 1], [0, 0, 0], [0, 0, 1]])
FREQUENCY = np.array([0.5, 0.1, 0.4])


def classes(rule):
    empty = np.zeros((5, 1, 2))
    batch = Batch(*(jnp.asarray(one) for one in (empty, empty, CODES, np.ones((5, 5), bool))))
    numbers = resolve(toy()).numbers._replace(active_probability=FREQUENCY)
    found = jax.jit(LABEL_RULES[rule])(batch, jax.tree.map(jnp.asarray, numbers))
    return found.labels.tolist(), np.asarray(found.counts)


def test_rules_name_the_class_that_they_say():
    rare, sizes = classes("rarest feature")
    assert rare == [0, 2, 1, -1, 2]
    assert classes("other sample")[0] == [2, 0, 2, 1, -1]
    np.testing.assert_array_equal(classes("other sample")[1], sizes)
    frequent, sizes = classes("most frequent feature")
    assert frequent == [0, 0, 0, -1, 2]
    np.testing.assert_allclose(sizes, [0.5, 0.1 * 0.5 * 0.6, 0.4 * 0.5], rtol=1e-6)
    own, sizes = classes("own class")
    assert own == [0, 1, 2, 3, 4] and np.all(sizes == 1)


def run(method, form="inner products", noise="1 percent"):
    return LabelRun(form, "base", noise, 0.3, method)


def test_methods_differ_in_loss_and_mask_alone():
    plain = label_methods.label_run_config(run(NO_LABELS), 100)
    for name, method in LABEL_METHODS.items():
        config = label_methods.label_run_config(run(name), 100)
        assert (config.data, config.loss, config.optimizer, config.train) == (
            *(plain.data, plain.loss, plain.optimizer, plain.train),
        )
        assert (config == plain) == (method.mask is None)
    mask, twin = (label_methods.label_run_config(run(name), 100).prune for name in ("early mask", "early random mask"))
    assert (mask.kind, twin.kind) == ("lowest", "random_fixed") and mask.rate == twin.rate == 0.7
    assert mask.stop_step == twin.stop_step == 500
    assert theory.false_firing_rate(plain) == pytest.approx(0.01)


def test_each_loss_has_its_own_name():
    names = {
        form: [
            label_methods.own_label_loss(run(name, form)).name for name in LABEL_METHODS if not LABEL_METHODS[name].mask
        ]
        for form in label_methods.FORMS
    }
    assert len({name for of in names.values() for name in of}) == sum(len(of) for of in names.values())
    # one object, whatever the noise: each new one would be compiled anew
    one, other = (label_methods.own_label_loss(run("ACL", noise=noise)) for noise in ("1 percent", "default"))
    assert one.function is other.function
    cosine = label_methods.label_run_config(run("ACL", "unit length"), 100)
    assert (cosine.loss.temperature, cosine.optimizer.learning_rate) == (0.2, 0.1)


def test_the_committed_plan_compares_at_two_noises_and_judges_what_it_runs():
    plan = label_plan.load_label_plan()
    assert set(plan.methods) == set(LABEL_METHODS) and not {7300, 7301} & set(plan.seeds)
    for form, shape in {(point.form, point.shape) for point in plan.points}:
        noises = {point.noise for point in plan.points if (point.form, point.shape) == (form, shape)}
        assert noises == {"1 percent", "default"}
    for _, point, second, first in plan.contrasts():
        assert {second.method, first.method} <= plan.judged(point) and second[:4] == first[:4] == tuple(point)
    assert "BCL" not in plan.judged(plan.points[-1]) and plan.judged(plan.points[-1]) == {NO_LABELS, "SupCon"}
    long = label_plan_of("long")
    assert not set(long.seeds) & set(plan.seeds) and long.contrasts() and long.lengths["wide"] == (12000,)
    assert {run.method for _, point, *sides in long.contrasts() for run in sides} == set(long.methods)
    quick = label_plan_of("quick")
    assert quick.statements and {name for one in quick.statements for name in one[2:]} <= set(quick.methods)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"early mask",', '"early msk",', "method: wanted"),
        ('second = "BCL"', 'second = "TSC"', "REBALANCED: wanted methods of the plan"),
        ('noise = "default"', 'noise = "loud"', "noise: wanted"),
        ('form = "unit length"\nquantity', 'form = "unit"\nquantity', "COST OF LABELS: wanted"),
    ],
)
def test_a_plan_with_an_unknown_name_is_refused_in_one_line(tmp_path, old, new, words):
    text = label_plan.LABEL_PLAN.read_text()
    assert old in text
    (tmp_path / "plan.toml").write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=words) as error:
        label_plan.load_label_plan(tmp_path / "plan.toml")
    assert "\n" not in str(error.value)
