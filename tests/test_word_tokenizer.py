"""Words: whole words as tokens, a torchtext vocabulary among them.

The tests whose names begin with test_torchtext compare with torchtext itself. They run where it can
be imported: `make test-torchtext`.
"""

import gzip
import hashlib
import io
import json
import os
import random
import tarfile
import types
from collections import Counter
from functools import partial
from itertools import chain, repeat
from pathlib import Path

import pytest
import sacrebleu
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from annotated.data import toy
from annotated.data.batching import collate, encode_pairs
from annotated.data.steps import stream
from annotated.data.tokenizer import BOS, EOS, PAD, Tokenizer, TokenizerError
from annotated.data.word_tokenizer import (
    FIRST,
    SPLITS,
    UNK,
    WordTokenizer,
    basic_english,
    load_tokenizer,
    name_of,
    read_words,
)
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.training.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from annotated.training.loop import Run, TrainingConfig, train
from annotated.translation.scores import bleu
from annotated.translation.search import translate

try:
    import torchtext

    torchtext.disable_torchtext_deprecation_warning()
    import torchtext.data.metrics
    import torchtext.datasets
    import torchtext.vocab
except (ImportError, OSError):  # not installed, or not made for this torch
    torchtext = None

needs_torchtext = pytest.mark.skipif(torchtext is None, reason="torchtext is not here")

PAIRS = [(pair.english, pair.german) for pair in toy.generate(60, seed=1)]
LINES = [side for pair in PAIRS for side in pair]
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
MARKED = st.text(st.sampled_from("aB'\".,()!?;:<br />Ä \t\n\x85\u2028İ"))


class Vocab:
    """The methods of torchtext.vocab.Vocab that are asked for."""

    def __init__(self, words, default=None):
        self.words, self.default = words, default

    def get_itos(self):
        return self.words

    def get_default_index(self):
        return self.default


def commas(text):
    return text.split(",")


@pytest.fixture
def tokenizer():
    return WordTokenizer(["the", "dog", "sleeps", "der", "Hund"], str.split)


# Splitting


def test_basic_english_by_hand():
    text = 'He said: "don\'t (ever) go, Anna!" Why?<br />So;what...'
    assert basic_english(text) == [
        *["he", "said", "don", "'", "t", "(", "ever", ")", "go", ",", "anna", "!"],
        *["why", "?", "so", "what", ".", ".", "."],
    ]
    assert basic_english(" \n") == []
    assert basic_english('a<br" />b') == ["a", "b"]  # the quotation mark goes first


@needs_torchtext
@given(TEXT | MARKED)
@example("<BR />x<br/>y<br\t/>z<br;/>")
@example('<br" />"<br" "/>')
@example("<br' />.<br. />'' ..")
@settings(max_examples=500, deadline=None)
def test_torchtext_splits_as_we_do(text):
    get = torchtext.data.utils.get_tokenizer
    assert basic_english(text) == get("basic_english")(text)
    assert str.split(text) == get(None)(text)


# Ids and words


def test_ids_by_hand(tokenizer):
    assert FIRST == ["<pad>", "<bos>", "<eos>", "<unk>"] and UNK == 3
    assert len(tokenizer) == 9
    assert tokenizer.encode("the dog sings") == [4, 5, 3]
    assert tokenizer.decode([BOS, 4, 5, EOS, PAD, PAD]) == "the dog"
    assert tokenizer.decode([4, UNK]) == "the <unk>"
    assert tokenizer.pieces([BOS, 8, UNK, EOS]) == ["<bos>", "Hund", "<unk>", "<eos>"]
    assert tokenizer.encode("") == [] and tokenizer.decode([]) == ""
    assert tokenizer.decode(iter([4])) == "the"


def test_no_text_becomes_a_special_id(tokenizer):
    assert tokenizer.encode("<pad> <bos> <eos> <unk>") == [UNK] * 4
    assert tokenizer.decode([UNK] * 4) == " ".join(["<unk>"] * 4)


