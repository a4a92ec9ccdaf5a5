"""Record: what a run leaves behind."""

import hashlib
import json
from dataclasses import replace

import torch

from annotated.cli import record
from annotated.data.corpora import Corpus
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.translation.scores import Score

CORPUS = Corpus("toy", "en", "de", {"train": [("a", "b"), ("c", "d")], "test": [("e", "é")]})


def test_a_fingerprint_changes_with_the_data():
    one = record.corpus_hashes(CORPUS)
    assert one["splits"]["train"]["pairs"] == 2 and one["pair"] == "en-de"
    other = Corpus("toy", "en", "de", CORPUS.splits | {"test": [("e", "e")]})
    two = record.corpus_hashes(other)
    assert one["splits"]["train"] == two["splits"]["train"]
    assert one["splits"]["test"]["sha256"] != two["splits"]["test"]["sha256"]


def test_a_fingerprint_of_a_stream_is_that_of_the_list():
    class Stream:
        def __iter__(self):
            return iter(CORPUS.splits["train"])

    streamed = Corpus("toy", "en", "de", CORPUS.splits | {"train": Stream()})
    assert record.corpus_hashes(streamed) == record.corpus_hashes(CORPUS)
    text = "a\tb\nc\td\n"
    expected = {"pairs": 2, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    assert record.corpus_hashes(CORPUS)["splits"]["train"] == expected


def test_hardware_and_software_are_named():
    assert "threads" in record.hardware()
    assert set(record.software()) >= {"python", "torch", "tokenizers", "sacrebleu"}


def test_outside_a_checkout_the_commit_is_unknown(monkeypatch):
    def no_git(*args, **options):
        raise FileNotFoundError("git")

    monkeypatch.setattr(record.subprocess, "run", no_git)
    assert record.commit() == "unknown"


def result(name="test"):
    names = ("bleu", "moses_bleu", "chrf")
    scores = {name: Score(i + 0.5, f"signed {i}", name) for i, name in enumerate(names)}
    scores["moses_bleu"] = replace(scores["moses_bleu"], words=(9, 10))
    return record.Result(name, CORPUS.splits["test"], ["ü"], scores)


def test_scores_are_kept_with_their_signatures():
    assert result().entry() == {
        "bleu": 0.5,
        "signature": "signed 0",
        "moses_bleu": {"value": 1.5, "signature": "signed 1", "words": (9, 10)},
        "chrf": {"value": 2.5, "signature": "signed 2"},
    }


def test_a_record_is_whole_and_of_all_that_made_the_model(tmp_path):
    path = tmp_path / "results" / "a-run.json"
    words = ["evaluate", "--model", "a b"]
    model = Transformer(TransformerConfig(300, layers=1, d_model=8, d_ff=8, heads=2))
    first = {"words": ["train"], "commits": ["a1"], "hardware": ["x"]}
    about = {"words": ["train", "--init", "y"], "commits": ["b2"], "hardware": ["x"], "init": first}
    facts = {"training": {"steps": 3}, "step": 3, "seconds": 2.5, "log": [{"step": 1}]}
    record.record(path, words, "b2", CORPUS, model, about, facts, [result()], {"beam": 2})
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read["name"] == "a-run" and read["command"] == "annotated evaluate --model 'a b'"
    lines = ["annotated train", "annotated train --init y", "annotated evaluate --model 'a b'"]
    assert read["commands"] == lines and read["commits"] == ["a1", "b2"]
    assert read["commit"] == "b2" and read["trained_on"] == ["x"] and "averaged" not in read
    assert (read["seconds"], read["step"], read["curve"]) == (2.5, 3, [{"step": 1}])
    assert read["examples"] == [{"source": "e", "reference": "é", "output": "ü"}]
    kept = read["config"]
    assert kept["model"]["parameters"] == sum(torch.numel(x) for x in model.parameters())
    assert kept["model"]["d_model"] == 8 and kept["training"] == {"steps": 3}
    assert kept["decoding"] == {"beam": 2} and read["scores"]["test"]["bleu"] == 0.5
