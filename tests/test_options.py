"""Options: what a dataclass's fields, types and comments make of a command line."""

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, get_args

import pytest

from annotated.cli import corpus
from annotated.cli.options import (
    POSITIONAL,
    BaseOptions,
    Folder,
    add_options,
    comments,
    option,
    override,
)
from annotated.cli.trees import TREEBANKS
from annotated.data.corpora import CORPORA
from annotated.ranges import Count, RangeError, check_ranges


@dataclass(frozen=True)
class Sizes:
    """Sizes, of which one has
    no: comment of its own."""

    layers: Count = 6  # in each stack
    # how it is:
    # round or square
    shape: Literal["round", "square"] = "round"  # (Section 1)
    hidden: int = 3
    norm_first: bool = False  # norms come first

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, kw_only=True)
class Options(BaseOptions):
    configurations: ClassVar[dict[str, type]] = {"sizes": Sizes}
    folder: Folder = field(metadata=POSITIONAL)  # where it is
    name: str | None = field(default=None, metadata=POSITIONAL)  # how it is called
    out: Folder  # where it goes
    last: Count = 2  # how many


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser()
    add_options(parser, Options)
    return parser


def given(parser, line):
    values = vars(parser.parse_args(line.split()))
    return {name: value for name, value in values.items() if value is not None}


def test_a_comment_beside_a_field_or_above_it_is_its_help():
    assert comments(Sizes) == {
        "layers": "in each stack",
        "shape": "how it is: round or square (Section 1)",
        "norm_first": "norms come first",
    }


def test_an_option_has_the_name_the_type_and_the_default_of_its_field(parser):
    text = parser.format_help()
    assert "--last N" in text and "how many (default: 2)" in text
    assert "--shape round|square" in text and "--no-norm-first" in text
    assert "FOLDER" in text and "--words" not in text and "--hidden" not in text
    assert "in each stack (" not in text  # of a configuration the defaults depend on more


def test_what_is_given_is_known_from_what_is_not(parser):
    least = {"folder": Path("a"), "out": Path("b")}
    assert given(parser, "a --out b") == least
    line = "a me --out b --layers 2 --shape square --no-norm-first --last 1"
    more = {"name": "me", "layers": 2, "shape": "square", "norm_first": False, "last": 1}
    assert given(parser, line) == least | more


@pytest.mark.parametrize("line", ["--out b", "a", "a --out b --shape oval", "a --out b --last x"])
def test_what_is_missing_or_no_choice_ends_with_status_2(parser, line):
    with pytest.raises(SystemExit) as end:
        parser.parse_args(line.split())
    assert end.value.code == 2


def test_an_override_takes_what_is_given_and_leaves_auto():
    sizes = override(Sizes(), {"layers": 2, "shape": "auto", "other": 1})
    assert sizes == Sizes(layers=2)
    with pytest.raises(RangeError, match="layers is a whole number from 1"):
        override(Sizes(), {"layers": 0})


def test_options_are_checked_as_configurations_are():
    with pytest.raises(RangeError, match="last is a whole number from 1"):
        Options(folder=Path(), out=Path(), last=0)
    assert option("n_best") == "--n-best"


def test_the_corpora_that_an_option_names_are_those_that_there_are():
    assert get_args(corpus.Name) == (*CORPORA, *TREEBANKS)
