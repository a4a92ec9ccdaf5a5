"""The weights of heads: of the one forward pass, named by their tokens."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from annotated import pictures
from annotated.data.batching import pad_sequences
from annotated.data.tokenizer import BOS, EOS, PAD, Tokenizer
from annotated.data.word_tokenizer import WordTokenizer
from annotated.evidence.heads import attention_weights, heads, labels, look_inside
from annotated.model.attention import causal_mask, padding_mask
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.translation.search import beam_search

LINES = ["the dog sleeps", "the old dog eats", "der Hund schläft", "der alte Hund frisst"]
SOURCE = pad_sequences([[5, 6, 7, 8, EOS], [9, 10, EOS]])
TARGET = torch.tensor([[BOS, 11, 12], [BOS, 13, PAD]])


def a_model(**changes) -> Transformer:
    torch.manual_seed(0)
    sizes = {"layers": 2, "d_model": 16, "d_ff": 32, "heads": 4} | changes
    return Transformer(TransformerConfig(300, **sizes))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(LINES * 3, 290)


@pytest.mark.parametrize("changes", [{}, {"norm_first": True}, {"positions": "learned"}])
def test_rows_sum_to_one_and_nothing_hidden_is_looked_at(changes):
    kept = attention_weights(a_model(**changes), SOURCE, TARGET)
    assert kept["encoder"].shape == (2, 2, 4, 5, 5)
    assert kept["decoder"].shape == (2, 2, 4, 3, 3)
    assert kept["cross-attention"].shape == (2, 2, 4, 3, 5)
    for weights in kept.values():
        assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    for name in ("encoder", "cross-attention"):
        assert kept[name][:, 1, :, :, 3:].eq(0).all() and kept[name][:, 0].gt(0).all()
    assert kept["decoder"].eq(0).equal(~causal_mask(3).expand(2, 2, 4, 3, 3))


def test_a_padded_source_has_the_weights_that_it_has_alone():
    model = a_model().double()
    together = attention_weights(model, SOURCE, TARGET)
    alone = attention_weights(model, SOURCE[1:, :3], TARGET[1:])
    assert_close(together["encoder"][:, 1:, :, :3, :3], alone["encoder"])
    assert_close(together["cross-attention"][:, 1:, ..., :3], alone["cross-attention"])


def test_they_are_those_of_pytorchs_module():
    model = a_model().double()
    kept, (memory, _) = attention_weights(model, SOURCE, TARGET), model.encode(SOURCE)
    x = model.embed(TARGET)
    first = model.decoder.layers[0]
    after = first.residuals[0](x, lambda x: first.self_attention(x, x, causal_mask(3)))
    calls = {  # what looks, at what, and what it may not see
        "encoder": (
            model.encoder.layers[0].self_attention,
            model.embed(SOURCE),
            model.embed(SOURCE),
            {"key_padding_mask": SOURCE == PAD},
        ),
        "decoder": (first.self_attention, x, x, {"attn_mask": ~causal_mask(3)}),
        "cross-attention": (
            first.cross_attention,
            after,
            memory,
            {"key_padding_mask": SOURCE == PAD},
        ),
    }
    for name, (ours, query, memory, hidden) in calls.items():
        theirs = nn.MultiheadAttention(16, 4, bias=False, batch_first=True).double()
        with torch.no_grad():
            matrices = [each.weight for each in (ours.query, ours.key, ours.value)]
            theirs.in_proj_weight.copy_(torch.cat(matrices))
            _, expected = theirs(query, memory, memory, average_attn_weights=False, **hidden)
        assert_close(kept[name][0], expected)


def test_the_pass_is_the_models_own_and_leaves_no_dropout():
    model = a_model(dropout=0.5, attention_dropout=0.5, attention_bias=True)
    one, two = (attention_weights(model.train(), SOURCE, TARGET) for _ in range(2))
    assert all(one[name].equal(two[name]) for name in one)
    assert not any(weights.requires_grad for weights in one.values())
    for module in model.modules():
        if hasattr(module, "keep_weights"):
            module.keep_weights = True
    model(SOURCE, TARGET)
    last = model.decoder.layers[-1]
    assert one["decoder"][-1].equal(last.self_attention.weights)
    assert one["cross-attention"][-1].equal(last.cross_attention.weights)


def test_another_pad_hides_too():
    model = a_model(pad=3)
    kept = attention_weights(model, torch.tensor([[5, 6, 3]]), torch.tensor([[BOS]]))
    assert kept["encoder"][..., 2].eq(0).all()
    assert padding_mask(torch.tensor([[5, 6, 3]]), 3)[..., 2].eq(False).all()


def test_tokens_are_named_for_people(tokenizer):
    ids = [BOS, *tokenizer.encode("the dogz.  "), EOS]
    assert labels(tokenizer, ids) == ["[begin]", "the", "dog", "·z", ".", "␣", "␣", "[end]"]
    assert labels(tokenizer, tokenizer.encode("dog.")) == ["dog", "."]


def test_words_of_a_list_have_no_dots():
    words = WordTokenizer.train(LINES, 20)
    assert labels(words, words.encode("the old cat")) == ["the", "old", "<unk>"]


def test_a_sentence_is_translated_by_the_model_itself(tokenizer):
    model = a_model()
    look = look_inside(model, tokenizer, "the  old dog ")
    source = [*tokenizer.encode("the old dog"), EOS]
    [[best]] = beam_search(model, torch.tensor([source]))
    assert look["encoder"].rows == look["encoder"].columns == labels(tokenizer, source)
    for name in ("decoder", "cross-attention"):
        assert look[name].rows == labels(tokenizer, [BOS, *best.ids])
        assert look[name].written == labels(tokenizer, [*best.ids, EOS])


def test_a_target_can_be_given(tokenizer):
    model = a_model()
    look = look_inside(model, tokenizer, "the dog", "der Hund")
    assert look["cross-attention"].rows == ["[begin]", "der", "Hund"]
    assert look["cross-attention"].written == ["der", "Hund", "[end]"]
    assert look["cross-attention"].columns == ["the", "dog", "[end]"]
    source = torch.tensor([[*tokenizer.encode("the dog"), EOS]])
    kept = attention_weights(model, source, torch.tensor([[BOS, *tokenizer.encode("der Hund")]]))
    for name, weights in kept.items():
        assert look[name].weights.equal(weights[:, 0])


def test_the_call_draws_what_it_is_asked_for(tokenizer):
    view = heads(
        a_model(), tokenizer, "the dog", "der Hund", look="decoder", layer=2, head=3, word="Hund"
    )
    assert isinstance(view, pictures.HeadView)
    assert (view.look, view.layer, view.head, view.row) == (1, 1, 2, 1)
    assert "the dog" in view.caption
    assert "data-heads" in view._repr_html_()


@pytest.mark.parametrize("blank", ["", "  ", "\ufeff"])
def test_a_blank_sentence_has_nothing_to_look_at(tokenizer, blank):
    with pytest.raises(ValueError, match="blank"):
        look_inside(a_model(), tokenizer, blank)


def test_a_model_of_another_kind_has_no_heads(tokenizer):
    with pytest.raises(ValueError, match="a Linear has no heads"):
        heads(nn.Linear(1, 1), tokenizer, "the dog")


def test_an_empty_translation_has_one_row(tokenizer):
    look = look_inside(a_model(), tokenizer, "the dog", "")
    assert look["decoder"].rows == ["[begin]"] and look["decoder"].written == ["[end]"]
