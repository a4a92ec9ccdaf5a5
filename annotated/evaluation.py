# Tangled from chapters/6-1-scores.md: change it there, then run `make tangle`.
"""How good translations are: BLEU, chrF, and the mean of several checkpoints (Section 6.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import sacrebleu
import torch
from torch import Tensor


@dataclass(frozen=True)
class Score:
    """A BLEU score from 0 to 100 and the signature that says how it was counted."""

    bleu: float
    signature: str

    def __str__(self) -> str:
        return f"BLEU {self.bleu:.2f}  ({self.signature})"


def bleu(hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """Corpus BLEU by sacreBLEU, one reference a sentence.

    Raises ValueError where there is nothing to score or the two are not of one length.
    """
    if len(hypotheses) != len(references) or not references:
        raise ValueError(f"{len(hypotheses)} translations cannot be scored by {len(references)}")
    metric = sacrebleu.BLEU()
    score = metric.corpus_score(list(hypotheses), [list(references)])
    return Score(score.score, str(metric.get_signature()))


def average(checkpoints: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several states of one model, name by name, for `load_state_dict`.

    Raises ValueError where there is none, or where they are not of one model.
    """
    shapes = [{name: value.shape for name, value in state.items()} for state in checkpoints]
    if not shapes or any(other != shapes[0] for other in shapes):
        raise ValueError("an average needs one or more checkpoints, all of the same model")
    names = shapes[0]
    return {name: torch.stack([state[name] for state in checkpoints]).mean(0) for name in names}
