"""The bench that trains the Transformer beside what it replaced."""

import json

import pytest
import torch

from annotated.data import toy
from annotated.data.corpora import load
from tools.bench import recurrent
from tools.bench.__main__ import main
from tools.bench.recurrent import QUICK, Kept, Sizes, contenders, size

MODELS = ["Transformer", "recurrent, attention", "recurrent, last state"]


@pytest.fixture
def quick(tmp_path):
    path = tmp_path / "quick.json"
    words = ["recurrent", "--quick", "--work", str(tmp_path / "work"), "--record", str(path)]
    return words, path


def test_a_quick_run_has_all_that_the_page_shows(quick, capsys):
    words, path = quick
    assert main(words) == 0
    record = json.loads(path.read_text("utf8"))
    scores = record["scores"]
    assert [*scores["rates"]] == [*record["config"]["models"]] == MODELS
    seeds = [(row["model"], row["seed"]) for row in scores["BLEU"]]
    assert seeds == [(name, seed) for seed in QUICK.seeds for name in MODELS]
    assert scores["BLEU"][0].keys() >= {"test", "test_unseen", "test_longer"}
    rows = [row for row in record["curve"] if (row["model"], row["seed"]) == (MODELS[1], 2)]
    assert [row["step"] for row in rows] == [2, 4, 4]  # the last is of averaged weights
    assert rows[0].keys() >= {"processor_seconds", "loss", "validation_loss"}
    assert {row["kind"] for row in scores["agreement"]} == {"verb", "pronoun"}
    assert len(scores["speed"]["rows"]) == 3 * len(QUICK.lengths)
    assert [each["kind"] for each in scores["gradients"]] == [*recurrent.KINDS]
    assert "agreement" in capsys.readouterr().out


def test_a_part_that_is_done_is_not_done_again(quick, monkeypatch):
    words, path = quick
    assert main(words) == 0
    before = json.loads(path.read_text("utf8"))
    for name in ("fit", "reached", "speeds"):
        monkeypatch.setattr(recurrent, name, lambda *given: pytest.fail("done again"))
    assert main(words) == 0
    after = json.loads(path.read_text("utf8"))
    assert (after["scores"], after["curve"]) == (before["scores"], before["curve"])


def test_parts_of_other_sizes_are_not_taken(tmp_path):
    assert Kept(tmp_path, QUICK).part("a, b c", lambda: [1]) == [1]
    assert Kept(tmp_path, QUICK).part("a, b c", lambda: [2]) == [1]
    assert Kept(tmp_path, Sizes()).part("a, b c", lambda: [2]) == [2]


def test_the_models_are_of_one_size():
    sizes = {name: size(config) for name, config in contenders(2000, Sizes()).items()}
    assert max(sizes.values()) < 1.02 * min(sizes.values())


def test_a_peak_is_the_highest_rate_of_the_schedule(monkeypatch):
    rates = []
    own = recurrent.Run.update
    monkeypatch.setattr(
        recurrent.Run, "update", lambda run, share: [own(run, share), rates.append(run.rate())][0]
    )
    sizes = Sizes(**vars(QUICK) | {"steps": 9})
    pairs = [([5, 6], [7, 8])] * 9
    config = contenders(400, QUICK)["recurrent, attention"]
    recurrent.fit(config, {"train": pairs, "validation": pairs}, sizes, 0.003, 1)
    assert max(rates) == pytest.approx(0.003) and rates.index(max(rates)) == sizes.warmup - 1


def test_agreement_is_asked_of_sentences_that_are_new_but_whose_words_are_known():
    corpus = load("toy")
    tests = recurrent.agreement_tests(corpus, QUICK)
    trained = {source for source, _ in corpus.splits["train"]}
    words = {word for pair in toy.splits()["train"] for word in pair.target}
    assert tests and not {test.source for test in tests} & trained
    for test in tests:
        assert set(test.right[:-1].replace(",", " ,").split()) <= words
        assert recurrent.is_long(test) == (len(test.source.split()) > 16)


def test_errors_are_counted_by_kind_and_distance(monkeypatch):
    tests = recurrent.agreement_tests(load("toy"), QUICK)
    monkeypatch.setattr(
        recurrent, "preferred", lambda model, tokenizer, tests: [t.kind == "verb" for t in tests]
    )
    rows = recurrent.judged(None, None, tests)
    assert sum(row["tests"] for row in rows) == len(tests)
    assert all(row["errors"] == (row["tests"] if row["kind"] == "pronoun" else 0) for row in rows)


def test_threads_are_afterwards_as_they_were(quick):
    before = torch.get_num_threads()
    assert main([*quick[0], "--parts", "gradients"]) == 0
    assert torch.get_num_threads() == before
