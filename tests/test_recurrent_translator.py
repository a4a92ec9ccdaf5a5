"""The recurrent encoder-decoder: one model in teacher forcing, in search, and as PyTorch has it."""

import io
import itertools
import json
import random
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

import annotated
from annotated import models
from annotated.cli import corpus, train, translator
from annotated.cli.main import main
from annotated.data.batching import Batch, pad_sequences
from annotated.data.corpora import Corpus
from annotated.data.steps import blank
from annotated.data.tokenizer import BOS, EOS, PAD
from annotated.evidence.recurrent_translator import (
    RecurrentConfig,
    RecurrentDecoding,
    RecurrentTranslator,
)
from annotated.fast.packing import Objective
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.training.checkpoints import load_checkpoint
from annotated.training.loop import Run, TrainingConfig, validation_loss
from annotated.translation import search
from annotated.translation.hypotheses import SearchConfig, length_penalty
from annotated.translation.search import Decoding, beam_search, decoding_of, greedy

SMALL = RecurrentConfig(23, layers=2, d_model=12, dropout=0.0)
KINDS = {
    "attention": {},
    "no attention": {"attention": False},
    "one layer": {"layers": 1},
    "three layers": {"layers": 3},
}


def sentences(count, seed, longest=7):
    dice = random.Random(seed)
    return [
        [*(dice.randrange(3, 23) for _ in range(dice.randrange(longest))), EOS]
        for _ in range(count)
    ]


def some_batch(seed=0, count=5):
    source, target = sentences(count, seed), sentences(count, seed + 1)
    shifted = [[BOS, *ids[:-1]] for ids in target]
    return Batch(*map(pad_sequences, (source, shifted, target)))


@pytest.fixture(params=KINDS)
def model(request):
    torch.manual_seed(0)
    return RecurrentTranslator(replace(SMALL, **KINDS[request.param])).double().eval()


# The model


def test_shapes(model):
    batch = some_batch()
    (b, s), t = batch.source.shape, batch.target_in.size(1)
    memory, mask = model.encode(batch.source)
    assert memory.shape == (b, s, 12) and mask.shape == (b, 1, s)
    assert model.decode(batch.target_in, memory, mask).shape == (b, t, 12)
    assert model(batch.source, batch.target_in).shape == (b, t, 23)


def test_padding_changes_nothing(model):
    batch = some_batch()
    more = [F.pad(ids, (0, 3), value=PAD) for ids in batch]
    together = model(more[0], more[1])
    for row, (source, target) in enumerate(zip(*batch[:2], strict=True)):
        alone = model(source[source != PAD][None], target[target != PAD][None])[0]
        assert_close(together[row, : len(alone)], alone)


def test_no_word_sees_what_follows_it(model):
    batch = some_batch(count=1)
    target = torch.arange(3, 11)[None]
    changed = target.clone()
    changed[0, 4] = 20
    one, other = (model(batch.source, ids)[0] for ids in (target, changed))
    assert_close(one[:4], other[:4])
    assert not torch.isclose(one[4:], other[4:]).all(1).any()


def test_every_word_of_the_source_counts(model):
    source = torch.tensor([[3, 4, 5, 6, EOS]])
    vectors = model.embedding(source).detach().requires_grad_()
    model.embed = lambda ids, own=model.embed: vectors if ids is source else own(ids)
    model(source, torch.tensor([[BOS, 7]])).square().sum().backward()
    assert (vectors.grad.abs().sum(-1) > 0).all()


def by_pytorch(model, source, target):
    """The logits, from PyTorch's own LSTM and LSTMCell on copies of the decoder's weights."""
    config, decoder, d = model.config, model.decoder, model.config.d_model
    cells = []
    for layer in decoder.layers:
        cell = nn.LSTMCell(layer.input.in_features, d).double()
        nn.init.zeros_(cell.bias_hh)
        with torch.no_grad():
            cell.weight_ih.copy_(layer.input.weight)
            cell.weight_hh.copy_(layer.state.weight)
            cell.bias_ih.copy_(layer.input.bias)
        cells.append(cell)
    rows = []
    for words, given in zip(source, target, strict=True):  # a sentence at a time
        words = words[words != PAD]
        states, (last, _) = model.encoder.lstm(model.embedding(words)[None])
        both = torch.cat([last[-2], last[-1]], -1)  # the top layer's, of the two directions
        start = F.linear(both, decoder.start.weight, decoder.start.bias).view(2, -1, 1, d)
        state = [(hidden.tanh(), cell) for hidden, cell in zip(*start, strict=True)]
        output, found = torch.zeros(1, d).double(), []
        for word in given:
            x = model.embedding(word)[None]
            x = torch.cat([x, output], 1) if config.attention else x
            for i, cell in enumerate(cells):
                state[i] = cell(x, state[i])
                x = state[i][0]
            if config.attention:
                its = decoder.attention
                energies = [its.score((its.query(x) + its.key(h)).tanh()) for h in states[0]]
                weights = torch.cat(energies, 1).softmax(1)
                x = decoder.join(torch.cat([x, weights @ states[0]], 1)).tanh()
            output = x
            found.append(output @ model.embedding.weight.T)
        rows.append(torch.cat(found))
    return torch.stack(rows)


