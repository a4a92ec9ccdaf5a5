"""The command line: annotated data | train | average | translate | evaluate | export.

What a command needs is imported when its options are asked for: translating with CTranslate2 needs
no PyTorch, which takes longer to import than a sentence to translate.
"""

import argparse
import os
import sys
import typing
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from annotated import __version__
from annotated.cli.options import tell
from annotated.translation.hypotheses import SearchConfig

HELP = {
    "vocab_size": "tokens in the shared vocabulary, V (Section 5.1)",
    "layers": "layers in each stack, N (Section 3.1)",
    "d_model": "width of the model, D (Section 3.1)",
    "d_ff": "width inside the feed-forward networks, F (Section 3.3)",
    "heads": "attention heads, H (Section 3.2.2)",
    "d_k": "width of a query and of a key, K; D/H where not given (Section 3.2.2)",
    "d_v": "width of a value; D/H where not given (Section 3.2.2)",
    "dropout": "rate on sub-layer outputs and on the embedded input (Section 5.4)",
    "attention_dropout": "rate on attention weights; not in the paper (Section 5.4)",
    "hidden_dropout": "rate inside the feed-forward networks; not in the paper (Section 5.4)",
    "attention_bias": "biases on Q, K, V and O, which the equations lack (Section 3.2)",
    "attention_gain": "factor on the first weights of Q, K and V (Section 3.1)",
    "norm_first": "pre-norm instead of the paper's post-norm (Section 3.1)",
    "positions": "how the model knows the order of tokens (Section 3.5)",
    "max_length": "positions that learned ones reach to (Section 3.5)",
    "batch_tokens": "tokens a step reads on each side, at most, padding not counted (Section 5.1)",
    "max_tokens": "pairs with a longer side are left out",
    "micro_batches": "parts in which a worker takes its share of a step (Section 5.2)",
    "steps": "steps to take (Section 5.2)",
    "minutes": "stop after this time, over all sittings, if the steps are not done by then",
    "warmup": "steps in which the learning rate grows (equation 3)",
    "scale": "factor on the learning rate of equation 3",
    "smoothing": "label smoothing (Section 5.4)",
    "r_drop": "times the disagreement of two dropouts of a batch; not in the paper (Section 5.4)",
    "precision": "of matrix products; auto: bf16 where that is faster, else fp32 (Section 5.2)",
    "matmul_precision": "how fp32 is multiplied (default: on a CPU, the fastest by measure; "
    "Section 5.2, Speed)",
    "compile": "hand the model to torch.compile (Section 5.2)",
    "seed": "of the start, the batches and the dropout",
    "log_every": "steps between two rows of the log",
    "validate_every": "steps between two looks at the validation set, each with a checkpoint",
    "average": "checkpoints that annotated average takes the mean of (Section 6.1)",
    "keep": "checkpoints that stay, the newest (default: as many as are averaged)",
    "beam": f"hypotheses at a time; 1 is greedy (default: {SearchConfig.beam}; Section 6.1)",
    "alpha": "how much the score forgives length; 0 is not at all "
    f"(default: {SearchConfig.alpha}; Section 6.1)",
    "extra": "tokens that a translation may have beyond its source "
    f"(default: {SearchConfig.extra}; Section 6.1)",
}


NAMES = {int: "N", float: "X", str: "NAME"}  # of values, in the help
ENGINES = ["annotated", "ctranslate2"]
CHOICES = {
    "precision": ["fp32", "bf16", "fp16", "auto"],
    "matmul_precision": ["highest", "high", "medium"],
    "positions": ["sinusoidal", "learned"],
}


