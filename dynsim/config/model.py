"""Configuration sections that say what is trained: data, encoder and loss.

Each field is also a command-line option, and the docstring below it is the help text of that option.
"""

from dataclasses import dataclass
from typing import Literal

from dynsim.config.checks import Section, number, numbers, positive_int, require, words_and_flags


@dataclass(frozen=True)
class DataConfig(Section):
    """Sparse-coding data, positive pairs and negatives (theory 1 and 3).

    A sample is a set of tokens x = M z + xi: the columns of the dictionary M are the features, the code z in {-1, 0, 1}
    says which of them are active, and xi is Gaussian noise. Two views of a sample form a positive pair, the query and
    its key; the encoder learns to tell a query's key from its negatives, which belong to other samples. The rarest
    features are called minority features.
    """

    n_features: int = 64
    """d: number of features (columns of the dictionary)."""
    token_dim: int = 128
    """d1: dimension of a token."""
    n_tokens: int = 2
    """L: tokens per sample."""
    batch_size: int = 256
    """K: samples per training step, each with two views: a query and its key."""
    n_negatives: int | None = None
    """Number of negatives, drawn separately; None takes the keys of the other K-1 samples of the batch instead."""
    dictionary: Literal["qr", "identity", "correlated"] = "qr"
    """How M is made. qr: orthonormal columns, from a Gaussian matrix; identity: the first columns of the identity;
    correlated: qr, mixed so that every two columns have the cosine dictionary_cosine."""
    dictionary_cosine: float = 0.0
    """Pairwise cosine of the columns of the correlated dictionary."""
    frequency_profile: Literal["two_level", "exponential", "power_law", "given"] = "two_level"
    """Relative frequency eps_j of feature j = 0, ..., d-1. two_level: 1 or, for minority features, r; exponential:
    r^(j/(d-1)); power_law: (1+j)^-a, with a such that it ends at r; given: relative_frequency."""
    minority_fraction: float = 0.5
    """Share of the features, counted from the rarest, that are minority features; the others are the majority."""
    minority_ratio: float = 0.7
    """r = eps_min/eps_max: frequency of the rarest feature relative to the most frequent one; 1 is balanced."""
    relative_frequency: tuple[float, ...] = ()
    """eps_j for the frequency profile "given": one number in (0, 1] per feature."""
    activation_rate: float = 0.1
    """L p: mean number of tokens of a sample in which a feature with eps_j = 1 is active (for the rule aggregate, the
    chance that it is active at all), before samples without any active feature are resampled."""
    noise_level: Literal["inverse_d", "sqrt_log_d", "given"] = "inverse_d"
    """sigma_xi^2, noise variance of a coordinate of a token. inverse_d: 1/d; sqrt_log_d: sqrt(log d)/d; or given."""
    noise_variance: float = 0.0
    """sigma_xi^2 for the noise level "given"."""
    fading_noise: float = 0.0
    """Noise variance that is added at the first step and fades linearly to 0: a way to perturb training early on."""
    fading_steps: int = 0
    """Step from which that added noise is gone; above 0 where there is some."""
    sampling_rule: Literal["aggregate", "independent_tokens"] = "aggregate"
    """aggregate: which features are active is drawn for the whole sample, and each is put into one token;
    independent_tokens: every token is drawn on its own."""
    pair_rule: Literal["placed", "identical", "complementary"] = "placed"
    """How the two views of a sample differ. placed: the second has the active features in tokens drawn anew, and fresh
    noise; identical: fresh noise only; complementary: 2 D x and 2 (I-D) x, D a random coordinate mask."""
    majority_keep: float = 1.0
    """Chance that an active majority feature survives into the second view."""
    minority_keep: float = 1.0
    """Chance that an active minority feature survives into the second view."""
    keep_probability: tuple[float, ...] = ()
    """The same, one number per feature; if given, it replaces majority_keep and minority_keep."""
    co_occurrence: float = 0.0
    """c: chance that all features of a group (majority or minority) are silenced together in a sample; otherwise each
    is active with chance p/(1-c) instead of p, so that its frequency stays the same."""
    empties: Literal["resample", "keep"] = "resample"
    """A sample in which no feature is active is replaced by one that has some (resample), or kept (keep)."""
    mask_equal_codes: bool = True
    """Leave out negatives whose code, summed over tokens, has the active features and signs of the query."""

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
        number("fading_noise", self.fading_noise, 0.0)
        positive_int("fading_steps", self.fading_steps, 0)
        fades = (self.fading_noise > 0) == (self.fading_steps > 0)
        require(fades, "fading_steps", "above 0 where fading_noise is, else 0", self.fading_steps)
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
class EncoderConfig(Section):
    """The encoder: attention, one layer of neurons and pooling over tokens (theory 2)."""

    architecture: Literal["transformer", "relu"] = "transformer"
    """transformer: attention, then neurons that turn s = <w,x> into s - b above b, s + b below -b and 0 between, then
    pooling over tokens; relu: one-sided neurons max(<w,x> + bias - b, 0) on samples of one token."""
    n_neurons: int = 256
    """m: number of neurons."""
    attention: Literal["token_wise", "softmax_unscaled", "softmax_scaled", "uniform"] = "token_wise"
    """Attention weights. token_wise: each token attends to itself alone; softmax_unscaled: softmax(<q,k>);
    softmax_scaled: softmax(<q,k>/sqrt(d1)); uniform: 1/L everywhere."""
    pooling: Literal["sum", "mean"] = "sum"
    """How the activations of a neuron on the L tokens are joined into one number."""
    train_attention: bool = False
    """Train W_Q, W_K and W_V, which start at the identity; otherwise they stay there."""
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
class LossConfig(Section):
    """Contrastive loss and weight penalty (theory 3)."""

    kind: Literal["info_nce", "nt_xent"] = "info_nce"
    """info_nce: a query is compared with keys only; nt_xent: with both views of the samples of the batch."""
    similarity: Literal["inner", "cosine"] = "inner"
    """Inner product of the embeddings, or their cosine (nt_xent is always cosine)."""
    symmetric: bool = False
    """Average the loss with the one in which queries and keys change places."""
    stop_gradient: bool = True
    """Take no gradient through the second argument of the similarity (one-sided gradient)."""
    temperature: float = 1.0
    """Softmax temperature tau."""
    temperature_prefactor: bool = True
    """Multiply the loss by tau, so that growth rates early in training do not depend on tau."""
    l2_penalty: float = 2e-3
    """lambda: coefficient of ||W||^2 / 2 in the loss."""
    weight_decay: float = 0.0
    """Decoupled decay: each step multiplies W by 1 - learning_rate * weight_decay. Needs l2_penalty 0."""

    def __post_init__(self) -> None:
        words_and_flags(self)
        number("temperature", self.temperature, 0.0, open_low=True)
        number("l2_penalty", self.l2_penalty, 0.0)
        number("weight_decay", self.weight_decay, 0.0)
        both = self.l2_penalty > 0 and self.weight_decay > 0
        require(not both, "weight_decay", "0 while l2_penalty is above 0", self.weight_decay, "set one of them to 0")
        inner_nt_xent = self.kind == "nt_xent" and self.similarity == "inner"
        require(not inner_nt_xent, "similarity", "cosine for kind nt_xent", self.similarity)
