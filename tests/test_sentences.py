"""Sentences: a line in parts that lose nothing, and joined again."""

import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from annotated.data.tokenizer import Tokenizer, TokenizerError, spaced
from annotated.translation.sentences import Seen, divide, join, pieces

LINES = ["A dog sleeps.", "Two men see a dog.", "Ein Hund schläft.", "Mr. Smith sees it, e.g. now."]
TOKENIZER = Tokenizer.train(LINES * 3, 330)


def texts(line, longest=256, language="en"):
    return [TOKENIZER.decode(ids) for ids in divide(line, TOKENIZER, longest, language)]


def test_a_line_is_divided_into_sentences():
    assert texts("A dog sleeps. Two men see a dog!  Do they?") == [
        "A dog sleeps.",
        "Two men see a dog!",
        "Do they?",
    ]


@pytest.mark.parametrize("line", ["a dog", "A dog sleeps.", "Mr. Smith sees 3.5 dogs, e.g. now."])
def test_a_sentence_is_left_whole(line):
    assert divide(line, TOKENIZER) == [TOKENIZER.encode(line)]


def test_where_a_sentence_ends_is_a_rule_of_its_language():
    line = "Am 3. Mai kommt Dr. Maier. Ein Hund schläft."
    assert texts(line, language="de") == ["Am 3. Mai kommt Dr. Maier.", "Ein Hund schläft."]
    assert len(texts(line, language="en")) == 3
    assert texts(line, language="of no country") == texts(line, language="en")


@pytest.mark.parametrize("line", ["", " ", "\n", "\u00a0\u2028", "\ufeff"])
def test_a_blank_line_has_no_part(line):
    assert divide(line, TOKENIZER) == []


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(2, 30))
@example("A dog. B\u00a0. \u2028(B.) x\ufeff. B\u3000.", 5)
@settings(deadline=None)
def test_the_parts_of_any_line_are_the_line(line, longest):
    parts = divide(line, TOKENIZER, longest)
    assert all(1 <= len(ids) < longest for ids in parts)
    whole = TOKENIZER.decode([i for ids in parts for i in ids])
    assert spaced(whole).replace(" ", "") == spaced(line).replace(" ", "")


def test_a_long_sentence_is_cut_before_words_into_pieces_of_like_length():
    line = " ".join(["dog"] * 10)  # a token each
    assert [len(ids) for ids in divide(line, TOKENIZER, 10)] == [5, 5]
    assert [len(ids) for ids in divide(line, TOKENIZER, 11)] == [10]
    assert join(texts(line, 10)) == line


def test_pieces_are_cut_before_words_and_lose_nothing():
    words = [1, 2, 2, 1, 2, 2, 2, 1, 2, 1, 2, 2, 2, 2, 2, 2, 2, 2]  # 1 begins a word
    parts = pieces(words, 4, lambda i: i == 1)
    assert sum(parts, []) == words and max(map(len, parts)) <= 4
    assert parts[:3] == [[1, 2, 2], [1, 2, 2, 2], [1, 2, 1, 2]]
    assert pieces([2] * 9, 4, lambda i: i == 1) == [[2] * 3] * 3
    assert pieces([], 4, bool) == [] and pieces([5] * 4, 4, bool) == [[5] * 4]


def test_many_pieces_are_no_trouble():
    assert pieces([2] * 100_000, 2, bool) == [[2, 2]] * 50_000


def test_what_cannot_be_is_said():
    with pytest.raises(ValueError, match="too few"):
        divide("a dog", TOKENIZER, 1)
    with pytest.raises(TokenizerError, match="surrogate"):
        divide("a dog. \ud800", TOKENIZER)


@pytest.mark.parametrize("line", ["<\u00a0a\n", " a\r\x1cb\x85", "\u2028"])
def test_joined_parts_are_one_line(line):
    assert len(join([line, line]).splitlines()) <= 1
    assert join([" ein Hund.", "Er  schläft. "]) == "ein Hund. Er schläft."


def test_a_checkpoint_says_what_training_saw():
    assert Seen.by({"pair": "de-en", "longest_source": 51}) == Seen(51, "de")
    assert Seen.by({"pair": "de-en"}, 40) == Seen(40, "de") and Seen.by({}) == Seen(256, "en")
    assert Seen(51, "de").within(40) == Seen(40, "de") and Seen(51).within(256) == Seen(51)


def test_it_needs_no_torch():
    code = "import sys, annotated.translation.sentences; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
