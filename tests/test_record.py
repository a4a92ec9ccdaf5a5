"""Record: what a run leaves behind."""

import json
from dataclasses import asdict, replace

from annotated.cli import record
from annotated.data.corpora import Corpus
from annotated.model.transformer import TransformerConfig, parameter_count
from annotated.translation.hypotheses import SearchConfig
from annotated.translation.scores import Score

CORPUS = Corpus("toy", "en", "de", {"train": [("a", "b"), ("c", "d")], "test": [("e", "é")]})


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
    config = TransformerConfig(300, layers=1, d_model=8, d_ff=8, heads=2)
    first = {"words": ["train"], "commits": ["a1"], "hardware": ["x"]}
    about = {"words": ["train", "--init", "y"], "commits": ["b2"], "hardware": ["x"], "init": first}
    facts = {"training": {"steps": 3}, "step": 3, "seconds": 2.5, "log": [{"step": 1}]}
    description = {"model": asdict(config), "about": about}
    (tmp_path / "model.json").write_text(json.dumps(description), "utf-8")
    (tmp_path / "run.json").write_text(json.dumps(facts), "utf-8")
    record.record(path, words, "b2", CORPUS, tmp_path, [result()], SearchConfig(beam=2))
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read["name"] == "a-run" and read["command"] == "annotated evaluate --model 'a b'"
    lines = ["annotated train", "annotated train --init y", "annotated evaluate --model 'a b'"]
    assert read["commands"] == lines and read["commits"] == ["a1", "b2"]
    assert read["commit"] == "b2" and read["trained_on"] == ["x"] and "averaged" not in read
    assert (read["seconds"], read["step"], read["curve"]) == (2.5, 3, [{"step": 1}])
    assert read["examples"] == [{"source": "e", "reference": "é", "output": "ü"}]
    kept = read["config"]
    assert kept["model"]["parameters"] == parameter_count(config)
    assert kept["model"]["d_model"] == 8 and kept["training"] == {"steps": 3}
    decoding = {"beam": 2, "alpha": 0.6, "extra": 50, "engine": "annotated", "int8": False}
    assert kept["decoding"] == decoding and read["scores"]["test"]["bleu"] == 0.5
    record.record(path, None, "b2", CORPUS, tmp_path, [result()], SearchConfig(beam=2))
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read["command"] == "annotated train --init y" and read["commands"] == lines[:2]
