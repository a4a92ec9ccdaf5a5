"""The command line: annotated data | train | translate | evaluate."""

import argparse
import json
import os
import sys
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields, replace
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from annotated import __version__
from annotated.batching import batches, encode_pairs
from annotated.corpora import Corpus, CorpusError, load
from annotated.evaluation import bleu, translate
from annotated.record import commit, write_record
from annotated.tokenizer import Tokenizer, TokenizerError
from annotated.training import (
    CheckpointError,
    Run,
    TrainingConfig,
    count_parameters,
    load_checkpoint,
    save_checkpoint,
    train,
    validation_loss,
)
from annotated.transformer import PRESETS, Transformer, TransformerConfig

RUNS = Path("runs")
CORPORA = ["toy", "multi30k"]
RECIPES = {  # what suits each corpus on two cores; every value can be set by an option
    "toy": (
        TransformerConfig(2000, 2, 128, 256, heads=4, dropout=0.0, norm_first=True),
        TrainingConfig(768, 2000, warmup=100, scale=0.5, smoothing=0.0, validate_every=250),
    ),
    "multi30k": (
        TransformerConfig(6000, layers=3, d_model=128, d_ff=512, heads=4),
        TrainingConfig(2048, steps=20_000, warmup=500, scale=0.7, validate_every=500),
    ),
}
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
    "norm_first": "pre-norm instead of the paper's post-norm (Section 3.1)",
    "positions": "sinusoidal or learned (Section 3.5)",
    "max_length": "positions that learned ones reach to (Section 3.5)",
    "batch_tokens": "padded positions on each side of a batch, at most (Section 5.1)",
    "steps": "steps to take (Section 5.2)",
    "minutes": "stop after this time, if the steps are not done by then",
    "warmup": "steps in which the learning rate grows (equation 3)",
    "scale": "factor on the learning rate of equation 3",
    "smoothing": "label smoothing (Section 5.4)",
    "seed": "of the start, the batches and the dropout",
    "validate_every": "steps between two looks at the validation set",
}


class UserError(Exception):
    """Something that the user can mend: one sentence."""


def add_fields(group: Any, config: type) -> None:
    """An option for each field of a configuration that HELP explains."""
    hints = typing.get_type_hints(config)
    for field in fields(config):
        if field.name not in HELP:
            continue
        kind = hints[field.name]
        if isinstance(kind, types.UnionType):  # such as float | None
            kind = kind.__args__[0]
        option = "--" + field.name.replace("_", "-")
        if kind is bool:
            group.add_argument(
                option, action=argparse.BooleanOptionalAction, default=None, help=HELP[field.name]
            )
        else:
            group.add_argument(option, type=kind, metavar=kind.__name__, help=HELP[field.name])


def override(config: Any, options: argparse.Namespace) -> Any:
    """The configuration with every field that an option sets."""
    given = {field.name: getattr(options, field.name, None) for field in fields(config)}
    return replace(config, **{name: value for name, value in given.items() if value is not None})


