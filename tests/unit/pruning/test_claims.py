"""The table of claims: words filled in, and every row judged, on results made by hand of every run of the study."""

import string

import numpy as np
import pytest
import xarray as xr

from dynsim import results
from dynsim.analysis.groups import DISJOINT_GROUPS
from dynsim.config import replace
from dynsim.theory import feature_groups
from experiments import pruning_comparison
from experiments.pruning import end_states, mechanism, probe
from experiments.pruning.claims import CLAIMS, claim

STEPS = np.array([0, 1, 2, 4])
OPTIONS = pruning_comparison.PruningComparison(
    config=replace(
        pruning_comparison.BASE,
        **{"data.n_features": 4, "data.token_dim": 4, "encoder.n_neurons": 6, "train.n_steps": 10},
    ),
    sweep_shape="main",
)


def placeholders(text):
    return {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}


def hand_made(config, number):
    """A result of four seeds: the first neurons lie along one feature each, the others along features at random."""
    rng = np.random.default_rng(number)
    m, d = config.encoder.n_neurons, config.data.n_features
    owner = rng.integers(0, d, (4, 1, m, 1)) * np.ones((1, len(STEPS), 1, 1))
    owner[:, :, :d, 0] = np.arange(d)
    alignment = rng.uniform(0.5, 1.5, (4, len(STEPS), m, 1)) * (owner == np.arange(d))
    norm = alignment.sum(axis=-1)
    fields = {"alignment": alignment, "weight_norm": norm, "firing": 0 * norm + 1, "false_firing": 0 * norm}
    fields |= {"held_out_loss": np.tile([4.0, 3.0, 2.0, 1.0], (4, 1))}
    per_seed = {
        "diverged_step": np.full(4, -1),
        "positive_weight": np.tile([np.nan, 0.1, 0.1, 0.3], (4, 1)),
        "dictionary": np.tile(np.eye(config.data.token_dim, d), (4, 1, 1)),
    }
    return results.to_dataset(config, feature_groups(config.data), np.arange(4), STEPS, fields, per_seed, {"own": {}})


def made_up(**axes):
    """An array with named axes, numbers between 1 and 2."""
    sizes = tuple(len(axis) for axis in axes.values())
    return xr.DataArray(np.random.default_rng(1).uniform(1, 2, sizes), axes, tuple(axes))


@pytest.fixture(scope="module")
def judged():
    """(entries of every test by its name, rows of the table that they used); masks have made-up effects."""
    wanted = pruning_comparison.all_runs(OPTIONS)
    runs = {name: hand_made(run.config, number) for number, (name, run) in enumerate(wanted.items())}

    def amplifications(result, semantics, kinds, rates):
        moments = list(probe.PROBE_MOMENTS)
        return made_up(seed=range(4), moment=moments, kind=list(kinds), rate=list(rates), group=list(DISJOINT_GROUPS))

    def drivers(result, kinds, rate, records):
        found = made_up(seed=range(4), record=records, kind=["none", *kinds], group=list(DISJOINT_GROUPS))
        return found.drop_vars("record").assign_coords(step=("record", STEPS[records]))

    used = set()

    def watched(test, name, **words):
        used.add((test, name))
        return claim(test, name, **words)

    with pytest.MonkeyPatch.context() as patch:
        for module in (mechanism, end_states):
            patch.setattr(module, "claim", watched)
        patch.setattr(probe, "moments", lambda result: np.tile([0, 1, 2, 3], (4, 1)))
        patch.setattr(probe, "amplifications", amplifications)
        patch.setattr(probe, "group_drivers_over_time", drivers)
        numbers, _ = pruning_comparison.analyse(runs, OPTIONS)
    return numbers["tests"], used


def test_the_claims_of_every_test_have_their_words(judged):
    texts = [
        entry[field]
        for entries in judged[0].values()
        for entry in entries
        for field in ("claim", "quantity", "rival", "what_would_refute")
    ]
    assert texts and all(texts)
    assert not [text for text in texts if "{" in text or "}" in text]


def test_no_claim_is_made_twice(judged):
    for entries in judged[0].values():
        said = [(entry["claim"], entry["quantity"]) for entry in entries]
        assert len(said) == len(set(said))


def test_every_row_is_judged(judged):
    assert judged[1] == {(test, name) for test, rows in CLAIMS.items() for name in rows}
    assert list(judged[0]) == list(CLAIMS) == [f"P{k}" for k in range(1, 9)]


def test_words_are_filled_in():
    found = claim("P1", "lowest norms", moment="T2", rate=0.3)
    assert found.claim == "The lowest norms are those of minority neurons (at T2, 30% of the neurons masked)."
    assert found[1:] == CLAIMS["P1"]["lowest norms"][1:]
    with pytest.raises(KeyError, match="rate"):
        claim("P1", "lowest norms", moment="T2")


def test_only_sentence_and_quantity_have_words_to_fill():
    rows = [row for rows in CLAIMS.values() for row in rows.values()]
    assert not [row for row in rows if placeholders(row.rival) | placeholders(row.refuted_by)]
    assert {"moment", "rate", "pruning"} <= set().union(*(placeholders(row.claim) for row in rows))
    assert all(low < high for row in rows for low, high in [row.wanted])