def test_it_is_a_stack_of_pytorchs_own_lstms(model):
    batch = some_batch()
    expected = by_pytorch(model, batch.source, batch.target_in)
    assert_close(model(batch.source, batch.target_in), expected)


def test_sizes_must_fit():
    with pytest.raises(ValueError, match="d_model 7 is not divisible by 2 directions"):
        RecurrentTranslator(replace(SMALL, d_model=7))
    with pytest.raises(ValueError, match="layers is a whole number"):
        replace(SMALL, layers=0)


def test_without_attention_nothing_of_it_is_left(model):
    names = {name for name, _ in model.named_parameters()}
    is_there = any("attention" in name or "join" in name for name in names)
    assert is_there == model.config.attention


def test_dropout_is_on_in_training_alone():
    model = RecurrentTranslator(replace(SMALL, dropout=0.5))
    batch = some_batch()
    once, again = (model.train()(batch.source, batch.target_in) for _ in range(2))
    assert not torch.equal(once, again)
    once, again = (model.eval()(batch.source, batch.target_in) for _ in range(2))
    assert torch.equal(once, again)


# What the rooms ask of it


def padded_loss(model, batch):
    logits = model(batch.source, batch.target_in).flatten(0, 1)
    target = batch.target_out.flatten()
    return F.cross_entropy(logits, target, ignore_index=PAD, label_smoothing=0.1, reduction="sum")


def test_the_objective_is_the_smoothed_loss_of_the_real_words(model):
    batch = some_batch()
    loss, expected = Objective(model)(batch), padded_loss(model, batch)
    assert_close(loss, expected)
    names, weights = zip(*model.named_parameters(), strict=True)
    ours, theirs = (torch.autograd.grad(x, weights) for x in (loss, expected))
    for name, one, other in zip(names, ours, theirs, strict=True):
        assert_close(one, other, msg=name)


def test_a_batch_with_nothing_to_predict_moves_nothing(model):
    pads = torch.zeros(1, 1, dtype=torch.int64)
    for nothing in (blank(), Batch(pads, pads, pads)):
        loss = Objective(model)(nothing)
        model.zero_grad()
        loss.backward()
        assert loss == 0
        assert not any(weight.grad.any() for weight in model.parameters())


def test_r_drop_reads_it_twice():
    model = RecurrentTranslator(SMALL).double().eval()
    batch = some_batch()
    assert_close(Objective(model, r_drop=3.0)(batch), Objective(model)(batch), check_dtype=False)


def test_a_step_of_training_lowers_the_loss(model):
    batch = some_batch()
    run = Run(model.float(), TrainingConfig(warmup=1, scale=0.3))
    losses = [run.update(batch) for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]
    assert validation_loss(model, [batch]) < losses[0]


def test_each_model_has_its_decoding(model):
    source = some_batch().source
    assert isinstance(decoding_of(model, source), RecurrentDecoding)
    other = Transformer(TransformerConfig(23, 1, 8, 8, 2)).double().eval()
    assert isinstance(decoding_of(other, source), Decoding)


def test_a_token_at_a_time_gives_what_all_at_once_give(model):
    batch = some_batch()
    whole = model(batch.source, batch.target_in)
    decoding = decoding_of(model, batch.source)
    steps = [decoding.step(token[:, None])[:, 0] for token in batch.target_in.unbind(1)]
    assert_close(torch.stack(steps, 1), whole)


