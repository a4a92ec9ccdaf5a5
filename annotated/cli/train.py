"""annotated train [--data NAME | --source FILE --target FILE | --trees FILE] [options]
       annotated train --resume FOLDER [--steps N] [--minutes X]

Train a model on a corpus. What is not given has a value that suits the corpus on two cores;
--preset base or big takes the paper's instead. Ctrl-C or SIGTERM stops the run after the step under
way, with a checkpoint, and --resume takes it up again. Under torchrun, all processes train one
model: torchrun --nproc-per-node 2 -m annotated train ...
"""

import shlex
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, count
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch

from annotated.cli.corpus import (
    TrainingCorpusOptions,
    check_options,
    configure,
    corpus_of,
    sets_to_score,
)
from annotated.cli.data import shared_folder, training_pairs, validation_pairs, vocabulary
from annotated.cli.options import (
    DeviceOptions,
    File,
    Folder,
    UserError,
    heard_or_not,
    option,
    override,
    say,
)
from annotated.cli.record import record, scored
from annotated.cli.trees import Parser, are_trees, fitted, parsed, quick_f1
from annotated.data.batching import batches, lengths_of
from annotated.data.corpora import Corpus, read_lines, sums
from annotated.data.steps import stream
from annotated.data.tokenizer import Tokenizer
from annotated.evidence.parsing import ParsingConfig, TreeTokenizer
from annotated.fast import workers
from annotated.fast.matmul_precision import choose_matmul_precision, is_fast
from annotated.files import alone
from annotated.folders import RUN_FILES, claim, complete
from annotated.model.transformer import Transformer, TransformerConfig
from annotated.models import MODELS, build, configuration, name_of, options_of, size
from annotated.results import commit, hardware
from annotated.training.checkpoints import load_checkpoint, resume, save_run
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
from annotated.translation.search import SearchConfig, translate, translator
from annotated.translation.sentences import Seen

RUNS = Path("runs")
CHANGEABLE = ["steps", "minutes"]  # when a run is taken up again
DROPOUTS = ["dropout", "attention_dropout", "hidden_dropout"]  # they have no weights


@dataclass(frozen=True, kw_only=True)
class Options(TrainingCorpusOptions, DeviceOptions):
    """What annotated train is told."""

    configurations: ClassVar[dict[str, type]] = {
        "the model (Section 3.1)": TransformerConfig,
        "the recurrent model, beside what it shares with the other (Section 4)": configuration(
            "recurrent"
        ),
        "the training (Sections 5.1 to 5.4)": TrainingConfig,
    }

    out: Folder | None = None  # where the run goes (default: runs/DATA-PAIR)
    resume: Folder | None = None  # go on with the run in FOLDER
    # begin a new run with the weights and the tokenizer of the model in FOLDER
    init: Folder | None = None
    # a teacher's translations of the training sources, a line each, to be learnt beside the targets
    teacher: File | None = None
    record: File | None = None  # at the end score the test sets, into FILE
    model: Literal["transformer", "recurrent"] = "transformer"  # which kind of model (Section 4)
    preset: Literal["base", "big"] | None = None  # the paper's model and training (Table 3)
    # of matrix products; auto: bf16 where that is faster, else fp32 (Section 5.2)
    precision: Literal["fp32", "bf16", "fp16", "auto"] | None = None


@dataclass
class Trial:
    """A run with all that surrounds it."""

    run: Run
    corpus: Corpus
    tokenizer: Tokenizer
    folder: Path
    about: dict[str, Any]  # kept with each checkpoint: the data, the command


def run(options: Options) -> int:
    """Train; the exit status is that of the signal that stopped it, else 0."""
    at_commit = commit()
    device = workers.join_group(options.find_device())
    with ExitStack() as held:  # the run's folder, by the first worker
        held.callback(workers.leave)
        trial = (take_up if options.resume else begin)(options, device, held)
        for name, value in ("commits", at_commit), ("hardware", hardware()):
            trial.about[name] = list(dict.fromkeys([*trial.about.get(name, []), value]))
        weights = size(trial.run.model.config)
        say(f"{weights:,} parameters on {device}; the run goes to {trial.folder}")
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
                score(trial, options.record, at_commit)
        does = "parse" if are_trees(trial.corpus) else "translate"
        use = shlex.join(["annotated", does, "--model", str(trial.folder)])
        say(f"done: the model is in {trial.folder}; {use}")
        return 0


