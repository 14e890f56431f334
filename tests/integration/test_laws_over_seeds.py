"""Laws that hold over seeds: identity against QR dictionaries, vmap against single runs, two more closed-form rates.

Distributions are compared by two-sample Kolmogorov-Smirnov tests on `STATISTICS`. Under equal laws one comparison
calls a difference with chance below `FALSE_ALARM` (Bonferroni over the statistics), whatever the seeds; these are
fixed besides, so that a test which passes passes again. Every comparison of equals comes with one that must differ.
"""

import jax
import numpy as np
import pytest
from scipy import linalg, stats

from dynsim import prune, theory
from dynsim.config import (
    Config,
    DataConfig,
    EncoderConfig,
    LossConfig,
    OptimizerConfig,
    ThresholdConfig,
    TrainConfig,
    replace,
)
from dynsim.config.checks import ConfigError
from dynsim.engine.encoder import Encoder, make_encoder
from dynsim.engine.simulate import simulate

FALSE_ALARM = 1e-4  # chance that one comparison of two equal laws is called a difference
N_SEEDS = 48  # per group: two groups that do not overlap in one statistic then have p < 1e-27

SMALL = Config(
    data=DataConfig(n_features=6, token_dim=12, n_tokens=2, batch_size=32),
    encoder=EncoderConfig(n_neurons=16, init_std=0.05),
    threshold=ThresholdConfig(rule="norm_tracking", start="at_step", start_step=5),
    optimizer=OptimizerConfig(learning_rate=0.1),
    train=TrainConfig(n_steps=150, n_records=2, n_probe=1, precision="float64", batching="map"),
)
IDENTITY = {"data.dictionary": "identity"}


def seeds(group, n=N_SEEDS):
    """Return the seeds of a group; different groups share none."""
    return range(1000 * group, 1000 * group + n)


def outside_share(weight, dictionary):
    """Share of ||W||^2 outside the span of the features; (seed, neuron, token_dim), (seed, token_dim, feature)."""
    inside = np.sum((weight @ dictionary) ** 2, axis=(1, 2))
    return 1 - inside / np.sum(weight**2, axis=(1, 2))


STATISTICS = {
    "purity": "mean over neurons of max_j |cos(w_i, M_j)|",
    "norm": "mean ||w_i||",
    "outside": "share of ||W||^2 outside the span of the features",
    "minority": "share of the energy on the features that lies on minority features",
    "loss": "mean loss since the first record",
}


def end_statistics(run):
    """Return every statistic of `STATISTICS` at the end of a run set, shape (seed,) each."""
    assert np.all(run.diverged_step == -1)
    weight, square = run.weight.values, run.alignment.values[:, -1] ** 2
    norm = np.linalg.norm(weight, axis=2)
    rare = square[:, :, run.group.values == "minority"]
    values = (
        np.mean(np.sqrt(np.max(square, axis=2)) / norm, axis=1),
        np.mean(norm, axis=1),
        outside_share(weight, run.dictionary.values),
        np.sum(rare, axis=(1, 2)) / np.sum(square, axis=(1, 2)),
        run.loss.values[:, -1],
    )
    return dict(zip(STATISTICS, values, strict=True))


def smallest_p(first, second):
    """Return min p over the statistics, times their number: below `FALSE_ALARM` the laws differ (Bonferroni)."""
    return len(STATISTICS) * min(stats.ks_2samp(first[name], second[name]).pvalue for name in STATISTICS)


# ----- identity and QR dictionaries (theory 11.3)


@pytest.mark.slow
@pytest.mark.usefixtures("optimised")
def test_identity_equals_qr_in_law_for_runs_by_neuron():
    qr = end_statistics(simulate(SMALL, seeds(0)))
    identity = end_statistics(simulate(replace(SMALL, **IDENTITY), seeds(1)))
    rarer = end_statistics(simulate(replace(SMALL, **{"data.minority_ratio": 0.5}), seeds(2)))  # r = 0.7 before
    assert smallest_p(qr, identity) > FALSE_ALARM
    assert smallest_p(qr, rarer) < FALSE_ALARM and smallest_p(identity, rarer) < FALSE_ALARM


