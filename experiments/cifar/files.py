"""The files of trained encoders, under torchvision's names (`dynsim.bridge.networks.files`)."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dynsim.bridge.options import Pretraining
    from dynsim.bridge.training.epoch import PretrainState

QUERY_SET = 1  # batch-norm set of the masked network, where there are two


def save_encoder(path: Path, options: "Pretraining", state: "PretrainState", stats: Any) -> None:
    """Save a trained encoder, and the mask that it was last trained with, under torchvision's names.

    Where the masked network has batch norms of its own, they are in a file beside it (`query_path`).
    """
    from dynsim.bridge.networks import save_safetensors
    from dynsim.bridge.training.encoder import DENSE_SET

    path.parent.mkdir(parents=True, exist_ok=True)
    mask = state.mask if options.masking.kind != "none" else None
    save_safetensors(path, options.network, state.params, stats, norm_set=DENSE_SET, mask=mask)
    if mask is not None and options.network.norm_sets > QUERY_SET:
        save_safetensors(query_path(path), options.network, state.params, state.stats, norm_set=QUERY_SET)
    else:
        query_path(path).unlink(missing_ok=True)


def query_path(path: Path) -> Path:
    """Return where the weights lie with the batch norms of the masked network: encoder.query.safetensors."""
    return path.with_suffix(f".query{path.suffix}")
