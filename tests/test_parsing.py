"""Parsing: trees as sequences and back, their vocabulary, and a search that writes nothing else."""

import os
import random
import re
import statistics
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from annotated.data.batching import encode_pairs, pad_sequences
from annotated.data.tokenizer import BOS, EOS, Tokenizer, TokenizerError
from annotated.evidence.parsing import (
    IN_A_ROW,
    ParsingConfig,
    TreeTokenizer,
    WellFormed,
    by_length,
    linearize,
    parse,
    tree_corpus,
    tree_of,
    well_formed,
    written,
)
from annotated.evidence.trees import Tree, read_trees, treebank
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.translation.search import SearchConfig, beam_search

DOG = "(S (NP (DT The) (NN dog)) (VP (VBZ sleeps)) (. .))"
SYMBOLS = "(S (NP DT NN )NP (VP VBZ )VP . )S".split()


def tree(text):
    [found] = read_trees([text])
    return found


def test_a_tree_is_its_brackets_and_tags():
    assert linearize(tree(DOG)) == SYMBOLS
    assert str(tree_of("The dog sleeps .".split(), SYMBOLS)) == DOG


def test_a_word_may_look_like_a_bracket_and_a_root_may_have_no_label():
    words, symbols = ["-LRB-", "NN", "-RRB-"], ["(", "-LRB-", "NN", "(NP", "-RRB-", ")NP", ")"]
    assert linearize(tree_of(words, symbols)) == symbols
    assert tree_of(["(S", ")"], ["(X", "NN", "NN", ")X"]).leaves() == ["(S", ")"]


@pytest.mark.parametrize("branching", ["left", "right", "unary"])
def test_no_depth_is_too_deep(branching):
    made = Tree("NN", ("w",))
    for _ in range(5000):
        word = Tree("NN", ("w",))
        parts = {"left": (made, word), "right": (word, made), "unary": (made,)}[branching]
        made = Tree("NP", parts)
    symbols = linearize(made)
    again = tree_of(["w"] * symbols.count("NN"), symbols)
    assert linearize(again) == symbols and well_formed(symbols, symbols.count("NN"))


def round_trips(trees):
    for each in trees:
        again = tree_of(each.leaves(), linearize(each))
        assert again == each and well_formed(linearize(each), len(each.leaves()))
    return len(trees)


def test_every_toy_tree_comes_back():
    assert sum(round_trips(trees) for trees in treebank("toy").values()) == 21_600


@pytest.mark.skipif("ANNOTATED_DATA" not in os.environ, reason="needs CRAFT, in ANNOTATED_DATA")
def test_every_craft_tree_comes_back():
    bank = treebank("craft")
    assert [round_trips(trees) for trees in bank.values()] == [18_951, 2_780]
    rows = [most_in_a_row(linearize(tree)) for trees in bank.values() for tree in trees]
    assert max(rows) < IN_A_ROW  # none that the rule forbids
    symbols = [len(linearize(tree)) + 1 for tree in bank["train"]]  # with EOS, as the page counts
    assert (statistics.median(symbols), max(symbols)) == (61, 943)
    assert sum(count > 256 for count in symbols) == 34  # and one more is too long as words


MENDED = {
    "": "(S (NN a) (NN b))",  # nothing at all
    "(S DT NN": "(S (DT a) (NN b))",  # not closed
    "(S (NP DT )S": "(S (NP (DT a)) (NN b))",  # a bracket closes what is in it; a word is left
    "(S DT )NP NN )S": "(S (DT a) (NN b))",  # closes nothing
    "(S DT NN VBZ . )S": "(S (DT a) (NN b))",  # more tags than words
    "(S (NP )NP DT NN )S": "(S (DT a) (NN b))",  # an empty constituent
    "(S (NP (VP )VP )NP )S": "(S (NN a) (NN b))",
    "(NP DT )NP (VP VBZ )VP": "(S (NP (DT a)) (VP (VBZ b)))",  # two roots
    "DT NN": "(S (DT a) (NN b))",  # none
    ")S )S (NP DT NN )NP": "(NP (DT a) (NN b))",
    "(S DT )S NN": "(S (S (DT a)) (NN b))",
}


