# Tangled from chapters/evidence/without-heads.md: change it there, then run `make tangle`.
"""Which differences are real: sentences drawn anew, the same for both (Koehn 2004)."""

from collections.abc import Callable, Sequence

import sacrebleu
import torch
from torch import Tensor


def bleu_counts(hypotheses: Sequence[str], references: Sequence[str]) -> Tensor:
    """What each sentence adds to BLEU, (n, 10): four matches, four totals, and two lengths."""
    metric = sacrebleu.BLEU(effective_order=True)  # for single sentences; counts are the same
    pairs = zip(hypotheses, references, strict=True)
    each = [metric.sentence_score(one, [other]) for one, other in pairs]
    return torch.tensor(
        [[*one.counts, *one.totals, one.sys_len, one.ref_len] for one in each]
    ).double()


def bleu_of(total: Tensor) -> float:
    """BLEU of the counts of many sentences, added up: (10,)"""
    *counts, words, wanted = (int(x) for x in total.tolist())
    matches, there = counts[:4], counts[4:]
    return sacrebleu.BLEU.compute_bleu(matches, there, words, wanted, smooth_method="exp").score


def share_of(total: Tensor) -> float:
    """In hundredths: total (2,), of mistakes and of questions"""
    return 100 * (total[0] / total[1]).item()


def paired_interval(
    before: Tensor,
    after: Tensor,
    score: Callable[[Tensor], float] = bleu_of,
    draws: int = 1000,
) -> tuple[float, float]:
    """Where 95 of 100 differences of two systems lie: score(after) - score(before).

    before and after (n, c): what each of the same n sentences adds; score: of such a sum (c,).
    """
    n = len(before)
    dice = torch.Generator().manual_seed(1)
    picks = torch.randint(n, (draws, n), generator=dice)
    times = torch.zeros(draws, n).scatter_add_(1, picks, torch.ones(draws, n)).double()
    pairs = zip(times @ before, times @ after, strict=True)
    gaps = torch.tensor([score(other) - score(one) for one, other in pairs])
    low, high = gaps.quantile(torch.tensor([0.025, 0.975])).tolist()
    return low, high
