"""Options from dataclasses: a field is an option, and the comment at it is the option's help.

A Literal gives an option's choices, Annotated the name of its value in the help, or its range.
Nothing here needs PyTorch, which takes longer to import than a sentence to translate.
"""

import argparse
import inspect
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from annotated.ranges import check_ranges

Folder = Annotated[Path, "FOLDER"]
File = Annotated[Path, "FILE"]
NAMES = {int: "N", float: "X", str: "NAME"}  # of values, in the help
POSITIONAL = {"positional": True}  # metadata of a field that is given without its name


class UserError(ValueError):
    """Something that the user can mend: one sentence."""


@contextmanager
def heard_or_not() -> Iterator[None]:
    """Progress, which stops nothing: where its reader has gone, it goes nowhere from then on."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def say(sentence: str, by_all: bool = False) -> None:
    """A sentence on standard error, by one of a run's workers; standard output is for results."""
    if by_all or os.environ.get("RANK", "0") == "0":
        with heard_or_not():
            print(sentence, file=sys.stderr, flush=True)


@dataclass(frozen=True, kw_only=True)
class BaseOptions:
    """What a command is told: `words` as they were typed, `given` the values by their fields."""

    words: list[str] = field(default_factory=list)
    given: dict[str, Any] = field(default_factory=dict)
    configurations: ClassVar[dict[str, type]] = {}  # whose fields are options too, by their title

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, kw_only=True)
class DeviceOptions(BaseOptions):
    """Where PyTorch computes."""

    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto is cuda if present

    def find_device(self) -> Any:
        """The torch.device that is asked for."""
        import torch

        present = torch.cuda.is_available()
        if self.device == "cuda" and not present:
            raise UserError("--device cuda: PyTorch finds no CUDA device here: leave it out")
        return torch.device("cuda" if present and self.device != "cpu" else "cpu")


def option(name: str) -> str:
    """The option of a field."""
    return "--" + name.replace("_", "-")


def comments(config: type) -> dict[str, str]:
    """What the comments above and beside each field of a dataclass say."""
    found: dict[str, str] = {}
    above = ""
    for line in "\n".join(map(inspect.getsource, config.__mro__[-2::-1])).splitlines():
        [(name, comment)] = re.findall(r"^ *(?:(\w+): )?[^#]*(?:# (.*))?", line)
        text = f"{above} {comment}".strip()
        found |= {name: text} if name and text else {}
        above = text if comment and not name else ""
    return found


def argument(kind: Any) -> dict[str, Any]:
    """How argparse reads a value of this type."""
    if NoneType in get_args(kind):  # such as Folder | None
        kind = get_args(kind)[0]
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(kind) is list:
        return {"nargs": "+"} | argument(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind), "metavar": "|".join(get_args(kind))}
    base, *about = get_args(kind) or [kind]
    name = next((each for each in about if isinstance(each, str)), NAMES.get(base))
    return {"type": base, "metavar": name}


def add_options(parser: Any, options: type[BaseOptions]) -> None:
    """An option for each field that a comment explains, and then for those of configurations.

    These have no defaults to tell of: what is not given depends on the corpus.
    """
    add_fields(parser, options)
    taken = {each.name for each in fields(options)} | {"pad"}  # which is the tokenizer's
    for title, config in options.configurations.items():
        add_fields(parser.add_argument_group(title), config, taken, defaults=False)
        taken |= {each.name for each in fields(config)}  # an option may be of several


def add_fields(
    group: Any, config: type, taken: Collection[str] = (), defaults: bool = True
) -> None:
    """An option for each field that a comment explains and that is not taken."""
    kinds, texts = get_type_hints(config, include_extras=True), comments(config)
    for each in fields(config):
        if each.name not in texts or each.name in taken:
            continue
        more, text = argument(kinds[each.name]), texts[each.name]
        if defaults and each.default not in (None, False, MISSING):
            text += f" (default: {each.default})"
        if each.metadata == POSITIONAL:
            more |= {} if each.default is MISSING else {"nargs": "?"}
            group.add_argument(each.name, help=text, **more)
        else:
            required = {"required": True} if each.default is MISSING else {}
            group.add_argument(option(each.name), default=None, help=text, **more, **required)


def override(config: Any, given: Mapping[str, Any]) -> Any:
    """The configuration with what is given of its fields; "auto" leaves one for later."""
    known = given.keys() & {each.name for each in fields(config)}
    return replace(config, **{name: given[name] for name in known if given[name] != "auto"})
