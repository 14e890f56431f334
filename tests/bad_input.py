"""One table of inputs that must be refused: by the configuration, by `simulate` and on the command line.

Each row: a name, dotted changes to `VALID` ("seeds" stands for the seeds of the run), and a word that the one-line
message must hold.
"""

import math
from typing import Any, NamedTuple

from dynsim.config import Config, replace

NAN, INF = math.nan, math.inf
VALID_SEEDS = [0, 1]
VALID = replace(
    Config(),
    **{
        "data.n_features": 4,
        "data.token_dim": 6,
        "data.batch_size": 8,
        "encoder.n_neurons": 5,
        "train.n_steps": 3,
        "train.n_records": 3,
        "train.n_probe": 2,
    },
)
"""A small configuration that runs: what the changes of a row are made to."""


class BadInput(NamedTuple):
    """One row."""

    name: str
    changes: dict[str, Any]
    word: str


GIVEN = {"data.frequency_profile": "given"}
CORRELATED = {"data.dictionary": "correlated"}
COMPLEMENTARY = {"data.pair_rule": "complementary"}
RELU = {"encoder.architecture": "relu"}
PRUNED = {"prune.kind": "lowest", "prune.rate": 0.3}
ADAM = {"optimizer.name": "adam"}
NT_XENT = {"loss.kind": "nt_xent", "loss.similarity": "cosine"}

