"""Whole runs against closed forms: the rate of stage 1, lucky neurons at the start; and every structure traces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

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
from dynsim.engine import initial, simulate, train
from dynsim.engine.encoder import make_encoder
from dynsim.engine.numbers import resolve
from dynsim.engine.snapshot import snapshot
from dynsim.theory.specialists import is_lucky
from tests.reference import TOY, toy

# ----- stage 1 (theory 6.1)

ETA, PENALTY, T, SEEDS = 0.05, 0.02, 200, range(8)
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
    encoder=EncoderConfig(n_neurons=64, init_std=1e-4),
    loss=LossConfig(l2_penalty=PENALTY),
    threshold=ThresholdConfig(rule="zero"),
    optimizer=OptimizerConfig(learning_rate=ETA),
    train=TrainConfig(n_steps=T, n_records=2, n_probe=1, precision="float64"),
)
CASES = {
    "defaults": {},
    "temperature without prefactor": {"loss.temperature": 2.0, "loss.temperature_prefactor": False},
    "temperature with prefactor": {"loss.temperature": 2.0},
    "one token": {"data.n_tokens": 1},
    "mean over three tokens": {"data.n_tokens": 3, "encoder.pooling": "mean"},
    "independent tokens": {"data.n_tokens": 3, "data.sampling_rule": "independent_tokens"},
    "one negative": {"data.n_negatives": 1},
    "four negatives": {"data.n_negatives": 4},
    "empties kept": {"data.empties": "keep"},
}


def predicted(config):
    """g_j = eta E[zhat_Xj zhat_Yj] s^2 N/(N+1), over tau without the prefactor; for two frequency levels."""
    data, L = config.data, config.data.n_tokens
    q = data.activation_rate * np.array([1.0] * 4 + [data.minority_ratio] * 4)
    n_draws = 1 if data.sampling_rule == "aggregate" else L  # each with chance q / n_draws; their variances add up to q
    nonempty = 1 - np.prod((1 - q / n_draws) ** n_draws)
    second_moment = q / (nonempty if data.empties == "resample" else 1)
    N = data.n_negatives or data.batch_size - 1
    scale = 1 / L if config.encoder.pooling == "mean" else 1.0
    tau = 1.0 if config.loss.temperature_prefactor else config.loss.temperature
    return ETA * second_moment * scale**2 * N / (N + 1) / tau


def measured(result):
    """g_j per seed: growth of alignments per step by regression on the start, which batch noise does not bias."""
    start, end = result.alignment[:, 0].values, result.alignment[:, -1].values
    factor = np.sum(start * end, axis=1) / np.sum(start**2, axis=1)  # (seed, feature)
    return factor ** (1 / T) - 1 + ETA * PENALTY


def check_rates(options, ratios):
    configs = [replace(QUIET, **options, **{"data.minority_ratio": r}) for r in ratios]
    for config, result in zip(configs, simulate.simulate_many(configs, SEEDS), strict=True):
        ratio = measured(result) / predicted(config)
        for group in (ratio[:, :4], ratio[:, 4:]):
            # 8 seeds x 200 steps x 128 samples x 4 features: the sampling error stays far below the tolerance
            per_seed = np.mean(group, axis=1)
            assert np.std(per_seed, ddof=1) / np.sqrt(len(SEEDS)) < 0.007
            assert abs(np.mean(per_seed) - 1) < 0.02, (config.data.minority_ratio, per_seed)


@pytest.mark.slow
@pytest.mark.usefixtures("optimised")
@pytest.mark.parametrize("case", CASES)
def test_stage_1_rate_is_the_closed_form_everywhere(case):
    check_rates(CASES[case], [1.0, 0.4])


@pytest.mark.slow
@pytest.mark.usefixtures("optimised")
def test_the_complement_only_decays():
    result = simulate.simulate(QUIET, SEEDS)
    M, final = result.dictionary.values, result.weight.values
    rest = final - np.einsum("sik,sjk->sij", np.einsum("sij,sjk->sik", final, M), M)
    start = result.residual_norm[:, 0].values
    # the start of w outside the span shrinks by (1 - eta lambda)^T; noise keeps a floor of eta/sqrt(K) times the rest
    wanted = (1 - ETA * PENALTY) ** T
    assert abs(np.sqrt(np.sum(rest**2) / np.sum(start**2)) / wanted - 1) < 0.1


# ----- lucky neurons at the start (theory 5.3)


def test_lucky_neurons_follow_the_beta_law():
    m, n_features, token_dim = 4096, 8, 12
    numbers = resolve(TOY).numbers
    shape = DataConfig(n_features=n_features, token_dim=token_dim)
    weight = make_encoder(EncoderConfig(n_neurons=m), shape).init(jax.random.key(1), numbers).weight
    M = np.linalg.qr(np.random.default_rng(0).normal(size=(token_dim, n_features)))[0]
    alignment = np.asarray(weight) @ M
    for cut in (0.3, 0.5, 0.7, 0.9):
        lucky = is_lucky(alignment, np.full(n_features, cut))
        # <w,M_j>^2 / ||M M^T w||^2 ~ Beta(1/2, (d-1)/2), neurons independent: each count is binomial
        chance = stats.beta.sf(cut**2, 0.5, (n_features - 1) / 2)
        low, high = stats.binom.interval(1 - 1e-6, m, chance)
        assert np.all((low <= lucky.sum(axis=0)) & (lucky.sum(axis=0) <= high)), (cut, lucky.sum(axis=0), low, high)


# ----- precision, and structures


@pytest.mark.slow
def test_single_precision_stays_single():
    result = simulate.simulate(toy(train__precision="float32"), [0, 1])
    double = simulate.simulate(TOY, [0, 1])
    for name in ("alignment", "weight", "threshold", "firing", "dictionary"):
        assert result[name].dtype == np.float32 and double[name].dtype == np.float64, name
    # the draws differ with the precision, the arithmetic does not: everything is finite and of the same size
    assert np.all(np.isfinite(result.weight)) and np.all(result.diverged_step == -1)


OPTIONS = {
    "data__dictionary": ["identity", "correlated"],
    "data__sampling_rule": ["independent_tokens"],
    "data__pair_rule": ["identical", "complementary"],
    "data__majority_keep": [0.5],
    "data__co_occurrence": [0.2],
    "data__empties": ["keep"],
    "data__mask_equal_codes": [False],
    "data__n_negatives": [3],
    "encoder__attention": ["softmax_unscaled", "softmax_scaled", "uniform"],
    "encoder__train_attention": [True],
    "encoder__pooling": ["mean"],
    "loss__similarity": ["cosine"],
    "loss__symmetric": [True],
    "loss__stop_gradient": [False],
    "loss__temperature_prefactor": [False],
    "threshold__rule": ["zero", "schedule_b", "schedule_c"],
    "threshold__start": ["at_step", "never"],
    "optimizer__name": ["adam", "adamw", "rmsprop", "lion"],
}
SINGLE = [{name: value} for name, values in OPTIONS.items() for value in values]
JOINT = [
    {"encoder__architecture": "relu", "encoder__train_bias": True, "data__n_tokens": 1},
    {"loss__kind": "nt_xent", "loss__similarity": "cosine", "loss__symmetric": True},
    {"data__sampling_rule": "independent_tokens", "data__co_occurrence": 0.2, "data__minority_keep": 0.5},
    {"optimizer__arguments": (("momentum", 0.9),), "encoder__train_attention": True},
]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("options", SINGLE + JOINT, ids=lambda value: " ".join(f"{k}={v}" for k, v in value.items()))
def test_every_structure_traces_in_its_own_precision(options, precision):
    config = toy(train__precision=precision, **options)
    parts = train.built_in_parts(resolve(config).structure)

    def run(seed, numbers):
        state, world = initial.init(seed, numbers, parts)
        carry = train.advance(train.start(state), world, jnp.int32(0), jnp.int32(3), parts)
        return carry, snapshot(carry.state, world, parts)

    # tracing alone, under strict promotion: no compilation, yet shapes and dtypes of every branch are checked
    shapes = jax.eval_shape(run, np.uint32(0), resolve(config).numbers)
    floats = {leaf.dtype.name for leaf in jax.tree.leaves(shapes) if jnp.issubdtype(leaf.dtype, jnp.floating)}
    assert floats == {precision}
