"""What the commands do that make a model: data, train."""

import argparse
import shlex
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import torch

from annotated.cli.evaluate import results, translator_of
from annotated.cli.inputs import (
    corpus_asked,
    corpus_name,
    corpus_of,
    device_of,
    files_named,
    home,
    is_shared,
    say,
    short_pairs,
    sides,
    test_sets,
    training_pairs,
    vocabulary,
)
from annotated.cli.options import UserError, heard_or_not, override
from annotated.cli.record import (
    all_of,
    commit,
    config_of,
    entry,
    hardware,
    held_out_sums,
    made_by,
    write_record,
)
from annotated.data.batching import batches, lengths_of
from annotated.data.corpora import Corpus
from annotated.data.steps import stream
from annotated.data.tokenizer import SMALLEST, Tokenizer
from annotated.fast import workers
from annotated.fast.matmul_precision import choose_matmul_precision, is_fast
from annotated.files import LOCK, Busy, alone
from annotated.model.transformer import PRESETS, Transformer, TransformerConfig
from annotated.training.checkpoints import (
    RUN_FILES,
    complete,
    count_parameters,
    load_checkpoint,
    resume,
    save_run,
)
from annotated.training.loop import (
    PRECISIONS,
    Interrupt,
    Run,
    TrainingConfig,
    train,
    validation_loss,
)
from annotated.training.progress import Log, Terminal
from annotated.translation.scores import bleu
from annotated.translation.search import SearchConfig, translate
from annotated.translation.sentences import Seen

RUNS = Path("runs")
PAPERS = {  # a preset's training, with checkpoints ten minutes apart on the paper's GPUs
    "base": TrainingConfig(steps=100_000, validate_every=1500, average=5),
    "big": TrainingConfig(steps=300_000, validate_every=600, average=20),
}
RECIPES = {  # what suits each corpus on two cores; every value can be set by an option
    "toy": (
        TransformerConfig(2000, 2, 128, 256, heads=4, dropout=0.0, norm_first=True),
        TrainingConfig(
            768, steps=2000, warmup=100, scale=0.5, smoothing=0.0, log_every=25, validate_every=250
        ),
    ),
    "multi30k": (
        TransformerConfig(6000, layers=3, d_model=128, d_ff=512, heads=4),
        TrainingConfig(2048, steps=20_000, warmup=500, scale=0.7, validate_every=500),
    ),
    "tatoeba": (
        TransformerConfig(8000, layers=3, d_model=256, d_ff=1024, heads=4),
        TrainingConfig(2048, steps=40_000, warmup=1000, scale=0.7),
    ),
    "wmt14": (PRESETS["base"], PAPERS["base"]),
    "files": (
        TransformerConfig(8000, layers=3, d_model=256, d_ff=1024, heads=4),
        TrainingConfig(4096, steps=40_000, warmup=1000, scale=0.7),
    ),
}


def configure(options: argparse.Namespace) -> tuple[TransformerConfig, TrainingConfig]:
    """The two configurations of a run: the corpus's recipe or a preset, then the options."""
    corpus, french = corpus_name(options), options.pair == "en-fr"
    model, training = RECIPES[corpus]
    if corpus == "wmt14" and french:
        model = replace(model, vocab_size=32_000)  # the paper's are word pieces, ours are BPE
    if preset := getattr(options, "preset", None):
        model, training = replace(PRESETS[preset], vocab_size=model.vocab_size), PAPERS[preset]
        model = replace(model, dropout=0.1) if french else model  # Table 3's 0.3 is of en-de
    model, training = override(model, options), override(training, options)
    if model.vocab_size < SMALLEST:
        raise UserError(f"--vocab-size is {SMALLEST} or more, not {model.vocab_size}")
    return model, training


# annotated data


def run_data(options: argparse.Namespace) -> None:
    """annotated data"""
    model, config = configure(options)
    corpus = corpus_asked(options)
    for name, pairs in corpus.splits.items():
        if isinstance(pairs, list) or not is_shared(corpus):  # below, encoding counts the others
            number = sum(1 for _ in pairs)
            print(f"{name:18} {number:>10,} pairs", flush=True)
    for source, target in islice(corpus.splits["train"], 3):
        print(f"  {corpus.source}: {source}\n  {corpus.target}: {target}", flush=True)
    if is_shared(corpus):
        kind = model.vocab_size, bool(options.lowercase)
        place, tokenizer = home(corpus, *kind), vocabulary(corpus, *kind)
        encoded = training_pairs(corpus, tokenizer, place, config.longest())
        print(f"{'train':18} {len(encoded):>10,} pairs")
        say(f"the training pairs are encoded in {place}: annotated train uses them")


