"""Laws of neuron sets, and the thresholds that select them: exact where possible, approximations labelled (theory 4-6).

At initialisation w is Gaussian, so for orthonormal M the share <w,M_j>^2 / ||MM^T w||^2 is Beta(1/2, (d-1)/2): a count
over m independent neurons is binomial. Cuts are on |<w,M_j>| / ||MM^T w||, a number in [0, 1]. NumPy float64 only.
"""

import math

import numpy as np
from jaxtyping import Float
from scipy.stats import beta, binom, norm

from dynsim.config import Config
from dynsim.config.checks import require
from dynsim.theory import frequencies, growth

Array = Float[np.ndarray, "..."]


def _unit(n_features: int) -> float:
    """Return sqrt(2 log d / d), the unit in which theory 5.3 states cuts: near the largest of d cosines."""
    return math.sqrt(2 * math.log(n_features) / n_features)


def unit_cut(config: Config) -> float:
    """Return sqrt(2 log d / d) of a configuration: the cut of a lucky neuron at r = 1 (theory 5.3)."""
    return _unit(config.data.n_features)


def threshold_value(config: Config, weight_norm: float | Array) -> Array:
    """Return b at the switch for given ||w_i||, of the same shape: kappa sqrt(2 log d / d) ||w|| (theory 4.3).

    schedule_c has log d in place of 2 log d; rule "zero" and start "never" give 0.
    """
    share = {"zero": 0.0, "norm_tracking": 1.0, "schedule_b": 1.0, "schedule_c": math.sqrt(0.5)}[config.threshold.rule]
    scale = 0.0 if config.threshold.start == "never" else config.threshold.kappa
    return np.asarray(scale * share * _unit(config.data.n_features) * np.asarray(weight_norm, np.float64))


def noise_activation(config: Config, threshold: float | Array, weight_norm: float | Array) -> Array:
    """Return Pr(|<w, xi>| > b) per token for given b and ||w||, of their shape: 2 Phi(-b/(sigma ||w||)) (theory 4.4 i).

    Uniform attention averages the noise over L tokens; complementary views double a random half of the coordinates,
    which scales it by sqrt 2 for a spread-out w. For the softmax kinds the token-wise value stands as an upper bound.

    Errors: `ConfigError` for architecture relu, which fires on one side only.
    """
    require(config.encoder.architecture == "transformer", "architecture", "transformer", config.encoder.architecture)
    sigma = math.sqrt(frequencies.noise_variance(config.data))
    sigma *= math.sqrt(2) if config.data.pair_rule == "complementary" else 1.0
    sigma /= math.sqrt(config.data.n_tokens) if config.encoder.attention == "uniform" else 1.0
    b, spread = np.asarray(threshold, np.float64), sigma * np.asarray(weight_norm, np.float64)
    return np.where(spread > 0, 2 * norm.sf(b / np.where(spread > 0, spread, 1.0)), 0.0)


def noise_false_activation_rate(config: Config) -> float:
    """Return `noise_activation` at the switch, with b of `threshold_value`: the same for every ||w|| (theory 4.4 i)."""
    return float(noise_activation(config, threshold_value(config, 1.0), 1.0))


def lucky_tail(n_features: int, cut: float | Array) -> Array:
    """Return Pr(|<w,M_j>| >= cut ||MM^T w||), of the shape of `cut`: the exact Beta tail at t = 0 (theory 5.3)."""
    share = np.clip(np.asarray(cut, np.float64), 0, 1) ** 2  # a cut above 1 is met with chance 0, like 1 itself
    return np.asarray(beta.sf(share, 0.5, (n_features - 1) / 2))


def gaussian_tail(n_features: int, factor: float | Array) -> Array:
    """Return 2 Phi(-a sqrt(2 log d)), an APPROXIMATION of `lucky_tail` at the cut a sqrt(2 log d / d) (theory 5.3)."""
    return np.asarray(2 * norm.sf(np.asarray(factor, np.float64) * math.sqrt(2 * math.log(n_features))))