@pytest.mark.parametrize("symbols", MENDED)
def test_a_broken_sequence_is_mended(symbols):
    symbols = symbols.split()
    assert str(tree_of(["a", "b"], symbols)) == MENDED[" ".join(symbols)]
    assert not well_formed(symbols, 2)


def test_what_is_no_symbol_is_left_out_and_not_well_formed():
    assert str(tree_of(["a"], ["(S", None, "DT", ")S"])) == "(S (DT a))"
    assert not well_formed(["(S", None, "DT", ")S"], 1) and well_formed(["(S", "DT", ")S"], 1)


def test_a_single_tag_is_a_tree():
    assert tree_of(["a"], ["DT"]) == Tree("DT", ("a",)) and well_formed(["DT"], 1)


def test_no_words_no_tree():
    with pytest.raises(ValueError, match="a tree has at least one word"):
        tree_of([], SYMBOLS)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(["(S", ")S", "(NP", ")NP", "(", ")", "NN", "DT", None])),
    st.integers(1, 6),
)
def test_whatever_is_written_the_tree_has_all_words_and_is_stable(symbols, n):
    words = [f"w{i}" for i in range(n)]
    found = tree_of(words, symbols)
    assert found.leaves() == words
    assert tree_of(words, linearize(found)) == found
    assert well_formed(symbols, n) == (symbols == linearize(found))


TOY = treebank("toy")
PAIRS = tree_corpus("toy", {"train": TOY["train"][:500]}).splits["train"]


@pytest.fixture(scope="module")
def tokenizer():
    return TreeTokenizer.learn(PAIRS, 600)


def test_a_corpus_of_trees_is_one_of_pairs():
    corpus = tree_corpus("toy", TOY)
    assert corpus.pair == "en-trees" and corpus.tests() == ["test", "test_longer", "test_unseen"]
    words, symbols = corpus.splits["test"][0]
    assert tree_of(words.split(), symbols.split()) == TOY["test"][0]


def test_each_symbol_is_one_token_and_no_text_is_encoded_to_it(tokenizer):
    assert len(tokenizer) == 600
    names = {symbol for _, line in PAIRS for symbol in line.split()}
    assert {*filter(None, tokenizer.symbols(range(600)))} == names
    for words, symbols in PAIRS[:50]:
        source, target = tokenizer.encode_pair(words, symbols)
        assert source == tokenizer.encode(words) and tokenizer.symbols(source) == [None] * len(
            source
        )
        assert tokenizer.symbols(target) == symbols.split()
        assert tokenizer.decode(source) == words
    for text in " ".join(names), "".join(names), " NN", " (S":
        ids = tokenizer.encode(text)
        assert not any(tokenizer.symbols(ids)) and tokenizer.decode(ids).strip() == text.strip()


def test_the_vocabulary_is_saved_as_any_other(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "t.json")
    plain, again = (kind.load(tmp_path / "t.json") for kind in (Tokenizer, TreeTokenizer))
    for other in again, TreeTokenizer.over(plain):
        assert encode_pairs(PAIRS, other) == encode_pairs(PAIRS, tokenizer)
        assert other.encode(" NN (S") == tokenizer.encode(" NN (S")
    assert not TreeTokenizer.over(Tokenizer.train(["a b"], 300)).names


def test_a_symbol_that_training_has_not_seen_is_left_out(tokenizer):
    assert tokenizer.symbols(tokenizer.encode_pair("a", "(S (XYZ NN )XYZ )S")[1]) == [
        "(S",
        "NN",
        ")S",
    ]


def test_too_small_a_vocabulary_is_said():
    with pytest.raises(TokenizerError, match="has .* ids or more, not 270"):
        TreeTokenizer.learn(PAIRS, 270)


