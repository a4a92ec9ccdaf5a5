"""Train on your own text: every option that the page names is one of the command's."""

import re
import subprocess
import sys

import pytest

from tools import chapters

TEXT = (chapters.CHAPTERS / "reference" / "your-own-text.md").read_text("utf8")
COMMANDS = ["data", "train", "translate", "average", "evaluate"]


@pytest.fixture(scope="module")
def options():
    """The options of each command, as its help lists them."""
    found = {}
    for command in COMMANDS:
        words = [sys.executable, "-m", "annotated", command, "--help"]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        found[command] = {*re.findall(r"--[a-z][a-z-]*", said)}
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_a_commands_options_are_its_own(options, command):
    lines = re.findall(rf"annotated {command}\b[^\n\"]*", TEXT)
    used = {option for line in lines for option in re.findall(r"--[a-z][a-z-]*", line)}
    assert lines and used <= options[command]


def test_every_option_of_the_prose_is_one(options):
    prose = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    named = {*re.findall(r"--[a-z][a-z-]*", prose)}
    assert len(named) > 20 and named <= set.union(*options.values())
