"""What the sources leave open, what was chosen here, and whether the paper's own choice is known to us."""

from typing import NamedTuple

from dynsim import theory
from dynsim.config import Config


class Choice(NamedTuple):
    """One place where the source leaves room."""

    assumption: str
    ours: str
    known: str


def choices(config: Config) -> list[Choice]:
    """Return the table "assumption / our choice / known from the paper?" for the defaults of a configuration."""
    data, encoder, loss, threshold = config.data, config.encoder, config.loss, config.threshold
    tells = "no: known second-hand only"
    return [
        Choice("values of the codes", "-1, 0, 1 with symmetric signs", "no; used by its two ancestors"),
        Choice("how a sample's tokens are drawn", f"{data.sampling_rule}: each feature once per sample", tells),
        Choice("tokens per sample L", str(data.n_tokens), "no"),
        Choice(
            "noise per coordinate",
            f"{data.noise_level}, or set by the false-firing rate",
            "yes, and it is another: sqrt(log d) / d",
        ),
        Choice("attention", f"{encoder.attention}, not trained", "partly: identity matrices; the scaling is not known"),
        Choice("pooling", encoder.pooling, "inconsistent in our sources"),
        Choice("factor tau before the loss", str(loss.temperature_prefactor).lower(), "inconsistent in our sources"),
        Choice("penalty lambda", f"{loss.l2_penalty:g}", "no"),
        Choice(
            "thresholds",
            f"{threshold.rule}, factor {threshold.kappa:g}, once the squared norms have doubled; noise alone then "
            f"fires a neuron on {theory.false_firing_rate(config):.0%} of the tokens at the default size",
            "no: only the rules of its two ancestors",
        ),
        Choice("width m", "4 d, and a sweep", "no; m = d^1.01 assumed"),
        Choice("thresholds of lucky and ordinary neurons", "set from the exponents of the bounds", "no"),
        Choice("constants in O and Omega", "none is fitted; exponents and orders are tested", "no"),
        Choice("which gradient a masked weight gets", "five readings, each reported", "no"),
        Choice("unit, share and schedule of the mask", "all are options, each reported", "no"),
    ]


def choices_table() -> str:
    """Return the choices at dynsim's defaults as a Markdown table."""
    lines = ["| assumption | our choice | known from the paper? |", "|---|---|---|"]
    return "\n".join(lines + [f"| {one.assumption} | {one.ours} | {one.known} |" for one in choices(Config())]) + "\n"
