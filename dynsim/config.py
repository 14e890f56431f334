"""What a run is: frozen dataclasses that hold every default once and validate themselves.

Symbols: README.md. Each field is a command-line option, the docstring below it its help. Errors are of one line.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from dynsim.checks import ConfigError, number, numbers, positive_int, require, words_and_flags


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


@dataclass(frozen=True)
class ThresholdConfig:
    """The dead-zone half-widths b_i, set by a rule and never by a gradient (theory section 4.3)."""

    rule: Literal["zero", "norm_tracking", "schedule_b", "schedule_c"] = "norm_tracking"
    """zero: b = 0; norm_tracking: kappa sqrt(2 log d / d) ||w||; schedule_b, schedule_c: those of Wen & Li 2021 and Sun
    et al. 2025, set at the switch, grown while the norms grow, then frozen."""
    scale: float | None = None
    """kappa: factor on the rule's value; None takes 0.5 for norm_tracking and 1 for the literal schedules."""
    start: Literal["online", "at_step", "never"] = "online"
    """online: when the median of ||w||^2 has doubled; at_step: at start_step; never."""
    start_step: int = 0
    """Step of the switch for start = at_step."""
    stop_growth: float = 1.0
    """The literal schedules freeze once every ||w|| exceeds stop_growth * d * ||w|| at the switch."""

    def __post_init__(self) -> None:
        words_and_flags(self)
        number("scale", self.kappa, 0.0)
        number("stop_growth", self.stop_growth, 0.0, open_low=True)
        positive_int("start_step", self.start_step, 0)
        late = self.start != "at_step" and self.start_step > 0
        require(not late, "start_step", "0 unless start is at_step", self.start_step)

    @property
    def kappa(self) -> float:
        """The factor in use."""
        return (0.5 if self.rule == "norm_tracking" else 1.0) if self.scale is None else self.scale


@dataclass(frozen=True)
class OptimizerConfig:
    """Any optax transformation by name; the default is the theory's plain SGD."""

    name: str = "sgd"
    """Name of a function of optax that takes a learning rate: sgd, adam, adamw, rmsprop, ..."""
    learning_rate: float = 0.5
    """eta."""
    attention_learning_rate: float = 0.01
    """Learning rate of W_Q, W_K, W_V where they are trained."""
    arguments: tuple[tuple[str, float], ...] = ()
    """Further arguments by name, for instance: momentum 0.9."""

    def __post_init__(self) -> None:
        require(isinstance(self.name, str) and self.name.isidentifier(), "name", "a name in optax", self.name)
        number("learning_rate", self.learning_rate, 0.0, open_low=True)
        number("attention_learning_rate", self.attention_learning_rate, 0.0)
        pairs = isinstance(self.arguments, tuple) and all(
            isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in self.arguments
        )
        require(pairs, "arguments", "a tuple of (name, number) pairs", self.arguments)
        names = [name for name, _ in self.arguments]
        require(len(set(names)) == len(names), "arguments", "each name once", names)
        for name, value in self.arguments:
            number(f"arguments {name}", value, -math.inf)
        clash = {"learning_rate", "weight_decay"} & set(names)
        require(not clash, "arguments", "no learning_rate or weight_decay", sorted(clash), "use their own options")


@dataclass(frozen=True)
class TrainConfig:
    """Length, recording and arithmetic of a run."""

    n_steps: int = 4000
    """Training steps."""
    n_records: int = 160
    """Points of the geometric record grid (equal steps are joined, so fewer are kept)."""
    n_probe: int = 16
    """Held-out samples per feature on which firing is measured at each record."""
    precision: Literal["float32", "float64"] = "float32"
    """Arithmetic; float64 needs JAX_ENABLE_X64=1, which the experiments set for you."""
    batching: Literal["auto", "map", "vmap"] = "auto"
    """map: one run after the other, each equal bit for bit to the run alone; vmap: all at once; auto: map on a CPU,
    where it is the faster one, vmap elsewhere."""

    def __post_init__(self) -> None:
        positive_int("n_steps", self.n_steps)
        positive_int("n_records", self.n_records, 2)
        positive_int("n_probe", self.n_probe)
        words_and_flags(self)


@dataclass(frozen=True)
class Config:
    """One run set, apart from its seeds."""

    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    threshold: ThresholdConfig = field(default_factory=ThresholdConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        relu = self.encoder.architecture == "relu"
        L = self.data.n_tokens
        require(not relu or L == 1, "data.n_tokens", "1 for encoder.architecture relu", L)
        if self.data.dictionary == "identity":
            require(
                self.optimizer.name == "sgd",
                "data.dictionary",
                f"qr with optimizer {self.optimizer.name}",
                "identity",
                "an optimiser that works per coordinate is not rotation-equivariant",
            )
        nt_xent = self.loss.kind == "nt_xent"
        apart = self.data.n_negatives is not None
        require(not (nt_xent and apart), "data.n_negatives", "None for loss.kind nt_xent", self.data.n_negatives)
        both = self.loss.symmetric and apart
        require(not both, "data.n_negatives", "None for a symmetric loss", self.data.n_negatives)


def replace(config: Config, **changes: Any) -> Config:
    """Return `config` with dotted fields changed: ``replace(c, **{"data.minority_ratio": 0.5})``.

    Errors: `ConfigError` for an unknown field, and whatever the changed part's own validation says.
    """
    parts: dict[str, dict[str, Any]] = {}
    sections = [section.name for section in dataclasses.fields(Config)]
    for dotted, value in changes.items():
        section, _, name = dotted.partition(".")
        if section not in sections or name not in getattr(config, section).__dataclass_fields__:
            raise ConfigError(f"{dotted}: no such field; the sections are {', '.join(sections)}")
        parts.setdefault(section, {})[name] = value
    new = {section: dataclasses.replace(getattr(config, section), **values) for section, values in parts.items()}
    return dataclasses.replace(config, **new)
