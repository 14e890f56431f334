"""Configuration sections of what is trained: data, encoder and loss. `dynsim.config` joins all sections.

Each field is a command-line option, the docstring below it its help.
"""

from dataclasses import dataclass
from typing import Literal

from dynsim.config.checks import number, numbers, positive_int, require, words_and_flags


@dataclass(frozen=True)
class DataConfig:
    """Sparse-coding data x = M z + xi, pairs and negatives (theory sections 1 and 3)."""

    n_features: int = 64
    """d: number of features (columns of the dictionary)."""
    token_dim: int = 128
    """d1: dimension of a token."""
    n_tokens: int = 2
    """L: tokens per sample."""
    batch_size: int = 256
    """K: query samples per step."""
    n_negatives: int | None = None
    """Negatives drawn apart from the batch; None takes the keys of the other K-1 samples."""
    dictionary: Literal["qr", "identity", "correlated"] = "qr"
    """qr: orthonormal, from a Gaussian; identity: first columns of I; correlated: qr mixed to a given cosine."""
    dictionary_cosine: float = 0.0
    """Pairwise cosine of the columns of the correlated dictionary."""
    frequency_profile: Literal["two_level", "exponential", "power_law", "given"] = "two_level"
    """Shape of eps_j: two levels {1, r}; r^(j/(d-1)); (1+j)^-a ending at r; or relative_frequency."""
    minority_fraction: float = 0.5
    """Share of features, the rarest ones, that count as minority."""
    minority_ratio: float = 0.7
    """r = eps_min/eps_max; 1 is balanced."""
    relative_frequency: tuple[float, ...] = ()
    """eps_j for the profile "given": one number in (0, 1] per feature."""
    activation_rate: float = 0.1
    """L p of a feature with eps_j = 1: the chance that it is active in a sample, before empties are resampled."""
    noise_level: Literal["inverse_d", "sqrt_log_d", "given"] = "inverse_d"
    """sigma_xi^2 = 1/d, sqrt(log d)/d, or noise_variance."""
    noise_variance: float = 0.0
    """sigma_xi^2 for the noise level "given"."""
    sampling_rule: Literal["aggregate", "independent_tokens"] = "aggregate"
    """aggregate: one token per active feature; independent_tokens: every token is drawn on its own."""
    pair_rule: Literal["placed", "identical", "complementary"] = "placed"
    """placed: the second view places active features anew; identical: same token codes; both with fresh noise.
    complementary: 2 D x and 2 (I-D) x of one sample, D a random coordinate mask."""
    majority_keep: float = 1.0
    """Chance that an active majority feature survives into the second view."""
    minority_keep: float = 1.0
    """The same for minority features."""
    keep_probability: tuple[float, ...] = ()
    """The same per feature; where given it replaces the two numbers above."""
    co_occurrence: float = 0.0
    """c: all features of a group are silenced together with chance c, and fire p/(1-c) otherwise."""
    empties: Literal["resample", "keep"] = "resample"
    """What happens to a sample in which no feature is active."""
    mask_equal_codes: bool = True
    """Leave out negatives whose aggregate code has the same support and signs."""

    def __post_init__(self) -> None:
        words_and_flags(self)
        positive_int("n_features", self.n_features, 3)  # log log d needs d >= 3
        positive_int("token_dim", self.token_dim)
        positive_int("n_tokens", self.n_tokens)
        positive_int("batch_size", self.batch_size, 2)
        if self.n_negatives is not None:
            positive_int("n_negatives", self.n_negatives)
        require(self.token_dim >= self.n_features, "token_dim", f"d1 >= d = {self.n_features}", self.token_dim)
        number("minority_fraction", self.minority_fraction, 0.0, 1.0)
        number("minority_ratio", self.minority_ratio, 0.0, 1.0, open_low=True)
        number("activation_rate", self.activation_rate, 0.0, 1.0, open_low=True)
        number("noise_variance", self.noise_variance, 0.0)
        unused = self.noise_level != "given" and self.noise_variance != 0
        require(not unused, "noise_variance", "0 unless noise_level is given", self.noise_variance)
        number("majority_keep", self.majority_keep, 0.0, 1.0)
        number("minority_keep", self.minority_keep, 0.0, 1.0)
        number("co_occurrence", self.co_occurrence, 0.0, 1.0 - self.activation_rate)
        self._check_vectors()
        self._check_dictionary()

    def _check_vectors(self) -> None:
        d = self.n_features
        given = self.frequency_profile == "given"
        wanted = f"{d} numbers" if given else "nothing unless frequency_profile is given"
        numbers("relative_frequency", self.relative_frequency, (d if given else 0,), wanted, open_low=True)
        numbers("keep_probability", self.keep_probability, (0, d), f"{d} numbers or none")

    def _check_dictionary(self) -> None:
        c = self.dictionary_cosine
        # the Gram matrix has the eigenvalues 1 - c and 1 + (d-1) c: both stay at least 1e-3
        number("dictionary_cosine", c, -0.999 / (self.n_features - 1), 0.999)
        require(c == 0 or self.dictionary == "correlated", "dictionary_cosine", "0", c, "set dictionary to correlated")
        if self.pair_rule == "complementary":
            require(
                self.dictionary != "identity",
                "dictionary",
                "qr with complementary views",
                "identity",
                "a coordinate mask is not rotation-equivariant, and the two views would share no feature",
            )

    @property
    def n_minority(self) -> int:
        """Number of minority features."""
        return round(self.minority_fraction * self.n_features)