TABLE = [
    # sizes
    BadInput("two features", {"data.n_features": 2}, "n_features"),
    BadInput("no features", {"data.n_features": 0}, "n_features"),
    BadInput("negative features", {"data.n_features": -4}, "n_features"),
    BadInput("token smaller than features", {"data.token_dim": 3}, "token_dim"),
    BadInput("no tokens", {"data.n_tokens": 0}, "n_tokens"),
    BadInput("batch of one", {"data.batch_size": 1}, "batch_size"),
    BadInput("no negatives", {"data.n_negatives": 0}, "n_negatives"),
    BadInput("no neurons", {"encoder.n_neurons": 0}, "n_neurons"),
    BadInput("negative neurons", {"encoder.n_neurons": -1}, "n_neurons"),
    BadInput("no steps", {"train.n_steps": 0}, "n_steps"),
    BadInput("more steps than int32", {"train.n_steps": 2**31}, "n_steps"),
    BadInput("one record", {"train.n_records": 1}, "n_records"),
    BadInput("no probe", {"train.n_probe": 0}, "n_probe"),
    BadInput("negative start step", {"threshold.start": "at_step", "threshold.start_step": -1}, "start_step"),
    # sizes beyond any memory
    BadInput("millions of features", {"data.n_features": 3_000_000, "data.token_dim": 3_000_000}, "data.n_features"),
    BadInput("a thousand million neurons", {"encoder.n_neurons": 10**9, "data.token_dim": 9999}, "encoder.n_neurons"),
    BadInput("millions of samples", {"data.batch_size": 3_000_000}, "data.batch_size"),
    BadInput("millions of tokens", {"data.n_tokens": 2 * 10**9}, "data.n_tokens"),
    BadInput("millions of probes", {"train.n_probe": 2 * 10**9}, "train.n_probe"),
    BadInput("millions of negatives", {"data.n_negatives": 2 * 10**9}, "data.n_negatives"),
    # types
    BadInput("float for a size", {"data.n_features": 4.0}, "n_features"),
    BadInput("text for a size", {"encoder.n_neurons": "many"}, "n_neurons"),
    BadInput("true for a size", {"data.n_tokens": True}, "n_tokens"),
    BadInput("None for a size", {"data.batch_size": None}, "batch_size"),
    BadInput("text for a number", {"data.activation_rate": "high"}, "activation_rate"),
    BadInput("true for a number", {"optimizer.learning_rate": True}, "learning_rate"),
    BadInput("None for a number", {"loss.temperature": None}, "temperature"),
    BadInput("one for a flag", {"loss.symmetric": 1}, "symmetric"),
    BadInput("text for a flag", {"data.mask_equal_codes": "yes"}, "mask_equal_codes"),
    BadInput("number for a word", {"data.dictionary": 3}, "dictionary"),
    BadInput("list for a word", {"threshold.rule": ["zero"]}, "rule"),
    BadInput("number for a vector", GIVEN | {"data.relative_frequency": 0.5}, "relative_frequency"),
    BadInput("list for a vector", GIVEN | {"data.relative_frequency": [1.0, 1.0, 0.5, 0.5]}, "relative_frequency"),
    BadInput("text in a vector", {"data.keep_probability": ("1", "1", "1", "1")}, "keep_probability"),
    # numbers out of their range
    BadInput("rate zero", {"data.activation_rate": 0.0}, "activation_rate"),
    BadInput("rate above one", {"data.activation_rate": 1.01}, "activation_rate"),
    BadInput(
        "rate above one for tokens",
        {"data.sampling_rule": "independent_tokens", "data.activation_rate": 1.5},
        "activation_rate",
    ),
    BadInput("rate not a number", {"data.activation_rate": NAN}, "activation_rate"),
    BadInput("ratio zero", {"data.minority_ratio": 0.0}, "minority_ratio"),
    BadInput("ratio above one", {"data.minority_ratio": 1.5}, "minority_ratio"),
    BadInput("ratio negative", {"data.minority_ratio": -0.5}, "minority_ratio"),
    BadInput("fraction above one", {"data.minority_fraction": 1.1}, "minority_fraction"),
    BadInput("negative noise", {"data.noise_level": "given", "data.noise_variance": -1.0}, "noise_variance"),
    BadInput("infinite noise", {"data.noise_level": "given", "data.noise_variance": INF}, "noise_variance"),
    BadInput("noise beyond float32", {"data.noise_level": "given", "data.noise_variance": 1e60}, "noise_variance"),
    BadInput("keep above one", {"data.majority_keep": 1.5}, "majority_keep"),
    BadInput("keep negative", {"data.minority_keep": -0.1}, "minority_keep"),
    BadInput("co-occurrence that lifts the rate above one", {"data.co_occurrence": 0.95}, "co_occurrence"),
    BadInput("co-occurrence negative", {"data.co_occurrence": -0.1}, "co_occurrence"),
    BadInput("cosine one", CORRELATED | {"data.dictionary_cosine": 1.0}, "dictionary_cosine"),
    BadInput("cosine too negative", CORRELATED | {"data.dictionary_cosine": -0.34}, "dictionary_cosine"),
    BadInput("initial weights zero", {"encoder.init_std": 0.0}, "init_std"),
    BadInput("temperature zero", {"loss.temperature": 0.0}, "temperature"),
    BadInput("temperature infinite", {"loss.temperature": INF}, "temperature"),
    BadInput("temperature that float32 takes for zero", {"loss.temperature": 1e-60}, "temperature"),
    BadInput("negative penalty", {"loss.l2_penalty": -0.1}, "l2_penalty"),
    BadInput("negative decay", {"loss.l2_penalty": 0.0, "loss.weight_decay": -0.1}, "weight_decay"),
    BadInput("learning rate zero", {"optimizer.learning_rate": 0.0}, "learning_rate"),
    BadInput("learning rate not a number", {"optimizer.learning_rate": NAN}, "learning_rate"),
    BadInput("learning rate of many digits", {"optimizer.learning_rate": 10**400}, "learning_rate"),
    BadInput("negative attention rate", {"optimizer.attention_learning_rate": -1.0}, "attention_learning_rate"),
    BadInput("negative threshold", {"threshold.scale": -0.5}, "scale"),
    BadInput("no room to grow", {"threshold.stop_growth": 0.0}, "stop_growth"),
    # words
    BadInput("unknown dictionary", {"data.dictionary": "random"}, "dictionary"),
    BadInput("unknown profile", {"data.frequency_profile": "zipf"}, "frequency_profile"),
    BadInput("unknown noise level", {"data.noise_level": "low"}, "noise_level"),
    BadInput("unknown sampling rule", {"data.sampling_rule": "tokens"}, "sampling_rule"),
    BadInput("unknown pair rule", {"data.pair_rule": "same"}, "pair_rule"),
    BadInput("unknown treatment of empties", {"data.empties": "drop"}, "empties"),
    BadInput("unknown architecture", {"encoder.architecture": "mlp"}, "architecture"),
    BadInput("unknown attention", {"encoder.attention": "softmax"}, "attention"),
    BadInput("unknown loss", {"loss.kind": "InfoNCE"}, "kind"),
    BadInput("unknown threshold rule", {"threshold.rule": "none"}, "rule"),
    BadInput("unknown precision", {"train.precision": "bfloat16"}, "precision"),
    BadInput("unknown batching", {"train.batching": "pmap"}, "batching"),
    # vectors
    BadInput("no frequencies", GIVEN, "relative_frequency"),
    BadInput("too few frequencies", GIVEN | {"data.relative_frequency": (1.0, 0.5)}, "relative_frequency"),
    BadInput("frequency zero", GIVEN | {"data.relative_frequency": (1.0, 0.5, 0.5, 0.0)}, "relative_frequency"),
    BadInput("frequency above one", GIVEN | {"data.relative_frequency": (2.0, 1.0, 1.0, 1.0)}, "relative_frequency"),
    BadInput("frequencies unasked for", {"data.relative_frequency": (1.0, 1.0, 0.5, 0.5)}, "relative_frequency"),
    BadInput("too many keep probabilities", {"data.keep_probability": (1.0,) * 5}, "keep_probability"),
    BadInput("keep probability not a number", {"data.keep_probability": (1.0, 1.0, 1.0, NAN)}, "keep_probability"),
    # pairs that do not go together
    BadInput("penalty and decay", {"loss.l2_penalty": 0.1, "loss.weight_decay": 0.1}, "weight_decay"),
    BadInput("cosine of an orthonormal dictionary", {"data.dictionary_cosine": 0.2}, "dictionary_cosine"),
    BadInput("noise that is not given", {"data.noise_variance": 0.2}, "noise_variance"),
    BadInput("start step without its start", {"threshold.start_step": 5}, "start_step"),
    BadInput("identity with adam", {"data.dictionary": "identity", "optimizer.name": "adam"}, "data.dictionary"),
    BadInput("identity with masks", COMPLEMENTARY | {"data.dictionary": "identity"}, "dictionary"),
    BadInput("relu with two tokens", RELU, "data.n_tokens"),
    BadInput("relu with attention", RELU | {"data.n_tokens": 1, "encoder.attention": "uniform"}, "attention"),
    BadInput(
        "relu that trains attention", RELU | {"data.n_tokens": 1, "encoder.train_attention": True}, "train_attention"
    ),
    BadInput("bias of the transformer", {"encoder.train_bias": True}, "train_bias"),
    BadInput("nt_xent with inner products", {"loss.kind": "nt_xent"}, "similarity"),
    BadInput("nt_xent with negatives apart", NT_XENT | {"data.n_negatives": 3}, "data.n_negatives"),
    BadInput("symmetric with negatives apart", {"loss.symmetric": True, "data.n_negatives": 3}, "data.n_negatives"),
    # pruning
    BadInput("pruned share one", PRUNED | {"prune.rate": 1.0}, "rate: wanted a share in [0, 1)"),
    BadInput("pruned share above one", PRUNED | {"prune.rate": 1.5}, "rate"),
    BadInput("pruned share negative", PRUNED | {"prune.rate": -0.1}, "rate"),
    BadInput("pruned share not a number", PRUNED | {"prune.rate": NAN}, "rate"),
    BadInput("pruned share of nothing", {"prune.rate": 0.3}, "rate"),
    BadInput("unknown mask", PRUNED | {"prune.kind": "magnitude"}, "kind"),
    BadInput("unknown unit of a mask", PRUNED | {"prune.unit": "layer"}, "unit"),
    BadInput("unknown gradient of a mask", PRUNED | {"prune.semantics": "dense"}, "semantics"),
    BadInput("unknown start of a mask", PRUNED | {"prune.start": "T1"}, "start"),
    BadInput("unknown stop of a mask", PRUNED | {"prune.stop": "end"}, "stop"),
    BadInput("unknown arrays of a mask", PRUNED | {"prune.scope": "layer"}, "scope"),
    BadInput("no steps between masks", PRUNED | {"prune.refresh": 0}, "refresh"),
    BadInput("half a step between masks", PRUNED | {"prune.refresh": 0.5}, "refresh"),
    BadInput("too many steps between masks", PRUNED | {"prune.refresh": 2**24 + 1}, "refresh"),
    BadInput("neurons of all arrays", PRUNED | {"prune.scope": "global"}, "scope"),
    BadInput(
        "masked attention that is not trained",
        PRUNED | {"prune.unit": "weight", "prune.scope": "global"},
        "prune.scope",
    ),
    BadInput("mask before step 0", PRUNED | {"prune.start_step": -1}, "start_step"),
    BadInput("mask step without its start", PRUNED | {"prune.start": "switch", "prune.start_step": 3}, "start_step"),
    BadInput("mask stop step without its stop", PRUNED | {"prune.stop_step": 3}, "stop_step"),
    BadInput(
        "mask that stops before it starts",
        PRUNED | {"prune.start_step": 5, "prune.stop": "at_step", "prune.stop_step": 4},
        "stop_step: wanted a step above start_step = 5",
    ),
    BadInput("mask that stops at once", PRUNED | {"prune.stop": "at_step"}, "stop_step"),
    BadInput("detected mask that stops at once", PRUNED | {"prune.start": "switch", "prune.stop": "switch"}, "stop"),
    BadInput(
        "mask that waits for thresholds that stay off",
        PRUNED | {"prune.start": "switch", "threshold.start": "never"},
        "prune.start",
    ),
    # optimisers
    BadInput("unknown optimiser", {"optimizer.name": "sdg"}, "optimizer.name"),
    BadInput("no optimiser", {"optimizer.name": ""}, "name"),
    BadInput("optimiser by path", {"optimizer.name": "os.system"}, "name"),
    BadInput("not an optimiser", {"optimizer.name": "chain"}, "optimizer.name"),
    BadInput("module for an optimiser", {"optimizer.name": "losses"}, "optimizer.name"),
    BadInput("unknown argument", {"optimizer.arguments": (("momentun", 0.9),)}, "optimizer.arguments"),
    BadInput("argument twice", {"optimizer.arguments": (("momentum", 0.9), ("momentum", 0.5))}, "arguments"),
    BadInput("argument not a number", {"optimizer.arguments": (("momentum", NAN),)}, "arguments momentum"),
    BadInput("argument with an option of its own", {"optimizer.arguments": (("learning_rate", 0.9),)}, "arguments"),
    BadInput("argument without a value", {"optimizer.arguments": (("momentum",),)}, "arguments"),
    BadInput("arguments not in pairs", {"optimizer.arguments": 0.9}, "arguments"),
    BadInput("decay above one", ADAM | {"optimizer.arguments": (("b1", 2.0),)}, "arguments b1"),
    BadInput("decay of one", ADAM | {"optimizer.arguments": (("b2", 1.0),)}, "arguments b2"),
    BadInput("negative decay of a mean", ADAM | {"optimizer.arguments": (("b2", -0.5),)}, "arguments b2"),
    BadInput("division by zero", ADAM | {"optimizer.arguments": (("eps", 0.0),)}, "arguments eps"),
    BadInput("negative number under a root", ADAM | {"optimizer.arguments": (("eps_root", -1.0),)}, "eps_root"),
    BadInput("momentum above one", {"optimizer.arguments": (("momentum", 1.5),)}, "arguments momentum"),
    BadInput(
        "division by what float32 takes for zero",
        ADAM | {"optimizer.arguments": (("eps", 1e-50),)},
        "updates that are finite",
    ),
    BadInput(
        "argument whose first update is not finite",
        {
            "optimizer.name": "optimistic_gradient_descent",
            "optimizer.learning_rate": 1e20,
            "optimizer.arguments": (("alpha", 1e25),),
        },
        "optimizer.arguments: wanted updates that are finite",
    ),
    # seeds
    BadInput("no seeds", {"seeds": []}, "seeds"),
    BadInput("negative seed", {"seeds": [0, -1]}, "seeds"),
    BadInput("seed of 33 bits", {"seeds": [2**32]}, "seeds"),
    BadInput("seed twice", {"seeds": [3, 4, 3]}, "seeds"),
    # fields
    BadInput("unknown section", {"model.n_neurons": 3}, "model.n_neurons"),
    BadInput("unknown field", {"data.n_feature": 3}, "data.n_feature"),
    BadInput("property for a field", {"data.n_minority": 3}, "data.n_minority"),
    BadInput("section without a field", {"data": 3}, "data"),
]