def parser() -> argparse.ArgumentParser:
    """The command line as argparse sees it."""
    top = argparse.ArgumentParser(
        prog="annotated",
        description="The Transformer of 'Attention Is All You Need', as the book builds it.",
        epilog="Begin with: annotated train --data toy, "
        "then: echo 'The dog sleeps.' | annotated translate",
    )
    top.add_argument("--version", action="version", version=f"annotated {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    data = commands.add_parser("data", help="fetch a corpus, check it, and show what is in it")
    add_data(data, positional=True)
    data.set_defaults(run=run_data)

    training = commands.add_parser(
        "train",
        help="train a model",
        description="Train a model on a corpus. What is not given has a value that suits the "
        "corpus on two cores; --preset base or big takes the paper's model instead.",
    )
    add_data(training)
    training.add_argument("--preset", choices=list(PRESETS), help="the paper's sizes (Table 3)")
    training.add_argument(
        "--out", type=Path, help="folder for the run; runs/DATA-PAIR if not given"
    )
    training.add_argument("--record", type=Path, help="score the test sets, write the run to FILE")
    training.add_argument("--lowercase", action="store_true", help="lower-case all text")
    add_device(training)
    add_fields(training.add_argument_group("the model"), TransformerConfig)
    add_fields(training.add_argument_group("the training"), TrainingConfig)
    training.set_defaults(run=run_train)

    translating = commands.add_parser(
        "translate",
        help="translate standard input, a line for each line",
        description="Translate: a line on standard output for each line on standard input.",
    )
    add_model(translating)
    add_device(translating)
    translating.set_defaults(run=run_translate)

    evaluating = commands.add_parser("evaluate", help="score a model on a test set with BLEU")
    add_model(evaluating)
    add_data(evaluating, default=None)
    evaluating.add_argument("--split", help="the set to score; the first test set if not given")
    evaluating.add_argument("--output", type=Path, help="write the translations to this file")
    add_device(evaluating)
    evaluating.set_defaults(run=run_evaluate)
    return top


def add_data(
    command: argparse.ArgumentParser, positional: bool = False, default: str | None = "toy"
) -> None:
    """--data and --pair."""
    said = f"the corpus (default: {default or 'what the model was trained on'})"
    if positional:
        command.add_argument("data", nargs="?", choices=CORPORA, default=default, help=said)
    else:
        command.add_argument("--data", choices=CORPORA, default=default, help=said)
    pair = "en-de" if default else None
    command.add_argument("--pair", default=pair, help="source-target languages: en-de or en-fr")


def add_model(command: argparse.ArgumentParser) -> None:
    """--model."""
    command.add_argument("--model", type=Path, help="a run's folder (default: the newest in runs/)")


def add_device(command: argparse.ArgumentParser) -> None:
    """--device."""
    command.add_argument("--device", default="auto", help="cpu or cuda (default: cuda if present)")


def device_of(options: argparse.Namespace) -> torch.device:
    """The device that is asked for."""
    present = torch.cuda.is_available()
    if options.device == "auto":
        return torch.device("cuda" if present else "cpu")
    if options.device not in ("cpu", "cuda"):
        raise UserError(f"--device is cpu or cuda, not {options.device}")
    if options.device == "cuda" and not present:
        raise UserError("--device cuda: PyTorch finds no CUDA device here; leave the option out")
    return torch.device(options.device)


def model_folder(options: argparse.Namespace) -> Path:
    """The folder of the model that is asked for, or of the newest run."""
    if options.model:
        return options.model
    runs = [file.parent for file in RUNS.glob("*/model.json")]
    if not runs:
        raise UserError(
            "there is no trained model in runs/: run `annotated train` first, or name one "
            "with --model"
        )
    return max(runs, key=lambda folder: (folder / "model.json").stat().st_mtime)


def run_data(options: argparse.Namespace) -> None:
    """annotated data"""
    corpus = load(options.data, options.pair)
    for name, pairs in corpus.splits.items():
        print(f"{name:18} {len(pairs):>7,} pairs")
    for source, target in corpus.splits["train"][:3]:
        print(f"  {corpus.source}: {source}\n  {corpus.target}: {target}")


def new_folder(options: argparse.Namespace) -> Path:
    """Where a run goes: never over an earlier one."""
    if options.out:
        if options.out.exists():
            raise UserError(f"--out {options.out} exists already: name a new folder, or remove it")
        return options.out
    name = f"{options.data}-{options.pair}"
    folders = (RUNS / x for x in chain([name], (f"{name}-{i}" for i in count(2))))
    return next(folder for folder in folders if not folder.exists())


def configure(options: argparse.Namespace) -> tuple[TransformerConfig, TrainingConfig]:
    """The two configurations of a run: the corpus's recipe or a preset, then the options."""
    model, training = RECIPES[options.data]
    if options.preset:
        model = replace(PRESETS[options.preset], vocab_size=model.vocab_size)
    return override(model, options), override(training, options)


def run_train(options: argparse.Namespace) -> None:
    """annotated train"""
    device, folder, at_commit = device_of(options), new_folder(options), commit()
    model_config, config = configure(options)
    corpus = load(options.data, options.pair)
    pairs = corpus.splits["train"]
    say(f"training a vocabulary of {model_config.vocab_size:,} tokens on {len(pairs):,} pairs")
    lines = (line for pair in pairs for line in pair)
    tokenizer = Tokenizer.train(lines, model_config.vocab_size, lowercase=options.lowercase)
    model_config = replace(model_config, vocab_size=len(tokenizer))
    torch.manual_seed(config.seed)
    run = Run(Transformer(model_config).to(device), config)
    say(f"{count_parameters(run.model):,} parameters on {device}; the run goes to {folder}")
    fit(run, corpus, tokenizer, folder)
    if options.record:
        record(options, run, corpus, tokenizer, at_commit)
    say(f"done: the model is in {folder}; try: annotated translate --model {folder}")


def fit(run: Run, corpus: Corpus, tokenizer: Tokenizer, folder: Path) -> None:
    """Train, with a progress bar, a log and a checkpoint at each validation."""
    config = run.config
    encoded = encode_pairs(corpus.splits["train"], tokenizer, max_tokens=config.batch_tokens)
    validation = corpus.splits["validation"]
    held_out = list(batches(encode_pairs(validation, tokenizer), config.batch_tokens))
    sources, references = (list(side) for side in zip(*validation, strict=True))

    def validate(model: Transformer) -> dict[str, float]:
        score = bleu(translate(model, tokenizer, sources), references)
        return {"validation_loss": validation_loss(model, held_out), "validation_bleu": score.bleu}

    def save(run: Run) -> None:
        about = {"data": corpus.name, "pair": f"{corpus.source}-{corpus.target}", "step": run.step}
        about |= {"training": asdict(config), "log": run.log}
        save_checkpoint(folder, run.model, tokenizer, about)
        rows = "".join(json.dumps(row) + "\n" for row in run.log)
        (folder / "log.jsonl").write_text(rows, encoding="utf-8")

    with tqdm(total=config.steps, unit="step", dynamic_ncols=True, disable=None) as bar:
        train(
            run,
            lambda epoch: batches(encoded, config.batch_tokens, config.seed, epoch),
            validate,
            save,
            lambda row: show(bar, row),
        )


def show(bar: tqdm, row: dict[str, float]) -> None:
    """A row of the log on the progress bar, and above it where it has more than the loss."""
    bar.set_postfix_str(f"loss {row['loss']:.3f}", refresh=False)
    bar.update()
    if "learning_rate" not in row:
        return
    bar.write(
        f"step {row['step']:>6}  {row['seconds'] / 60:5.1f} min  loss {row['loss']:.3f}  "
        f"validation loss {row['validation_loss']:.3f}  BLEU {row['validation_bleu']:.1f}  "
        f"{row['tokens_per_second']:,.0f} tokens/s",
        file=sys.stderr,
    )


def record(
    options: argparse.Namespace, run: Run, corpus: Corpus, tokenizer: Tokenizer, at_commit: str
) -> None:
    """Score every test set once and write the run's record."""
    scores: dict[str, Any] = {}
    examples: list[dict[str, str]] = []
    for name in test_sets(corpus):
        sources, references = (list(side) for side in zip(*corpus.splits[name], strict=True))
        outputs = translate(run.model, tokenizer, sources)
        scores[name] = asdict(bleu(outputs, references))
        say(f"{name}: {scores[name]['bleu']:.2f}")
        if not examples:
            triples = zip(sources[:10], references, outputs, strict=False)
            examples = [
                dict(zip(("source", "reference", "output"), x, strict=True)) for x in triples
            ]
    config = {"model": asdict(run.model.config), "training": asdict(run.config)}
    config["model"]["parameters"] = count_parameters(run.model)
    write_record(
        options.record,
        options.words,
        corpus,
        config,
        run.log[-1]["seconds"],
        run.log,
        scores,
        examples=examples,
        commit=at_commit,
    )


def test_sets(corpus: Corpus) -> list[str]:
    """The names of a corpus's test sets."""
    return [name for name in corpus.splits if name.startswith("test")]


def lines_of(stream: Any) -> Iterator[str]:
    """The lines of a binary stream as text, split on newlines only."""
    for number, line in enumerate(stream, start=1):
        try:
            yield line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UserError(f"line {number} of the input is not UTF-8: {error.reason}") from None


def run_translate(options: argparse.Namespace) -> None:
    """annotated translate"""
    model, tokenizer, _ = load_checkpoint(model_folder(options), device_of(options))
    lines = lines_of(sys.stdin.buffer)
    at_once = 1 if sys.stdin.isatty() else 512
    while chunk := list(islice(lines, at_once)):
        for line in translate(model, tokenizer, chunk):
            print(line)
        sys.stdout.flush()


def run_evaluate(options: argparse.Namespace) -> None:
    """annotated evaluate"""
    model, tokenizer, about = load_checkpoint(model_folder(options), device_of(options))
    data, pair = options.data or about.get("data"), options.pair or about.get("pair")
    corpus = load(data or "toy", pair or "en-de")
    split = options.split or test_sets(corpus)[0]
    if split not in corpus.splits:
        raise UserError(f"{corpus.name} has no set {split!r}: it has {', '.join(corpus.splits)}")
    sources, references = (list(side) for side in zip(*corpus.splits[split], strict=True))
    outputs = translate(model, tokenizer, sources)
    if options.output:
        options.output.write_text("".join(x + "\n" for x in outputs), encoding="utf-8")
    print(f"{corpus.name} {split}: {bleu(outputs, references)}")


def say(sentence: str) -> None:
    """Progress goes to standard error; standard output is for results."""
    print(sentence, file=sys.stderr, flush=True)


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; 0 if it went well, 2 with one sentence for what the user can mend."""
    words = list(sys.argv[1:] if words is None else words)
    options = parser().parse_args(words)
    options.words = words
    command: Callable[[argparse.Namespace], None] = options.run
    try:
        command(options)
    except KeyboardInterrupt:
        say("\nannotated: stopped; the last checkpoint, if there is one, is whole")
        return 130
    except BrokenPipeError:  # the reader of our output has gone, which is its good right
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UserError, CorpusError, CheckpointError, TokenizerError, ValueError, OSError) as error:
        say(f"annotated: {error}")
        return 2
    except FloatingPointError as error:
        say(f"annotated: {error}: try a smaller --scale or a longer --warmup")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