@given(TEXT)
@settings(deadline=None)
def test_ids_are_ordinary_and_within_the_vocabulary(text):
    words = WordTokenizer(["a", "b"], basic_english)
    assert all(UNK <= i < len(words) for i in words.encode(text))


def test_known_words_come_back():
    words = WordTokenizer.train(LINES, 10_000)
    for line in LINES:
        assert words.decode(words.encode(line)) == line


@pytest.mark.parametrize("i", [-1, 9])
def test_an_id_outside_is_refused(tokenizer, i):
    with pytest.raises(TokenizerError, match=f"id {i} is outside the vocabulary of 9"):
        tokenizer.decode([4, i])


def test_half_a_surrogate_pair_is_refused(tokenizer):
    with pytest.raises(TokenizerError, match="surrogate"):
        tokenizer.encode("the \ud800")


@pytest.mark.parametrize("words", [["a", "b", "a"], ["a", "<pad>"]])
def test_a_word_twice_is_refused(words):
    with pytest.raises(TokenizerError, match="twice"):
        WordTokenizer(words, str.split)


# From a vocabulary


def test_special_words_move_and_the_others_keep_their_order():
    vocab = Vocab(["<unk>", "<pad>", "<bos>", "<eos>", "the", "dog"], 0)
    words = WordTokenizer.from_torchtext(vocab, str.split)
    assert words.words == [*FIRST, "the", "dog"]


def test_special_words_in_our_order_keep_every_id():
    vocab = Vocab([*FIRST, "the", "dog"], UNK)
    assert WordTokenizer.from_torchtext(vocab, str.split).words == vocab.words


def test_other_names_and_places_of_special_words():
    vocab = Vocab(["the", "dog", "[PAD]", "<s>", "</s>", "[UNK]"], 5)
    words = WordTokenizer.from_torchtext(vocab, str.split, ["[PAD]", "<s>", "</s>"])
    assert words.words == [*FIRST, "the", "dog"]
    assert words.encode("[UNK] <s> dog") == [UNK, UNK, 5]


@pytest.mark.parametrize("default", [None, -1, 2])
def test_a_vocabulary_without_an_id_for_unknown_words(default):
    words = WordTokenizer.from_torchtext(Vocab(["the", "dog"], default), str.split)
    assert words.words == [*FIRST, "the", "dog"]
    assert words.encode("the cat") == [4, UNK]


@needs_torchtext
@pytest.mark.parametrize("name", [None, "basic_english"])
@pytest.mark.parametrize("first", [True, False])
def test_torchtext_vocabulary_gives_the_same_words(name, first):
    split = torchtext.data.utils.get_tokenizer(name)
    vocab = torchtext.vocab.build_vocab_from_iterator(
        map(split, LINES[:80]),
        min_freq=2,
        specials=["<unk>", "<pad>", "<bos>", "<eos>"],
        special_first=first,
    )
    vocab.set_default_index(vocab["<unk>"])
    words = WordTokenizer.from_torchtext(vocab, split)
    assert len(words) == len(vocab)
    unknown = 0
    for line in LINES:
        theirs = vocab.lookup_tokens(vocab(split(line)))
        assert words.pieces(words.encode(line)) == theirs
        unknown += theirs.count("<unk>")
    assert unknown > 10


@needs_torchtext
@pytest.mark.parametrize("default", [None, -1, 0])
def test_torchtext_vocabulary_with_no_unk(default):
    vocab = torchtext.vocab.build_vocab_from_iterator([["b", "a", "a"]])
    if default is not None:
        vocab.set_default_index(default)
    words = WordTokenizer.from_torchtext(vocab, str.split)
    assert words.words == ([*FIRST, "b"] if default == 0 else [*FIRST, "a", "b"])


# Counted words


def test_the_most_frequent_words_by_hand():
    words = WordTokenizer.train(["b a b", "<pad> c c a <pad>", "D"], 7)
    assert words.words == [*FIRST, "a", "b", "c"]
    assert WordTokenizer.train(["b a b", "c c a", "D"], 100).words == [*FIRST, *"abcD"]
    assert WordTokenizer.train(["B, b", "D"], 100, lowercase=True).words == [*FIRST, "b", ",", "d"]