def power_law_tail(n_features: int, factor: float | Array) -> Array:
    """Return d^(-a^2), the APPROXIMATION of `gaussian_tail` to leading order in log d (theory 5.3)."""
    return np.asarray(float(n_features) ** -(np.asarray(factor, np.float64) ** 2))


def frequency_ratio(config: Config) -> Float[np.ndarray, " feature"]:
    """Return r_j = eps_j / eps_max, shape (feature,)."""
    eps = frequencies.relative_frequency(config.data)
    return eps / eps.max()


def lucky_count(config: Config, ratio: float | Array | None = None) -> Array:
    """Return the expected number of neurons lucky for j at t = 0: m times the exact tail at (1/r_j) sqrt(2 log d / d).

    Args:
        config: gives d and m.
        ratio: r_j of any shape; None takes the configuration's, shape (feature,).

    The paper's bound is m d^(-1/r_j^2) (theory 5.1, 5.3); a cut above 1 leaves nobody.
    """
    r = frequency_ratio(config) if ratio is None else np.asarray(ratio, np.float64)
    d = config.data.n_features
    return np.asarray(config.encoder.n_neurons * lucky_tail(d, _unit(d) / r))


def paper_specialist_count(config: Config) -> Array:
    """Return m d^(-1/r_j^2), shape (feature,): the paper's lower bound on neurons that learn j (theory 5.1, 5.3)."""
    return config.encoder.n_neurons * power_law_tail(config.data.n_features, 1 / frequency_ratio(config))


def candidate_count(config: Config, ratio: float | Array | None = None) -> Array:
    """Return the expected |N_i| at t = 0: d times the exact tail at r sqrt(2 log d / d) (theory 5.3).

    `ratio` is r, of any shape; None takes eps_min/eps_max. The paper's bound is d^(1-r^2).
    """
    r = frequency_ratio(config).min() if ratio is None else np.asarray(ratio, np.float64)
    d = config.data.n_features
    return np.asarray(d * lucky_tail(d, _unit(d) * r))


def count_interval(n: int, probability: float | Array, level: float = 0.95) -> tuple[Array, Array]:
    """Return (low, high), both included, between which a Binomial(n, probability) count lies with chance >= `level`."""
    tail = (1 - level) / 2
    p = np.asarray(probability, np.float64)
    # ppf is the smallest k with cdf >= the argument, so either side leaves out at most `tail`
    return np.asarray(np.maximum(binom.ppf(tail, n, p), 0.0)), np.asarray(binom.ppf(1 - tail, n, p))


def sure_pot_cuts(n_features: int, c0: float = 0.5, gamma: float = 0.05) -> tuple[float, float]:
    """Return the cuts (sqrt((c1+c2) log d / d), sqrt((c1-c2) log d / d)) of sure(j) and pot(j) (theory 5.2).

    c1 = 2 + 2 (1-gamma) c0 and c2 = gamma c0, with c0 in (0, 1) and gamma in (0, 0.1) in the source.
    """
    c1, c2 = 2 + 2 * (1 - gamma) * c0, gamma * c0
    unit = math.log(n_features) / n_features
    return math.sqrt((c1 + c2) * unit), math.sqrt((c1 - c2) * unit)


def pot_probability(n_features: int, c0: float = 0.5, gamma: float = 0.05) -> float:
    """Return Pr(neuron in pot(j)) at t = 0, the exact Beta tail (theory 5.2)."""
    return float(lucky_tail(n_features, sure_pot_cuts(n_features, c0, gamma)[1]))


def sure_probability(
    n_features: int, c0: float = 0.5, gamma: float = 0.05, *, n_samples: int = 20_000, seed: int = 0
) -> tuple[float, float]:
    """Return (estimate, standard error) of Pr(neuron in sure(j)) at t = 0, from `n_samples` Gaussian neurons (5.2).

    The order statistics decide: at most the largest projection can be sure, and all j are alike, so
    Pr(sure(j)) = Pr(largest >= upper cut and second < lower cut) / d, which uses each sample d times.
    """
    upper, lower = sure_pot_cuts(n_features, c0, gamma)
    g = np.abs(np.random.default_rng(seed).standard_normal((n_samples, n_features)))
    top = np.partition(g, n_features - 2, axis=1)[:, -2:] / np.linalg.norm(g, axis=1, keepdims=True)
    p = float(np.mean((top[:, 1] >= upper) & (top[:, 0] < lower)))
    return p / n_features, math.sqrt(p * (1 - p) / n_samples) / n_features