def test_words_are_counted_by_the_pieces_that_begin_them(tokenizer):
    rule = WellFormed(tokenizer)
    for words, _ in PAIRS[:100]:
        odd = words + " -LRB- 3,000 naïve/β-cells x² ''"
        ids = torch.tensor(tokenizer.encode(odd))
        assert rule.begins[ids].sum() == len(odd.split())


@pytest.fixture(scope="module")
def model(tokenizer):
    return untrained(tokenizer)


def untrained(tokenizer, seed=0):
    torch.manual_seed(seed)
    sizes = TransformerConfig(len(tokenizer), layers=1, d_model=16, d_ff=32, heads=2, dropout=0.0)
    model = Transformer(sizes).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model


SENTENCES = [words.split() for words, _ in PAIRS[:6]] + [["dog"]]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("config", [(1, 0.0, 2), (4, 0.6, 5), (21, 0.3, 40), (7, 1.0, 100)])
def test_a_model_that_knows_nothing_writes_trees_all_the_same(tokenizer, seed, config):
    search = ParsingConfig(*config)
    for words, symbols in zip(
        SENTENCES, written(untrained(tokenizer, seed), tokenizer, SENTENCES, search), strict=True
    ):
        assert symbols and well_formed(symbols, len(words))
        assert symbols[0].startswith("(") and most_in_a_row(symbols) <= 10
        assert len(symbols) + 1 <= len(tokenizer.encode(" ".join(words))) + 1 + search.extra


def most_in_a_row(symbols):
    """The longest row of opening brackets."""
    kinds = "".join(symbol[0] for symbol in symbols)
    return max(map(len, re.findall(r"\(+", kinds)))


def test_a_model_that_wants_brackets_gets_ten_in_a_row(tokenizer):
    """Nothing but the rule keeps it from opening brackets for ever."""
    rule, here = WellFormed(tokenizer), torch.zeros(1, 1, dtype=torch.int64)
    ids = torch.tensor([[*tokenizer.encode("The dog sleeps ."), EOS]])
    state, token, opened = rule(ids, torch.tensor([400]), 1), torch.tensor([[BOS]]), 0
    while (state.step(token, here)[0, 0] & rule.opens).any():
        token, opened = torch.tensor([[tokenizer.ids["(NP"]]]), opened + 1
    assert opened == 10
    for name in "NN", ")NP", "(NP":
        allowed = state.step(torch.tensor([[tokenizer.ids[name]]]), here)[0, 0]
        assert (allowed & rule.opens).any()


def test_without_the_rule_it_writes_anything_and_gets_a_tree_all_the_same(tokenizer, model):
    search, free = ParsingConfig(2, 0.6, 5), ParsingConfig(2, 0.6, 5, free=True)
    found = written(model, tokenizer, SENTENCES, free)
    assert not any(well_formed(s, len(w)) for s, w in zip(found, SENTENCES, strict=True))
    trees = parse(model, tokenizer, SENTENCES, free)
    assert [found.leaves() for found in trees] == SENTENCES
    assert [linearize(t) for t in parse(model, tokenizer, SENTENCES, search)] == written(
        model, tokenizer, SENTENCES, search
    )


def test_how_sentences_are_grouped_changes_nothing(tokenizer, model):
    search = ParsingConfig(3, 0.6, 9)
    alone = [parse(model, tokenizer, [words], search)[0] for words in SENTENCES]
    assert parse(model, tokenizer, SENTENCES, search) == alone
    assert parse(model, tokenizer, [], search) == []


def test_what_there_is_no_room_for_is_said(tokenizer, model):
    with pytest.raises(ValueError, match="extra is 2 or more"):
        parse(model, tokenizer, SENTENCES, ParsingConfig(2, 0.6, 1))


def test_the_papers_settings_are_the_defaults():
    assert ParsingConfig() == ParsingConfig(21, 0.3, 300, free=False)


