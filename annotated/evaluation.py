# Tangled from chapters/6-1-translation.md: change it there, then run `make tangle`.
"""Translating text with a trained model, and scoring the result with BLEU (Section 6.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import sacrebleu
import torch
from torch import Tensor

from annotated.batching import pad
from annotated.decoding import greedy
from annotated.tokenizer import EOS, PAD, Tokenizer
from annotated.transformer import Transformer


def translate(
    model: Transformer, tokenizer: Tokenizer, sentences: Sequence[str], batch_tokens: int = 4096
) -> list[str]:
    """One translation for each sentence, in order; a blank sentence gives an empty one.

    batch_tokens bounds the padded source positions that are translated together.
    """
    encoded = [[*tokenizer.encode(sentence.strip()), EOS] for sentence in sentences]
    order = [i for i, ids in enumerate(encoded) if len(ids) > 1]
    order.sort(key=lambda i: len(encoded[i]))
    device = next(model.parameters()).device
    translations = [""] * len(sentences)
    while order:
        count = max(1, batch_tokens // len(encoded[order[-1]]))  # the longest is last
        group, order = order[-count:], order[:-count]
        written = greedy(model, pad([encoded[i] for i in group]).to(device))  # (B, T)
        for i, ids in zip(group, written.tolist(), strict=True):
            text = tokenizer.decode(x for x in ids if x not in (EOS, PAD))
            translations[i] = text.replace("\n", " ")  # one line stays one line
    return translations


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
