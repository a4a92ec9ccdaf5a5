"""Tokenizer: exact round trips, ids that no text reaches, files that are checked."""

import json
import os
import subprocess
import sys
import unicodedata

import pytest
import tokenizers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers

from annotated.data.tokenizer import (
    BOS,
    EOS,
    PAD,
    SMALLEST,
    SPECIALS,
    Tokenizer,
    TokenizerError,
    spaced,
)

LINES = [
    "The dog sees the cat.",
    "Der Hund sieht die Katze.",
    "The small dog sleeps in the garden.",
    "Der kleine Hund schläft im Garten.",
    "<pad> <bos> <eos> <pad> <bos> <eos>",
] * 3
PLAIN = Tokenizer.train(LINES, 320)
LOWER = Tokenizer.train(LINES, 320, lowercase=True)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))  # all of Unicode but lone surrogates


@given(TEXT)
@example("")
@example(" two  spaces at both ends \t\n")
@example("\x00\r\n\x85\u2028\ufeff\uffff")
@example("Straße, ﬁn, e\u0301 and é, 🤗👩‍👩‍👧, 語, نص")
@example("<pad><bos>The <eos>dog</eos>")
@example("don't we'll 'S it's")
@settings(deadline=None)
def test_any_text_comes_back_exactly(text):
    ids = PLAIN.encode(text)
    assert PLAIN.decode(ids) == text
    assert all(len(SPECIALS) <= i < len(PLAIN) for i in ids)


@given(TEXT)
@settings(deadline=None)
def test_special_ids_are_skipped_wherever_they_stand(text):
    ids = PLAIN.encode(text)
    assert PLAIN.decode([BOS, *ids, EOS, PAD, PAD]) == text


@given(st.text(st.characters(exclude_categories=["Cs", "Cn"])))
@example("STRASSE ÄÖÜ ΣΑΣ İ")
@settings(deadline=None)
def test_lowercase_text_comes_back_with_each_character_lowered(text):
    assert LOWER.decode(LOWER.encode(text)) == "".join(character.lower() for character in text)


@pytest.mark.parametrize(
    "text", ["a b", "a  b", " a b\n", "a\u00a0b", "a\t\u2028b\r", "\ufeffa b", "\ufeff a\u3000b"]
)
def test_each_run_of_white_space_is_one_space_and_a_byte_order_mark_is_gone(text):
    assert spaced(text) == "a b"


def test_lowercase_makes_one_word_of_two():
    assert LOWER.encode("Dog") == LOWER.encode("dog")
    assert PLAIN.encode("Dog") != PLAIN.encode("dog")


def test_special_ids_are_zero_one_two():
    assert (PAD, BOS, EOS) == (0, 1, 2)
    assert PLAIN.pieces([PAD, BOS, EOS]) == SPECIALS == ["<pad>", "<bos>", "<eos>"]


def test_special_names_in_a_text_are_plain_text_in_training_too():
    for name in SPECIALS:
        assert len(PLAIN.encode(name)) > 1
        assert PLAIN.decode(PLAIN.encode(name)) == name


def test_frequent_words_are_one_id_and_unseen_ones_several():
    assert len(PLAIN.encode("dog")) == 1
    assert len(PLAIN.encode(" zebra")) > 2
    assert len(PLAIN.encode("語")) == 4  # the space, then its three bytes in UTF-8


def test_pieces_of_a_text_join_to_the_text():
    ids = PLAIN.encode("The dog, a zebra.")
    assert "".join(PLAIN.pieces(ids)) == " The dog, a zebra."
    assert all(isinstance(i, int) for i in ids)


def test_cut_character_decodes_to_a_replacement():
    assert PLAIN.decode(PLAIN.encode("語")[:2]) == "\ufffd"