def begin(options: Options, device: torch.device, held: ExitStack) -> Trial:
    """A new run, as the options say; its folder is held."""
    sizes, config = configure(options, options.preset)
    vocab_size, lowercase = sizes.vocab_size, options.lowercase
    initial = workers.first(lambda: begun_with(options)) if options.init else None
    if initial:
        sizes = initial[0].config
    check_sizes(sizes, config)
    corpus = workers.first(lambda: taught(options.corpus(), options.teacher))
    folder = workers.first(lambda: new_folder(options, corpus, held))
    found = workers.first(lambda: measured(config, options, device, sizes.d_model))
    config = replace(config, **found)
    about: dict[str, Any] = {
        "data": corpus.name,
        "pair": corpus.pair,
        "files": [str(file.resolve()) for file in options.files()],
        "train_pairs": options.train_pairs,
        "teacher": options.teacher and str(options.teacher.resolve()),
        "sums": sums(corpus.lists()),
        "vocab_size": vocab_size,  # as asked for: there may be fewer tokens
        "lowercase": lowercase,
        "words": [*options.words, *chain(*((option(x), found[x]) for x in found))],
    }
    torch.manual_seed(config.seed)
    if initial:
        model, tokenizer, before = initial
        tokenizer = fitted(tokenizer, corpus)
        about |= {name: before[name] for name in ("vocab_size", "lowercase") if name in before}
        about["init"] = before
    else:
        tokenizer = workers.first(lambda: vocabulary(corpus, vocab_size, lowercase))
        model = build(replace(sizes, vocab_size=len(tokenizer)))
    return Trial(Run(model.to(device), config), corpus, tokenizer, folder, about)


def begun_with(options: Options) -> tuple[Transformer, Tokenizer, dict[str, Any]]:
    """The model that --init names, with the dropout that is asked for, and what belongs to it."""
    fixed = set().union(*map(options_of, MODELS)) | {"model", "preset", "lowercase"}
    for name in sorted(fixed & options.given.keys() - {*DROPOUTS}):
        raise UserError(f"{option(name)} cannot go with --init: {options.init} has it already")
    given, tokenizer, about = load_checkpoint(options.given["init"])
    check_options(options.given, name_of(given.config))
    model = build(override(given.config, options.given))
    model.load_state_dict(given.state_dict())  # in float32 whatever they were kept in
    return model, tokenizer, about


def taught(corpus: Corpus, teacher: Path | str | None) -> Corpus:
    """The corpus, and after its training pairs each source with what a teacher makes of it.

    Sequence-level distillation (Kim and Rush, 2016).
    """
    if teacher is None:
        return corpus
    pairs, lines = corpus.splits["train"], read_lines(Path(teacher))
    if not isinstance(pairs, list):
        raise UserError(f"--teacher cannot go with {corpus.name}, which is read as a stream")
    if len(lines) != len(pairs):
        has = f"{teacher} has {len(lines):,} lines, {corpus.name} {len(pairs):,} training pairs"
        raise UserError(f"{has}: --teacher takes a translation of each source, in their order")
    written = [(source, line) for (source, _), line in zip(pairs, lines, strict=True)]
    return replace(corpus, splits={**corpus.splits, "train": pairs + written})


def check_sizes(model: Any, training: TrainingConfig) -> None:
    """ValueError where no model can have these sizes: before anything takes long."""
    longest = training.longest() + SearchConfig.extra
    if model.reach is not None and model.reach < longest:
        takes = f"translating sentences of {training.longest()} tokens takes {longest} positions"
        raise UserError(f"{takes}: raise --max-length or lower --max-tokens")
    with torch.device("meta"):  # sizes without memory
        build(replace(model, layers=1))  # its parts know what they cannot be


def measured(
    config: TrainingConfig, options: Options, device: torch.device, width: int
) -> dict[str, Any]:
    """The fields that are left to a measurement; `width` is of the model's vectors."""
    found: dict[str, Any] = {}
    if device.type == "cpu" and config.matmul_precision is None:
        found["matmul_precision"] = choose_matmul_precision()
    if options.precision == "auto":
        found["precision"] = "bf16" if is_fast(torch.bfloat16, device, width) else "fp32"
    elif config.precision != "fp32" and not is_fast(PRECISIONS[config.precision], device, width):
        say(
            f"{config.precision} is not faster than fp32 here and may take many times as long: "
            "--precision auto takes what is fast"
        )
    for name, value in found.items():
        say(f"{option(name)} {value}, by a measurement")
    return found


def new_folder(options: Options, corpus: Corpus, held: ExitStack) -> Path:
    """Where a run goes, held: never over an earlier one, nor over one that begins now."""
    name = f"{corpus.name}-{corpus.pair}"
    names = chain([name], (f"{name}-{i}" for i in count(2)))
    for folder in [options.out] if options.out else map(RUNS.joinpath, names):
        if claim(folder, held):
            return folder
    raise UserError(f"--out {options.out} exists already: name a new one, or --resume it")


