"""The command line with trees: parsers trained, used and scored."""

import io
import json
import os
import re
import shutil
import sys
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from annotated.cli import parse as command
from annotated.cli import train, translator, trees
from annotated.cli.main import main
from annotated.data.tokenizer import Tokenizer
from annotated.evidence.parsing import TreeTokenizer, linearize
from annotated.evidence.trees import read_trees, treebank
from annotated.folders import steps_in
from annotated.training.checkpoints import load_checkpoint
from annotated.training.progress import read_log

TINY = (
    "--layers 1 --d-model 16 --d-ff 16 --heads 2 --vocab-size 400 --matmul-precision highest "
    "--validate-every 2 --steps 3"
).split()
RUN = "runs/trees-en-trees"
QUICK = ["--beam", "2", "--extra", "5"]


def small(name, headings=True):
    """A few of the toy language's trees, whichever treebank is asked for."""
    return {
        split: toys[: 200 if split == "train" else 5]
        for split, toys in treebank("toy").items()
        if name == "toy" or not split.startswith("test")
    }


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trees, "treebank", small)
    monkeypatch.setattr(translator, "PRETRAINED", tmp_path / "pretrained")


@pytest.fixture(scope="module")
def run_of_trees(tmp_path_factory):
    """A folder with a run in it, and what the command said."""
    folder = tmp_path_factory.mktemp("trees")
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(io.StringIO()) as said:
        patch.chdir(folder)
        patch.setattr(trees, "treebank", small)
        assert main(["train", "--data", "trees", *TINY]) == 0
    return folder, said.getvalue()


@pytest.fixture
def trained(run_of_trees, tmp_path):
    shutil.copytree(run_of_trees[0], tmp_path, dirs_exist_ok=True)
    return run_of_trees[1]


def piped(monkeypatch, text):
    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": io.BytesIO(text.encode())}))


def last_line(capsys):
    return capsys.readouterr().err.splitlines()[-1]


def write_trees(path, count=60):
    path.write_text("".join(f"( {tree} )\n" for tree in treebank("toy")["train"][:count]))
    return str(path)


def test_a_parser_is_trained_on_the_toy_trees_and_looked_at_by_f1(trained):
    assert "annotated parse --model runs/trees-en-trees" in trained
    rows = read_log(Path(RUN) / "log.jsonl")
    assert [row["step"] for row in rows] == [2, 3]
    assert all(0 <= row["validation_f1"] <= 100 and row["validation_loss"] > 0 for row in rows)
    _, tokenizer, about = load_checkpoint(RUN)
    assert about["data"] == "trees" and about["pair"] == "en-trees"
    assert "(NP" in TreeTokenizer.over(tokenizer).ids


def test_the_first_look_is_at_so_many(monkeypatch):
    """Validation takes the first sentences only, and greedily."""
    asked = []
    monkeypatch.setattr(trees, "QUICK", 2)
    monkeypatch.setattr(
        trees,
        "parse",
        lambda m, t, sentences, config: (
            asked.append((len(sentences), config.beam))
            or [trees.tree_of(words, []) for words in sentences]
        ),
    )
    assert main(["train", "--data", "trees", *TINY]) == 0
    assert asked == [(2, 1), (2, 1)]


def test_each_line_gets_a_tree_of_its_words(trained, monkeypatch, capsysbinary):
    piped(monkeypatch, "The dog sleeps .\n\nx (y)\u00a0naïve/β\tcells\nno newline")
    assert main(["parse", "--model", RUN, *QUICK]) == 0
    lines = capsysbinary.readouterr().out.decode().split("\n")
    assert len(lines) == 5 and lines[1] == lines[4] == ""
    words = [tree.leaves() for tree in read_trees([lines[0], lines[2], lines[3]])]
    assert words == [
        "The dog sleeps .".split(),
        ["x", "-LRB-", "y", "-RRB-", "naïve/β", "cells"],
        ["no", "newline"],
    ]