# annotated train


@dataclass
class Trial:
    """A run with all that surrounds it."""

    run: Run
    corpus: Corpus
    tokenizer: Tokenizer
    folder: Path
    about: dict[str, Any]  # kept with each checkpoint: the data, the command


def run_train(options: argparse.Namespace) -> int:
    """annotated train; the exit status is that of the signal that stopped it, else 0."""
    at_commit = commit()
    device = workers.join_group(device_of(options))
    with ExitStack() as held:  # the run's folder, by the first worker
        held.callback(workers.leave)
        trial = (take_up if options.resume else begin)(options, device, held)
        note(trial.about, "commits", at_commit)
        note(trial.about, "hardware", hardware())
        size = count_parameters(trial.run.model)
        say(f"{size:,} parameters on {device}; the run goes to {trial.folder}")
        stopped_by = fit(trial)
        workers.wait()  # nobody leaves while another still works
        if stopped_by:
            again = ["annotated", "train", "--resume", str(trial.folder)]
            again += ["--record", str(options.record)] if options.record else []
            say(f"stopped at step {trial.run.step:,}; to go on: {shlex.join(again)}")
            return 128 + stopped_by  # as shells count: 130 for Ctrl-C, 143 for SIGTERM
        if workers.rank() == 0:
            complete(trial.folder)  # it is there, or it is said that it is not
            if options.record:
                record_run(options.record, trial)
        use = shlex.join(["annotated", "translate", "--model", str(trial.folder)])
        say(f"done: the model is in {trial.folder}; {use}")
        return 0


def note(about: dict[str, Any], name: str, value: str) -> None:
    """Add what is true of this sitting to those of all sittings, if it is new."""
    if value not in (known := about.setdefault(name, [])):
        known.append(value)


def begin(options: argparse.Namespace, device: torch.device, held: ExitStack) -> Trial:
    """A new run, as the options say; its folder is held."""
    model_config, config = configure(options)
    begun = workers.first(lambda: initial(options)) if options.init else None
    check_sizes(begun[0].config if begun else model_config, config)
    corpus = workers.first(lambda: corpus_asked(options))
    folder = workers.first(lambda: new_folder(options, corpus, held))
    about: dict[str, Any] = {
        "data": corpus.name,
        "pair": f"{corpus.source}-{corpus.target}",
        "files": [str(file.resolve()) for file in files_named(options)],
        "sums": held_out_sums(corpus),
        "vocab_size": model_config.vocab_size,  # as asked for: there may be fewer tokens
        "lowercase": bool(options.lowercase),
        "words": [*options.words],
    }
    width = (begun[0].config if begun else model_config).d_model
    config = workers.first(lambda: settle(config, options, device, width))
    about["words"] += measured(config, options)
    torch.manual_seed(config.seed)
    if begun:
        model, tokenizer, before = begun
        about |= {name: before[name] for name in ("vocab_size", "lowercase") if name in before}
        about["init"] = before
    else:
        kind = model_config.vocab_size, bool(options.lowercase)
        tokenizer = workers.first(lambda: vocabulary(corpus, *kind))
        model = Transformer(replace(model_config, vocab_size=len(tokenizer)))
    return Trial(Run(model.to(device), config), corpus, tokenizer, folder, about)


def settle(
    config: TrainingConfig, options: argparse.Namespace, device: torch.device, width: int
) -> TrainingConfig:
    """The configuration with what is left to a measurement.

    width: of the model's vectors.
    """
    if device.type == "cpu" and config.matmul_precision is None:
        config = replace(config, matmul_precision=choose_matmul_precision())
        say(f"float32 products: {config.matmul_precision}, by a measurement")
    if options.precision == "auto":
        choice = "bf16" if is_fast(torch.bfloat16, device, width) else "fp32"
        config = replace(config, precision=choice)
        say(f"precision: {config.precision}, by a measurement")
    elif config.precision != "fp32" and not is_fast(PRECISIONS[config.precision], device, width):
        say(
            f"{config.precision} is not faster than fp32 here and may take many times as long: "
            "--precision auto takes what is fast"
        )
    return config


