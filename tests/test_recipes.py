"""Recipes: what suits each corpus, and the rows of the paper."""

import pytest

from annotated.data.corpora import CORPORA
from annotated.model.transformer import PRESETS
from annotated.training.recipes import PAPERS, PARSERS, RECIPES, recipe


def test_every_corpus_has_a_recipe_and_so_have_files():
    assert RECIPES.keys() == {*CORPORA, "files", *PARSERS} and PAPERS.keys() == PRESETS.keys()
    assert all(recipe(name) == RECIPES[name] for name in RECIPES)


@pytest.mark.parametrize(
    ("pair", "preset", "vocab_size", "dropout"),
    [("en-de", "big", 37_000, 0.3), ("en-fr", "big", 32_000, 0.1), ("en-fr", None, 32_000, 0.1)],
)
def test_french_has_its_own_vocabulary_and_dropout(pair, preset, vocab_size, dropout):
    model, training = recipe("wmt14", pair, preset)
    assert (model.vocab_size, model.dropout) == (vocab_size, dropout)
    assert training == PAPERS[preset or "base"]


def test_the_papers_parser_has_four_layers():
    model, training = recipe("craft", None, "big")
    assert (model.layers, model.d_model) == (4, 1024) and training == PAPERS["big"]
    assert all(recipe(name)[0].layers == 4 for name in PARSERS)
