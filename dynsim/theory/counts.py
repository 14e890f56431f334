"""How many neurons start out close to a feature, and how many pass the threshold on it (theory 4 to 6).

MM^T w is the part of a neuron's weights w in the span of the features. A neuron is close to feature j if its alignment
|<w,M_j>| / ||MM^T w||, a number in [0, 1], is at least some cut. It is called lucky for j if that holds at
initialisation with the cut (1/r_j) sqrt(2 log d / d), where r_j = eps_j / eps_max is the relative frequency of j.

At initialisation w is Gaussian, so that for an orthonormal M the squared alignment has the law Beta(1/2, (d-1)/2), and
the number of such neurons among m independent ones is binomial. Functions that approximate, bound or sample say so; all
others are exact. Everything is computed in float64. Labels such as S2c name tests in the section of the theory that is
cited with them.
"""

import math

import numpy as np
from jaxtyping import Float
from scipy.stats import beta, binom, norm

from dynsim.config import Config, replace
from dynsim.config.checks import number, require
from dynsim.theory import frequencies, growth

Array = Float[np.ndarray, "..."]


def _unit(n_features: int) -> float:
    """Return sqrt(2 log d / d), the unit of cuts in theory 5.3: about the largest of the d alignments of a neuron."""
    return math.sqrt(2 * math.log(n_features) / n_features)


def unit_cut(config: Config) -> float:
    """Return sqrt(2 log d / d), the cut of lucky neurons for the most frequent features, r_j = 1 (theory 5.3)."""
    return _unit(config.data.n_features)


def threshold_value(config: Config, weight_norm: float | Array) -> Array:
    """Return the threshold b of neurons with norms ||w_i|| when thresholds come on, in the same shape (theory 4.3).

    It is kappa sqrt(2 log d / d) ||w_i||, with log d in place of 2 log d for schedule_c, and 0 for the rule "zero" and
    the start "never".
    """
    share = {"zero": 0.0, "schedule_c": math.sqrt(0.5)}.get(config.threshold.rule, 1.0)
    scale = 0.0 if config.threshold.start == "never" else config.threshold.kappa
    return np.asarray(scale * share * _unit(config.data.n_features) * np.asarray(weight_norm, np.float64))


def noise_activation(config: Config, threshold: float | Array, weight_norm: float | Array) -> Array:
    """Return Pr(|<w, xi>| > b), the chance that the noise xi of one token alone makes a neuron fire (theory 4.4 i).

    This is 2 Phi(-b / (sigma ||w||)), Phi being the normal distribution function, in the common shape of b and ||w||.
    Uniform attention averages the noise over L tokens. Complementary views double a random half of the coordinates,
    which multiplies sigma by sqrt 2 if w is spread over many. For softmax attention the value is an upper bound.

    Errors: `ConfigError` for architecture relu, which fires on one side only.
    """
    require(config.encoder.architecture == "transformer", "architecture", "transformer", config.encoder.architecture)
    sigma = math.sqrt(frequencies.noise_variance(config.data))
    sigma *= math.sqrt(2) if config.data.pair_rule == "complementary" else 1.0
    sigma /= math.sqrt(config.data.n_tokens) if config.encoder.attention == "uniform" else 1.0
    b, spread = np.asarray(threshold, np.float64), sigma * np.asarray(weight_norm, np.float64)
    return np.where(spread > 0, 2 * norm.sf(b / np.where(spread > 0, spread, 1.0)), 0.0)


def false_firing_rate(config: Config) -> float:
    """Return phi, the chance that the noise of one token alone makes a neuron fire (theory 4.4 i).

    It is `noise_activation` for the thresholds of `threshold_value`; ||w|| cancels out. It says how noisy a regime is:
    in the theory it vanishes as d grows; 0.15 at the default configuration.
    """
    return float(noise_activation(config, threshold_value(config, 1.0), 1.0))


def with_false_firing_rate(config: Config, rate: float) -> Config:
    """Return a configuration with the noise variance at which `false_firing_rate` is `rate`.

    Args:
        config: its thresholds must come on, so that b is above 0.
        rate: in [0, 1); 0 means no noise at all.
    Errors: `ConfigError` for another rate, or thresholds that stay at 0.
    """
    number("rate", rate, 0.0, 1.0)
    require(rate < 1, "rate", "a number in [0, 1)", rate)
    sharp = replace(config, **{"data.noise_level": "given", "data.noise_variance": 0.0})
    if rate == 0:
        return sharp
    cut = float(threshold_value(config, 1.0))
    require(cut > 0, "threshold", "one that comes on, to set noise by false firing", config.threshold.rule)
    unit = replace(sharp, **{"data.noise_variance": 1.0})
    # noise_activation is 2 Phi(-b / (c sigma)) with a factor c of the data; c is read off at sigma = 1
    factor = cut / float(norm.isf(float(noise_activation(unit, cut, 1.0)) / 2))
    return replace(sharp, **{"data.noise_variance": (cut / (factor * float(norm.isf(rate / 2)))) ** 2})