def single_weights(weight):
    """Keep the larger half of all weights."""
    return prune.lowest_mask(weight, 0.5)


def whole_neurons(weight):
    """Keep the larger half of the neurons, by norm."""
    return prune.lowest_mask(prune.neuron_norm(weight), 0.5)


def masked(keep):
    """Return the built-in encoder with weights that both views see through the mask of the moment."""
    built_in = make_encoder(SMALL.encoder, SMALL.data)

    def apply(params, thresholds, tokens):
        mask = keep(jax.lax.stop_gradient(params.weight))
        return built_in.apply(params._replace(weight=prune.apply_mask(params.weight, mask)), thresholds, tokens)

    return Encoder(built_in.init, apply)


@pytest.mark.slow
@pytest.mark.usefixtures("optimised")
def test_identity_equals_qr_under_masks_of_neurons_and_differs_under_masks_of_single_weights():
    runs = {}
    for keep in (whole_neurons, single_weights):
        encoder = masked(keep)
        for group, name in enumerate(("qr", "identity")):
            config = replace(SMALL, **{"data.dictionary": name, "optimizer.learning_rate": 0.5})
            runs[keep, name] = simulate(config, seeds(group), encoder=encoder)
    ends = {name: end_statistics(run) for name, run in runs.items()}
    assert smallest_p(ends[whole_neurons, "qr"], ends[whole_neurons, "identity"]) > FALSE_ALARM
    # masks by coordinate line up with the features of an identity dictionary and cut across those of a QR one
    assert smallest_p(ends[single_weights, "qr"], ends[single_weights, "identity"]) < FALSE_ALARM
    # the share outside the span, of all weights and of those that act, W * mask
    everything, acting = {}, {}
    for name in ("qr", "identity"):
        run = runs[single_weights, name]
        kept = np.array([single_weights(weight) for weight in run.weight.values])
        everything[name] = outside_share(run.weight.values, run.dictionary.values)
        acting[name] = outside_share(run.weight.values * kept, run.dictionary.values)
    for share in (everything, acting):
        assert np.min(share["qr"]) > 2 * np.max(share["identity"])
        assert np.mean(share["qr"]) > 5 * np.mean(share["identity"])


def test_identity_is_refused_where_coordinates_count():
    with pytest.raises(ConfigError, match=r"data.dictionary: .*adam.*identity.*rotation-equivariant"):
        replace(SMALL, **IDENTITY, **{"optimizer.name": "adam"})
    with pytest.raises(ConfigError, match=r"dictionary: .*complementary.*identity.*rotation-equivariant"):
        replace(SMALL, **IDENTITY, **{"data.pair_rule": "complementary"})


# ----- runs side by side and one by one


@pytest.mark.slow
@pytest.mark.usefixtures("optimised")
def test_vmap_equals_single_runs_at_first_by_rounding_and_at_the_end_in_law():
    # At eta = 4 rounding errors grow to the size of the weights within 500 steps (at eta = 0.5 they stay at 1e-15).
    chaotic = replace(SMALL, **{"optimizer.learning_rate": 4.0, "train.n_steps": 600})
    first, end = [], []
    for batching in ("map", "vmap"):
        config = replace(chaotic, **{"train.batching": batching})
        first.append(simulate(replace(config, **{"train.n_steps": 5}), seeds(0)).weight.values)
        end.append(simulate(config, seeds(0)))
    size = np.max(np.abs(first[0]), axis=(1, 2))
    assert np.all(np.max(np.abs(first[0] - first[1]), axis=(1, 2)) < 1e-9 * size)
    apart = np.linalg.norm(end[0].weight.values - end[1].weight.values, axis=(1, 2))
    assert np.median(apart / np.linalg.norm(end[0].weight.values, axis=(1, 2))) > 0.1  # single runs say nothing here
    one_by_one, side_by_side = map(end_statistics, end)
    assert smallest_p(one_by_one, side_by_side) > FALSE_ALARM
    slower = simulate(replace(config, **{"optimizer.learning_rate": 3.0}), seeds(0))  # by vmap too
    assert smallest_p(one_by_one, end_statistics(slower)) < FALSE_ALARM