@pytest.mark.parametrize("text", ["\ud800", "ab\udc80cd"])
def test_lone_surrogate_is_one_clear_sentence(text):
    with pytest.raises(TokenizerError, match=r"lone surrogate \(U\+D[8C][08]0 at index [02]\)"):
        PLAIN.encode(text)
    with pytest.raises(TokenizerError, match="lone surrogate"):
        Tokenizer.train([text], SMALLEST)


@pytest.mark.parametrize("ids", [[-1], [len(PLAIN)], [5, 10**6]])
def test_id_outside_the_vocabulary_is_an_error(ids):
    with pytest.raises(TokenizerError, match="outside the vocabulary"):
        PLAIN.decode(ids)
    with pytest.raises(TokenizerError, match="outside the vocabulary"):
        PLAIN.pieces(ids)


def test_decode_takes_any_iterable():
    ids = PLAIN.encode("The dog")
    assert PLAIN.decode(iter(ids)) == PLAIN.decode(tuple(ids)) == "The dog"
    assert PLAIN.decode([]) == ""


# Training


@pytest.mark.parametrize("size", [SMALLEST, SMALLEST + 1, 300])
def test_vocabulary_has_the_size_asked_for(size):
    assert len(Tokenizer.train(LINES, size)) == size


def test_vocabulary_stops_where_no_pair_occurs_twice():
    assert len(Tokenizer.train(["ab"], 1000)) == SMALLEST
    assert len(Tokenizer.train(["ab", "ab"], 1000)) == SMALLEST + 2  # ab, then " ab"
    assert len(Tokenizer.train([], 1000)) == SMALLEST


def test_training_reads_a_stream_once_and_learns_the_same():
    stream = iter(LINES)
    assert Tokenizer.train(stream, 320).bpe.to_str() == PLAIN.bpe.to_str()
    assert list(stream) == []


@pytest.mark.parametrize("size", [SMALLEST - 1, 0, -5])
def test_vocabulary_too_small_for_the_bytes_is_an_error(size):
    with pytest.raises(TokenizerError, match=f"{SMALLEST} ids or more, not {size}"):
        Tokenizer.train(LINES, size)


def test_a_word_has_the_same_pieces_wherever_it_stands():
    first, later = PLAIN.encode("dog"), PLAIN.encode("The dog")
    assert later[-len(first) :] == first
    assert LOWER.encode("dog") == LOWER.encode("Dog")
    assert PLAIN.encode("") == []


def test_a_vocabulary_without_the_leading_space_still_works(tmp_path):
    file = tmp_path / "tokenizer.json"
    PLAIN.save(file)
    stored = json.loads(file.read_text())
    stored["normalizer"], stored["decoder"] = None, stored["decoder"]["decoders"][0]
    file.write_text(json.dumps(stored))
    before = Tokenizer.load(file)
    assert before.decode(before.encode(" The dog")) == " The dog"
    assert "".join(before.pieces(before.encode("The dog"))) == "The dog"


def test_merges_never_cross_a_space():
    merged = Tokenizer.train(["of the"] * 50, 400)
    assert merged.pieces(merged.encode("of the")) == [" of", " the"]


def test_training_is_the_same_in_every_process(tmp_path):
    code = (
        "import sys; from annotated.data.tokenizer import Tokenizer\n"
        "lines = [f'{a}{b}{c} {c}{a}' for a in 'abcd' for b in 'efgh' for c in 'aeio'] * 2\n"
        "Tokenizer.train(lines, 420).save(sys.argv[1])"
    )
    for i, threads in enumerate(["true", "false", "true"]):
        environment = {**os.environ, "PYTHONHASHSEED": str(i), "TOKENIZERS_PARALLELISM": threads}
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / str(i))], env=environment, check=True
        )
    first, *others = [(tmp_path / str(i)).read_bytes() for i in range(3)]
    assert len(json.loads(first)["model"]["merges"]) > 50
    assert others == [first, first]


# Files