def _predicted_gain(config: Config, gain: Array | None) -> Array:
    """Return G_j: measured if given, else exp(log growth * T1) with ||w||^2 doubled at T1 (theory 6.1)."""
    if gain is not None:
        return np.asarray(gain, np.float64)
    end = growth.stage1_end(config, "all")
    require(math.isfinite(end), "learning_rate", "a run in which some feature grows", config.optimizer.learning_rate)
    return np.exp(growth.log_growth(config) * end)


def s2c_exponent(config: Config, gain: Array | None = None, norm_growth: float = 2.0) -> Array:
    """Return e_j = kappa^2 ||w(T1)||^2 / (d sigma_0^2 G_j^2), shape (feature,): passing has chance ~ d^(-e_j) (S2c).

    Args:
        config: gives d, d1 and the threshold (kappa; 1/sqrt 2 of it for schedule_c).
        gain: measured growth G_j of the projections up to T1, shape (feature,); None predicts it.
        norm_growth: E||w(T1)||^2 / (d1 sigma_0^2), 2 where ||w||^2 has doubled.

    Errors: `ConfigError` if the gain must be predicted and no feature grows.
    """
    d, d1 = config.data.n_features, config.data.token_dim
    kappa = float(threshold_value(config, 1.0)) / _unit(d)
    return kappa**2 * norm_growth * d1 / (d * _predicted_gain(config, gain) ** 2)


def s2c_count(config: Config, gain: Array | None = None, norm_growth: float = 2.0) -> Array:
    """Return the expected number of neurons that pass the threshold at T1 on j, shape (feature,): m times a Beta tail.

    The cut is sqrt(e_j) sqrt(2 log d / d), e_j from `s2c_exponent` (arguments as there). It takes ||w(T1)|| to be the
    initial ||MM^T w|| times a constant; `s2c_own_norm_count` does not.
    """
    d = config.data.n_features
    return config.encoder.n_neurons * lucky_tail(d, np.sqrt(s2c_exponent(config, gain, norm_growth)) * _unit(d))


def s2c_own_norm_count(
    config: Config,
    gain: Array | None = None,
    complement_gain: float | None = None,
    *,
    n_samples: int = 2_000,
    seed: int = 0,
) -> Array:
    """Return the count of `s2c_count` with each neuron's own ||w_i(T1)|| in its threshold, shape (feature,) (S2c).

    Neuron i passes on j iff G_j^2 g_j^2 >= c^2 sum_k G_k^2 g_k^2, c = kappa sqrt(2 log d / d), g standard normal over
    all d1 directions. Given the rest R_j of the sum this is |g_j| >= c sqrt(R_j / (1-c^2)) / G_j, a Gaussian tail,
    averaged here over `n_samples` draws of the rest (error: the spread of that tail over sqrt(n_samples)).

    Args:
        gain: measured G_j, shape (feature,); None predicts it.
        complement_gain: the same off the features; None takes (1 - eta lambda)^T1.
    """
    d, d1, m = config.data.n_features, config.data.token_dim, config.encoder.n_neurons
    G = _predicted_gain(config, gain)
    if complement_gain is None:
        complement_gain = math.exp(growth.stage1_end(config, "all") * math.log1p(-growth.decay_rate(config)))
    c = float(threshold_value(config, 1.0))
    if c >= 1:
        return np.zeros(d)
    rng = np.random.default_rng(seed)
    own = (G * rng.standard_normal((n_samples, d))) ** 2
    outside = complement_gain**2 * rng.chisquare(d1 - d, (n_samples, 1)) if d1 > d else 0.0
    rest = np.sum(own, axis=1, keepdims=True) - own + outside
    return m * np.mean(2 * norm.sf(c * np.sqrt(rest / (1 - c * c)) / G), axis=0)
