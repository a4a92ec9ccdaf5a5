"""What the values of a configuration may be: types that say it, and the check."""

import math
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any


@dataclass(frozen=True)
class Range:
    """What a number may be, in words and as a test; nan is in no range."""

    words: str
    holds: Callable[[Any], bool]


def whole(least: int) -> Range:
    """Whole numbers from `least` on; with more than 10^9 of anything there is no model."""
    words = f"a whole number from {least} to 10^9"
    return Range(words, lambda n: least <= n <= 10**9 and n % 1 == 0)


Count = Annotated[int, whole(1)]
Whole = Annotated[int, whole(0)]
Length = Annotated[int, whole(2)]  # of a sentence: a token and EOS
Seed = Annotated[
    int, Range("a whole number from 0 up to 2^63", lambda n: 0 <= n < 2**63 and n % 1 == 0)
]
Rate = Annotated[float, Range("from 0 up to 1", lambda x: 0 <= x < 1)]
Weight = Annotated[float, Range("finite and at least 0", lambda x: 0 <= x < math.inf)]
Positive = Annotated[float, Range("finite and more than 0", lambda x: 0 < x < math.inf)]
Power = Annotated[float, Range("from 0 to 100", lambda x: 0 <= x <= 100)]


class RangeError(ValueError):
    """A field with a value that is out of its range."""

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name} {reason}")
        self.name, self.reason = name, reason


def check_ranges(config: Any) -> None:
    """RangeError where a field of this dataclass has not a value that its type allows."""
    for name, hint in typing.get_type_hints(type(config), include_extras=True).items():
        value = getattr(config, name)
        for kind in (hint, *typing.get_args(hint)):  # such as Count | None
            names = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else [value]
            if value is not None and value not in names:
                raise RangeError(name, f"is one of {', '.join(names)}, not {value!r}")
            for allowed in getattr(kind, "__metadata__", ()):
                if isinstance(allowed, Range) and value is not None and not allowed.holds(value):
                    raise RangeError(name, f"is {allowed.words}, not {value}")
