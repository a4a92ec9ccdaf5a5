"""Each recorded run is whole, and its command still parses."""

import json
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RESULTS = sorted((ROOT / "results").glob("*.json"))
KEYS = {
    *("name", "command", "commit", "date", "hardware", "software", "data", "config"),
    *("seconds", "curve", "scores"),
}

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
def test_the_command_of_a_recorded_run_still_parses(path):
    main = pytest.importorskip("annotated.__main__", reason="no command line yet")
    words = shlex.split(json.loads(path.read_text("utf8"))["command"])
    while "=" in words[0]:  # variables of the environment
        words.pop(0)
    assert words[0] == "annotated", words
    main.parser().parse_args(words[1:])