def lucky_tail(n_features: int, cut: float | Array) -> Array:
    """Return Pr(alignment with j >= cut) at initialisation, in the shape of `cut`: the exact Beta tail (theory 5.3)."""
    share = np.clip(np.asarray(cut, np.float64), 0, 1) ** 2  # beyond 1 the chance is 0, as at 1
    return np.asarray(beta.sf(share, 0.5, (n_features - 1) / 2))


def gaussian_tail(n_features: int, factor: float | Array) -> Array:
    """Return 2 Phi(-a sqrt(2 log d)), an APPROXIMATION of `lucky_tail` at the cut a sqrt(2 log d / d), a = `factor`."""
    return np.asarray(2 * norm.sf(np.asarray(factor, np.float64) * math.sqrt(2 * math.log(n_features))))


def power_law_tail(n_features: int, factor: float | Array) -> Array:
    """Return d^(-a^2), an APPROXIMATION of `gaussian_tail` to leading order in log d, a = `factor` (theory 5.3)."""
    return np.asarray(float(n_features) ** -(np.asarray(factor, np.float64) ** 2))


def frequency_ratio(config: Config) -> Float[np.ndarray, " feature"]:
    """Return r_j = eps_j / eps_max, the frequency relative to the most frequent feature, shape (feature,)."""
    eps = frequencies.relative_frequency(config.data)
    return eps / eps.max()


def lucky_count(config: Config, ratio: float | Array | None = None) -> Array:
    """Return the expected number of neurons that are lucky for feature j: m times the exact tail at their cut.

    Args:
        config: gives d and m.
        ratio: r_j of any shape; None takes the configuration's, shape (feature,).

    The cut is (1/r_j) sqrt(2 log d / d); above 1 no neuron is lucky. The paper's lower bound, read per feature, is
    `paper_specialist_count` (theory 5.3).
    """
    r = frequency_ratio(config) if ratio is None else np.asarray(ratio, np.float64)
    d = config.data.n_features
    return np.asarray(config.encoder.n_neurons * lucky_tail(d, _unit(d) / r))


def paper_specialist_count(config: Config) -> Array:
    """Return m d^(-1/r_j^2), shape (feature,): the paper's lower bound on neurons that learn j (theory 5.1, 5.4).

    The paper states it with eps_max/eps_min for all features; with r_j it is our reading (theory 5.4).
    """
    return config.encoder.n_neurons * power_law_tail(config.data.n_features, 1 / frequency_ratio(config))


def candidate_count(config: Config, ratio: float | Array | None = None) -> Array:
    """Return how many features, on average, a neuron may still learn at initialisation (theory 5.3: |N_i|).

    That is d times the exact tail at the cut r sqrt(2 log d / d). `ratio` is r, of any shape; None takes
    eps_min/eps_max. The paper's bound is d^(1-r^2).
    """
    r = frequency_ratio(config).min() if ratio is None else np.asarray(ratio, np.float64)
    d = config.data.n_features
    return np.asarray(d * lucky_tail(d, _unit(d) * r))


def count_interval(n: int, probability: float | Array, level: float = 0.95) -> tuple[Array, Array]:
    """Return (low, high): a Binomial(n, probability) count is within, ends included, with chance >= `level`."""
    tail = (1 - level) / 2
    p = np.asarray(probability, np.float64)
    # ppf returns the smallest k with cdf(k) >= its argument, so that at most `tail` is left out on either side
    return np.asarray(np.maximum(binom.ppf(tail, n, p), 0.0)), np.asarray(binom.ppf(1 - tail, n, p))


def sure_pot_cuts(n_features: int, c0: float = 0.5, gamma: float = 0.05) -> tuple[float, float]:
    """Return the upper and the lower cut of the sets sure(j) and pot(j) of earlier papers (theory 5.2).

    A neuron is in pot(j), and may learn j, if its alignment with j is at least the lower cut; it is in sure(j), and
    will learn j, if that is at least the upper cut and its alignment with every other feature below the lower one.
    The cuts are sqrt((c1 +/- c2) log d / d) with c1 = 2 + 2 (1-gamma) c0 and c2 = gamma c0; the source has c0 in (0, 1)
    and gamma in (0, 0.1).
    """
    c1, c2 = 2 + 2 * (1 - gamma) * c0, gamma * c0
    unit = math.log(n_features) / n_features
    return math.sqrt((c1 + c2) * unit), math.sqrt((c1 - c2) * unit)


