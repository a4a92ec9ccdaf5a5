"""The paired bootstrap, beside sacreBLEU's own and beside what is known by a formula."""

import math

import pytest
import sacrebleu
import torch
from sacrebleu.significance import PairedTest

from annotated.data import toy
from annotated.evidence.resampling import bleu_counts, bleu_of, paired_interval, share_of
from annotated.translation.scores import bleu

REFERENCES = [pair.german for pair in toy.generate(120, seed=5)]


def spoiled(every: int) -> list[str]:
    """One word of so many is another one."""
    lines, count = [], 0
    for line in REFERENCES:
        words = line.split()
        for place in range(len(words)):
            count += 1
            if count % every == 0:
                words[place] = "anders"
        lines.append(" ".join(words))
    return lines


def test_the_counts_of_all_sentences_make_bleu():
    for every in (3, 17):
        counts = bleu_counts(spoiled(every), REFERENCES)
        assert counts.shape == (120, 10)
        expected = bleu(spoiled(every), REFERENCES).value
        assert bleu_of(counts.sum(0)) == pytest.approx(expected, abs=1e-9)


def test_bleu_of_outputs_without_a_match_is_smoothed_as_sacrebleu_does():
    outputs = ["der Hund schläft laut im Haus"] * 3  # no three words are right
    references = ["der Hund bellt laut im Garten", "die Katze", "ein Haus"]
    found = bleu_of(bleu_counts(outputs, references).sum(0))
    assert found > 0 and found == pytest.approx(sacrebleu.corpus_bleu(outputs, [references]).score)


def test_the_interval_of_shares_is_that_of_a_mean():
    """For a mean of differences the bootstrap is near the normal interval."""
    torch.manual_seed(0)
    n = 400
    before = torch.stack([(torch.rand(n) < 0.2).double(), torch.ones(n).double()], 1)
    after = torch.stack([(torch.rand(n) < 0.3).double(), torch.ones(n).double()], 1)
    low, high = paired_interval(before, after, share_of, draws=4000)
    gaps = 100 * (after - before)[:, 0]
    middle, half = gaps.mean().item(), 1.96 * gaps.std().item() / math.sqrt(n)
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=0.05 * half)


def test_it_is_paired():
    """Where both fail on the same sentences, drawing them anew changes nothing in between."""
    wrong = torch.tensor([[1.0, 1.0], [0.0, 1.0]]).double().repeat(20, 1)
    assert paired_interval(wrong, wrong, share_of, draws=50) == (0.0, 0.0)


@pytest.mark.parametrize("one, other, real", [(20, 5, True), (20, 19, False)])
def test_it_says_what_sacrebleus_own_test_says(one, other, real):
    systems = [("one", spoiled(one)), ("other", spoiled(other))]
    test = PairedTest(systems, {"BLEU": sacrebleu.BLEU()}, [REFERENCES], "bs", n_samples=300)
    p = test()[1]["BLEU"][1].p_value
    counts = [bleu_counts(lines, REFERENCES) for _, lines in systems]
    low, high = paired_interval(*counts, draws=300)
    assert (p < 0.05) == real == (not low <= 0 <= high)


def test_the_same_call_gives_the_same_interval():
    counts = bleu_counts(spoiled(5), REFERENCES), bleu_counts(spoiled(9), REFERENCES)
    torch.manual_seed(1)
    first = paired_interval(*counts, draws=40)
    torch.manual_seed(2)
    assert paired_interval(*counts, draws=40) == first and first[0] < first[1]
