"""The bench of parsers without a network."""

import json

from annotated.evidence.trees import read_trees
from tools.bench import grammar
from tools.bench.__main__ import main


def test_a_quick_run_has_all_that_the_page_shows(tmp_path, capsys):
    path = tmp_path / "quick.json"
    assert main(["grammar", "--data", "toy", "--quick", "--record", str(path)]) == 0
    record = json.loads(path.read_text("utf8"))
    rows = {(row["parser"], row["of"]): row for row in record["scores"]["parsers"]}
    assert {name for name, _ in rows} == {"right-branching", *grammar.GRAMMARS}
    for name in ("right-branching", *grammar.GRAMMARS):
        whole = rows[name, "all"]
        assert whole["counts"]["sentences"] == 20 and whole["counts"]["errors"] == 0
        lengths = [row for (who, of), row in rows.items() if who == name and of[0].isdigit()]
        assert sum(row["counts"]["gold"] for row in lengths) == whole["counts"]["gold"]
        assert rows[name, "running text"]["F1"] == whole["F1"]  # it has no headings
    assert rows["grammar", "all"]["F1"] > rows["right-branching", "all"]["F1"]
    assert rows["grammar", "all"]["without a tree"] == 0
    assert record["scores"]["trees"] == {"train": 200, "validation": 20}
    assert record["config"]["right-branching"] == {"root": "S", "label": "NP"}
    assert "labelled bracketing" in capsys.readouterr().out


def test_headings_are_told_apart_and_lengths_too():
    lines = ["(S (NP (NN a)) (VP (VB b)))", "(HEADING (NP (NN a)))", "(S " + "(NN a)" * 61 + ")"]
    gold = list(read_trees(lines))
    rows = {row["of"]: row["counts"] for row in grammar.scored(gold, gold)}
    assert {of: row["sentences"] for of, row in rows.items()} == {
        "all": 3,
        "running text": 2,
        "1 to 10": 2,
        "over 60": 1,
    }
