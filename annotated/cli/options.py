"""What all commands share, with or without PyTorch: errors, sentences, configurations."""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

from annotated.ranges import RangeError


class UserError(ValueError):
    """Something that the user can mend: one sentence."""


@contextmanager
def heard_or_not() -> Iterator[None]:
    """Progress, which stops nothing: where its reader has gone, it goes nowhere from then on."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def tell(sentence: str) -> None:
    """A sentence on standard error; standard output is for results."""
    with heard_or_not():
        print(sentence, file=sys.stderr, flush=True)


def override(config: Any, options: argparse.Namespace) -> Any:
    """The configuration with every field that an option sets; "auto" leaves it for later."""
    given = {field.name: getattr(options, field.name, None) for field in fields(config)}
    try:
        return replace(config, **{k: v for k, v in given.items() if v not in (None, "auto")})
    except RangeError as error:
        raise UserError(f"--{error.name.replace('_', '-')} {error.reason}") from None