def test_hypotheses_go_on_from_their_parents(model):
    """A tree of prefixes, each scored as if it stood alone; and rows can be taken out."""
    source = pad_sequences(sentences(3, seed=4))
    decoding = decoding_of(model, source, 2)
    torch.manual_seed(1)
    written = torch.full((3, 2, 1), BOS)
    parent = torch.arange(2).expand(3, 2)
    for i in range(5):
        logits = decoding.step(written[..., -1], parent)
        for row, k in itertools.product(range(len(source)), range(2)):
            alone = model(source[row : row + 1], written[row, k][None])[0, -1]
            assert_close(logits[row, k], alone)
        if i == 2:
            rows = torch.tensor([2, 0])
            source, written = source[rows], written[rows]
            decoding.select(rows)
        parent = torch.randint(2, (len(source), 2))
        token = torch.randint(3, 23, (len(source), 2, 1))
        before = written.gather(1, parent[..., None].expand_as(written))
        written = torch.cat([before, token], 2)


def test_greedy_decoding_takes_the_most_probable_word(model):
    source = pad_sequences(sentences(3, seed=2))
    written = greedy(model, source, extra=4)
    for row, ids in zip(source, written, strict=True):
        row = row[row != PAD]
        ids = ids[: [*ids[: len(row) + 4], EOS].index(EOS) + 1][: len(row) + 4]
        shifted = torch.cat([torch.tensor([BOS]), ids[:-1]])[None]
        assert (model(row[None], shifted)[0].argmax(-1) == ids).all()


def log_probability(model, source, ids):
    """Of a translation with EOS."""
    target = torch.tensor([[BOS, *ids]])
    logits = model(source[None], target)[0].log_softmax(-1)
    return logits.gather(1, torch.tensor([*ids, EOS])[:, None]).sum().item()


def test_a_beam_search_scores_what_it_finds_as_the_model_does(model):
    source = pad_sequences(sentences(4, seed=3))
    with torch.no_grad():
        model.embedding.weight[EOS] *= 3  # or few sentences would end
    for row, found in zip(source, beam_search(model, source, SearchConfig(3), 3), strict=True):
        row = row[row != PAD]
        for one in found:
            if len(one.ids) < len(row) + 50:  # it has ended by itself
                expected = log_probability(model, row, one.ids)
                assert one.log_probability == pytest.approx(expected, abs=1e-9)
                penalty = length_penalty(len(one.ids) + 1, 0.6)
                assert one.score == pytest.approx(expected / penalty, abs=1e-9)


def test_a_beam_of_everything_finds_the_best_of_all(model):
    source = torch.tensor([[5, EOS]])  # two tokens at most
    [[best]] = beam_search(model, source, SearchConfig(600, 0.0, extra=0))
    words = [i for i in range(23) if i != EOS]
    first = model(source, torch.tensor([[BOS]]))[0, -1].log_softmax(-1)
    scores = {(): first[EOS].item()}
    for i in words:
        second = model(source, torch.tensor([[BOS, i]]))[0, -1].log_softmax(-1) + first[i]
        scores |= {(i,): second[EOS].item()} | {(i, j): second[j].item() for j in words}
    assert best.log_probability == pytest.approx(max(scores.values()), abs=1e-9)
    assert scores[tuple(best.ids)] == max(scores.values())


# The names of models


def test_a_configuration_is_kept_with_its_name():
    for config in (SMALL, TransformerConfig(23, 1, 8, 8, 2)):
        assert models.configured(json.loads(json.dumps(models.described(config)))) == config
        assert type(models.build(config)).__name__ == models.MODELS[models.name_of(config)][2]
        weights = models.build(config).parameters()
        assert models.size(config) == sum(weight.numel() for weight in weights)
    assert "name" not in models.described(TransformerConfig())  # as it has always been kept
    with pytest.raises(ValueError, match="no model 'convolutional'"):
        models.configured({"name": "convolutional"})


def test_a_model_is_like_another_in_what_both_have():
    sizes = TransformerConfig(300, 3, 64, 128, 2, dropout=0.3, norm_first=True)
    assert models.like(sizes, "recurrent") == RecurrentConfig(300, 3, 64, dropout=0.3)
    assert models.like(sizes, "transformer") == sizes


def test_the_choices_of_the_command_are_the_models_that_there_are():
    kind = train.Options.__dataclass_fields__["model"].type
    assert set(kind.__args__) == set(models.MODELS)


@pytest.mark.parametrize("room", ["data", "model", "training", "translation", "fast", "cli"])
def test_no_other_room_names_it(room):
    """Where the loop, the search and the command line work for all models, they name none."""
    places = (Path(annotated.__file__).parent / room).rglob("*.py")
    lines = {f"{place.name}: {line.strip()}" for place in places for line in open(place)}
    named = {line for line in lines if re.search("recurrent", line, re.IGNORECASE)}
    allowed = 'Literal\\[|the recurrent model|configuration\\(|^train.py: "recurrent"$'
    assert {line for line in named if not re.search(allowed, line)} == set()


