"""The teacher of several models: the mean of their probabilities, searched as one model is."""

import torch

from annotated.data.batching import pad_sequences
from annotated.data.tokenizer import BOS, EOS
from annotated.model.transformer import Transformer, TransformerConfig
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
