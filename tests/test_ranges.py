"""Ranges: what a configuration's numbers may be, and what is said of the others."""

import math
from dataclasses import dataclass
from typing import Literal

import pytest

from annotated.ranges import (
    Count,
    Length,
    Positive,
    Power,
    Range,
    RangeError,
    Rate,
    Seed,
    Weight,
    Whole,
    check_ranges,
)

HOLDS = {  # the smallest and the largest that there are, or nearly
    Count: [1, 10**9],
    Whole: [0, 10**9],
    Length: [2, 10**9],
    Seed: [0, 2**63 - 1],
    Rate: [0.0, 0.999],
    Weight: [0.0, 1e300],
    Positive: [1e-300, 1e300],
    Power: [0.0, 100.0],
}
BEYOND = {
    Count: [0, 10**9 + 1],
    Whole: [-1, 10**9 + 1],
    Length: [1, 10**9 + 1],
    Seed: [-1, 2**63],
    Rate: [-1e-9, 1.0],
    Weight: [-1e-300, math.inf],
    Positive: [0.0, math.inf],
    Power: [-1e-9, 100.1],
}


def allowed(kind) -> Range:
    return kind.__metadata__[0]


@pytest.mark.parametrize("kind", HOLDS, ids=lambda kind: allowed(kind).words)
def test_a_range_ends_where_it_says(kind):
    assert all(map(allowed(kind).holds, HOLDS[kind]))
    assert not any(map(allowed(kind).holds, [*BEYOND[kind], math.nan, math.inf, -math.inf]))


@pytest.mark.parametrize("kind", [Count, Whole, Length, Seed])
def test_a_whole_number_is_whole(kind):
    assert not allowed(kind).holds(2.5)


@dataclass(frozen=True)
class Config:
    size: Count = 3
    rate: Rate = 0.5
    other: Count | None = None
    name: str = "any"
    kind: Literal["round", "square"] = "round"
    color: Literal["red"] | None = None
    free: int = -7

    def __post_init__(self) -> None:
        check_ranges(self)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"size": 0}, "size is a whole number from 1 to 10^9, not 0"),
        ({"other": -2}, "other is a whole number from 1 to 10^9, not -2"),
        ({"rate": math.nan}, "rate is from 0 up to 1, not nan"),
        ({"kind": "oval"}, "kind is one of round, square, not 'oval'"),
        ({"color": "blue"}, "color is one of red, not 'blue'"),
    ],
)
def test_what_is_out_of_range_is_named(wrong, said):
    with pytest.raises(RangeError) as error:
        Config(**wrong)
    assert str(error.value) == said and error.value.name in wrong


def test_what_has_no_range_and_what_is_not_given_is_let_through():
    assert Config() == Config(3, 0.5, None, "any", "round", None, -7)
    assert Config(other=1).other == 1
