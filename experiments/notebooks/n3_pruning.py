# %% [markdown]
"""
# What pruning does, and does not

**Question: does hiding the smallest weights during training (magnitude pruning) bring rare features back?**

In one reading it does: if the mask is on one branch of the network only. Taken literally, the published algorithm
does not. And noise that fades early in training brings back more, without any mask. This notebook shows the effect
in small; what is claimed rests on the larger study whose numbers are printed at its end.

The words:

- A *mask* hides a share of the single weights, here the 60 % that are smallest at each step: they count as zero.
- **One branch**: only the first view of a sample is embedded by the masked network.
- **Literal**: both views are embedded by the masked network, and the hidden weights are trained as well.
- A *placebo* hides as many weights, chosen at random and always the same ones. If it does as much, it is not the
  magnitude that matters.
- **Fading noise**: no mask; the data are noisier at first, and the additional noise is gone after 1,000 steps.
- *Coverage* is the share of the minority features that have a specialist neuron at the end.
"""

# %%
from dynsim import Config, replace, simulate

config = replace(
    Config(),
    **{
        "data.n_features": 16,
        "data.token_dim": 32,
        "data.batch_size": 64,
        "data.activation_rate": 0.15,
        "data.minority_ratio": 0.15,
        "encoder.n_neurons": 64,
        "train.n_steps": 2500,
        "train.n_records": 60,
    },
)
mask = {"prune.unit": "weight", "prune.rate": 0.6}
arms = {
    "no mask": {},
    "smallest, one branch": mask | {"prune.kind": "lowest", "prune.semantics": "one_branch"},
    "random, one branch": mask | {"prune.kind": "random_fixed", "prune.semantics": "one_branch"},
    "smallest, literal": mask | {"prune.kind": "lowest", "prune.semantics": "literal"},
    "fading noise": {"data.fading_noise": 4 / 16, "data.fading_steps": 1000},
}
runs = {name: simulate(replace(config, **changes), seeds=range(2)) for name, changes in arms.items()}

# %% [markdown]
"""
Two seeds per arm are enough to see large differences and too few to claim any. Lines are the mean of the two.
"""

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(7.0, 3.8), layout="constrained")
colors = dict(zip(runs, ("black", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"), strict=True))
for name, run in runs.items():
    found = run.dynsim.specialists()
    line = found["coverage"].sel(group="minority").mean("seed")
    axes.plot(found["step"], line, label=name, color=colors[name])
axes.set(xscale="symlog", xlabel="training step", ylabel="minority coverage", ylim=(-0.03, 1.03))
axes.set_xlim(left=0)
figure.legend(loc="outside right center", frameon=False)
plt.show()

# %% [markdown]
"""
With a mask on one branch the lines still climb at the right edge: these runs have not settled, and whether the
smallest weights do more than random ones cannot be told from them. Masks have a price, too. The specialists at the
end, by group (mean of two seeds):
"""

# %%
print(f"{'':<22}{'majority':>10}{'minority':>10}{'minority coverage':>20}")
for name, run in runs.items():
    end = run.dynsim.specialists().isel(record=-1).mean("seed")
    counts = [end["count"].sel(group=group).item() for group in ("majority", "minority")]
    print(f"{name:<22}{counts[0]:>10.1f}{counts[1]:>10.1f}{end['coverage'].sel(group='minority').item():>20.2f}")

# %% [markdown]
"""
## What the study found

The study behind the README ran thirteen readings at three noise levels, with 16 seeds that played no part in
choosing them, until training had settled or for 12,000 steps at most. Here are its numbers for the arms above, at
the noise level of this notebook (the default); an asterisk marks an arm that had not settled, which enters no
verdict.
"""

# %%
from pathlib import Path

from dynsim.results import load_json

root = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "figures" / "data").is_dir())
answer = load_json(root / "figures" / "data" / "pruning_answer.json")
of_study = {
    ("no mask", "no mask"): "no mask",
    ("one branch", "lowest"): "smallest, one branch",
    ("one branch", "fixed random"): "random, one branch",
    ("literal", "lowest"): "smallest, literal",
    ("literal", "fixed random"): "random, literal",
    ("fading noise", "no mask"): "fading noise",
}
print(f"{'':<22}minority coverage, mean and 95 % interval over 16 seeds")
for arm in answer["arms"]:
    name = of_study.get((arm["reading"], arm["kind"]))
    if name and arm["noise"] == "default" and arm["ratio"] == 0.15 and not arm["released"]:
        end = arm["ends"]["minority coverage"]
        interval = f"[{end['low']:.2f}, {end['high']:.2f}]"
        print(f"{name:<22}{end['estimate']:.2f} {interval}{'' if arm['settled'] else ' *'}")

# %% [markdown]
"""
## Try it

The share of weights that is masked on one branch, and r. The grey line is the run without a mask.
"""

# %%
from ipywidgets import FloatSlider, interact


def coverage(changes):
    """Return minority coverage of one seed against steps."""
    found = simulate(replace(config, **changes), seeds=[0]).dynsim.specialists()
    return found["coverage"].sel(group="minority").isel(seed=0)


def redraw(share, ratio):
    """Run one seed with and without a mask and draw minority coverage."""
    numbers = {"data.minority_ratio": ratio, "train.n_steps": 1500}
    masked = arms["smallest, one branch"] | numbers | {"prune.rate": share}
    lines = {"no mask": coverage(numbers), "masked": coverage(masked)}
    figure, axes = plt.subplots(figsize=(6.0, 3.2), layout="constrained")
    for (name, line), color in zip(lines.items(), ("gray", "#009E73"), strict=True):
        axes.plot(line["step"], line, color=color, label=name)
    axes.set(xscale="symlog", xlabel="training step", ylabel="minority coverage", ylim=(-0.03, 1.03))
    axes.set_xlim(left=0)
    axes.legend(frameon=False)
    plt.close(figure)
    return figure


controls = interact(
    redraw,
    share=FloatSlider(0.6, min=0.1, max=0.9, step=0.1, description="masked share", continuous_update=False),
    ratio=FloatSlider(0.15, min=0.05, max=1.0, step=0.05, description="r", continuous_update=False),
)
