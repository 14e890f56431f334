# %% [markdown]
"""
# What imbalance does

**Question: what happens to rare features as they get rarer?**

They are learned later and by fewer neurons, and from some point on most of them are not learned within these 2,000
steps. The *minority ratio* r is how often a minority feature is active compared with a majority one; r = 1 means no
imbalance. (The words feature, specialist and T2 are explained in the first notebook, `n1_three_stages`.)
"""

# %%
from dynsim import Config, replace, simulate_many

config = replace(
    Config(),
    **{
        "data.n_features": 16,
        "data.token_dim": 32,
        "data.batch_size": 128,
        "data.activation_rate": 0.15,
        "encoder.n_neurons": 64,
        "train.n_steps": 2000,
        "train.n_records": 120,
    },
)
ratios = [1.0, 0.7, 0.5, 0.3, 0.2, 0.1]
configs = [replace(config, **{"data.minority_ratio": r}) for r in ratios]
runs = dict(zip(ratios, simulate_many(configs, seeds=range(3)), strict=True))

# %% [markdown]
"""
All six were run by one compiled program: r is a number that is passed to it. For each r, the table shows T2, and
what the minority has at the end. *Coverage* is the share of the minority features that have at least one
specialist. T2 looks only at features that get a specialist at all, so it can come early where few do: read it
together with the coverage. Numbers are medians over three seeds.
"""

# %%
print(f"{'':>18}T2{'':>6}{'minority at the end':>33}")
print(f"{'r':>4}{'majority':>12}{'minority':>10}{'found in':>10}{'specialists':>13}{'coverage':>10}")
for r, run in runs.items():
    t2 = run.dynsim.stages()["step"].sel(stage="T2")
    end = run.dynsim.specialists().isel(record=-1).sel(group="minority")
    steps = [t2.sel(group=group).median().item() for group in ("majority", "minority")]
    found = int(t2.sel(group="minority").notnull().sum())
    count, coverage = end["count"].median().item(), end["coverage"].median().item()
    print(f"{r:>4}{steps[0]:>12.0f}{steps[1]:>10.0f}{found:>8}/3{count:>13.0f}{coverage:>10.2f}")

# %% [markdown]
"""
The same as a figure: minority coverage while training goes on, one line per r (median of three seeds). A line that
still climbs at its right end belongs to runs that were stopped too early to say where they end.
"""

# %%
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
shades = plt.get_cmap("viridis")
for k, (r, run) in enumerate(runs.items()):
    found = run.dynsim.specialists()
    line = found["coverage"].sel(group="minority").median("seed")
    axes.plot(found["step"], line, color=shades(k / len(runs)), label=f"r = {r}")
axes.set(xscale="symlog", xlabel="training step", ylabel="share of the minority features\nwith a specialist")
axes.set_xlim(left=0)
axes.legend(frameon=False)
plt.show()

# %% [markdown]
"""
Why later? In stage 1 each feature grows by a factor per step that depends on how often it is active; the theory
gives the factor in closed form. Here is the predicted growth of the logarithm per step:
"""

# %%
from dynsim.theory import log_growth

for r, run in runs.items():
    growth = log_growth(run.dynsim.config)
    print(f"r = {r}: majority {growth[0]:.4f}, minority {growth[-1]:.4f} per step")

# %% [markdown]
"""
## Try it

Move r and the temperature of the loss; one seed is run anew within about a second.
"""

# %%
from ipywidgets import FloatSlider, interact


def redraw(ratio, temperature):
    """Run one seed for 1,000 steps with these numbers and draw its specialists."""
    numbers = {"data.minority_ratio": ratio, "loss.temperature": temperature, "train.n_steps": 1000}
    return simulate_many([replace(config, **numbers)], seeds=[0])[0].dynsim.plot.specialists()


controls = interact(
    redraw,
    ratio=FloatSlider(0.5, min=0.05, max=1.0, step=0.05, description="r", continuous_update=False),
    temperature=FloatSlider(1.0, min=0.2, max=2.0, step=0.1, description="temperature", continuous_update=False),
)