@dataclass(frozen=True)
class EncoderConfig:
    """One-layer transformer / ReLU encoder (theory section 2)."""

    architecture: Literal["transformer", "relu"] = "transformer"
    """transformer: attention, symmetric thresholded ReLU, pooling; relu: max(<w,x> + bias - b, 0) on one token."""
    n_neurons: int = 256
    """m: number of neurons."""
    attention: Literal["token_wise", "softmax_unscaled", "softmax_scaled", "uniform"] = "token_wise"
    """Attention weights: the identity, softmax(<q,k>), softmax(<q,k>/sqrt(d1)), or 1/L everywhere."""
    pooling: Literal["sum", "mean"] = "sum"
    """How the L token activations are joined."""
    train_attention: bool = False
    """Train W_Q, W_K, W_V (they start at the identity) instead of holding them there."""
    train_bias: bool = False
    """Train an additive bias per neuron (architecture relu only)."""
    init_std: float = 0.01
    """sigma_0: standard deviation of the initial weights."""

    def __post_init__(self) -> None:
        positive_int("n_neurons", self.n_neurons)
        words_and_flags(self)
        number("init_std", self.init_std, 0.0, open_low=True)
        relu = self.architecture == "relu"
        require(relu or not self.train_bias, "train_bias", "false for the transformer", True, "use architecture relu")
        if relu:
            require(self.attention == "token_wise", "attention", "token_wise for architecture relu", self.attention)
            require(not self.train_attention, "train_attention", "false for architecture relu", True)


@dataclass(frozen=True)
class LossConfig:
    """Contrastive loss and penalty (theory section 3)."""

    kind: Literal["info_nce", "nt_xent"] = "info_nce"
    """info_nce: candidates are keys; nt_xent: candidates are both views of the batch."""
    similarity: Literal["inner", "cosine"] = "inner"
    """Inner product of the embeddings, or their cosine (nt_xent is always cosine)."""
    symmetric: bool = False
    """Average with the loss in which the two views change places."""
    stop_gradient: bool = True
    """Hold the second argument of the similarity fixed (one-sided gradient)."""
    temperature: float = 1.0
    """tau."""
    temperature_prefactor: bool = True
    """Multiply the loss by tau, so that early rates do not depend on it."""
    l2_penalty: float = 2e-3
    """lambda: coefficient of ||W||^2 / 2 in the loss."""
    weight_decay: float = 0.0
    """Decoupled decay: W is multiplied by 1 - learning_rate * weight_decay. Exclusive with l2_penalty."""

    def __post_init__(self) -> None:
        words_and_flags(self)
        number("temperature", self.temperature, 0.0, open_low=True)
        number("l2_penalty", self.l2_penalty, 0.0)
        number("weight_decay", self.weight_decay, 0.0)
        both = self.l2_penalty > 0 and self.weight_decay > 0
        require(not both, "weight_decay", "0 while l2_penalty is above 0", self.weight_decay, "set one of them to 0")
        inner_nt_xent = self.kind == "nt_xent" and self.similarity == "inner"
        require(not inner_nt_xent, "similarity", "cosine for kind nt_xent", self.similarity)
