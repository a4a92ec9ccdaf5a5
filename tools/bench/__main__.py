"""python -m tools.bench train | ladder | growth | threads | layers | recurrent | roles | ..."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.bench import (
    bleu,
    decode,
    gpu,
    grammar,
    growth,
    heads,
    ladder,
    layers,
    recurrent,
    report,
    roles,
    threads,
    train,
)

COMMANDS = {
    "train": (train, "a training step beside torch.nn.Transformer and Marian"),
    "ladder": (ladder, "what each change to a training step gives, one after the other"),
    "growth": (growth, "how the cost of a step grows with length, batch and width"),
    "threads": (threads, "steps a second with threads that spin, that sleep, or one alone"),
    "layers": (layers, "the layers of the paper's Table 1, against length and width"),
    "recurrent": (recurrent, "the Transformer beside the recurrent translators it replaced"),
    "roles": (roles, "what the heads of toy models look at: alignments and rules of grammar"),
    "heads": (heads, "which heads are needed, and what their weights explain"),
    "grammar": (grammar, "parsers without a network, on the CRAFT trees"),
    "decode": (decode, "decoding beside Marian and CTranslate2"),
    "bleu": (bleu, "what 8 bits and CTranslate2 do to the scores of the model that ships"),
    "gpu": (gpu, "base and big at 25,000 + 25,000 tokens on a CUDA device"),
}


def parser() -> argparse.ArgumentParser:
    """The command line as argparse sees it."""
    top = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, said) in COMMANDS.items():
        command = commands.add_parser(name, help=said, description=module.__doc__)
        command.add_argument("--record", type=Path, help="write the run to this JSON file")
        command.add_argument("--quick", action="store_true", help="a smoke test: tiny sizes")
        module.add_options(command)
        command.set_defaults(run=module.run)
    return top


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; 0 if it went well, 2 with one sentence for what the user can mend."""
    words = list(sys.argv[1:] if words is None else words)
    options = parser().parse_args(words)
    options.words = words
    try:
        options.run(options)
    except (report.UserError, ValueError, OSError) as error:
        report.say(f"bench: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
