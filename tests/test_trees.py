"""Trees: read, each failure in one sentence with its line; cleaned; the treebanks."""

import os
from pathlib import Path

import pytest

from annotated.data import toy
from annotated.data.corpora import CorpusError
from annotated.evidence import trees
from annotated.evidence.trees import (
    Tree,
    bare,
    cleaned,
    craft_lines,
    read_trees,
    treebank,
    treebank_files,
    without_headings,
)

DOG = "(S (NP (DT the) (NN dog)) (VP (VBZ sings)) (. .))"
CRAFT = Path(os.environ.get("ANNOTATED_DATA", "")) / "craft_treebank" / "dev.trees.gz"
with_craft = pytest.mark.skipif(not CRAFT.is_file(), reason="CRAFT is not at hand")


def tree(text: str) -> Tree:
    [only] = read_trees(text.split("\n"))
    return only


def test_a_tree_has_words_tags_and_nodes():
    dog = tree(DOG)
    assert dog.label == "S" and len(dog.children) == 3
    assert dog.leaves() == "the dog sings .".split()
    assert dog.tags() == "DT NN VBZ .".split()
    assert [node.label for node in dog.nodes()] == "S NP DT NN VP VBZ .".split()
    assert dog == Tree(
        "S",
        (
            Tree("NP", (Tree("DT", ("the",)), Tree("NN", ("dog",)))),
            Tree("VP", (Tree("VBZ", ("sings",)),)),
            Tree(".", (".",)),
        ),
    )


@pytest.mark.parametrize("text", [DOG, "(NN dog)", "( (NP (NN a)) (. .))"])
def test_what_is_printed_reads_the_same(text):
    assert str(tree(text)) == text


def test_a_root_without_a_label_is_left_out():
    assert tree(f"( {DOG} )") == tree(f"({DOG})") == tree(DOG)


def test_a_tree_may_span_lines_and_lines_may_be_empty():
    lines = ["", "( (S", "    (NP (DT the)", "(NN dog))", " (VP (VBZ sings)) (. .)) )", "", DOG]
    assert list(read_trees(lines)) == [tree(DOG)] * 2


def test_only_ascii_white_space_ends_a_word():
    assert tree("(NN a\u2009b\u00a0c)").leaves() == ["a\u2009b\u00a0c"]


def test_any_depth():
    deep = tree("(S " * 5000 + "(NN dog)" + ")" * 5000)
    assert deep.leaves() == ["dog"] and len(list(deep.nodes())) == 5001
    assert str(deep).count("(S") == 5000


@pytest.mark.parametrize(
    ("lines", "line", "words"),
    [
        (["(S (NP (DT the) (NN dog))"], 1, "lacks 1 of its closing"),
        ([DOG, "", "(S (NP (DT the)", "(NN dog)"], 3, "lacks 2 of its closing"),
        ([DOG, DOG + ")"], 2, "')' stands outside"),
        ([DOG, "dog"], 2, "'dog' stands outside"),
        (["()"], 1, "empty"),
        ([DOG, "(S (NP ) (VP (VBZ sings)))"], 2, "NP has no word"),
        (["(S (NP (DT the) (NN)))"], 1, "NN has no word"),
        (["(S () (NN dog))"], 1, "empty"),
        ([DOG, f"{DOG} {DOG}"], 2, "second tree"),
        (["(S (NP (DT the)", f"(NN dog))) {DOG}"], 2, "second tree"),
        (["(S (NP the (NN dog)))"], 1, "NP holds 'the'"),
        (["(S (NP the dog))"], 1, "NP holds 'the'"),
        ([f"( (S (NP (DT the) (NN dog)) ( {DOG} ) )"], 1, "no label"),
    ],
)
def test_what_is_no_tree_is_told_in_a_sentence_with_its_line(lines, line, words):
    with pytest.raises(CorpusError) as error:
        list(read_trees(lines, "my.mrg"))
    message = str(error.value)
    assert message.startswith(f"my.mrg, line {line}: ") and words in message
    assert "\n" not in message and len(message) < 150