def test_a_vocabulary_without_words_is_refused():
    with pytest.raises(TokenizerError, match="5 ids or more, not 4"):
        WordTokenizer.train(LINES, 4)


@needs_torchtext
@pytest.mark.parametrize("size", [50, 100, 10_000])
def test_torchtext_counts_as_we_do(size):
    vocab = torchtext.vocab.build_vocab_from_iterator(
        map(basic_english, LINES), specials=FIRST, max_tokens=size
    )
    assert WordTokenizer.train(LINES, size, lowercase=True).words == vocab.get_itos()


# Files


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_a_saved_tokenizer_is_the_same(tmp_path, split):
    words = WordTokenizer(["ä", 'quo"te', "\\", "\x85", "日本"], split)
    words.save(tmp_path / "words.json")
    for loaded in (
        WordTokenizer.load(tmp_path / "words.json"),
        load_tokenizer(str(tmp_path / "words.json")),
    ):
        assert loaded.words == words.words and loaded.ids == words.ids
        assert loaded.split is split
    assert [path.name for path in tmp_path.iterdir()] == ["words.json"]


def test_a_function_of_ones_own_is_handed_in(tmp_path):
    words = WordTokenizer(["a b", "c"], commas)
    words.save(tmp_path / "words.json")
    with pytest.raises(TokenizerError, match=r"needs the function .*commas, .*WordTokenizer.load"):
        WordTokenizer.load(tmp_path / "words.json")
    loaded = WordTokenizer.load(tmp_path / "words.json", commas)
    assert loaded.encode("a b,c,d") == [4, 5, UNK]


def test_names_of_functions():
    assert name_of(str.split) == "whitespace" and name_of(basic_english) == "basic_english"
    assert name_of(commas).endswith("test_word_tokenizer.commas")

    def other(text):
        return text.split()

    other.__qualname__ = "basic_english"  # of the same name, but another
    assert name_of(other) not in SPLITS
    assert name_of(partial(commas)) not in SPLITS
    for function in (str.splitlines, "a".split, len, Counter):
        assert name_of(function) not in SPLITS
    theirs = types.SimpleNamespace(
        __module__="torchtext.data.utils", __qualname__="_basic_english_normalize"
    )
    assert name_of(theirs) == "basic_english"


@needs_torchtext
def test_torchtext_functions_are_known_by_name(tmp_path):
    for name, known in [("basic_english", basic_english), (None, str.split)]:
        split = torchtext.data.utils.get_tokenizer(name)
        WordTokenizer(["a"], split).save(tmp_path / "words.json")
        assert WordTokenizer.load(tmp_path / "words.json").split is known


def test_each_kind_of_tokenizer_is_recognized(tmp_path):
    Tokenizer.train(LINES, 300).save(tmp_path / "bpe.json")
    bpe = load_tokenizer(tmp_path / "bpe.json")
    assert type(bpe) is Tokenizer and len(bpe) == 300
    with pytest.raises(TokenizerError, match="no list of words"):
        WordTokenizer.load(tmp_path / "bpe.json")


WHOLE = {"kind": "annotated.words 1", "split": "whitespace", "words": ["a"]}


@pytest.mark.parametrize(
    "content",
    [
        *["", "{", "[]", "3", "null", b"\xff\xfe", "{}"],
        *[{name: WHOLE[name] for name in WHOLE if name != missing} for missing in WHOLE],
        *[{**WHOLE, "words": words} for words in (["a", 3], "a", {"a": 4}, None)],
        {**WHOLE, "split": None},
        {**WHOLE, "kind": "annotated.words 2"},
    ],
    ids=str,
)
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "words.json"
    if isinstance(content, dict):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert read_words(path) is None
    for load in (WordTokenizer.load, load_tokenizer):
        with pytest.raises(TokenizerError, match="words.json"):
            load(path)


def test_a_whole_file_is_not_refused(tmp_path):
    path = tmp_path / "words.json"
    path.write_text(json.dumps(WHOLE))
    assert load_tokenizer(path).encode("a b") == [4, UNK]


