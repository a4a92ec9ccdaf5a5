# Tangled from chapters/training/regularization.md: change it there, then run `make tangle`.
"""The training loss: cross-entropy with label smoothing (Section 5.4)."""

from torch import Tensor
from torch.nn import functional as F


def smoothed_loss(logits: Tensor, target: Tensor, smoothing: float = 0.1, pad: int = 0) -> Tensor:
    """Cross-entropy in nats against smoothed targets, summed over the tokens that are not padding.

    logits (..., V) against target (...) of ids; eps/V goes to each token of the vocabulary and
    1 - eps to the right one on top. Returns a scalar; divide it by the number of tokens.
    """
    flat = logits.flatten(0, -2).float()  # (tokens, V); in single precision also under autocast
    return F.cross_entropy(
        flat, target.flatten(), ignore_index=pad, label_smoothing=smoothing, reduction="sum"
    )