@pytest.mark.parametrize("tokenizer", [PLAIN, LOWER])
@given(text=TEXT)
@settings(max_examples=20, deadline=None)
def test_loaded_vocabulary_is_the_saved_one(tmp_path_factory, tokenizer, text):
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.json"
    tokenizer.save(path)
    loaded = Tokenizer.load(path)
    assert len(loaded) == len(tokenizer)
    for line in [*LINES, text, "<pad> is text"]:
        assert loaded.encode(line) == tokenizer.encode(line)
        assert loaded.decode(loaded.encode(line)) == tokenizer.decode(tokenizer.encode(line))


def test_file_is_json_and_saving_leaves_nothing_else(tmp_path):
    path = tmp_path / "vocabulary.json"
    PLAIN.save(str(path))
    assert json.loads(path.read_text(encoding="utf-8"))["model"]["type"] == "BPE"
    PLAIN.save(path)
    assert list(tmp_path.iterdir()) == [path]


def test_missing_file_is_named(tmp_path):
    with pytest.raises(TokenizerError, match="vocabulary.json is missing"):
        Tokenizer.load(tmp_path / "vocabulary.json")


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"not JSON", b"\xff\xfe", b'{"version": "1.0"}', PLAIN.bpe.to_str()[:-900]]
)
def test_damaged_file_is_one_sentence(tmp_path, data):
    path = tmp_path / "vocabulary.json"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(TokenizerError) as error:
        Tokenizer.load(path)
    message = str(error.value)
    assert "vocabulary.json" in message and "\n" not in message and len(message) < 400


def test_folder_in_place_of_a_file_is_one_sentence(tmp_path):
    with pytest.raises(TokenizerError, match="damaged or no vocabulary"):
        Tokenizer.load(tmp_path)


def foreign() -> dict[str, str]:
    """Vocabularies that the library reads and that are not of our kind."""
    ours = json.loads(PLAIN.bpe.to_str())
    no_decoder = {**ours, "decoder": None}
    no_splitting = {**ours, "pre_tokenizer": {"type": "Whitespace"}}
    swapped = json.loads(PLAIN.bpe.to_str().replace("<bos>", "<?>").replace("<eos>", "<bos>"))
    words = tokenizers.Tokenizer(models.WordLevel({"<pad>": 0, "<bos>": 1, "<eos>": 2}, "<eos>"))
    empty = tokenizers.Tokenizer(models.BPE())
    return {
        "decoder": json.dumps(no_decoder),
        "splitting": json.dumps(no_splitting),
        "specials": json.dumps(swapped),
        "model": words.to_str(),
        "bytes": empty.to_str(),
    }


@pytest.mark.parametrize("kind", foreign())
def test_foreign_vocabulary_is_refused(tmp_path, kind):
    path = tmp_path / "tokenizer.json"
    path.write_text(foreign()[kind], encoding="utf-8")
    with pytest.raises(TokenizerError, match="tokenizer.json is a vocabulary of another kind"):
        Tokenizer.load(path)


def test_lowering_agrees_with_unicode_where_python_knows_the_character():
    assert unicodedata.category("İ") == "Lu"
    assert LOWER.decode(LOWER.encode("İ")) == "İ".lower()


def test_a_word_keeps_its_hyphens_and_nothing_else_inside_it():
    lines = ["the black-and-white T-Shirt of a 3-year-old, - he said -"] * 3
    tokenizer = Tokenizer.train(lines, 400)
    pieces = tokenizer.pieces(tokenizer.encode(lines[0]))
    assert {" black-and-white", " T-Shirt", " 3", "-", "year-old", ",", " -"} <= set(pieces)
    assert tokenizer.decode(tokenizer.encode(lines[0])) == lines[0]


def test_a_vocabulary_with_another_rule_for_words_is_read_as_it_is(tmp_path):
    bpe = Tokenizer.train(["T-Shirt"] * 3, 300).bpe
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # cuts at hyphens
    Tokenizer(bpe).save(tmp_path / "tokenizer.json")
    tokenizer = Tokenizer.load(tmp_path / "tokenizer.json")
    assert "-" in tokenizer.pieces(tokenizer.encode("T-Shirt"))
