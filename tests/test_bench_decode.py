"""tools.bench decode: one model in every library, so many tokens and no others, honest ratios."""

import importlib
import importlib.util
import json
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from annotated.data.tokenizer import EOS, PAD
from annotated.fast.matmul_precision import SETTINGS
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.translation import search
from tools.bench import decode, decoders, work
from tools.bench.__main__ import main, parser

CONFIG = TransformerConfig(200, layers=2, d_model=32, d_ff=48, heads=4)
KEYS = {
    *("name", "command", "commit", "date", "hardware", "software", "data", "config"),
    *("seconds", "curve", "scores"),
}
LENGTH = 100  # more than the tokens of a source and 50


def needs(library):
    """Skips where a library is not installed, as in CI."""
    lacking = importlib.util.find_spec(library) is None
    return pytest.mark.skipif(lacking, reason=f"{library} is not installed")


@pytest.fixture(autouse=True)
def products():
    """Every test begins with PyTorch's default for float32 products and leaves it so."""
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.fixture
def model():
    """A model no two weights of which are alike, and whose translations vary from word to word."""
    torch.manual_seed(11)
    model = Transformer(CONFIG).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.LayerNorm | nn.Linear):
                for weight in module.parameters():
                    weight.add_(0.1 * torch.randn_like(weight))
        model.embedding.weight.mul_(5)
        nn.init.normal_(last_norm(model).weight)  # else the tied matrix repeats a word for ever
        # EOS has no share to speak of: Marian takes it out after the softmax, the others before
        last_norm(model).bias.sub_(model.embedding.weight[EOS])
    return model


def last_norm(model):
    """The norm after which the decoder's output is scored."""
    return model.decoder.layers[-1].residuals[-1].norm


@pytest.fixture
def sources():
    return decode.sources(CONFIG, 5)


CONTENDERS = {
    "annotated": decoders.ours,
    "Marian": decoders.marian,
    "CTranslate2 float32": lambda model: decoders.ctranslate2(model, "float32"),
    "CTranslate2 int8": lambda model: decoders.ctranslate2(model, "int8"),
}
OTHERS = [
    pytest.param("Marian", marks=needs("transformers")),
    pytest.param("CTranslate2 float32", marks=needs("ctranslate2")),
]
ALL = [
    "annotated",
    *OTHERS,
    pytest.param("CTranslate2 int8", marks=needs("ctranslate2")),
]


# The contenders.


@needs("transformers")
def test_marian_has_our_logits(model, sources):
    theirs, source = decoders.marian_model(model), decoders.ids(sources)
    target = torch.randint(3, CONFIG.vocab_size, (5, 9))
    with torch.no_grad():
        mine = model(source, target)
        its = theirs(source, source != PAD, decoder_input_ids=target).logits
    assert mine.std() > 0.5
    torch.testing.assert_close(its, mine, rtol=0, atol=1e-4)


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("name", OTHERS)
def test_the_others_write_what_we_write(name, beam, model, sources):
    mine = decoders.ours(model)(sources, beam, LENGTH)
    assert len(set(map(tuple, mine))) == len(sources)
    assert sum(len(set(ids)) for ids in mine) > 4 * len(sources)  # words of each, on average
    assert CONTENDERS[name](model)(sources, beam, LENGTH) == mine


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("name", ALL)
def test_translations_have_the_length_that_is_asked_for(name, beam, model, sources):
    """Though each model would end at once: EOS is what its decoder's output points at."""
    with torch.no_grad():
        last_norm(model).weight.mul_(0.1)
        last_norm(model).bias.copy_(model.embedding.weight[EOS])
        assert search.greedy(model, decoders.ids(sources)).size(1) == 1
    translate = CONTENDERS[name](model)
    for length in (1, 7, LENGTH):
        written = translate(sources, beam, length)
        assert [len(ids) for ids in written] == [length] * len(sources)
        assert not any(EOS in ids for ids in written)


def test_what_is_forced_ends_with_the_benchmark(model, sources):
    source = decoders.ids(sources)
    before = search.greedy(model, source), model(source, source)
    decoders.ours(model)(sources, 1, 3)
    after = search.greedy(model, source), model(source, source)
    torch.testing.assert_close(after, before)


@needs("transformers")
@pytest.mark.parametrize("beam", [1, 4])
def test_marian_takes_as_many_steps_as_tokens(beam, model, sources, monkeypatch):
    theirs = decoders.marian_model(model)
    calls = []
    theirs.model.decoder.register_forward_hook(lambda *_: calls.append(1))
    monkeypatch.setattr(decoders, "marian_model", lambda model: theirs)
    decoders.marian(model)(sources, beam, LENGTH)
    assert len(calls) == LENGTH


def test_every_contender_that_is_installed_takes_part():
    found, lacking = set(decoders.builders()), decoders.missing()
    assert "annotated float32" in found
    assert ("Marian" in found) == ("transformers" not in lacking)
    assert {x in found for x in ("CTranslate2 float32", "CTranslate2 int8")} == {
        "ctranslate2" not in lacking
    }


def test_marian_runs_as_it_comes_and_with_the_products_that_we_choose():
    names = ["annotated float32", "Marian", "CTranslate2 int8"]
    contenders = [SimpleNamespace(name=name, take=None) for name in names]
    found = {row.name: row.setting for row in decode.rows_of(contenders, "medium")}
    assert found == {
        "annotated float32": "medium",
        "Marian": "highest",
        "Marian, chosen products": "medium",
        "CTranslate2 int8": "highest",
    }


