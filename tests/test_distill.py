"""The teacher of several models: the mean of their probabilities, searched as one model is."""

import json
from dataclasses import replace

import torch

from annotated.data.batching import pad_sequences
from annotated.data.corpora import Corpus
from annotated.data.tokenizer import BOS, EOS, Tokenizer
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.training.checkpoints import write_model
from annotated.translation.hypotheses import SearchConfig
from annotated.translation.search import Decoding, beam_search
from tools import distill

CONFIG = TransformerConfig(30, layers=1, d_model=16, d_ff=32, heads=2)
SEARCH = SearchConfig(beam=3, extra=4)
SOURCE = pad_sequences([[5, 6, 7, EOS], [8, EOS]])


def a_model(seed):
    torch.manual_seed(seed)
    model = Transformer(CONFIG).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model


def test_it_counts_the_mean_of_the_probabilities():
    models, token = [a_model(1), a_model(2)], torch.full((2, 1), BOS)
    with torch.no_grad():
        alone = [Decoding(model, SOURCE).step(token).softmax(-1) for model in models]
        together = distill.Ensemble([Decoding(model, SOURCE) for model in models]).step(token)
    torch.testing.assert_close(together.exp(), (alone[0] + alone[1]) / 2)


def test_a_model_beside_itself_translates_as_it_does_alone():
    model = a_model(3)
    alone = [best[0].ids for best in beam_search(model, SOURCE, SEARCH)]
    assert distill.search([model, model], SOURCE, SEARCH) == alone
    assert distill.search([model], SOURCE, SEARCH) == alone


def test_it_writes_a_line_for_each_source_and_scores_what_each_model_adds(tmp_path, monkeypatch):
    lines = ["ein hund .", "zwei hunde ."]
    corpus = Corpus("toy", "en", "de", {"train": [*zip("ab", lines, strict=True)]})
    corpus.splits["validation"] = corpus.splits["train"] * 2
    monkeypatch.setattr(distill, "load", lambda name, pair: corpus)
    places = [tmp_path / name for name in ("one", "two", "other")]
    for place, text in zip(places, [lines, lines, ["eine katze ."]], strict=True):
        place.mkdir()
        tokenizer = Tokenizer.train(text, 300, lowercase=True)
        model = Transformer(replace(CONFIG, vocab_size=len(tokenizer)))
        write_model(place, model, tokenizer, {"lowercase": True})
    out, record = tmp_path / "to" / "teacher.de", tmp_path / "record.json"
    files = ["--out", str(out), "--record", str(record)]
    assert distill.main([*map(str, places[:2]), "--beam", "2", *files]) == 0
    assert len(out.read_text("utf8").splitlines()) == 2
    kept = json.loads(record.read_text("utf8"))
    assert [row["models"] for row in kept["curve"]] == [1, 2]
    assert kept["scores"]["validation"] == kept["curve"][1]
    assert distill.main([*map(str, places), *files]) == 2  # another vocabulary
