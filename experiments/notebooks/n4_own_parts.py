# %% [markdown]
"""
# Your own data and encoder

**Question: do the same stages appear with data, an encoder and a loss of my own?**

Data, encoder, loss and what is recorded are arguments of `simulate`; nothing in dynsim is edited. This notebook
replaces the first three: samples with a single feature each, whose frequencies fall off smoothly; neurons with a
tanh; and a loss written out in four lines. With these, neurons still specialise, the frequent features first.

Your functions are written with JAX, in the shapes that the docstrings of `DataModel`, `Encoder` and `simulate`
name. What does not fit is refused in one line before anything is compiled.
"""

# %%
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dynsim import Batch, Config, DataModel, Encoder, replace, simulate

D, D1, M, K = 16, 32, 64, 128  # features, dimension of a sample, neurons, samples in a batch

config = replace(
    Config(),
    **{
        "data.n_features": D,
        "data.token_dim": D1,
        "data.n_tokens": 1,
        "data.frequency_profile": "exponential",
        "data.minority_ratio": 0.2,
        "encoder.n_neurons": M,
        "train.n_steps": 2000,
        "train.n_records": 100,
    },
)

# %% [markdown]
"""
## Data

Three functions: one draws the feature directions, one a batch, one the samples on which it is measured how often
neurons fire. `numbers` holds the numbers of the configuration, so that they can be changed later without compiling
again; here the batch takes the frequencies and the noise from it.
"""

# %%


def directions(key, numbers):
    """Return the features as columns: an orthonormal set."""
    return jnp.linalg.qr(jax.random.normal(key, (D1, D), numbers.noise_std.dtype))[0]


def sample(codes_key, noise_key, dictionary, numbers):
    """Return K samples with one feature each, in two views with noise of their own."""
    which = jax.random.categorical(codes_key, jnp.log(numbers.active_probability), shape=(K,))
    codes = jax.nn.one_hot(which, D, dtype=dictionary.dtype)
    noise = numbers.noise_std * jax.random.normal(noise_key, (2, K, D1), dictionary.dtype)
    views = (codes @ dictionary.T)[None] + noise
    others = which[:, None] != which[None, :]  # a query is compared with its own key and with keys of other features
    return Batch(views[0][:, None], views[1][:, None], codes, others | jnp.eye(K, dtype=bool))


def probe(key, dictionary, numbers):
    """Return eight noisy samples of every feature, and their codes."""
    codes = jnp.tile(jnp.eye(D, dtype=dictionary.dtype), (8, 1))
    noise = numbers.noise_std * jax.random.normal(key, (8 * D, D1), dictionary.dtype)
    return (codes @ dictionary.T + noise)[:, None], codes


# %% [markdown]
"""
## Encoder and loss

An encoder is a function that draws the first weights, and one that embeds a sample; it is handed the thresholds
that dynsim keeps. A loss may return one number per query, or their mean.
"""

# %%


class Weights(NamedTuple):
    """The parameters that are trained: any NamedTuple with a field `weight`."""

    weight: Any


def first_weights(key, numbers):
    """Draw small random weights."""
    return Weights(numbers.init_std * jax.random.normal(key, (M, D1), numbers.init_std.dtype))


def embed(params, thresholds, tokens):
    """Return the activations of a sample: silent within the threshold, and bounded."""
    inputs = params.weight @ tokens[0]
    return jnp.tanh(jnp.sign(inputs) * jax.nn.relu(jnp.abs(inputs) - thresholds))


def loss(query, key, batch, numbers):
    """Return minus the logarithm of the softmax weight of the own key, for each query."""
    similarity = query @ key.T / numbers.temperature
    allowed = jnp.where(batch.is_candidate, similarity, -jnp.inf)
    return jax.nn.logsumexp(allowed, axis=1) - jnp.diagonal(similarity)


# %% [markdown]
"""
## A run that reports as it goes

`on_record` is called for every seed at every record, for a tracker, a file or a live plot; the results are the same
with and without it. Here it prints the loss now and then.
"""

# %%
own = {"data_model": DataModel(directions, sample, probe), "encoder": Encoder(first_weights, embed), "loss": loss}


def tell(seed, step, values):
    """Print a line at some of the records."""
    if seed == 0 and step in (1, 10, 100, 1000, 2000):
        print(f"step {step:>5}: loss {float(values['loss']):.3f}, longest neuron {values['weight_norm'].max():.2f}")


run = simulate(config, seeds=range(2), on_record=tell, **own)
run.dynsim

# %% [markdown]
"""
The rarer half of the features counts as the minority. The same definitions as before say who is a specialist. The
counts still change at the right edge, so no T3 is found for the minority: with these parts, 2,000 steps are not the
whole story.
"""

# %%
run.dynsim.plot.specialists()

# %% [markdown]
"""
How many specialists has each feature? They are ordered from the most frequent to the rarest.
"""

# %%
last = run.dynsim.specialists()["is_specialist"].isel(record=-1)
for seed in last["seed"].values:
    print(f"seed {seed}:", last.sel(seed=seed).sum("neuron").values.tolist())

# %% [markdown]
"""
The losses with labels (`LABEL_LOSSES`) are losses of a run too, in one line. The class of a sample is its rarest
active feature. Here ACL is trained for 500 steps; the mean softmax weight of the positives says how well classes are
told apart.
"""

# %%
from dynsim.engine.label_loss import with_labels

shorter = replace(config, **{"train.n_steps": 500})
labelled = simulate(shorter, seeds=[0], **own | {"loss": with_labels("acl")})
print("weight of the positives, first and last:", labelled["positive_weight"].values[0, [1, -1]].round(3))

# %% [markdown]
"""
## Try it

r is the frequency of the rarest feature relative to the most frequent one. Own parts are compiled once, like the
built-in ones.
"""

# %%
from ipywidgets import FloatSlider, interact


def redraw(ratio, temperature):
    """Run one seed for 1,000 steps with these numbers and draw its specialists."""
    numbers = {"data.minority_ratio": ratio, "loss.temperature": temperature, "train.n_steps": 1000}
    return simulate(replace(config, **numbers), seeds=[0], **own).dynsim.plot.specialists()


controls = interact(
    redraw,
    ratio=FloatSlider(0.2, min=0.05, max=1.0, step=0.05, description="r", continuous_update=False),
    temperature=FloatSlider(1.0, min=0.2, max=2.0, step=0.1, description="temperature", continuous_update=False),
)