def test_choosing_products_leaves_the_precision_as_it_was():
    assert decoders.chosen_products(4, 64) in SETTINGS
    assert torch.get_float32_matmul_precision() == "highest"


# Measuring.


@pytest.fixture
def fake(monkeypatch):
    """Contenders that write down who ran in which precision, and write three tokens."""
    log = []

    def translate(name):
        def run(sources, beam, length):
            log.append((name, torch.get_float32_matmul_precision(), beam))
            return [[5] * 3 for _ in sources]

        return run

    monkeypatch.setattr(decode, "built", {name: translate(name) for name in "ab"})
    return log


def row(name, setting="highest", seconds=()):
    return decode.Row(name, partial(decode.take, name), setting, list(seconds))


def test_contenders_run_in_turn_each_in_its_precision(fake):
    rows = [row("a", "medium"), row("b")]
    decode.race(rows, [[3], [4]], 4, decode.Amount(rounds=2, length=3, rest=0, warm=0, counted=0))
    each = [("a", "medium", 4)] * 3 + [("b", "highest", 4)] * 3  # warm, counted, looked at
    assert fake == each * 2
    assert all(len(each.seconds) == 2 and min(each.seconds) > 0 for each in rows)
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_contender_gets_warm_and_then_counts_by_its_median(fake, monkeypatch):
    warm = [0.0, 0.3, 0.6]  # began, ended, ended
    counted = [0.7, 0.8, 1.2, 1.5, 1.8]  # 0.1, 0.4, 0.3 and 0.3 seconds
    clock = iter(warm + counted)
    monkeypatch.setattr(decode.time, "perf_counter", lambda: next(clock))
    assert decode.take("a", "highest", [[3]], 1, 3, 0.5, 1.0) == pytest.approx(0.3)
    assert len(fake) == 2 + 4 + 1  # the last is the one that is looked at


@pytest.mark.parametrize("length", [2, 4])
def test_a_contender_that_writes_another_length_is_found_out(fake, length):
    with pytest.raises(ValueError, match=rf"^a wrote \[3\] tokens, not {length} a sentence$"):
        decode.take("a", "highest", [[3], [4]], 1, length, 0, 0)


def test_speed_is_by_the_median_against_the_faster_marian():
    rows = [
        row("annotated", seconds=[1.0, 2.0, 9.0]),
        row("Marian", seconds=[8.0, 8.0, 8.0]),
        row("Marian, chosen products", seconds=[6.0, 1.0, 7.0]),
    ]
    found = decode.summary(rows, tokens=100)
    assert found["ms/token"] == {"annotated": 20, "Marian": 80, "Marian, chosen products": 60}
    assert found["times Marian"] == {
        "annotated": 3,
        "Marian": 0.75,
        "Marian, chosen products": 1,
    }
    assert decode.summary(rows[:1], 100) == {"ms/token": {"annotated": 20}, "times Marian": {}}
    assert decode.turns(rows)[1] == {
        "seconds": {"annotated": 2.0, "Marian": 8.0, "Marian, chosen products": 1.0}
    }


def test_one_source_has_the_mean_length_and_sixteen_are_ragged():
    one, many = decode.sources(CONFIG, 1), decode.sources(CONFIG, 16)
    assert [len(ids) + 1 for ids in one] == [work.MEAN]
    lengths = [len(ids) + 1 for ids in many]
    assert len(set(lengths)) > 8 and abs(sum(lengths) / 16 - work.MEAN) < 1
    assert many == decode.sources(CONFIG, 16)


# The command.


def test_a_quick_run_leaves_a_whole_record(tmp_path, capsys):
    path = tmp_path / "bench-quick.json"
    words = ["decode", "--quick", "--record", str(path)]
    assert main(words) == 0
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read.keys() >= KEYS and all(read[key] for key in KEYS)
    lacking = decoders.missing()
    assert all((name in read["software"]) == (name not in lacking) for name in decoders.LIBRARIES)
    assert "torch" in read["software"]
    rows = read["scores"]["table"]
    kinds = {(row["search"], row["sentences"]) for row in rows}
    assert kinds == {(x, n) for x in ("greedy", "beam 4") for n in decode.QUICK.sentences}
    names = set(rows[0]["ms/token"])
    assert "annotated float32" in names
    assert {row["products"] for row in rows} <= set(SETTINGS)
    for row in rows:
        assert set(row["ms/token"]) == names and min(row["ms/token"].values()) > 0
        assert set(row["times Marian"]) == (set() if "transformers" in lacking else names)
    assert len(read["curve"]) == len(rows) * decode.QUICK.rounds
    assert all(set(turn["seconds"]) == names for turn in read["curve"])
    assert "Milliseconds a token" in capsys.readouterr().out
    assert torch.get_float32_matmul_precision() == "highest"
    parser().parse_args(words)


def test_what_is_not_installed_is_left_out_with_a_sentence(monkeypatch, tmp_path, capsys):
    for module in (decode, decoders):
        monkeypatch.setattr(module, "missing", lambda: list(decoders.LIBRARIES))
    path = tmp_path / "bench.json"
    assert main(["decode", "--quick", "--record", str(path)]) == 0
    said = capsys.readouterr()
    assert "Marian is left out" in said.err and "CTranslate2 is left out" in said.err
    assert "Times as fast" not in said.out
    rows = json.loads(path.read_text(encoding="utf-8"))["scores"]["table"]
    assert all(name.startswith("annotated") for row in rows for name in row["ms/token"])
