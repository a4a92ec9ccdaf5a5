"""The command line: annotated data | train | average | translate | parse | evaluate | export | ...

Each command is a module beside this one: its docstring is the usage and the description, `Options`
what it can be told, `run` what it does. It is imported when it is asked for.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from annotated import __version__
from annotated.cli.options import add_options, option, say
from annotated.ranges import RangeError

COMMANDS = ["data", "train", "average", "translate", "parse", "evaluate", "export", "ablate"]


class Parser(argparse.ArgumentParser):
    """argparse, which says in one line what is wrong with the words."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        self.exit(2, f"{self.prog}: {message}; {self.prog} --help tells what there is\n")


def command_named(name: str) -> Any:
    """The module of a command."""
    return import_module(f"annotated.cli.{name}")


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """The command line as argparse sees it: all commands, or one alone."""
    top = Parser(
        prog="annotated",
        description="The Transformer of 'Attention Is All You Need', as the book builds it.",
        epilog="Begin with: annotated train --data toy, "
        "then: echo 'The dog sleeps.' | annotated translate --model runs/toy-en-de",
    )
    top.add_argument("--version", action="version", version=f"annotated {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in [only] if only else COMMANDS:
        command = command_named(name)
        usage, description = command.__doc__.split("\n\n", 1)
        summary = description[0].lower() + description[1:].split(". ")[0]
        one = commands.add_parser(name, usage=usage, description=description, help=summary)
        add_options(one, command.Options)
    return top


def parse(words: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The command's name, and the fields of its options.

    Exits with status 2 and one line where the words are no command.
    """
    only = words[0] if words and words[0] in COMMANDS else None
    given = {k: v for k, v in vars(parser(only).parse_args(words)).items() if v is not None}
    name = given.pop("command")
    own = given.keys() & command_named(name).Options.__dataclass_fields__.keys()
    return name, {"words": [*words], "given": given} | {each: given[each] for each in own}


def reason(error: Exception, command: str) -> str | None:
    """What the user can mend, in a sentence; None where the mistake is ours."""
    smaller = "take a smaller --beam, or fewer tokens with --extra"
    if command == "train":
        smaller = "take a step in more --micro-batches, or a smaller --batch-tokens"
    first = str(error).strip().split("\n")[0]
    if isinstance(error, RangeError):
        return f"{option(error.name)} {error.reason}"
    if isinstance(error, ValueError):  # all errors of the package's own are of this kind
        return str(error)
    if isinstance(error, OSError):
        return (f"{error.filename}: " if error.filename else "") + (error.strerror or str(error))
    if isinstance(error, FloatingPointError):
        better = "try a smaller --scale or a longer --warmup"
        return f"{error}: the checkpoints before it are good; {better}"
    if type(error).__name__ == "OutOfMemoryError":  # torch.cuda's
        return f"the GPU's memory is full: {smaller}"
    if "DefaultCPUAllocator" in str(error):
        return f"the memory is full: {smaller}"
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return f"torch.compile does not work here ({first}): leave --compile out"
    return None


def main(words: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    That is 0 if it went well; 2, with one sentence on standard error, for what the user can mend;
    130 or 143 where Ctrl-C or SIGTERM stopped it.
    """
    sys.stderr = sys.stderr or open(os.devnull, "w")  # closed by the caller
    name, values = parse(sys.argv[1:] if words is None else words)
    command = command_named(name)
    try:
        return command.run(command.Options(**values)) or 0
    except KeyboardInterrupt:
        say("\nannotated: stopped; what was saved before is whole", by_all=True)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, which is its good right
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if (sentence := reason(error, name)) is None:
            raise
        say(f"annotated: {sentence}", by_all=True)
        return 2


def program() -> NoReturn:
    """The command line as a process of its own: its exit status is that of `main`."""
    status = main()
    if "RANK" in os.environ:  # DDP keeps Gloo's threads, and Python's shutdown can abort in one
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        os._exit(status)
    sys.exit(status)