# The command line

WORDS = ["dog", "cat", "child", "man", "sees", "hears", "the", "a"]
LINES = [" ".join(three) + " ." for three in itertools.product(WORDS, repeat=3)]
PAIRS = [(line, line.upper()) for line in LINES]
TINY = (
    "--data toy --model recurrent --layers 1 --d-model 16 --vocab-size 300 --batch-tokens 200 "
    "--validate-every 2 --log-every 1 --dropout 0.2"
)


def small_corpus(name="toy", pair="en-de"):
    splits = {"train": PAIRS[:200], "validation": PAIRS[200:204], "test": PAIRS[204:208]}
    return Corpus(name, "en", "de", splits)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(corpus, "load", small_corpus)
    monkeypatch.setattr(train, "choose_matmul_precision", lambda: "highest")
    monkeypatch.setattr(translator.pooch, "os_cache", lambda name: tmp_path / "cache")
    return tmp_path


def annotated_says(words, capsys):
    assert main(words.split()) == 0
    return capsys.readouterr().out


def refused(words, capsys):
    assert main(words.split()) == 2
    return capsys.readouterr().err.strip().split("\n")[-1]


@pytest.mark.parametrize("more", ["", " --no-attention"])
def test_from_training_to_translation(more, elsewhere, capsys, monkeypatch):
    """Train, stop, go on bit for bit, average, evaluate, translate, begin anew from it."""
    annotated_says(f"train {TINY}{more} --steps 6 --out whole --record r.json", capsys)
    annotated_says(f"train {TINY}{more} --steps 3 --out parts", capsys)
    annotated_says("train --resume parts --steps 6", capsys)
    whole, parts = (load_checkpoint(each)[0] for each in ("whole", "parts"))
    assert isinstance(whole, RecurrentTranslator) and whole.config.attention == (not more)
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, parts.state_dict()[name]), name
    kept = json.loads(Path("r.json").read_text("utf8"))["config"]["model"]
    assert kept["name"] == "recurrent" and kept["d_model"] == 16

    annotated_says("average whole --last 2 --out mean --half", capsys)
    assert "BLEU" in annotated_says("evaluate --model mean --split test", capsys)
    monkeypatch.setattr(
        "sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"the dog\n\n"), isatty=bool)
    )
    assert len(annotated_says("translate --model mean --extra 3", capsys).split("\n")) == 3
    annotated_says("train --init mean --data toy --steps 1 --out more --dropout 0.1", capsys)
    assert load_checkpoint("more")[0].config == replace(whole.config, dropout=0.1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--model recurrent --heads 2", "--heads is no option of the recurrent model"),
        ("--model recurrent --norm-first", "--norm-first is no option of the recurrent model"),
        ("--no-attention", "--attention is no option of the transformer model"),
        ("--model recurrent --preset base", "--preset is of the paper's model"),
        ("--model recurrent --d-model 7", "d_model 7 is not divisible by 2 directions"),
        ("--model recurrent --layers 0", "--layers is a whole number"),
    ],
)
def test_an_option_of_the_other_model_is_refused(words, said, elsewhere, capsys):
    assert said in refused(f"train --data toy {words}", capsys)
    assert list(elsewhere.iterdir()) == []


def test_what_only_the_other_model_can_is_refused(elsewhere, capsys):
    annotated_says(f"train {TINY} --steps 2 --out mine", capsys)
    said = refused("export --to ctranslate2 out --model mine", capsys)
    assert said == "annotated: CTranslate2 holds a Transformer, and this model is recurrent"
    said = refused("train --init mine --hidden-dropout 0.1 --data toy", capsys)
    assert "--hidden-dropout is no option of the recurrent model" in said
    said = refused("train --init mine --model transformer --data toy", capsys)
    assert "--model cannot go with --init" in said
    assert not Path("out").exists()


def test_the_search_has_no_way_around_it(monkeypatch):
    """Greedy decoding and beam search run through the decoder's `step`."""
    model, steps = RecurrentTranslator(SMALL).eval(), []
    own = model.decoder.step
    monkeypatch.setattr(model.decoder, "step", lambda *given: steps.append(1) or own(*given))
    for find in (greedy, beam_search):
        steps.clear()
        find(model, some_batch().source)
        assert steps
    assert search.translator(model, None, SearchConfig(), seen=search.Seen(40)).seen.longest == 40