def measured(config: TrainingConfig, options: argparse.Namespace) -> list[str]:
    """The options that repeat what was measured, for the record's command."""
    words = []
    if config.matmul_precision != options.matmul_precision:
        words += ["--matmul-precision", str(config.matmul_precision)]
    if options.precision == "auto":
        words += ["--precision", config.precision]  # the last one counts
    return words


DROPOUTS = ("dropout", "attention_dropout", "hidden_dropout")  # they have no weights


def initial(options: argparse.Namespace) -> tuple[Transformer, Tokenizer, dict[str, Any]]:
    """The model that --init names, with the dropout that is asked for, and what belongs to it."""
    sizes = {field.name for field in fields(TransformerConfig)} - {*DROPOUTS}
    for name in sorted({*sizes, "preset", "lowercase"}):
        if getattr(options, name, None) is not None:
            raise UserError(
                f"--{name.replace('_', '-')} cannot go with --init: {options.init} has it already"
            )
    given, tokenizer, about = load_checkpoint(options.init)
    model = Transformer(override(given.config, options))
    model.load_state_dict(given.state_dict())  # in float32 whatever they were kept in
    return model, tokenizer, about


def check_sizes(model: TransformerConfig, training: TrainingConfig) -> None:
    """ValueError where no model can have these sizes: before anything takes long."""
    longest = training.longest() + SearchConfig.extra
    if model.positions == "learned" and model.max_length < longest:
        raise UserError(
            f"translating sentences of {training.longest()} tokens takes {longest} positions: "
            "raise --max-length or lower --max-tokens"
        )
    with torch.device("meta"):  # sizes without memory
        Transformer(replace(model, layers=1))  # its parts know what they cannot be


def new_folder(options: argparse.Namespace, corpus: Corpus, held: ExitStack) -> Path:
    """Where a run goes, held: never over an earlier one, nor over one that begins now."""
    if options.out:
        if not take(options.out, held):
            raise UserError(f"--out {options.out} exists already: name a new one, or --resume it")
        return options.out
    name = f"{corpus.name}-{corpus.source}-{corpus.target}"
    folders = (RUNS / x for x in chain([name], (f"{name}-{i}" for i in count(2))))
    return next(folder for folder in folders if take(folder, held))


def take(folder: Path, held: ExitStack) -> bool:
    """Hold a free folder; whether it was one. A process that ends, or is killed, holds nothing."""
    if not is_free(folder):
        return False
    try:
        held.enter_context(alone(folder))
    except Busy:
        return False
    return is_free(folder)  # still: nobody else can write there


def is_free(folder: Path) -> bool:
    """Whether there is nothing, or what a run leaves that ended before its first checkpoint."""
    if not folder.exists():
        return True
    left = ("log.jsonl", "pairs-", ".step-", ".log.jsonl", ".pairs-", LOCK)
    return folder.is_dir() and all(file.name.startswith(left) for file in folder.iterdir())


CHANGEABLE = ("steps", "minutes")  # when a run is taken up again


def take_up(options: argparse.Namespace, device: torch.device, held: ExitStack) -> Trial:
    """The run that --resume names, held, to go on for as long as it was told or options say."""
    folder = options.resume
    refuse_changes(options)
    override(TrainingConfig(), options)  # numbers out of range are said first
    if (folder / "run.json").exists():
        raise UserError(
            f"{folder} is one checkpoint: give --resume the run's folder, {folder.parent}, and it "
            "goes on from the newest in it"
        )
    complete(folder, RUN_FILES)  # or there is no folder to hold
    workers.first(lambda: held.enter_context(alone(folder)))
    run, tokenizer, about = resume(folder, device)
    run.config = override(run.config, options)
    if run.is_over() and not options.record:
        raise UserError(
            f"{folder} is done, with {run.step:,} steps in {run.seconds / 60:.1f} minutes: give it "
            "more with --steps or --minutes"
        )
    corpus = workers.first(lambda: corpus_of(about))
    if held_out_sums(corpus) != about.get("sums"):
        raise UserError(f"{folder} was trained on other data than {corpus.name} has now")
    for name in CHANGEABLE:
        if (value := getattr(options, name)) is not None:
            about["words"] += [f"--{name}", str(value)]  # the last one counts
    say(f"going on from step {run.step:,}")
    return Trial(run, corpus, tokenizer, folder, about)


