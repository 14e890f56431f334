# %% [markdown]
"""
# The three stages in ten minutes

**Question: what happens to the neurons of a small contrastive encoder while it is trained?**

They first grow together, then each settles on one feature, then little changes any more. This notebook trains such
an encoder in a few seconds and shows the three stages, and what they depend on.

What is simulated:

- A *sample* is a pair of noisy vectors (tokens). Each is a sum of a few *features*, which are fixed directions in
  space.
- Half of the features are frequent (the *majority*); the other half (the *minority*) are active less often, by a
  factor r.
- Each sample comes in two views with the same features and fresh noise. The *encoder*, one layer of neurons, learns
  to tell which second view belongs to which first one (a *contrastive loss*).
- Each neuron has a *threshold*: it stays silent unless its input is large enough. Thresholds come on by themselves
  once the weights have grown.
"""

# %%
from dynsim import Config, replace, simulate

config = replace(
    Config(),
    **{
        "data.n_features": 16,
        "data.token_dim": 32,
        "data.batch_size": 128,
        "data.activation_rate": 0.15,
        "data.minority_ratio": 0.5,
        "encoder.n_neurons": 64,
        "train.n_steps": 2000,
        "train.n_records": 120,
    },
)
run = simulate(config, seeds=range(3))
run.dynsim

# %% [markdown]
"""
The table says when each stage ended, for the features of either group, as the median over the seeds with the range
in brackets:

- **T1**, the end of growing together: the neurons that are not specialists have gained as much along the features
  of the group as their weights measured at the start.
- **T2**: nearly every feature of the group that ever gets a *specialist* has one. A specialist is a neuron that
  points at one feature (cosine of 0.7 or more) and fires when that feature is there.
- **T3**: the number of specialists and their strength have stopped changing.

`dynsim/analysis/stages.py` has the exact rules. The next figure shows the specialists as they appear. Minority
features get theirs later, and get fewer.
"""

# %%
run.dynsim.plot.specialists()

# %% [markdown]
"""
## Inside the stages

For both groups: how strongly a neuron responds to the feature that it ends up with, to the other features, and to
directions that hold no feature. At first all features of a group grow alike, at the rate that the theory predicts
without any fitted constant (dashed); it is a theory without thresholds, so it holds up to the dotted line, where
they come on. Then the curves part: the own feature wins. Lines are medians over neurons, bands hold 80 % of them.
"""

# %%
run.dynsim.plot.projections()

# %% [markdown]
"""
## Is it the threshold that makes specialists?

The same run without thresholds answers it. Everything else is the same, down to the random numbers. (With 64
neurons and 16 features, a few neurons point at one feature by chance.)
"""

# %%
without = simulate(replace(config, **{"threshold.scale": 0.0}), seeds=range(3))
for name, one in {"with thresholds": run, "without thresholds": without}.items():
    count = one.dynsim.specialists()["count"].isel(record=-1).sel(group="all")
    print(f"{name:<19} specialists at the end, by seed: {count.values.astype(int).tolist()} of {one.sizes['neuron']}")
print("fields that differ:", run.dynsim.diff(without))

# %% [markdown]
"""
## Try it

The sliders run one seed anew. κ scales the thresholds (0 switches them off); the temperature is that of the loss: a
low one makes it look at the most similar samples only. The program is compiled already, so this takes a second.
"""

# %%
from ipywidgets import FloatSlider, interact


def redraw(kappa, temperature):
    """Run one seed for 1,000 steps with these numbers and draw its specialists."""
    numbers = {"threshold.scale": kappa, "loss.temperature": temperature, "train.n_steps": 1000}
    return simulate(replace(config, **numbers), seeds=[0]).dynsim.plot.specialists()


controls = interact(
    redraw,
    kappa=FloatSlider(0.5, min=0.0, max=1.0, step=0.05, description="κ", continuous_update=False),
    temperature=FloatSlider(1.0, min=0.2, max=2.0, step=0.1, description="temperature", continuous_update=False),
)