def test_learned_positions_are_not_overrun(tokenizer):
    sizes = TransformerConfig(
        600, 1, 16, 16, heads=2, positions="learned", max_length=40, dropout=0.0
    )
    model = Transformer(sizes).eval()
    with pytest.raises(ValueError, match="8 tokens and 33 more are beyond 40 positions"):
        parse(model, tokenizer, [["dog"] * 7], ParsingConfig(2, 0.6, 33))
    assert parse(model, tokenizer, [["dog"] * 7], ParsingConfig(2, 0.6, 32))[0].leaves()


def test_brackets_are_counted_by_length():
    gold = [tree_of(["a"] * n, ["(S", *["NN"] * n, ")S"]) for n in (1, 10, 11, 41, 300)]
    wrong = [tree_of(["a"] * n, ["(X", *["NN"] * n, ")X"]) for n in (1, 10, 11, 41, 300)]
    counts = by_length(gold, [wrong[0], *gold[1:]])
    assert {name: (each.sentences, each.f1) for name, each in counts.items()} == {
        "1 to 10": (2, 50.0),
        "11 to 20": (1, 100.0),
        "41 to 60": (1, 100.0),
        "over 60": (1, 100.0),
    }


def strings(labels, tags, words, longest):
    """Every sequence of symbols up to a length that is a tree in brackets of so many words."""
    found, waiting = [], [[]]
    symbols = [*(f"({x}" for x in labels), *(f"){x}" for x in labels), *tags]
    while waiting:
        one = waiting.pop()
        if one and one[0][0] == "(" and well_formed(one, words):
            found.append(one)
        if len(one) < longest:
            waiting += [[*one, symbol] for symbol in symbols]
    return found


def test_all_trees_are_allowed_and_nothing_else():
    """Every tree of two words with up to seven symbols, by a beam that loses nothing."""
    tokenizer = TreeTokenizer.learn([("ab cd", "(A (B x y )B )A")], 300)
    every = strings("AB", "xy", words=2, longest=7)
    assert len(every) == (2 + 3 * 4) * 4  # shapes by labels, by tags
    model = untrained(tokenizer)
    source = pad_sequences([[*tokenizer.encode("ab cd"), EOS]])
    extra = 8 - source.size(1)
    found = beam_search(model, source, SearchConfig(4000, 0.0, extra), 4000, WellFormed(tokenizer))
    assert sorted(tokenizer.symbols(one.ids) for one in found[0]) == sorted(every)


def test_a_rule_follows_its_hypotheses(tokenizer):
    """Allowed after a prefix is the same in whichever slot the prefix has come to stand."""
    rule, draw = WellFormed(tokenizer), random.Random(0)
    source = pad_sequences([[*tokenizer.encode("The dog sleeps ."), EOS]] * 2)
    limit = torch.tensor([30, 40])
    state = rule(source, limit, 3)
    token, parent = torch.full((2, 3), BOS), torch.arange(3).expand(2, 3)
    histories = [[[BOS]] * 3, [[BOS]] * 3]
    for _ in range(12):
        allowed = state.step(token, parent)
        for row, histories_of in enumerate(histories):
            for slot, history in enumerate(histories_of):
                fresh = rule(source[:1], limit[row : row + 1], 1)
                for each in history:
                    expected = fresh.step(torch.tensor([[each]]), torch.tensor([[0]]))
                assert torch.equal(allowed[row, slot], expected[0, 0])
        parent = torch.tensor([[draw.randrange(3) for _ in range(3)] for _ in range(2)])
        token = torch.tensor(
            [
                [
                    draw.choice(allowed[row, parent[row, slot]].nonzero()[:, 0].tolist())
                    for slot in range(3)
                ]
                for row in range(2)
            ]
        )
        if (token == EOS).any():
            break
        histories = [
            [[*histories[row][parent[row, slot]], int(token[row, slot])] for slot in range(3)]
            for row in range(2)
        ]
    assert len(histories[0][0]) > 4
    state.select(torch.tensor([1]))
    assert state.step(token[1:], parent[1:]).shape == (1, 3, 600)


def test_the_first_trees_are_read_without_the_rest():
    assert next(islice(read_trees([DOG, "((("]), 1)) == tree(DOG)
