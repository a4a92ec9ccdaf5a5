"""Each recorded run is whole, and its command still parses."""

import json
import re
import shlex
from pathlib import Path

import pytest

from annotated import results
from annotated.cli.main import parser as annotated
from tools import distill, scale
from tools.bench import __main__ as bench

ROOT = Path(__file__).resolve().parent.parent
RESULTS = sorted((ROOT / "results").rglob("*.json"))
NAMES = {p.relative_to(ROOT / "results").with_suffix("").as_posix(): p for p in RESULTS}
KEYS = {
    *("name", "command", "commit", "date", "hardware", "software", "data", "config"),
    *("seconds", "curve", "scores"),
}
PARSERS = {  # how a command begins -> what parses the rest
    "annotated": annotated,
    "python -m tools.bench": bench.parser,
    "python tools/distill.py": distill.parser,
    "python tools/scale.py": scale.parser,
}

RENAMED = {"--products": "--matmul-precision"}  # an option as it was called then -> today

pytestmark = pytest.mark.skipif(not RESULTS, reason="results/ holds no recorded run yet")


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_recorded_run_is_whole(path):
    result = json.loads(path.read_text("utf8"))
    assert result.keys() >= KEYS, f"missing: {KEYS - result.keys()}"
    assert result["name"] == path.stem
    assert re.fullmatch(r"[0-9a-f]{7,40}\+?", result["commit"]), result["commit"]
    assert re.match(r"20\d\d-\d\d-\d\d", result["date"])
    assert result["seconds"] > 0
    for key in ("hardware", "software", "data", "config", "curve", "scores"):
        assert result[key], f"{key} is empty"


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_commands_of_a_recorded_run_still_parse(path):
    record = json.loads(path.read_text("utf8"))
    for command in record.get("commands", [record["command"]]):
        parse(command)


def parse(command):
    words = [RENAMED.get(word, word) for word in shlex.split(command)]
    while "=" in words[0]:  # variables of the environment
        words.pop(0)
    for start, parser in PARSERS.items():
        start = start.split()
        if words[: len(start)] == start:
            parser().parse_args(words[len(start) :])
            break
    else:
        pytest.fail(f"no program of ours begins with {words[0]}")


def test_a_record_is_had_by_its_name_wherever_the_package_is():
    assert results.names() == sorted(name for name in NAMES if "/" not in name)
    assert results.names("*/**/*") == sorted(name for name in NAMES if "/" in name)
    assert results.names("candidate-*") == [
        path.stem for path in RESULTS if path.stem.startswith("candidate-")
    ]
    for name, path in NAMES.items():
        assert results.load(name) == json.loads(path.read_text("utf8"))


@pytest.mark.parametrize("name", ["nothing", "", "../results/pretrained", "*"])
def test_a_record_that_is_not_there_is_said_in_a_sentence(name):
    with pytest.raises(ValueError, match=f"^no recorded run {re.escape(repr(name))}.*pretrained"):
        results.load(name)


AVERAGED = [path for path in RESULTS if '"averaged": [' in path.read_text("utf8")]


@pytest.mark.parametrize("path", AVERAGED, ids=lambda path: path.stem)
def test_a_recorded_average_says_all_that_was_done_and_came_out(path):
    record = json.loads(path.read_text("utf8"))
    commands = record["commands"]
    verbs = [shlex.split(command)[1] for command in commands]
    trainings = len(verbs) // 2  # each may begin with what the one before has given
    assert trainings and verbs == [*["train", "average"] * trainings, "evaluate"]
    assert commands[-1] == record["command"]
    assert record["averaged"][-1] == record["step"]
    assert record["config"].keys() == {"model", "training", "decoding"}
    assert record["config"]["model"]["parameters"] > 0
    assert len(record["examples"]) == 10
    tests = {x for x in record["data"]["splits"] if x.startswith("test")}
    assert set(record["scores"]) in (tests, {"validation"})
    for scores in record["scores"].values():
        assert scores["signature"]
        if record["data"]["pair"] == "en-trees":
            assert scores["f1"] > 0 and scores["well_formed"] > 0
            continue
        assert scores["bleu"] > 0
        assert all(
            scores[x]["value"] > 0 and scores[x]["signature"] for x in ("moses_bleu", "chrf")
        )


SHIPPED = ROOT / "annotated" / "pretrained"


def test_the_model_that_ships_is_small_and_its_card_says_what_was_recorded():
    assert sum(file.stat().st_size for file in SHIPPED.iterdir()) <= 12e6
    card = (SHIPPED / "README.md").read_text("utf8")
    record = json.loads((ROOT / "results" / "pretrained.json").read_text("utf8"))
    for name, scores in record["scores"].items():
        (row,) = [line for line in card.splitlines() if line.startswith(f"| {name} |")]
        values = [scores["moses_bleu"]["value"], scores["bleu"], scores["chrf"]["value"]]
        assert row == f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |"
    assert all(command in card for command in record["commands"])
    assert f"{record['config']['model']['parameters']:,}" in card


def test_hardware_and_software_are_named():
    assert "threads" in results.hardware()
    assert set(results.software()) >= {"python", "torch", "tokenizers", "sacrebleu"}


def test_outside_a_checkout_the_commit_is_unknown(monkeypatch):
    def no_git(*args, **options):
        raise FileNotFoundError("git")

    monkeypatch.setattr(results.subprocess, "run", no_git)
    assert results.commit() == "unknown"


def test_a_record_says_when_and_on_what_it_was_made_unless_it_is_told(tmp_path):
    path = tmp_path / "new" / "mine.json"
    results.save(path, ["annotated", "train", "a b"], scores={"é": 1}, hardware="a card")
    read = json.loads(path.read_text("utf8"))
    assert list(read)[:2] == ["name", "command"] and read["name"] == "mine"
    assert read["command"] == "annotated train 'a b'" and read["scores"] == {"é": 1}
    assert read["hardware"] == "a card" and read["software"] == results.software()
