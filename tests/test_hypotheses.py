"""Hypotheses: what both decoders share needs no PyTorch."""

import subprocess
import sys

import pytest

from annotated.data.tokenizer import Tokenizer
from annotated.translation import search
from annotated.translation.hypotheses import Hypothesis, SearchConfig, joined, length_penalty

TOKENIZER = Tokenizer.train(["the dog sees the cat"], 260)


def test_it_is_had_without_pytorch():
    code = "import sys, annotated.translation.hypotheses; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_our_own_search_uses_it():
    assert search.SearchConfig is SearchConfig and search.Hypothesis is Hypothesis


def test_the_penalty_is_the_papers():
    assert length_penalty(7, 0.6) == pytest.approx(2**0.6) and length_penalty(9, 0) == 1


def test_parts_are_joined_in_their_order():
    dog, cat = (
        [Hypothesis(TOKENIZER.encode(text), score, score) for text, score in each]
        for each in ([("the dog", -1.0), ("dog", -2.0)], [("the cat", -0.5), ("cat", -3.0)])
    )
    assert joined(TOKENIZER, [dog, cat]) == [("the dog the cat", -1.5), ("dog cat", -5.0)]
    assert joined(TOKENIZER, []) == [("", 0)]