def test_a_missing_file_is_named(tmp_path):
    for load in (WordTokenizer.load, load_tokenizer):
        with pytest.raises(TokenizerError, match="none.json is missing"):
            load(tmp_path / "none.json")


def test_words_twice_in_a_file_are_refused(tmp_path):
    path = tmp_path / "words.json"
    path.write_text(json.dumps({**WHOLE, "words": ["a", "a"]}))
    with pytest.raises(TokenizerError, match="twice"):
        load_tokenizer(path)


# In the place of a tokenizer


def learn_by_heart(tokenizer, batches, steps=150):
    torch.manual_seed(1)
    sizes = TransformerConfig(len(tokenizer), 1, 32, 64, heads=2, dropout=0.0)
    config = TrainingConfig(steps=steps, warmup=30, smoothing=0.0, validate_every=steps)
    run = Run(Transformer(sizes), config)
    train(run, batches)
    return run.model


def test_a_model_with_words_learns_is_saved_and_translates(tmp_path):
    few = PAIRS[:6]
    tokenizer = WordTokenizer.train([side for pair in few for side in pair], 1000, lowercase=True)
    encoded = encode_pairs(few, tokenizer)
    model = learn_by_heart(tokenizer, stream(encoded, 60, seed=1))
    save_checkpoint(tmp_path / "run", model, tokenizer, {"steps": 150})
    loaded, words, about = load_checkpoint(tmp_path / "run")
    assert words.words == tokenizer.words and words.split is basic_english
    assert about == {"steps": 150}
    written = translate(loaded, words, [source for source, _ in few])
    expected = [" ".join(basic_english(target)) for _, target in few]
    assert written == expected
    assert bleu(written, expected).value == pytest.approx(100)


def test_a_checkpoint_with_a_function_of_ones_own(tmp_path):
    tokenizer = WordTokenizer(["a", "b"], commas)
    model = Transformer(TransformerConfig(len(tokenizer), 1, 16, 32, 2)).eval()
    save_checkpoint(tmp_path / "run", model, tokenizer)
    with pytest.raises(CheckpointError, match="needs the function .*commas"):
        load_checkpoint(tmp_path / "run")
    read = partial(WordTokenizer.load, split=commas)
    loaded, words, _ = load_checkpoint(tmp_path / "run", read=read)
    assert words.encode("a,c") == [4, UNK]
    assert translate(loaded, words, ["a,b"]) == translate(model, tokenizer, ["a,b"])


def test_an_iterable_of_pairs_is_enough(tokenizer):
    once = (pair for pair in PAIRS)
    assert encode_pairs(once, tokenizer) == encode_pairs(PAIRS, tokenizer)
    pipe = torch.utils.data.datapipes.iter.IterableWrapper(PAIRS)
    assert encode_pairs(pipe, tokenizer) == encode_pairs(PAIRS, tokenizer)


def test_a_loader_of_ones_own_trains():
    words = WordTokenizer.train(LINES, 10_000)
    loader = DataLoader(
        PAIRS[:4], batch_size=2, collate_fn=lambda pairs: collate(encode_pairs(pairs, words))
    )
    model = learn_by_heart(words, chain.from_iterable(repeat(loader)))  # epoch after epoch
    assert translate(model, words, [PAIRS[0][0]]) == [PAIRS[0][1]]


@needs_torchtext
def test_torchtext_pieces_make_a_model(tmp_path):
    """A vocabulary, a splitting function, a dataset, a model: all the way with torchtext's."""
    few = PAIRS[:6]
    split = torchtext.data.utils.get_tokenizer("basic_english")
    pipe = torch.utils.data.datapipes.iter.IterableWrapper(few)
    vocab = torchtext.vocab.build_vocab_from_iterator(
        (split(side) for pair in pipe for side in pair),
        specials=["<unk>", "<pad>", "<bos>", "<eos>"],
    )
    vocab.set_default_index(vocab["<unk>"])
    tokenizer = WordTokenizer.from_torchtext(vocab, split)
    encoded = encode_pairs(pipe, tokenizer)
    model = learn_by_heart(tokenizer, stream(encoded, 60, seed=1))
    save_checkpoint(tmp_path / "run", model, tokenizer)
    loaded, words, _ = load_checkpoint(tmp_path / "run")
    written = translate(loaded, words, [source for source, _ in few])
    assert written == [" ".join(split(target)) for _, target in few]


