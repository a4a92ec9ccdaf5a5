"""annotated.evaluation: text in, text out, and BLEU."""

import pytest
import sacrebleu
import torch

from annotated.decoding import translate
from annotated.evaluation import average, bleu
from annotated.tokenizer import Tokenizer
from annotated.transformer import Transformer, TransformerConfig

TEXT = ["the dog sleeps .", "der Hund schläft .", "ein Kind läuft durch den Schnee ."]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(TEXT * 3, 300)


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(0)
    return Transformer(TransformerConfig(len(tokenizer), 1, 16, 32, 2)).double().eval()


def test_a_line_for_each_line_in_order(model, tokenizer):
    lines = ["the dog", "", "der Hund schläft .", "   ", "a", "\t"]
    out = translate(model, tokenizer, lines)
    assert len(out) == len(lines)
    assert out[1] == out[3] == out[5] == ""
    alone = [translate(model, tokenizer, [line])[0] for line in lines]
    assert out == alone


def test_how_lines_are_grouped_changes_nothing(model, tokenizer):
    lines = [" ".join(["dog"] * n) for n in range(12)]
    assert translate(model, tokenizer, lines, batch_tokens=8) == translate(model, tokenizer, lines)


def test_no_lines_no_translations(model, tokenizer):
    assert translate(model, tokenizer, []) == []


@pytest.mark.parametrize("line", ["<pad>", "\x00", "🦊🦊", "日本語", "e\u0301", "\u2028", "\ufeff"])
def test_any_unicode_gives_one_line(model, tokenizer, line):
    (out,) = translate(model, tokenizer, [line])
    assert "\n" not in out


def test_bleu_is_sacrebleus():
    outputs = ["the dog sees the big cat .", "he sleeps .", "yes , this is so ."]
    references = ["the dog sees the small cat .", "he sleeps .", "yes , that is so ."]
    score = bleu(outputs, references)
    assert score.bleu == sacrebleu.corpus_bleu(outputs, [references]).score
    assert "tok:13a" in score.signature and "version:" in score.signature
    assert str(score) == f"BLEU {score.bleu:.2f}  ({score.signature})"


def test_perfect_translations_have_100():
    lines = ["one two three four five .", "six seven eight nine ten ."]
    assert bleu(lines, lines).bleu == pytest.approx(100)


@pytest.mark.parametrize("outputs, references", [([], []), (["a"], ["a", "b"])])
def test_what_cannot_be_scored_is_said(outputs, references):
    with pytest.raises(ValueError, match="cannot be scored"):
        bleu(outputs, references)


def test_an_average_is_the_mean_of_each_weight():
    states = [Transformer(TransformerConfig(20, 1, 8, 8, 2)).state_dict() for _ in range(3)]
    mean = average(states)
    assert list(mean) == list(states[0])
    for name, value in mean.items():
        assert torch.allclose(value, sum(state[name] for state in states) / 3)
    assert average(states[:1])["embedding.weight"].equal(states[0]["embedding.weight"])


def test_only_checkpoints_of_one_model_have_an_average():
    one = Transformer(TransformerConfig(20, 1, 8, 8, 2)).state_dict()
    other = Transformer(TransformerConfig(21, 1, 8, 8, 2)).state_dict()
    for states in ([], [one, other], [one, {}]):
        with pytest.raises(ValueError, match="same model"):
            average(states)