# ----- two closed-form rates of stage 1 (theory 6.1)

ETA, PENALTY, FEW = 0.05, 0.02, 16
QUIET = Config(
    data=DataConfig(
        n_features=8,
        token_dim=12,
        batch_size=128,
        activation_rate=0.3,
        minority_ratio=0.4,
        noise_level="given",
        noise_variance=0.01,
        mask_equal_codes=False,
    ),
    encoder=EncoderConfig(n_neurons=64, init_std=1e-4),  # so small that the softmax stays uniform
    loss=LossConfig(l2_penalty=PENALTY),
    threshold=ThresholdConfig(rule="zero"),
    optimizer=OptimizerConfig(learning_rate=ETA),
    train=TrainConfig(n_steps=200, n_records=2, n_probe=1, precision="float64", batching="map"),
)
LEVELS = (slice(0, 4), slice(4, 8))  # majority and minority features


def measured_rates(config):
    """Return g_j (seed, feature) and the dictionaries of `FEW` runs.

    While the softmax is uniform every neuron is moved by one and the same matrix: W_T = W_0 P. Its logarithm per step
    has g_j on its diagonal along M_j, apart from the rates off the diagonal, which complementary views have.
    """
    run = simulate(config, seeds(0, FEW), record_fn=lambda state, world: {"moment": state.params.weight})
    rates = []
    for (begin, end), M in zip(run.moment.values, run.dictionary.values, strict=True):
        P = np.linalg.lstsq(begin, end)[0]
        np.testing.assert_allclose(begin @ P, end, atol=1e-10 * np.max(np.abs(end)))  # 64 neurons, 12 unknowns each
        log_growth = np.diagonal(M.T @ linalg.logm(P) @ M) / config.train.n_steps
        rates.append(np.expm1(log_growth) + ETA * PENALTY)
    return np.array(rates), run.dictionary.values


@pytest.mark.slow
@pytest.mark.usefixtures("optimised")
def test_complementary_views_grow_at_the_closed_form_rate_of_their_dictionary():
    config = replace(QUIET, **{"data.pair_rule": "complementary"})
    rates, dictionaries = measured_rates(config)
    wanted = np.array([theory.growth_rate(config, M) for M in dictionaries])
    # Minority rates pass through zero here, so errors are in units of the mean majority rate.
    unit = np.mean(wanted[:, LEVELS[0]])
    for level in LEVELS:
        error = np.mean(rates[:, level] - wanted[:, level], axis=1) / unit
        assert stats.sem(error) < 0.006 and abs(np.mean(error)) < 0.03
    # Each feature's rate depends on its dictionary: the mean over dictionaries misses what the rate given M explains.
    missed = rates - theory.growth_rate(config)
    explained = wanted - theory.growth_rate(config)
    assert np.std(rates - wanted) < 0.25 * np.std(missed)
    assert abs(np.sum(missed * explained) / np.sum(explained**2) - 1) < 0.1


@pytest.mark.slow
@pytest.mark.usefixtures("optimised")
@pytest.mark.parametrize("n_negatives", [None, 4])
def test_masking_equal_codes_adds_its_correction_to_the_rate(n_negatives):
    # few active features: a query with one majority feature has the code of every 14th negative, which is masked
    options = {"data.activation_rate": 0.1, "data.n_negatives": n_negatives}
    config = replace(QUIET, **options, **{"data.mask_equal_codes": True})
    rates, _ = measured_rates(config)
    ratio = rates / theory.growth_rate(config)
    without = rates / theory.growth_rate(replace(config, **{"data.mask_equal_codes": False}))
    for level in LEVELS:
        per_seed = np.mean(ratio[:, level], axis=1)
        assert stats.sem(per_seed) < 0.004 and abs(np.mean(per_seed) - 1) < 0.02
    assert np.mean(without[:, LEVELS[0]]) - 1 > 0.03  # the correction is larger than the tolerance