def pot_probability(n_features: int, c0: float = 0.5, gamma: float = 0.05) -> float:
    """Return Pr(a neuron is in pot(j)) at initialisation, the exact Beta tail; see `sure_pot_cuts` (theory 5.2)."""
    return float(lucky_tail(n_features, sure_pot_cuts(n_features, c0, gamma)[1]))


def sure_probability(
    n_features: int, c0: float = 0.5, gamma: float = 0.05, *, n_samples: int = 20_000, seed: int = 0
) -> tuple[float, float]:
    """Return (estimate, standard error) of Pr(a neuron is in sure(j)) at initialisation (theory 5.2; `sure_pot_cuts`).

    The estimate is from `n_samples` Gaussian neurons. A neuron can only be sure of the feature with which it is aligned
    most, and all features are alike: Pr(sure(j)) = Pr(largest alignment >= upper cut, second largest < lower cut) / d.
    """
    upper, lower = sure_pot_cuts(n_features, c0, gamma)
    g = np.abs(np.random.default_rng(seed).standard_normal((n_samples, n_features)))
    top = np.partition(g, n_features - 2, axis=1)[:, -2:] / np.linalg.norm(g, axis=1, keepdims=True)
    p = float(np.mean((top[:, 1] >= upper) & (top[:, 0] < lower)))
    return p / n_features, math.sqrt(p * (1 - p) / n_samples) / n_features


def _predicted_gain(config: Config, gain: Array | None) -> Array:
    """Return G_j, the factor by which <w, M_j> has grown at T1, when ||w||^2 has doubled: as given, or theory 6.1's."""
    if gain is not None:
        return np.asarray(gain, np.float64)
    end = growth.stage1_end(config, "all")
    require(math.isfinite(end), "learning_rate", "a run in which some feature grows", config.optimizer.learning_rate)
    return np.exp(growth.log_growth(config) * end)


def s2c_exponent(config: Config, gain: Array | None = None, norm_growth: float = 2.0) -> Array:
    """Return e_j, shape (feature,): a neuron passes the threshold on j with chance ~ d^(-e_j) (theory 6.2, S2c).

    A neuron passes on j if its projection on M_j exceeds its threshold when the thresholds come on, at T1:
    e_j = kappa^2 ||w(T1)||^2 / (d sigma_0^2 G_j^2), with sigma_0 the standard deviation of the initial weights.

    Args:
        config: gives d, d1 and the threshold (kappa, divided by sqrt 2 for schedule_c).
        gain: measured factor G_j by which projections on M_j have grown until T1, shape (feature,); None predicts it.
        norm_growth: E||w(T1)||^2 / (d1 sigma_0^2), which is 2 where ||w||^2 has doubled.

    Errors: `ConfigError` if the gain must be predicted and no feature grows.
    """
    d, d1 = config.data.n_features, config.data.token_dim
    kappa = float(threshold_value(config, 1.0)) / _unit(d)
    return kappa**2 * norm_growth * d1 / (d * _predicted_gain(config, gain) ** 2)


def s2c_count(config: Config, gain: Array | None = None, norm_growth: float = 2.0) -> Array:
    """Return how many neurons are expected to pass the threshold on j at T1, shape (feature,) (theory 6.2, S2c).

    This is m times the Beta tail at the cut sqrt(e_j) sqrt(2 log d / d), with e_j and the arguments of `s2c_exponent`.
    It is an APPROXIMATION in that ||w(T1)|| is taken to be the same multiple of the initial ||MM^T w|| for all neurons;
    `s2c_own_norm_count` does without that.
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
    """Return the count of `s2c_count` with each neuron's own ||w_i(T1)|| in its threshold, shape (feature,).

    A neuron starts as w = sigma_0 g, with g standard normal in all d1 directions k, and has grown G_k times along k by
    T1. It passes on j if G_j^2 g_j^2 >= c^2 sum_k G_k^2 g_k^2, with c = kappa sqrt(2 log d / d). With R_j the sum
    without the term k = j this reads |g_j| >= c sqrt(R_j / (1-c^2)) / G_j, a Gaussian tail, which is averaged over
    `n_samples` draws of R_j (standard error: the spread of that tail over the draws, divided by sqrt(n_samples)).

    Args:
        gain: measured G_j of the features, shape (feature,); None predicts it.
        complement_gain: the same for directions outside the features; None takes (1 - eta lambda)^T1.
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
