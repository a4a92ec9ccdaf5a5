"""The bench that switches heads off."""

import json

import pytest
import torch

from annotated.evidence.altered import all_heads
from annotated.model.transformer import Transformer, TransformerConfig
from tools.bench import heads
from tools.bench.__main__ import main
from tools.bench.heads import QUICK, Questions, in_turn
from tools.bench.toy_models import prepared, trained


@pytest.fixture
def quick(tmp_path):
    path = tmp_path / "quick.json"
    folders = ["--work", str(tmp_path / "work"), "--models", str(tmp_path / "models")]
    return ["heads", "--quick", *folders, "--record", str(path)], path


def test_a_quick_run_has_all_that_the_page_shows_and_is_not_done_again(quick, capsys, monkeypatch):
    words, path = quick
    assert main(words) == 0
    record = json.loads(path.read_text("utf8"))
    scores, seeds = record["scores"], len(QUICK.seeds)
    assert [*scores] == ["whole", "one at a time", "in turn", "other weights", "trained anew"]
    assert [row["seed"] for row in scores["whole"]] == [*QUICK.seeds]
    assert len(scores["one at a time"]) == len(scores["in turn"]) == seeds * 3 * 1 * 2
    for row in scores["one at a time"]:
        low, high = row["test, interval"]
        whole = next(each for each in scores["whole"] if each["seed"] == row["seed"])
        assert low <= high and row.keys() >= whole.keys() | {"attention", "layer", "head"}
    assert [row["model"] for row in scores["trained anew"]] == ["whole", "fixed", "even"] * seeds
    assert scores["trained anew"][0]["test_longer, interval"] == [0, 0]
    assert {row["attention"] for row in scores["other weights"]} == {
        "encoder", "decoder", "cross-attention"
    }  # fmt: skip
    assert "one at a time" in capsys.readouterr().out
    for name in ("translate", "validation_loss", "other_weights"):
        monkeypatch.setattr(heads, name, lambda *given: pytest.fail("done again"))
    assert main(words) == 0
    assert json.loads(path.read_text("utf8"))["scores"] == scores


def test_the_next_head_off_is_the_one_that_costs_the_least(monkeypatch):
    """The cost of a head is known here: the heads go by their cost, and what is off stays off."""
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(400, layers=1, d_model=16, d_ff=32, heads=4))
    cost = {head: float(7 * i % 12) for i, head in enumerate(all_heads(model))}
    corpus, tokenizer = prepared(QUICK)
    monkeypatch.setattr(heads, "without", lambda model, off: list(off))
    monkeypatch.setattr(Questions, "loss", lambda self, off: sum(cost[each] for each in off))
    monkeypatch.setattr(Questions, "bleu", lambda self, off, name: torch.ones(3, 10).double())
    rows = in_turn(model, Questions(corpus, tokenizer, QUICK))
    for name in ("encoder", "decoder", "cross-attention"):
        mine = [row for row in rows if row["attention"] == name]
        costs = [cost[row["attention"], row["layer"], row["head"]] for row in mine]
        assert costs == sorted(costs) and [row["off"] for row in mine] == [1, 2, 3, 4]
        assert mine[-1]["loss"] == sum(costs)


def test_a_changed_model_is_trained_changed_and_kept(tmp_path):
    changed = []
    change = lambda model: changed.append(model) or model  # noqa: E731
    one = trained(tmp_path, 1, QUICK, "other", change)
    assert len(changed) == 2  # before it was trained, and as it was loaded
    assert trained(tmp_path, 1, QUICK, "other", change).state_dict().keys() == (
        one.state_dict().keys()
    )
    assert len(changed) == 3 and [x.name for x in tmp_path.iterdir()] == ["other-16-4-1"]