class Parser(argparse.ArgumentParser):
    """argparse, which says in one line what is wrong with the words."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        self.exit(2, f"{self.prog}: {message}; {self.prog} --help tells what there is\n")


def option_of(name: str) -> str:
    """The option that sets a field."""
    return "--" + name.replace("_", "-")


def add_fields(group: Any, config: type) -> None:
    """An option for each field of a configuration that HELP explains."""
    hints = typing.get_type_hints(config)
    for field in fields(config):
        if field.name not in HELP:
            continue
        kind = hints[field.name]
        if args := typing.get_args(kind):  # such as float | None
            kind = args[0]
        option = option_of(field.name)
        if kind is bool:
            group.add_argument(
                option, action=argparse.BooleanOptionalAction, default=None, help=HELP[field.name]
            )
        else:
            choices = CHOICES.get(field.name)
            metavar = "|".join(choices) if choices else NAMES[kind]
            group.add_argument(
                option, type=kind, choices=choices, metavar=metavar, help=HELP[field.name]
            )


def parser(command: str | None = None) -> argparse.ArgumentParser:
    """The command line as argparse sees it: all commands, or this one alone."""
    top = Parser(
        prog="annotated",
        description="The Transformer of 'Attention Is All You Need', as the book builds it.",
        epilog="Begin with: annotated train --data toy, "
        "then: echo 'The dog sleeps.' | annotated translate --model runs/toy-en-de",
    )
    top.add_argument("--version", action="version", version=f"annotated {__version__}")
    verbs = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, add in COMMANDS.items():
        if command in (name, None):
            add(verbs)
    return top


def add_data_command(verbs: Any) -> None:
    """annotated data"""
    from annotated.cli import train

    data = verbs.add_parser(
        "data",
        usage="annotated data [NAME | --source FILE --target FILE] [options]",
        help="fetch a corpus, check it, and show what is in it",
        description="Fetch a corpus, check it, and show what is in it. The large one, wmt14, is "
        "also encoded into files that training reads; interrupted, it goes on next time.",
    )
    add_corpus(data, positional=True)
    add_validation(data)
    group = data.add_argument_group("for wmt14", "The same as annotated train will be told.")
    add_lowercase(group)
    for name in ("vocab_size", "max_tokens"):
        group.add_argument(option_of(name), type=int, metavar="N", help=HELP[name])
    data.set_defaults(run=train.run_data)


def add_train_command(verbs: Any) -> None:
    """annotated train"""
    from annotated.cli import train
    from annotated.model.transformer import PRESETS, TransformerConfig
    from annotated.training.loop import TrainingConfig

    training = verbs.add_parser(
        "train",
        usage="annotated train [--data NAME | --source FILE --target FILE] [options]\n"
        "       annotated train --resume FOLDER [--steps N] [--minutes X]",
        help="train a model",
        description="Train a model on a corpus. What is not given has a value that suits the "
        "corpus on two cores; --preset base or big takes the paper's instead. Ctrl-C or "
        "SIGTERM stops the run after the step under way, with a checkpoint, and --resume takes it "
        "up again. Under torchrun, all processes train one model: "
        "torchrun --nproc-per-node 2 -m annotated train ...",
    )
    add_corpus(training)
    add_validation(training)
    add_lowercase(training)
    training.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where the run goes (default: runs/DATA-PAIR)"
    )
    training.add_argument(
        "--resume", type=Path, metavar="FOLDER", help="go on with the run in FOLDER"
    )
    training.add_argument(
        "--init",
        type=Path,
        metavar="FOLDER",
        help="begin a new run with the weights and the tokenizer of the model in FOLDER",
    )
    training.add_argument(
        "--record", type=Path, metavar="FILE", help="at the end score the test sets, into FILE"
    )
    add_device(training)
    model = training.add_argument_group("the model")
    model.add_argument(
        "--preset", choices=list(PRESETS), help="the paper's model and training (Table 3)"
    )
    add_fields(model, TransformerConfig)
    add_fields(training.add_argument_group("the training"), TrainingConfig)
    training.set_defaults(run=train.run_train)


def add_average_command(verbs: Any) -> None:
    """annotated average"""
    from annotated.cli import evaluate

    averaging = verbs.add_parser(
        "average",
        usage="annotated average FOLDER --out FOLDER [--last K] [--half]",
        help="the mean of a run's last checkpoints, as a model",
        description="Write the mean of the last checkpoints of a run as a model of its own "
        "(Section 6.1). Train with --keep to have enough of them.",
    )
    averaging.add_argument("folder", type=Path, metavar="FOLDER", help="the run's folder")
    averaging.add_argument(
        "--out", type=Path, metavar="FOLDER", required=True, help="where the model goes"
    )
    averaging.add_argument(
        "--last",
        type=int,
        metavar="K",
        help="how many checkpoints (default: what training was told with --average)",
    )
    averaging.add_argument(
        "--half", action="store_true", help="keep the weights in float16: half the size"
    )
    averaging.set_defaults(run=evaluate.run_average)


def add_translate_command(verbs: Any) -> None:
    """annotated translate"""
    from annotated.cli import translate

    command = verbs.add_parser(
        "translate",
        help="translate standard input, a line for each line",
        description="Translate: a line on standard output for each line on standard input. A line "
        "of several sentences, or of more tokens than training saw, is translated in parts.",
    )
    add_model(command)
    command.add_argument(
        "--n-best",
        type=int,
        metavar="N",
        help="write the N best of each line, as: line number, tab, score, tab, text",
    )
    add_search(command)
    command.set_defaults(run=translate.run_translate)


def add_evaluate_command(verbs: Any) -> None:
    """annotated evaluate"""
    from annotated.cli import evaluate

    command = verbs.add_parser(
        "evaluate",
        usage="annotated evaluate [--model FOLDER] [--split NAME] [options]",
        help="score a model on a test set",
        description="Translate a test set and print its scores, each with a signature that says "
        "how it was counted: BLEU and chrF by sacreBLEU, and for multi30k and wmt14 BLEU as "
        "papers on them give it.",
    )
    add_model(command)
    command.add_argument(
        "--split",
        metavar="NAME",
        help="the set to score, or all test sets: all (default: the first test set)",
    )
    command.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="write the translations to NAME.hypotheses.txt in FOLDER, and NAME.references.txt",
    )
    command.add_argument(
        "--record", type=Path, metavar="FILE", help="write all that is known of the model to FILE"
    )
    add_corpus(command, default="what the model was trained on")
    add_search(command)
    command.set_defaults(run=evaluate.run_evaluate)


def add_export_command(verbs: Any) -> None:
    """annotated export"""
    from annotated.cli import evaluate

    command = verbs.add_parser(
        "export",
        usage="annotated export --to ctranslate2 FOLDER [--model FOLDER] [--int8]",
        help="write a model for another engine",
        description="Write a model into a new folder, in the format of CTranslate2, an engine that "
        "is made for translating fast (Section 6.1). annotated translate reads it with "
        "--engine ctranslate2.",
    )
    command.add_argument("out", type=Path, metavar="FOLDER", help="where it goes")
    command.add_argument("--to", choices=ENGINES[1:], required=True, help="the engine")
    add_model(command)
    command.add_argument("--int8", action="store_true", help="keep weights in 8 bits")
    command.set_defaults(run=evaluate.run_export)


COMMANDS: dict[str, Callable[[Any], None]] = {
    "data": add_data_command,
    "train": add_train_command,
    "average": add_average_command,
    "translate": add_translate_command,
    "evaluate": add_evaluate_command,
    "export": add_export_command,
}


def add_corpus(command: Any, positional: bool = False, default: str = "toy") -> None:
    """--data and --pair, or --source and --target."""
    from annotated.data.corpora import CORPORA

    names = ", ".join(CORPORA)
    command.add_argument(
        "data" if positional else "--data",
        choices=CORPORA,
        metavar="NAME",
        help=f"the corpus: {names} (default: {default})",
        **({"nargs": "?"} if positional else {}),
    )
    command.add_argument(
        "--pair", metavar="PAIR", help="source and target language: en-de (default) or en-fr"
    )
    for side in ("source", "target"):
        command.add_argument(
            f"--{side}",
            type=Path,
            metavar="FILE",
            help=f"instead of a corpus, a text file: the {side} side, a sentence a line",
        )


def add_validation(command: Any) -> None:
    """--valid-source and --valid-target."""
    for side in ("source", "target"):
        command.add_argument(
            f"--valid-{side}",
            type=Path,
            metavar="FILE",
            help=f"the {side} side of a validation set (default: part of the other files)",
        )


def add_lowercase(command: Any) -> None:
    """--lowercase."""
    command.add_argument(
        "--lowercase", action="store_true", default=None, help="make all text lower-case"
    )


def add_model(command: Any) -> None:
    """--model."""
    command.add_argument(
        "--model",
        type=Path,
        metavar="FOLDER",
        help="a run's folder, or one checkpoint's (default: the model that comes with the package)",
    )


def add_search(command: Any) -> None:
    """The options of the beam search, and who searches."""
    add_device(command)
    group = command.add_argument_group("the search")
    add_fields(group, SearchConfig)
    group.add_argument(
        "--engine",
        choices=ENGINES,
        help="who searches: this package, or CTranslate2, faster, on the CPU (Section 6.1)",
    )
    group.add_argument(
        "--int8", action="store_true", help="weights of 8 bits, with CTranslate2 (Section 6.1)"
    )


def add_device(command: Any) -> None:
    """--device."""
    command.add_argument(
        "--device", default="auto", metavar="NAME", help="cpu or cuda (default: cuda if present)"
    )


def smaller(command: str) -> str:
    """What makes a command take less memory."""
    if command == "train":
        return "take a step in more --micro-batches, or a smaller --batch-tokens"
    return "take a smaller --beam, or fewer tokens with --extra"


def main(words: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    That is 0 if it went well; 2, with one sentence on standard error, for what the user can mend;
    130 or 143 where Ctrl-C or SIGTERM stopped it.
    """
    words = list(sys.argv[1:] if words is None else words)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # closed by the caller
    options = parser(words[0] if words and words[0] in COMMANDS else None).parse_args(words)
    options.words = words
    command: Callable[[argparse.Namespace], int | None] = options.run
    try:
        return command(options) or 0
    except KeyboardInterrupt:
        tell("\nannotated: stopped; what was saved before is whole")
        return 130
    except BrokenPipeError:  # the reader of our output has gone, which is its good right
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        tell(f"annotated: {named}{error.strerror or error}")
    except ValueError as error:  # all errors of the package's own are of this kind
        tell(f"annotated: {error}")
    except FloatingPointError as error:
        tell(
            f"annotated: {error}: the checkpoints before it are good; try a smaller --scale or a "
            "longer --warmup"
        )
    except RuntimeError as error:
        if type(error).__name__ == "OutOfMemoryError":  # torch.cuda's
            tell(f"annotated: the GPU's memory is full: {smaller(options.command)}")
            return 2
        if "DefaultCPUAllocator" in str(error):
            tell(f"annotated: the memory is full: {smaller(options.command)}")
            return 2
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        reason = str(error).strip().split("\n")[0]
        tell(f"annotated: torch.compile does not work here ({reason}): leave --compile out")
    return 2