def test_without_a_model_the_parser_is_the_one_that_was_trained_last(trained, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(command, "open_parser", lambda folder, device: asked.append(folder))
    piped(monkeypatch, "")
    assert main(["parse"]) == 0
    later = shutil.copytree(RUN, "runs/mine")  # by what it is, not by its name
    Path("runs/empty-en-trees").mkdir()
    Path("runs/note.txt").touch()
    for age, folder in enumerate([later, RUN]):
        for step in steps_in(Path(folder)):
            os.utime(step, (age, age))
    assert main(["parse"]) == 0
    os.utime(steps_in(Path(later))[-1], (9, 9))
    assert main(["parse"]) == 0
    assert [str(folder) for folder in asked] == [RUN, RUN, later]
    assert "the parser is runs/mine" in last_line(capsys)


def test_without_any_parser_it_is_said_how_to_get_one(capsys):
    assert main(["parse"]) == 2
    assert "train one with annotated train --data trees, then annotated parse" in last_line(capsys)


def test_the_search_is_the_papers_unless_it_is_told(trained, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(
        trees, "written", lambda m, t, sentences, config: asked.append(config) or [[]]
    )
    for words in [], ["--beam", "3", "--alpha", "0", "--extra", "9", "--free"]:
        piped(monkeypatch, "a")
        assert main(["parse", "--model", RUN, *words]) == 0
    assert asked == [trees.ParsingConfig(21, 0.3, 300), trees.ParsingConfig(3, 0.0, 9, True)]
    assert capsys.readouterr().out == "(S (NN a))\n" * 2


def test_a_run_is_resumed_and_begun_from(trained, capsys):
    assert main(["train", "--resume", RUN, "--steps", "4"]) == 0
    assert [row["step"] for row in read_log(Path(RUN) / "log.jsonl")] == [2, 3, 4]
    steps = ["--steps", "1", "--matmul-precision", "highest"]
    assert main(["train", "--data", "craft", "--init", RUN, *steps]) == 0
    assert load_checkpoint("runs/craft-en-trees")[1].bpe.to_str() == (
        load_checkpoint(RUN)[1].bpe.to_str()
    )


def test_files_of_trees_are_trained_on(tmp_path, capsys):
    file, other = write_trees(tmp_path / "a.mrg"), write_trees(tmp_path / "b.mrg", 7)
    assert main(["data", "--trees", file]) == 0
    counts = [int(n) for n in re.findall(r"(\d+) pairs", capsys.readouterr().out)]
    assert sum(counts) == 60 and min(counts) > 0
    assert main(["data", "--trees", file, "--valid-trees", other]) == 0
    out = capsys.readouterr().out
    assert re.search(r"train +60 pairs", out) and re.search(r"validation +7 pairs", out)
    assert main(["train", "--trees", file, "--out", "mine", *TINY]) == 0
    assert main(["train", "--resume", "mine", "--steps", "4"]) == 0
    assert main(["evaluate", "--model", "mine", *QUICK]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^files validation: F1 \d+\.\d+  \(.*EVALB", out)


def test_what_is_too_long_is_left_out_and_said(capsys):
    assert main(["train", "--data", "trees", *TINY, "--max-tokens", "20"]) == 0
    err = capsys.readouterr().err
    pairs = [(tree.leaves(), linearize(tree)) for tree in small("toy")["train"]]
    tokenizer = load_checkpoint(RUN)[1]
    long = sum(max(len(tokenizer.encode(" ".join(w))), len(s)) > 19 for w, s in pairs)
    assert 0 < long < 200 and f"{long} of 200 training pairs have more than 20 tokens" in err


def test_a_parser_is_scored_by_f1_and_recorded(trained, tmp_path, capsys):
    words = ["evaluate", "--model", RUN, *QUICK]
    assert main([*words, "--split", "all", "--record", "r.json", "--output", "out"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in out[:3]] == [
        ["trees", "test:", name] for name in ("F1", "precision", "recall")
    ]
    record = json.loads(Path("r.json").read_text("utf8"))
    assert list(record["scores"]) == ["test", "test_longer", "test_unseen"]
    test = record["scores"]["test"]
    assert test["sentences"] == test["well_formed"] == 5 and "EVALB" in test["signature"]
    assert float(out[0].split()[3]) == pytest.approx(test["f1"], abs=0.01)
    assert sum(each["counts"]["sentences"] for each in test["by_length"].values()) == 5
    assert record["config"]["decoding"] == {
        "beam": 2,
        "alpha": 0.3,
        "extra": 5,
        "free": False,
        "engine": "annotated",
        "int8": False,
    }
    gold = list(read_trees(Path("out/test.references.txt").read_text().splitlines()))
    found = list(read_trees(Path("out/test.hypotheses.txt").read_text().splitlines()))
    assert gold == small("toy")["test"]
    assert [tree.leaves() for tree in found] == [tree.leaves() for tree in gold]
    assert trees.score(gold, found).f1 == pytest.approx(test["f1"], abs=0.01)
    assert record["examples"][0]["reference"] == str(gold[0])


def test_the_mean_of_checkpoints_parses(trained):
    assert main(["average", RUN, "--last", "2", "--out", "mean"]) == 0
    assert main(["evaluate", "--model", "mean", *QUICK, "--record", "r.json"]) == 0
    assert json.loads(Path("r.json").read_text("utf8"))["averaged"] == [2, 3]


def test_without_the_rule_what_is_no_tree_is_counted(trained, capsys):
    assert main(["evaluate", "--model", RUN, *QUICK, "--free", "--record", "r.json"]) == 0
    test = json.loads(Path("r.json").read_text("utf8"))["scores"]["test"]
    assert test["well_formed"] < test["sentences"]


def test_training_may_end_with_a_record(trained, monkeypatch, capsys):
    monkeypatch.setattr(train, "ParsingConfig", lambda: trees.ParsingConfig(2, 0.3, 5))
    assert main(["train", "--resume", RUN, "--steps", "4", "--record", "r.json"]) == 0
    assert re.search(r"^test: F1 \d", capsys.readouterr().err, re.M)
    record = json.loads(Path("r.json").read_text("utf8"))
    assert record["scores"]["test_unseen"]["sentences"] == 5
    assert [row["step"] for row in record["curve"]] == [2, 3, 4]


def test_headings_are_counted_apart(tmp_path, trained, capsys):
    toys = treebank("toy")["test"][:4]
    lines = [str(toys[0]._replace(label="HEADING")), *map(str, toys[1:])]
    Path("h.mrg").write_text("\n".join(lines))
    words = ["evaluate", "--model", RUN, *QUICK, "--trees", "h.mrg", "--output", "out"]
    assert main(words) == 0
    parser = trees.open_parser(Path(RUN), "cpu")
    corpus = trees.trees_to_score(Path("h.mrg"))
    [found] = trees.parsed(parser, corpus, ["test"], trees.ParsingConfig(2, 0.3, 5))
    assert found.entry()["without_headings"]["counts"]["sentences"] == 3
    assert found.entry()["sentences"] == 4


MISTAKES = [
    (["parse", "--model", "nowhere"], "nowhere holds no model"),
    (["parse", "--model", RUN, "--extra", "1"], "extra is 2 or more, not 1"),
    (["parse", "--model", RUN, "--beam", "0"], "--beam is a whole number from 1"),
    (["train", "--data", "craft", "--pair", "en-fr"], "craft is a treebank .*leave --pair out"),
    (["train", "--valid-trees", "a"], "--trees takes the place"),
    (["train", "--trees", "a", "--data", "craft"], "--trees takes the place"),
    (["train", "--trees", "gone.mrg"], "gone.mrg is missing"),
    (["train", "--trees", "bad.mrg"], "bad.mrg, line 2: "),
    (["train", "--trees", "one.mrg"], "one.mrg has too few trees .*--valid-trees"),
    (["train", "--data", "trees", "--vocab-size", "270"], "has 3.. ids or more, not 270"),
    (["evaluate", "--model", RUN, "--int8"], "CTranslate2 does not parse"),
    (
        ["evaluate", "--model", RUN, "--source", "a.en", "--target", "a.de"],
        "trees are for a parser",
    ),
    (["evaluate", "--model", RUN, "--data", "toy"], "toy has no pair 'en-trees'"),
    (["evaluate", "--model", RUN, "--split", "x", "--trees", "one.mrg"], "--split goes with"),
    (["evaluate", "--model", RUN, "--trees", "one.mrg", "--record", "r"], "--record is of a model"),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES)
def test_what_the_user_can_mend_is_one_sentence(trained, monkeypatch, capsys, words, said):
    Path("bad.mrg").write_text("(S (NN a))\n(S (NN b)\n")
    Path("one.mrg").write_text("(S (NN a))\n")
    for name in "a.en", "a.de":
        Path(name).write_text("a\n")
    piped(monkeypatch, "a b\n")
    capsys.readouterr()
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and re.search(said, captured.err.splitlines()[-1])


def test_a_translator_is_no_parser(monkeypatch, capsys):
    Path("a.en").write_text("".join(f"a dog {i} sleeps\n" for i in range(100)))
    Path("a.de").write_text("".join(f"ein Hund {i} schläft\n" for i in range(100)))
    files = ["--source", "a.en", "--target", "a.de"]
    assert main(["train", *files, "--out", "words", *TINY]) == 0
    Path("one.mrg").write_text("(S (NN a))\n" * 3)
    piped(monkeypatch, "a b\n")
    for words, said in (
        (["parse", "--model", "words"], "words translates and does not parse: train a parser"),
        (["evaluate", "--model", "words", "--trees", "one.mrg"], "trees are for a parser"),
        (["evaluate", "--model", "words", "--free"], "--free is of a parser"),
        (["train", "--data", "trees", "--init", "words"], "no parser: leave --init out"),
    ):
        assert main(words) == 2
        assert said in last_line(capsys)


def test_a_parsers_options_teach(capsys):
    with pytest.raises(SystemExit):
        main(["parse", "--help"])
    out = capsys.readouterr().out
    assert "(default: 21)" in out and "--free" in out and "mend what is no tree" in out
    assert command.words_of(" f(x)  [y] ") == ["f", "-LRB-", "x", "-RRB-", "[y]"]


def test_a_parser_does_not_translate(trained, monkeypatch, capsys):
    piped(monkeypatch, "a b\n")
    assert main(["translate", "--model", RUN]) == 2
    assert "annotated parse" in last_line(capsys)


def test_a_saved_parser_has_a_vocabulary_that_any_may_read(trained):
    assert Tokenizer.load(steps_in(Path(RUN))[-1] / "tokenizer.json").encode("a dog")