def refuse_changes(options: argparse.Namespace) -> None:
    """UserError where an option would make another run of the one to be taken up."""
    free = {*CHANGEABLE, "resume", "record", "device", "command", "run", "words"}
    for name, value in vars(options).items():
        if name not in free and value is not None:
            raise UserError(
                f"--{name.replace('_', '-')} cannot go with --resume: only --steps, --minutes, "
                "--record and --device can"
            )


def fit(trial: Trial) -> int:
    """Train with a log, a picture of it and checkpoints; the signal that stopped it, or 0."""
    run = trial.run
    if run.is_over():
        return 0
    shares = shares_of(trial)
    with Interrupt() as stop:
        if workers.rank() == 0:
            lead(trial, shares, stop)
        else:
            train(run, shares, stop=stop)
        stopped = any(workers.agree(stop()))
    return (stop.signal or signal.SIGTERM) if stopped and not run.is_over() else 0


def shares_of(trial: Trial) -> Iterator[Any]:
    """What this worker reads, from the run's step on; the longest source is noted for good."""
    config, corpus, about = trial.run.config, trial.corpus, trial.about
    folder = trial.folder
    if is_shared(corpus) and "init" not in about:  # else the vocabulary is another one
        folder = home(corpus, about["vocab_size"], about["lowercase"])
    pairs = training_pairs(corpus, trial.tokenizer, folder, config.longest(), trial.folder)
    before = about.get("init", {}).get("longest_source", 0)
    about.setdefault("longest_source", max(before, 1 + int(lengths_of(pairs)[:, 0].max())))
    return stream(
        pairs,
        config.batch_tokens,
        config.seed,
        start=trial.run.step,
        rank=workers.rank(),
        ranks=workers.world_size(),
        micro_batches=config.micro_batches,
    )


def lead(trial: Trial, shares: Iterator[Any], stop: Interrupt) -> None:
    """What the first worker does: train, and look, save and show for all."""
    run, tokenizer, config = trial.run, trial.tokenizer, trial.run.config
    texts, ids = short_pairs(trial.corpus.splits["validation"], tokenizer, config.longest())
    held_out = list(batches(ids, config.batch_tokens))
    sources, references = sides(texts)

    def validate(model: Transformer) -> dict[str, float]:
        search = SearchConfig(beam=1)  # greedy: for speed
        outputs = translate(model, tokenizer, sources, search, seen=Seen.by(trial.about))
        score = bleu(outputs, references, bool(trial.about["lowercase"]), trial.corpus.target).value
        return {"validation_loss": validation_loss(model, held_out), "validation_bleu": score}

    def save(run: Run) -> None:
        save_run(trial.folder, run, tokenizer, trial.about)

    log = Log(trial.folder / "log.jsonl", run.log)
    with Terminal(config.steps, run.step, run.log) as terminal:

        def show(row: dict[str, float]) -> None:
            log(row)
            with heard_or_not():
                terminal(row)

        train(run, shares, validate, save, show, stop)


def record_run(path: Path, trial: Trial) -> None:
    """Score every test set once and write the run's record."""
    run, corpus, about = trial.run, trial.corpus, trial.about
    search = SearchConfig()
    commits, made = all_of(about, "commits"), made_by(about)
    seen = Seen.by(about, run.config.longest())
    translator = translator_of(run.model, trial.tokenizer, search, about, seen)
    found = list(results(translator, corpus, test_sets(corpus)))
    for result in found:
        say(f"{result.name}: {result.scores['bleu']}")
    write_record(
        path,
        about["words"],  # of all sittings together
        corpus,
        config_of(run.model, asdict(run.config), search),
        run.seconds,
        run.log,
        {result.name: entry(result.scores) for result in found},
        examples=found[0].examples() if found else [],
        commit=commits[-1],
        trained_on=all_of(about, "hardware"),
        **({"commands": [shlex.join(["annotated", *x]) for x in made]} if len(made) > 1 else {}),
        **({"commits": commits} if len(commits) > 1 else {}),
    )
