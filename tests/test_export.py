"""Export: what is written computes the same in CTranslate2, and is complete."""

import json
from dataclasses import replace

import pytest
import torch

from annotated.data.batching import pad_sequences
from annotated.data.tokenizer import BOS, EOS, Tokenizer
from annotated.fast import engine
from annotated.fast.engine import Engine, EngineError
from annotated.fast.export import export, specification
from annotated.folders import CheckpointError
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.training.checkpoints import read_description

library = pytest.importorskip("ctranslate2")
TOKENIZER = Tokenizer.train(["the dog sees the cat"], 260)
CONFIG = TransformerConfig(
    len(TOKENIZER), layers=2, d_model=32, d_ff=48, heads=4, max_length=100, dropout=0.2
)
SOURCES = [[5, 6, 7, 8, EOS], [9, 10, EOS]]
TARGETS = [[11, 12, 13, 14], [15, 3, 4, 20, 77, 200]]


def a_model(**changes):
    """A model no two weights of which are alike."""
    torch.manual_seed(0)
    model = Transformer(replace(CONFIG, **changes)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return model


@torch.no_grad()
def ours(model):
    """The log-probability of each target's tokens and EOS."""
    found = []
    for source, target in zip(SOURCES, TARGETS, strict=True):
        scores = model(pad_sequences([source]), pad_sequences([[BOS, *target]])).log_softmax(-1)[0]
        found.append(scores.gather(1, torch.tensor([*target, EOS])[:, None])[:, 0].tolist())
    return found


def its(folder, kind):
    """The same by CTranslate2, the two sentences in one batch."""
    translator = library.Translator(str(folder), compute_type=kind)
    words = [[list(map(str, ids)) for ids in each] for each in (SOURCES, TARGETS)]
    return [each.log_probs for each in translator.score_batch(*words)]


VARIANTS = [
    {},
    {"norm_first": True},
    {"attention_bias": True},
    {"attention_bias": True, "norm_first": True},
    {"positions": "learned"},
    {"positions": "learned", "norm_first": True},
    {"d_k": 12, "d_v": 12},
    {"heads": 1},
    {"d_model": 30, "heads": 3},
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_an_export_computes_the_same(changes, tmp_path):
    model = a_model(**changes)
    export(tmp_path / "out", model, TOKENIZER)
    for mine, other in zip(ours(model), its(tmp_path / "out", "float32"), strict=True):
        assert other == pytest.approx(mine, abs=1e-4)


@pytest.mark.parametrize("changes", [{}, {"norm_first": True, "attention_bias": True}])
def test_in_8_bits_nearly(changes, tmp_path):
    model = a_model(**changes)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    export(tmp_path / "full", model, TOKENIZER)
    export(tmp_path / "int8", model, TOKENIZER, int8=True)
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    sizes = [(tmp_path / name / "model.bin").stat().st_size for name in ("int8", "full")]
    assert sizes[0] < sizes[1]
    for mine, other in zip(ours(model), its(tmp_path / "int8", "default"), strict=True):
        assert other == pytest.approx(mine, abs=0.5) and other != pytest.approx(mine, abs=1e-4)


def test_half_precision_is_written_as_float32(tmp_path):
    model = a_model().half()
    export(tmp_path / "out", model, TOKENIZER)
    for mine, other in zip(ours(model.float()), its(tmp_path / "out", "default"), strict=True):
        assert other == pytest.approx(mine, abs=1e-4)


@pytest.mark.parametrize("changes", [{"d_k": 12}, {"d_v": 12}, {"d_k": 4, "d_v": 12}])
def test_what_cannot_be_held_is_said(changes, tmp_path):
    with pytest.raises(EngineError, match="one width for keys and values.* two: d_k .*, d_v "):
        export(tmp_path / "out", a_model(**changes), TOKENIZER)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_complete(tmp_path):
    about = {"data": "toy", "lowercase": True}
    model = a_model(positions="learned")
    export(tmp_path / "out", model, TOKENIZER, about)
    read = Engine(tmp_path / "out")
    assert read.about == about and read.positions == 100
    assert read.tokenizer.encode("the dog") == TOKENIZER.encode("the dog")
    assert read_description(tmp_path / "out" / "model.json") == (model.config, about)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["bos_token"] == str(BOS)


def test_nothing_is_written_over(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(CheckpointError, match="exists already"):
        export(tmp_path / "out", a_model(), TOKENIZER)


def test_without_the_library_it_says_what_to_install(monkeypatch, tmp_path):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(engine.importlib, "import_module", missing)
    with pytest.raises(EngineError, match=r'pip install "annotated\[fast\]"'):
        specification(a_model())
