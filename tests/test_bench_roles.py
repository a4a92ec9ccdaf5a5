"""The bench that asks the heads of toy models what they look at."""

import json

import pytest
import torch

from annotated.data import toy
from annotated.evidence.alignment import gold_alignment
from annotated.evidence.roles import RULES, rule_matrix
from tools.bench import roles
from tools.bench.__main__ import main
from tools.bench.recurrent import QUICK


def test_a_quick_run_has_all_that_the_page_shows(tmp_path, capsys):
    path = tmp_path / "quick.json"
    words = ["roles", "--quick", "--work", str(tmp_path / "work"), "--record", str(path)]
    threads = torch.get_num_threads()
    assert main(words) == 0
    assert torch.get_num_threads() == threads
    record = json.loads(path.read_text("utf8"))
    scores = record["scores"]
    who = [(row["model"], row["seed"], row["reading"]) for row in scores["alignment"]]
    assert who == [
        (model, seed, reading)
        for seed in QUICK.seeds
        for model in ("untrained", "trained")
        for reading in roles.READINGS
    ]
    row = scores["alignment"][0]
    assert (len(row["heads"]), len(row["heads"][0])) == (QUICK.layers, QUICK.heads)
    assert row["best head"]["AER"] in row["heads"][0]
    assert 0 <= row["all heads"] <= 1 and 0 <= row["on [end]"][0][0] <= 1
    assert {"chance", "diagonal", "IBM model 1"} <= {*scores["baselines"]["AER"]}
    assert [each["round"] for each in record["curve"]] == [1, 2]
    assert {row["rule"] for row in scores["rules"]} == {*RULES}
    assert len(scores["rules"]) == 4 * len(scores["baselines"]["rules"])
    assert "alignment error rate" in capsys.readouterr().out


def looks_of(matrices, reading="cross, writing"):
    """What a model of one layer with these heads would look at: (1, H, words, words + 1)."""
    with_mark = [torch.nn.functional.pad(each.float(), (0, 1)) for each in matrices]
    return [{reading: each[None]} for each in with_mark]


def test_a_head_that_knows_the_alignment_is_found_on_the_validation_set():
    pairs = {name: toy.splits()[name][:20] for name in roles.SPLITS}
    looks = {}
    for name, some in pairs.items():
        gold = [gold_alignment(pair) for pair in some]
        looks[name] = looks_of([torch.stack([1.0 - g.float(), g.float()]) for g in gold])
    found = roles.aligned(looks, pairs, "writing")
    assert found["best head"] == {"layer": 1, "head": 2, "AER": found["heads"][0][1]}
    assert found["best combination"]["heads"] == [{"layer": 1, "head": 2}]
    assert found["best head"]["AER"] < 0.15 < 0.8 < found["heads"][0][0]


def test_a_head_that_follows_a_rule_is_found_on_the_validation_set():
    pairs = {name: toy.splits()[name][:30] for name in roles.SPLITS}
    looks = {
        name: [
            {
                look: torch.nn.functional.pad(
                    torch.stack([torch.zeros(n, n), rule_matrix("article → noun", pair).float()])
                    if look == "encoder"
                    else torch.zeros(2, t, t),
                    (0, 1),
                )[None]
                for look in ("encoder", "decoder, reading", "decoder, writing")
            }
            for pair in some
            for n, t in [(len(pair.source), len(pair.target))]
        ]
        for name, some in pairs.items()
    }
    rows = {row["rule"]: row for row in roles.followed(looks, pairs)}
    assert rows["article → noun"]["share"] == 1 and rows["article → noun"]["head"] == 2


def test_the_baselines_of_rules_are_what_they_must_be():
    pairs = {name: toy.splits()[name] for name in roles.SPLITS}
    rows = {(row["rule"], row["look"]): row for row in roles.rule_baselines(pairs)}
    before = rows["previous word", "encoder"]
    assert (before["offset"], before["share"]) == (-1, 1)
    assert rows["next word", "encoder"]["offset"] == 1
    assert rows["article → noun", "encoder"]["offset"] == 1
    assert 0.6 < rows["article → noun", "encoder"]["share"] < 0.9
    for row in rows.values():
        assert 0 < row["chance"] < row["share"] <= 1 and row["words"] > 20
    one, other = (rows["prefix → verb", f"decoder, {x}"] for x in roles.READINGS)
    assert one["chance"] > other["chance"]  # one word less to see


def test_all_combinations_of_heads():
    mixes = roles.combinations(3)
    assert mixes.shape == (7, 3) and mixes.sum(-1).tolist() == pytest.approx([1] * 7)
    assert mixes.unique(dim=0).shape == (7, 3)


def test_a_diagonal():
    assert roles.diagonal(4, 4).equal(torch.eye(4).bool())
    assert roles.diagonal(1, 3).tolist() == [[True, False, False]]
    assert roles.diagonal(2, 5).nonzero().tolist() == [[0, 0], [1, 4]]