@needs_torchtext
def test_torchtext_dataset_of_real_captions(tmp_path, monkeypatch):
    """torchtext's own Multi30k on our copy of its files, put where it would download them to."""
    pytest.importorskip("torchdata")
    copy = Path(os.environ.get("ANNOTATED_DATA", "nowhere"), "multi30k")
    if not copy.is_dir():
        pytest.skip("ANNOTATED_DATA has no multi30k")
    home = tmp_path / "datasets" / "Multi30k"
    home.mkdir(parents=True)
    sides = []
    with tarfile.open(home / "validation.tar.gz", "w:gz") as archive:
        for language in ("en", "de"):
            content = gzip.decompress((copy / f"val.{language}.gz").read_bytes())
            sides.append(content.decode("utf-8").splitlines())
            entry = tarfile.TarInfo(f"val.{language}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    sha256 = hashlib.sha256((home / "validation.tar.gz").read_bytes()).hexdigest()
    sums = {**torchtext.datasets.multi30k.MD5, "valid": sha256}
    monkeypatch.setattr("torchtext.datasets.multi30k.MD5", sums)
    dataset = torchtext.datasets.Multi30k(
        root=str(tmp_path), split="valid", language_pair=("en", "de")
    )
    pairs = list(zip(*sides, strict=True))
    words = WordTokenizer.train((side for pair in pairs for side in pair), 2000, lowercase=True)
    encoded = encode_pairs(dataset, words)
    assert len(encoded) == 1014
    assert encoded == encode_pairs(pairs, words)


# BLEU


def corrupted(sentences, seed):
    """Each sentence with about a tenth of its words left out and a fifth of them another's."""
    draw = random.Random(seed)
    return [
        [
            word if draw.random() < 0.8 else draw.choice(words)
            for word in words
            if draw.random() < 0.9
        ]
        for words in sentences
    ]


def sacre(candidates, references, method="none"):
    joined = [[" ".join(tokens) for tokens in side] for side in (candidates, *references)]
    score = sacrebleu.corpus_bleu(
        joined[0], joined[1:], tokenize="none", smooth_method=method, force=True
    )
    return score.score / 100


@needs_torchtext
@pytest.mark.parametrize("seed", range(5))
def test_torchtext_bleu_is_sacrebleus_on_the_same_tokens(seed):
    references = [basic_english(line) for line in LINES]
    candidates = corrupted(references, seed)
    theirs = torchtext.data.metrics.bleu_score(candidates, [[words] for words in references])
    assert 0.1 < theirs < 0.9
    assert theirs == pytest.approx(sacre(candidates, [references]), rel=2e-6)  # theirs is float32


@needs_torchtext
def test_torchtext_bleu_of_two_references():
    references = [basic_english(line) for line in LINES]
    others = [words[::-1] for words in references]  # of equal length: on ties the two part
    candidates = [words[:3] + words[:2:-1] for words in references]  # some of one, some of both
    both = list(zip(references, others, strict=True))
    theirs = torchtext.data.metrics.bleu_score(candidates, both)
    assert theirs > torchtext.data.metrics.bleu_score(candidates, [[words] for words in references])
    assert theirs == pytest.approx(sacre(candidates, [references, others]), rel=2e-6)


@needs_torchtext
def test_torchtext_bleu_is_not_smoothed():
    candidate, reference = ["the", "dog", "sleeps", "now"], ["the", "dog", "sleeps", "here"]
    assert torchtext.data.metrics.bleu_score([candidate], [[reference]]) == 0
    assert sacre([candidate], [[reference]]) == 0
    smoothed = sacre([candidate], [[reference]], "exp")
    assert smoothed == pytest.approx((3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25)