def test_cleaning_removes_empty_elements_and_function_tags():
    raw = "(S (NP-SBJ-1 (PRP we)) (VP (VBD ran) (NP=2 (-NONE- *)) (S-ADV (NP (-NONE- *T*-1)))))"
    assert str(cleaned(tree(raw))) == "(S (NP (PRP we)) (VP (VBD ran)))"


def test_cleaning_keeps_names_that_have_hyphens_and_unary_chains():
    raw = "(NP (NP-1 (-LRB- -LRB-) (NN a) (HYPH -) (NN b-c=d) (-RRB- -RRB-)))"
    clean = cleaned(tree(raw))
    assert str(clean) == raw.replace("NP-1", "NP")
    assert cleaned(clean) == clean


def test_a_label_before_its_function_tags():
    labels = ["NP", "NP-SBJ-1", "NP=2", "PRT|ADVP", "-LRB-"]
    assert [bare(label) for label in labels] == ["NP", "NP", "NP", "PRT", "-LRB-"]


def test_a_tree_of_nothing_is_none():
    assert cleaned(tree("(S (NP (-NONE- *)) (VP (-NONE- *?*)))")) is None


def test_the_toy_trees_are_those_of_its_pairs():
    bank, pairs = treebank("toy"), toy.splits()
    assert bank.keys() == pairs.keys()
    for found, pair in zip(bank["test"], pairs["test"], strict=True):
        assert found.leaves() == list(pair.source) and str(found) == pair.tree
        assert cleaned(found) == found


@with_craft
def test_craft_has_as_many_trees_as_its_readme_says():
    bank = treebank("craft")
    assert {split: len(each) for split, each in bank.items()} == {
        "train": 18951,
        "validation": 2780,
    }
    labels = {node.label for each in bank.values() for one in each for node in one.nodes()}
    assert not any("=" in label or "-" in label[1:-1] for label in labels)
    assert "-NONE-" not in labels and {"-LRB-", "HYPH", "CAPTION"} <= labels
    some = treebank("craft", headings=False)["validation"]
    assert some == without_headings(bank["validation"]) and len(some) == 1854
    again = list(read_trees(map(str, bank["validation"])))
    assert again == bank["validation"]


def test_another_name_is_told():
    with pytest.raises(CorpusError, match="no treebank 'wsj': take craft or toy"):
        treebank("wsj")


def test_articles_are_put_together_and_checked(tmp_path, monkeypatch):
    """As they come from the network, an article a file."""
    for article in ("a", "b"):
        (tmp_path / f"{article}.tree").write_text(f"( {DOG} )\n")
    monkeypatch.delenv("ANNOTATED_DATA", raising=False)
    monkeypatch.setattr(trees, "CRAFT_ARTICLES", {"dev.trees": ["a", "b"]})
    monkeypatch.setattr(trees, "fetch", lambda remote, names: [tmp_path / name for name in names])
    with pytest.raises(CorpusError, match="SHA-256 differs"):
        craft_lines("dev.trees")
    whole = trees.hashlib.sha256(f"( {DOG} )\n".encode() * 2).hexdigest()
    monkeypatch.setitem(trees.CRAFT.files, "dev.trees", whole)
    assert list(read_trees(craft_lines("dev.trees"))) == [tree(DOG)] * 2


def test_files_of_ones_own(tmp_path):
    train, dev = tmp_path / "a.mrg", tmp_path / "b.mrg"
    train.write_text("( (S (NP-SBJ (PRP we))\n     (VP (VBD ran) (NP (-NONE- *)))) )\n")
    dev.write_text(DOG)
    assert treebank_files([train], [dev]) == {
        "train": [tree("(S (NP (PRP we)) (VP (VBD ran)))")],
        "validation": [tree(DOG)],
    }
    assert treebank_files([train, dev])["validation"] == []
    dev.write_text("\n\n")
    with pytest.raises(CorpusError, match="b.mrg holds no trees"):
        treebank_files([train], [dev])
    dev.write_text("\n(S")
    with pytest.raises(CorpusError, match=r"b.mrg, line 2: "):
        treebank_files([train], [dev])
    with pytest.raises(CorpusError, match="is missing"):
        treebank_files([tmp_path / "none"])