def take_up(options: Options, device: torch.device, held: ExitStack) -> Trial:
    """The run that --resume names, held, to go on for as long as it was told or options say."""
    folder = Path(options.given["resume"])
    free = [*CHANGEABLE, "record", "device"]
    for name in options.given:
        if name not in ["resume", *free]:
            others = ", ".join(map(option, free))
            raise UserError(f"{option(name)} cannot go with --resume: only {others} can")
    override(TrainingConfig(), options.given)  # numbers out of range are said first
    if (folder / "run.json").exists():
        mend = f"give --resume the run's folder, {folder.parent}"
        raise UserError(f"{folder} is one checkpoint: {mend}, and it goes on from the newest in it")
    complete(folder, RUN_FILES)  # or there is no folder to hold
    workers.first(lambda: held.enter_context(alone(folder)))
    run, tokenizer, about = resume(folder, device)
    run.config = override(run.config, options.given)
    if run.is_over() and not options.record:
        done = f"{folder} is done, with {run.step:,} steps in {run.seconds / 60:.1f} minutes"
        raise UserError(f"{done}: give it more with --steps or --minutes")
    corpus = workers.first(lambda: taught(corpus_of(about), about.get("teacher")))
    tokenizer = fitted(tokenizer, corpus)
    if sums(corpus.lists()) != about.get("sums"):
        raise UserError(f"{folder} was trained on other data than {corpus.name} has now")
    for name in CHANGEABLE:
        if name in options.given:
            about["words"] += [option(name), str(options.given[name])]  # the last one counts
    say(f"going on from step {run.step:,}")
    return Trial(run, corpus, tokenizer, folder, about)


def fit(trial: Trial) -> int:
    """Train; the signal that stopped it, or 0."""
    run = trial.run
    if run.is_over():
        return 0
    shares = shares_of(trial)
    with Interrupt() as stop, ExitStack() as shown:
        duties = lead(trial, shown) if workers.rank() == 0 else {}
        train(run, shares, **duties, stop=stop)
        stopped = any(workers.agree(stop()))
    return (stop.signal or signal.SIGTERM) if stopped and not run.is_over() else 0


def shares_of(trial: Trial) -> Iterator[Any]:
    """What this worker reads, from the run's step on; the longest source is noted for good."""
    config, corpus, about = trial.run.config, trial.corpus, trial.about
    shared = "init" not in about and shared_folder(corpus, about["vocab_size"], about["lowercase"])
    folder = shared or trial.folder  # with --init the vocabulary is another one
    pairs = training_pairs(corpus, trial.tokenizer, folder, config.longest(), trial.folder)
    before = about.get("init", {}).get("longest_source", 0)
    about.setdefault("longest_source", max(before, 1 + int(lengths_of(pairs)[:, 0].max())))
    start, rank, ranks = trial.run.step, workers.rank(), workers.world_size()
    parts = config.micro_batches
    return stream(pairs, config.batch_tokens, config.seed, start, rank, ranks, parts)


def lead(trial: Trial, shown: ExitStack) -> dict[str, Any]:
    """What the first worker does for all: look, save a checkpoint, and show a row of the log."""
    run, tokenizer, about = trial.run, trial.tokenizer, trial.about
    both = validation_pairs(trial.corpus, tokenizer, run.config.longest())
    texts, ids = zip(*both, strict=True)
    sources, references = zip(*texts, strict=True)
    held_out = list(batches(ids, run.config.batch_tokens))
    log = Log(trial.folder / "log.jsonl", run.log)
    terminal = shown.enter_context(Terminal(run.config.steps, run.step, run.log))

    def validate(model: Transformer) -> dict[str, float]:
        loss = {"validation_loss": validation_loss(model, held_out)}
        if are_trees(trial.corpus):
            return loss | {
                "validation_f1": quick_f1(
                    Parser(model, TreeTokenizer.over(tokenizer), about), texts
                )
            }
        search = SearchConfig(beam=1)  # greedy: for speed
        outputs = translate(model, tokenizer, sources, search, seen=Seen.by(about))
        score = bleu(outputs, references, bool(about["lowercase"]), trial.corpus.target)
        return loss | {"validation_bleu": score.value}

    def show(row: dict[str, float]) -> None:
        log(row)
        with heard_or_not():
            terminal(row)

    save = partial(save_run, trial.folder, tokenizer=tokenizer, about=about)
    return {"validate": validate, "save": save, "show": show}


def score(trial: Trial, path: Path, at_commit: str) -> None:
    """Score every test set once and write the run's record."""
    corpus, about, search = trial.corpus, trial.about, SearchConfig()
    model, tokenizer, names = trial.run.model, trial.tokenizer, sets_to_score(trial.corpus)
    found: list[Any] = []
    if are_trees(corpus):
        search = ParsingConfig()
        found += parsed(Parser(model, TreeTokenizer.over(tokenizer), about), corpus, names, search)
    else:
        seen = Seen.by(about, trial.run.config.longest())
        ours = translator(model, tokenizer, search, seen=seen)
        found += scored(ours.translate, corpus, names, bool(about["lowercase"]))
    for result in found:
        say(f"{result.name}: {next(iter(result.scores.values()))}")
    record(path, None, at_commit, corpus, complete(trial.folder), found, search)
