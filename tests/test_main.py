"""The command line: what goes in, what comes out, where, and with which exit status."""

import gzip
import io
import json
import os
import random
import re
import resource
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import fields, replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from annotated.cli import average, corpus, train, translate, translator
from annotated.cli.main import command_named, main, parse, parser
from annotated.data.corpora import Corpus
from annotated.data.tokenizer import Tokenizer
from annotated.fast.engine import Engine
from annotated.files import alone
from annotated.model.transformer import TransformerConfig
from annotated.training.checkpoints import load_checkpoint, resume, save_checkpoint, steps_in
from annotated.training.loop import TrainingConfig
from annotated.training.progress import read_log
from annotated.translation import search
from annotated.translation.search import SearchConfig, beam_search

TINY = (
    "--layers 1 --d-model 16 --d-ff 16 --heads 2 --vocab-size 300 --matmul-precision highest "
    "--validate-every 2 --steps 3"
)
RUN = "runs/toy-en-de"  # where the fixture `trained` puts its run
WORDS = ["dog", "cat", "child", "man", "sees", "hears", "the", "a"]
LINES = [f"{a} {b} {c} ." for a in WORDS for b in WORDS for c in WORDS]
OURS = {"engine": "annotated", "int8": False}  # how a record says who decoded
PAIRS = [(line, line.upper()) for line in LINES]


def small_corpus(name="toy", pair="en-de"):
    """A corpus in the shape of the real ones, small enough to train on in a moment."""
    splits = {"train": PAIRS[:200], "validation": PAIRS[200:204], "test": PAIRS[204:208]}
    splits["test_longer"] = PAIRS[208:210]
    if name == "wmt14":
        splits["train"] = Stream(splits["train"])
    return Corpus(name, *pair.split("-"), splits)


class Stream:
    """Pairs that can be iterated and no more; counts how often they are."""

    begun = 0

    def __init__(self, pairs):
        self.pairs = pairs

    def __iter__(self):
        Stream.begun += 1
        return iter(self.pairs)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(corpus, "load", small_corpus)
    monkeypatch.setattr(train, "choose_matmul_precision", lambda: "highest")
    monkeypatch.setattr(translator.pooch, "os_cache", lambda name: tmp_path / "cache")
    monkeypatch.setattr(translator, "PRETRAINED", tmp_path / "pretrained")


@pytest.fixture
def trained():
    """A model that knows nothing, but has seen long sentences."""
    assert main(["train", *TINY.split()]) == 0
    note(steps_in(Path(RUN))[-1], longest_source=256)


def note(place, **facts):
    """Change what is kept with a checkpoint; None takes it out."""
    content = json.loads((place / "model.json").read_text("utf8"))
    about = content["about"] | facts
    content["about"] = {name: value for name, value in about.items() if value is not None}
    (place / "model.json").write_text(json.dumps(content), "utf8")


def piped(monkeypatch, data: bytes):
    class Stdin:
        buffer = io.BytesIO(data)

        @staticmethod
        def isatty():
            return False

    monkeypatch.setattr(sys, "stdin", Stdin)


def write_files(folder, pairs=PAIRS, names=("text.en", "text.de")):
    """The sides of some pairs as text files."""
    for name, side in zip(names, zip(*pairs, strict=True), strict=True):
        (folder / name).write_text("".join(line + "\n" for line in side), encoding="utf-8")
    return [str(folder / name) for name in names]


def named(files, prefix="--"):
    return [f"{prefix}source", files[0], f"{prefix}target", files[1]]


def last_line(capsys):
    return capsys.readouterr().err.splitlines()[-1]


def timeless(rows):
    """The rows of a log without what a clock says."""
    return [
        {key: row[key] for key in row.keys() - {"seconds", "tokens_per_second"}} for row in rows
    ]


def weights(folder):
    return load_file(steps_in(folder)[-1] / "model.safetensors")


def assert_same_run(one, other):
    """The logs and the last weights of two runs' folders are equal, bit for bit."""
    assert timeless(read_log(one / "log.jsonl")) == timeless(read_log(other / "log.jsonl"))
    for name, value in weights(one).items():
        assert torch.equal(value, weights(other)[name]), name


# annotated train


def test_train_writes_a_model_and_a_log_and_says_where(tmp_path, capsys):
    assert main(["train", *TINY.split()]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "runs/toy-en-de" in err and "parameters" in err and "BLEU" in err
    folder = tmp_path / "runs/toy-en-de"
    assert [row["step"] for row in read_log(folder / "log.jsonl")] == [2, 3]
    assert [place.name for place in steps_in(folder)] == ["step-00000002", "step-00000003"]
    load_checkpoint(folder)


def test_a_second_run_does_not_replace_the_first(tmp_path, trained):
    assert main(["train", *TINY.split()]) == 0
    assert len(steps_in(tmp_path / "runs/toy-en-de-2")) == 2


def test_a_folder_with_something_in_it_is_not_written_to(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    assert main(["train", "--out", "mine", *TINY.split()]) == 2
    assert "exists already" in last_line(capsys)
    assert os.listdir("mine") == ["notes.txt"]
    assert main(["train", "--out", "mine/notes.txt", *TINY.split()]) == 2


def test_a_run_that_ended_before_its_first_checkpoint_is_begun_again(tmp_path):
    for name in (".step-00000002.part", "pairs-256"):
        (tmp_path / "mine" / name).mkdir(parents=True)
    (tmp_path / "mine/log.jsonl").write_text("{}\n")
    assert main(["train", "--out", "mine", *TINY.split()]) == 0
    assert [row["step"] for row in read_log(tmp_path / "mine/log.jsonl")] == [2, 3]


def test_a_run_that_was_given_no_folder_keeps_off_one_that_has_just_begun(tmp_path):
    with alone(tmp_path / "runs/toy-en-de"):
        (tmp_path / "runs/toy-en-de/log.jsonl").write_text("")
        assert main(["train", *TINY.split()]) == 0
        assert sorted(os.listdir("runs")) == ["toy-en-de", "toy-en-de-2"]
    assert main(["train", *TINY.split()]) == 0  # that one was killed
    assert sorted(os.listdir("runs")) == ["toy-en-de", "toy-en-de-2"]
    assert len(steps_in(tmp_path / "runs/toy-en-de")) == 2


def test_a_folder_that_another_run_has_is_not_written_to(tmp_path, trained, capsys):
    with alone(tmp_path / "mine"), alone(Path(RUN)):
        assert main(["train", "--out", "mine", *TINY.split()]) == 2
        assert "--out mine exists already" in last_line(capsys)
        assert main(["train", "--resume", RUN, "--steps", "5"]) == 2
        assert f"{RUN} is in use by another process" in last_line(capsys)
    assert main(["train", "--resume", RUN, "--steps", "5"]) == 0
    assert sorted(os.listdir()) == ["runs"]


def test_options_are_fields_of_the_configurations(trained, tmp_path):
    run = resume(tmp_path / "runs/toy-en-de")[0]
    assert run.model.config.d_ff == 16 and run.model.config.heads == 2
    assert run.config.steps == 3 and run.config.validate_every == 2


def options_of(words):
    name, values = parse(words)
    return command_named(name).Options(**values)


def configured(words):
    options = options_of(["train", *words.split()])
    return corpus.configure(options, options.preset)


def test_a_preset_is_the_papers_with_the_options_on_top():
    model, training = configured("--preset big --layers 2 --no-norm-first --minutes 1.5 --warmup 9")
    assert (model.d_model, model.layers, model.norm_first) == (1024, 2, False)
    assert (training.minutes, training.warmup, training.steps) == (1.5, 9, 300_000)


@pytest.mark.parametrize(
    ("words", "dropout", "vocab_size", "steps", "average"),
    [
        ("--data wmt14", 0.1, 37_000, 100_000, 5),
        ("--data wmt14 --pair en-fr", 0.1, 32_000, 100_000, 5),
        ("--data wmt14 --preset base", 0.1, 37_000, 100_000, 5),
        ("--data wmt14 --preset base --pair en-fr", 0.1, 32_000, 100_000, 5),
        ("--data wmt14 --preset big", 0.3, 37_000, 300_000, 20),
        ("--data wmt14 --preset big --pair en-de", 0.3, 37_000, 300_000, 20),
        ("--data wmt14 --preset big --pair en-fr", 0.1, 32_000, 300_000, 20),
        ("--data multi30k --preset big --pair en-fr", 0.1, 6000, 300_000, 20),
        (
            "--data wmt14 --preset big --pair en-fr --dropout 0.2 --average 3",
            0.2,
            32_000,
            300_000,
            3,
        ),
    ],
)
def test_a_preset_is_a_row_of_the_paper(words, dropout, vocab_size, steps, average):
    model, training = configured(words)
    assert (model.dropout, model.vocab_size) == (dropout, vocab_size)
    assert (training.steps, training.average, training.kept()) == (steps, average, average)
    assert (training.batch_tokens, training.warmup, training.scale) == (25_000, 4000, 1.0)
    assert training.smoothing == 0.1 and SearchConfig() == SearchConfig(beam=4, alpha=0.6)


def test_nothing_is_done_where_there_is_no_model(capsys, monkeypatch):
    monkeypatch.setattr(train, "fit", lambda trial: 0)
    assert main(["train", *TINY.split()]) == 2
    said = capsys.readouterr().err
    assert f"{RUN} holds no model" in said and "done" not in said


class Fast:
    """What a machine's measurements say: the fastest products, and whether 16 bits are fast."""

    def __init__(self, monkeypatch, products="high", bf16=True):
        monkeypatch.setattr(train, "choose_matmul_precision", lambda: products)
        monkeypatch.setattr(train, "is_fast", lambda dtype, device, width: bf16)


MEASURED = TINY.replace("--matmul-precision highest ", "")


@pytest.fixture
def setting():
    """The setting of float32 products, put back after the test."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def test_what_was_measured_is_in_the_checkpoint_and_in_the_record_s_command(
    setting, tmp_path, capsys, monkeypatch
):
    Fast(monkeypatch)
    words = ["train", *MEASURED.split(), "--precision", "auto", "--out", "a", "--record", "r.json"]
    assert main(words) == 0
    err = capsys.readouterr().err
    assert "--matmul-precision high, by a measurement" in err
    assert "--precision bf16, by a measurement" in err
    record = json.loads((tmp_path / "r.json").read_text())
    facts = json.loads((steps_in(tmp_path / "a")[-1] / "run.json").read_text())
    for training in (record["config"]["training"], facts["training"]):
        assert (training["precision"], training["matmul_precision"]) == ("bf16", "high")
    assert facts["matmul_precision"] == "high"
    again = shlex.split(record["command"])[1:]
    assert again == [*words, "--matmul-precision", "high", "--precision", "bf16"]
    Fast(monkeypatch, "medium", bf16=False)  # a busy day, or another machine
    assert main([*again, "--out", "b"]) == 0
    assert_same_run(tmp_path / "a", tmp_path / "b")
    torch.set_float32_matmul_precision("highest")
    assert main(["train", "--resume", "a", "--steps", "4"]) == 0
    assert torch.get_float32_matmul_precision() == "high"
    assert resume("a")[0].config.precision == "bf16"


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("fast", [True, False])
def test_sixteen_bits_where_they_are_slow_are_said(capsys, monkeypatch, precision, fast):
    Fast(monkeypatch, bf16=fast)
    assert main(["train", *TINY.split(), "--precision", precision]) == 0
    said = f"{precision} is not faster than fp32 here" in capsys.readouterr().err
    assert said != fast
    assert resume(RUN)[0].config.precision == precision


def test_where_sixteen_bits_are_slow_auto_is_single_precision(capsys, monkeypatch):
    Fast(monkeypatch, bf16=False)
    assert main(["train", *TINY.split(), "--precision", "auto"]) == 0
    assert "--precision fp32, by a measurement" in capsys.readouterr().err
    assert resume(RUN)[0].config.precision == "fp32"


def test_lowercase_is_kept_with_the_vocabulary(tmp_path):
    assert main(["train", "--lowercase", *TINY.split()]) == 0
    _, tokenizer, about = load_checkpoint(tmp_path / "runs/toy-en-de")
    assert tokenizer.encode("DOG") == tokenizer.encode("dog") and about["lowercase"]


def test_two_files_are_a_corpus(tmp_path, capsys):
    words = ["train", *named(write_files(tmp_path)), *TINY.split(), "--out", "mine"]
    assert main(words) == 0
    assert sorted(os.listdir("mine")) == ["log.jsonl", "pairs-256", *steps_named(2, 3)]
    _, _, about = load_checkpoint("mine")
    assert about["pair"] == "en-de"
    assert main(["evaluate", "--model", "mine"]) == 0
    assert "files validation: BLEU" in capsys.readouterr().out


def steps_named(*steps):
    return [f"step-{step:08}" for step in steps]


def test_validation_files_are_used_and_files_may_be_gzipped(tmp_path):
    source, target = write_files(tmp_path)
    for path in (source, target):
        with open(path, "rb") as file, gzip.open(f"{path}.gz", "wb") as packed:
            shutil.copyfileobj(file, packed)
    valid = write_files(tmp_path, PAIRS[:2], ("valid.en", "valid.de"))
    files = [*named([f"{source}.gz", f"{target}.gz"]), *named(valid, "--valid-")]
    assert main(["train", *files, *TINY.split(), "--out", "mine"]) == 0
    about = load_checkpoint("mine")[2]
    assert about["sums"]["validation"]["pairs"] == 2 and len(about["files"]) == 4


def test_a_line_that_is_too_long_is_left_out_and_counted(tmp_path, capsys):
    long = [("dog " * 10_000, "DOG"), ("man", "MAN " * 10_000)]
    files = write_files(tmp_path, PAIRS + long)
    valid = write_files(tmp_path, PAIRS[:3] + long[:1], ("valid.en", "valid.de"))
    words = ["train", *named(files), *named(valid, "--valid-"), *TINY.split()]
    assert main(words) == 0
    err = capsys.readouterr().err
    assert "2 of 514 training pairs have more than 256 tokens: left out" in err
    assert "1 of 4 validation pairs have more than 256 tokens: left out" in err


def test_a_line_that_is_too_long_is_left_out_of_a_list_too(monkeypatch, capsys):
    corpus = small_corpus()
    corpus.splits["train"].append(("dog " * 10_000, "DOG"))
    monkeypatch.setattr("annotated.cli.corpus.load", lambda name, pair: corpus)
    assert main(["train", *TINY.split()]) == 0
    assert "1 of 201 training pairs have more than 256 tokens" in capsys.readouterr().err


def test_a_large_corpus_is_prepared_once_for_all_runs(tmp_path, capsys, monkeypatch):
    tiny = [*TINY.split(), "--max-tokens", "40"]
    monkeypatch.setattr(Stream, "begun", 0)
    assert main(["train", "--data", "wmt14", *tiny]) == 0
    begun = Stream.begun
    [home] = (tmp_path / "cache/prepared").iterdir()
    assert home.name == "wmt14-en-de-300"
    assert sorted(os.listdir(home)) == ["pairs-40", "tokenizer.json"]
    assert main(["train", "--data", "wmt14", *tiny]) == 0
    assert Stream.begun == begun == 2  # a sample for the vocabulary, and the pairs: nothing again
    assert main(["train", "--data", "wmt14", *tiny[:-1], "50"]) == 0
    assert sorted(os.listdir(home)) == ["pairs-40", "pairs-50", "tokenizer.json"]


def test_data_prepares_what_train_takes(tmp_path, capsys, monkeypatch):
    """Also where there are fewer tokens than were asked for."""
    monkeypatch.setattr(Stream, "begun", 0)
    kind = ["--vocab-size", "5000", "--max-tokens", "40", "--lowercase"]
    assert main(["data", "wmt14", *kind]) == 0
    (out, err), begun = capsys.readouterr(), Stream.begun
    assert re.search(r"train +200 pairs", out) and "training pairs are encoded in" in err
    assert begun == 3  # three examples, a sample for the vocabulary, the pairs: not to count them
    tiny = TINY.replace("--vocab-size 300", "").split()
    assert main(["train", "--data", "wmt14", *tiny, *kind, "--out", "mine"]) == 0
    assert load_checkpoint("mine")[0].config.vocab_size < 1000
    assert Stream.begun == begun and len(list((tmp_path / "cache/prepared").iterdir())) == 1
    assert main(["train", "--resume", "mine", "--steps", "5"]) == 0
    assert Stream.begun == begun


def test_learned_positions_train_and_translate(monkeypatch, capsys):
    words = ["--positions", "learned", "--max-length", "90", "--max-tokens", "40"]
    assert main(["train", *words, *TINY.split()]) == 0
    assert main(["train", *words[:-1], "41", *TINY.split()]) == 2
    assert "raise --max-length or lower --max-tokens" in last_line(capsys)


def test_validation_is_greedy(monkeypatch):
    asked = []

    def spy(model, tokenizer, sentences, config, seen):
        asked.append(config.beam)
        return ["x"] * len(sentences)

    monkeypatch.setattr(train, "translate", spy)
    assert main(["train", *TINY.split()]) == 0
    assert asked == [1, 1]


# annotated train --init


def test_a_run_can_begin_with_the_weights_of_another(trained, tmp_path, capsys):
    dropouts = ["--dropout", "0.25", "--hidden-dropout", "0.1"]
    words = ["train", "--init", RUN, "--steps", "1", "--scale", "1e-9", "--r-drop", "2", *dropouts]
    assert main([*words, "--out", "mine"]) == 0
    (model, tokenizer, about), (given, theirs, before) = map(load_checkpoint, ("mine", RUN))
    for name, value in given.state_dict().items():  # a step of nearly nothing
        torch.testing.assert_close(model.state_dict()[name], value, rtol=0, atol=1e-6)
    assert (model.config.dropout, model.config.hidden_dropout) == (0.25, 0.1)
    assert replace(model.config, dropout=0.0, hidden_dropout=0.0) == replace(
        given.config, dropout=0.0, hidden_dropout=0.0
    )
    assert tokenizer.bpe.to_str() == theirs.bpe.to_str()
    assert about["init"] == before
    assert about["words"] == [*words, "--out", "mine", "--matmul-precision", "highest"]
    assert resume("mine")[0].config.r_drop == 2.0
    assert main(["train", "--resume", "mine", "--steps", "2"]) == 0  # it needs the first no more


def test_weights_kept_in_half_precision_are_trained_in_single(trained):
    assert main(["average", RUN, "--last", "2", "--half", "--out", "mean"]) == 0
    assert main(["train", "--init", "mean", "--steps", "1", "--out", "mine"]) == 0
    assert {weight.dtype for weight in load_checkpoint("mine")[0].parameters()} == {torch.float32}


@pytest.mark.parametrize(
    "words", ["--d-model 32", "--vocab-size 400", "--preset base", "--lowercase", "--norm-first"]
)
def test_the_sizes_of_a_model_that_is_begun_with_stay(trained, capsys, words):
    assert main(["train", "--init", RUN, *words.split(), "--out", "mine"]) == 2
    assert f"{words.split()[0]} cannot go with --init" in last_line(capsys)
    assert not Path("mine").exists()


def test_learned_positions_that_are_too_few_are_found_before_training(capsys):
    learned = ["--positions", "learned", "--max-length", "90", "--max-tokens", "40"]
    assert main(["train", *learned, *TINY.split()]) == 0
    assert main(["train", "--init", RUN, "--steps", "1", "--max-tokens", "41"]) == 2
    assert "raise --max-length or lower --max-tokens" in last_line(capsys)


def test_a_large_corpus_is_encoded_by_the_vocabulary_of_the_model_begun_with(trained, tmp_path):
    """In the run's own folder: the shared one is of another vocabulary."""
    words = ["--data", "wmt14", "--max-tokens", "40"]
    assert main(["train", *words, *TINY.split(), "--out", "fresh"]) == 0
    [home] = (tmp_path / "cache/prepared").iterdir()
    before = {file: file.stat().st_mtime_ns for file in home.rglob("*")}
    assert main(["train", "--init", RUN, *words, "--steps", "1", "--out", "mine"]) == 0
    assert (tmp_path / "mine/pairs-40").is_dir()
    assert load_checkpoint("mine")[1].bpe.to_str() == load_checkpoint(RUN)[1].bpe.to_str()
    assert {file: file.stat().st_mtime_ns for file in home.rglob("*")} == before
    assert main(["train", "--resume", "mine", "--steps", "2"]) == 0


def test_a_model_to_begin_with_must_be_there(capsys):
    assert main(["train", "--init", "nowhere"]) == 2
    assert "nowhere holds no model" in last_line(capsys)


# annotated train --teacher


def taught_by(lines, *more):
    Path("teacher.de").write_text("".join(f"{line}\n" for line in lines), "utf8")
    return main(["train", *TINY.split(), "--teacher", "teacher.de", "--out", "mine", *more])


def test_each_source_is_learnt_once_more_with_what_a_teacher_makes_of_it(monkeypatch, capsys):
    seen = []
    encode = train.training_pairs

    def spy(corpus, *more):
        seen.append(corpus.splits["train"])
        return encode(corpus, *more)

    monkeypatch.setattr(train, "training_pairs", spy)
    lines = [f"Z{i}" for i in range(200)]
    assert taught_by(lines) == 0
    assert seen[0] == PAIRS[:200] + [(PAIRS[i][0], lines[i]) for i in range(200)]
    assert main(["train", "--resume", "mine", "--steps", "4"]) == 0
    assert seen[1] == seen[0]
    Path("teacher.de").write_text("Z\n" * 200, "utf8")
    assert main(["train", "--resume", "mine", "--steps", "5"]) == 2
    assert "was trained on other data" in last_line(capsys)
    Path("teacher.de").unlink()
    assert main(["evaluate", "--model", "mine", "--record", "r.json"]) == 0  # it needs no teacher
    assert main(["train", "--resume", "mine", "--steps", "5"]) == 2
    assert "teacher.de" in last_line(capsys)


def test_a_teacher_translates_each_source_of_a_corpus_in_memory(capsys):
    assert taught_by(["Z"] * 199) == 2
    assert last_line(capsys).endswith(
        "teacher.de has 199 lines, toy 200 training pairs: "
        "--teacher takes a translation of each source, in their order"
    )
    assert taught_by(["Z"], "--data", "wmt14") == 2
    assert "--teacher cannot go with wmt14" in last_line(capsys)
    assert not Path("mine").exists()


def test_a_record_is_of_the_model_that_was_begun_with_too(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "hardware", lambda: "another machine")
    first = f"annotated train {TINY}"
    second = f"annotated train --init {RUN} --steps 2 --out mine --record r.json "
    second += "--matmul-precision highest"
    evaluate = "annotated evaluate --model mine --record s.json"
    for line in (second, evaluate):
        assert main(shlex.split(line)[1:]) == 0
    for file, lines in {"r.json": [first, second], "s.json": [first, second, evaluate]}.items():
        record = json.loads((tmp_path / file).read_text("utf-8"))
        assert record["commands"] == lines
        assert len(record["trained_on"]) == 2 and record["trained_on"][1] == "another machine"


# annotated train --resume


def test_a_run_goes_on_where_it_stood(tmp_path, capsys):
    once, twice = tmp_path / "once", tmp_path / "twice"
    tiny = [*TINY.split()[:-1]]
    dropout = ["--dropout", "0.2", "--log-every", "2"]
    assert main(["train", *tiny, "7", *dropout, "--out", "once"]) == 0
    assert main(["train", *tiny, "4", *dropout, "--out", "twice"]) == 0
    assert main(["train", "--resume", "twice", "--steps", "7"]) == 0
    assert "going on from step 4" in capsys.readouterr().err
    assert_same_run(once, twice)


def test_a_run_that_is_done_says_so(trained, capsys):
    assert main(["train", "--resume", "runs/toy-en-de"]) == 2
    assert "is done, with 3 steps" in last_line(capsys)
    assert main(["train", "--out", "short", *TINY.split(), "--minutes", "1e-9"]) == 0
    assert main(["train", "--resume", "short"]) == 2
    assert "is done, with 1 steps" in last_line(capsys)
    assert main(["train", "--resume", "short", "--minutes", "1"]) == 0
    assert resume("short")[0].step == 3


@pytest.mark.parametrize(
    "words",
    [
        "--layers 2",
        "--data toy",
        "--pair en-de",
        "--preset base",
        "--out other",
        "--source a --target b",
        "--valid-source a",
        "--lowercase",
        "--no-norm-first",
        "--batch-tokens 100",
        "--seed 1",
    ],
)
def test_what_would_be_another_run_cannot_go_with_resume(trained, words, capsys):
    assert main(["train", "--resume", "runs/toy-en-de", "--steps", "9", *words.split()]) == 2
    assert f"{words.split()[0]} cannot go with --resume" in last_line(capsys).replace(
        "--norm-first", "--no-norm-first"
    )


def test_other_data_is_refused(trained, monkeypatch, capsys):
    corpus = small_corpus()
    corpus.splits["validation"][0] = ("another", "sentence")
    monkeypatch.setattr("annotated.cli.corpus.load", lambda name, pair: corpus)
    assert main(["train", "--resume", "runs/toy-en-de", "--steps", "9"]) == 2
    assert "trained on other data than toy has now" in last_line(capsys)


def test_other_text_in_the_files_is_refused(tmp_path, capsys):
    files = write_files(tmp_path)
    valid = write_files(tmp_path, PAIRS[:2], ("valid.en", "valid.de"))
    words = [*named(files), *named(valid, "--valid-"), *TINY.split(), "--out", "mine"]
    assert main(["train", *words]) == 0
    write_files(tmp_path, [*PAIRS[:50], ("other", "text"), *PAIRS[51:]])
    assert main(["train", "--resume", "mine", "--steps", "9"]) == 2
    assert "made from another corpus" in last_line(capsys)
    write_files(tmp_path)
    assert main(["train", "--resume", "mine", "--steps", "5"]) == 0


def test_a_vocabulary_of_another_model_is_refused(tmp_path, trained, capsys):
    place = steps_in(tmp_path / "runs/toy-en-de")[-1]
    Tokenizer.train(["some text"], 262).save(place / "tokenizer.json")
    for words in (["train", "--resume", RUN, "--steps", "9"], ["translate", "--model", RUN]):
        assert main(words) == 2
        assert "they do not belong together" in last_line(capsys)


@pytest.mark.parametrize("folder", ["nowhere", "empty", "file"])
def test_a_folder_that_holds_no_run_cannot_be_resumed(tmp_path, capsys, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    assert main(["train", "--resume", folder]) == 2
    assert f"{folder} holds no run to go on with" in last_line(capsys)


def test_one_checkpoint_is_no_run_to_resume(trained, tmp_path, capsys):
    place = steps_in(tmp_path / "runs/toy-en-de")[0]
    assert main(["train", "--resume", str(place), "--steps", "9"]) == 2
    assert f"give --resume the run's folder, {place.parent}" in last_line(capsys)


# Records


def test_a_record_is_whole_and_its_command_parses(tmp_path):
    words = ["train", *TINY.split(), "--record", "results/tiny.json"]
    assert main(words) == 0
    record = json.loads((tmp_path / "results/tiny.json").read_text())
    wanted = "name command commit date hardware software data config seconds curve scores examples"
    assert set(record) == {*wanted.split(), "trained_on", "commands", "commits", "step"}
    assert record["trained_on"] == [record["hardware"]]
    assert shlex.split(record["command"])[1:] == words
    assert set(record["scores"]) == {"test", "test_longer"}
    for scores in record["scores"].values():
        assert_scores(scores)
    assert record["config"]["decoding"] == {"beam": 4, "alpha": 0.6, "extra": 50} | OURS
    assert record["data"]["splits"]["train"]["pairs"] == 200
    assert record["config"]["model"]["parameters"] > 0
    assert len(record["examples"]) == 4 and len(record["curve"]) == 2


def assert_scores(scores):
    """In the form of a record: BLEU with its signature, and the others."""
    assert scores["bleu"] >= 0 and "tok:13a" in scores["signature"]
    assert set(scores["chrf"]) == {"value", "signature"} and scores["chrf"]["value"] >= 0


def test_a_record_of_a_resumed_run_is_of_all_its_sittings(tmp_path):
    """Its command is the one that would have made the run in one sitting."""
    assert main(["train", *TINY.split(), "--out", "mine"]) == 0
    first = resume("mine")[0].seconds
    assert main(["train", "--resume", "mine", "--steps", "5", "--record", "r.json"]) == 0
    record = json.loads((tmp_path / "r.json").read_text())
    words = shlex.split(record["command"])[1:]
    assert words == ["train", *TINY.split(), "--out", "mine", "--steps", "5"]
    assert parser().parse_args(words).steps == 5
    assert [row["step"] for row in record["curve"]] == [2, 3, 4, 5]
    assert record["seconds"] == resume("mine")[0].seconds > first
    assert main(["train", *words[1:-4], "--steps", "5", "--out", "whole"]) == 0
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(tmp_path / "mine")[name])


def test_a_record_names_the_code_and_the_machine_of_every_sitting(tmp_path, monkeypatch):
    for commit, words in {
        "a1": ["--out", "mine", *TINY.split()],
        "b2": ["--resume", "mine", "--steps", "5", "--record", "r.json"],
    }.items():
        monkeypatch.setattr(train, "commit", lambda commit=commit: commit)
        monkeypatch.setattr(train, "hardware", lambda commit=commit: f"machine {commit}")
        assert main(["train", *words]) == 0
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["commit"] == "b2" and record["commits"] == ["a1", "b2"]
    assert record["trained_on"] == ["machine a1", "machine b2"]


def test_a_run_that_is_done_can_still_be_recorded(tmp_path, trained):
    assert main(["train", "--resume", "runs/toy-en-de", "--record", "r.json"]) == 0
    record = json.loads((tmp_path / "r.json").read_text())
    assert [row["step"] for row in record["curve"]] == [2, 3] and record["scores"]["test"]
    assert shlex.split(record["command"])[1:] == ["train", *TINY.split()]


# annotated translate


def translated(monkeypatch, capsys, data, *options, model=RUN):
    """What the command makes of some bytes: its lines and its sentences."""
    capsys.readouterr()
    piped(monkeypatch, data)
    assert main(["translate", "--model", model, *options]) == 0
    out, err = capsys.readouterr()
    assert out == "" or out.endswith("\n")
    return out.split("\n")[:-1], err.splitlines()


def test_translate_gives_a_line_for_each_line(trained, monkeypatch, capsys):
    data = "the dog\n\nthe cat\x85 <pad>\n  \nein Hund".encode()
    lines, said = translated(monkeypatch, capsys, data)
    assert len(lines) == 5 and said == []
    assert lines[1] == lines[3] == ""


@pytest.mark.parametrize(
    "data, count",
    [
        (b"", 0),
        (b"\n", 1),
        (b"the dog", 1),
        (b"\r", 1),
        (b"the dog\r\nthe cat\r\n", 2),
        (b"the\rdog\n\r\nthe cat", 3),
        (b"the\x00dog\n\x00\n", 2),
        ("a\u2028b\x85c\x0bd\x1ce\n\u3000\n".encode(), 2),
        ("\ufeffthe dog\n👩‍👩‍👧 \u202edog\u0301\n\U0010ffff\n\ufffd".encode(), 4),
    ],
)
def test_any_text_is_translated_line_by_line(trained, monkeypatch, capsys, data, count):
    lines, said = translated(monkeypatch, capsys, data)
    assert len(lines) == count and said == []


def test_lines_stay_in_order_over_many_that_are_translated_together(trained, monkeypatch, capsys):
    monkeypatch.setattr(translate, "AT_ONCE", 3)
    texts = ["dog", "", "the cat sees the dog", "a", "man man man", " ", "child"]
    lines, _ = translated(monkeypatch, capsys, "\n".join(texts).encode())
    model, tokenizer, _ = load_checkpoint(RUN)
    assert lines == [search.translate(model, tokenizer, [text])[0] for text in texts]


def test_bytes_that_are_no_utf8_are_replaced_and_said_once(trained, monkeypatch, capsys):
    data = b"good\nT\xfcr\n\xff\xfe\ngood \xef\xbf\xbd"
    lines, [one, all_] = translated(monkeypatch, capsys, data)
    assert len(lines) == 4
    assert one.startswith("line 2 is not UTF-8: U+FFFD") and all_ == "2 lines in all are not UTF-8"
    clean, said = translated(monkeypatch, capsys, data.decode("utf-8", "replace").encode())
    assert clean == lines and said == []
    assert len(translated(monkeypatch, capsys, data[:8])[1]) == 1


def about_of(folder=RUN):
    return load_checkpoint(folder)[2]


def test_a_run_notes_the_longest_source_that_it_sees(tmp_path):
    assert main(["train", *TINY.split()]) == 0
    tokenizer = load_checkpoint(RUN)[1]
    most = max(len(tokenizer.encode(source)) for source, _ in PAIRS[:200]) + 1
    assert about_of()["longest_source"] == most
    files = named(write_files(tmp_path, [("dog", "DOG")] * 30 + [("cat", "CAT")] * 30))
    valid = named(write_files(tmp_path, PAIRS[:2], ("v.en", "v.de")), "--valid-")
    words = ["train", *files, *valid, "--init", RUN, "--steps", "1"]
    assert main([*words, "--out", "mine"]) == 0
    assert about_of("mine")["longest_source"] == most  # what it began with has seen more


def test_a_line_of_more_than_training_saw_is_translated_in_parts_and_said_once(
    trained, monkeypatch, capsys
):
    most = 20
    note(steps_in(Path(RUN))[-1], longest_source=most)
    dogs = {n: " ".join(["dog"] * n) for n in (most - 1, most, 300)}
    assert len(load_checkpoint(RUN)[1].encode(dogs[300])) == 300  # a token each
    text = f"the dog.\n{dogs[most - 1]}\n{dogs[most]}\n\nman\n{dogs[300]}\nA dog. A cat."
    words = ["--beam", "1", "--extra", "0"]
    lines, said = translated(monkeypatch, capsys, text.encode(), *words)
    assert len(lines) == 7 and lines[3] == ""
    assert [line.split(" is")[0] for line in said] == ["line 3"] and f"{most} tokens" in said[0]
    parts, _ = translated(monkeypatch, capsys, b"A dog.\nA cat.", *words)
    assert lines[6] == " ".join(" ".join(parts).split())


def test_a_model_that_does_not_say_what_it_saw_goes_by_its_limits(trained, monkeypatch, capsys):
    place = steps_in(Path(RUN))[-1]
    note(place, longest_source=None)
    data = " ".join(["dog"] * 300).encode()
    assert "256 tokens" in translated(monkeypatch, capsys, data)[1][0]
    facts = json.loads((place / "run.json").read_text("utf8"))
    facts["training"]["max_tokens"] = 40
    (place / "run.json").write_text(json.dumps(facts), "utf8")
    assert "40 tokens" in translated(monkeypatch, capsys, data)[1][0]
    (place / "run.json").unlink()
    assert "256 tokens" in translated(monkeypatch, capsys, data)[1][0]


def test_the_language_of_the_source_tells_where_a_sentence_ends(trained, monkeypatch, capsys):
    data = b"Am 3. Mai ."
    assert len(translated(monkeypatch, capsys, data)[1]) == 1
    place = steps_in(Path(RUN))[-1]
    note(place, pair="de-en")
    assert translated(monkeypatch, capsys, data)[1] == []


def test_evaluate_divides_as_translate_does(trained, monkeypatch, tmp_path, capsys):
    pairs = [("A dog. A cat sees a man. " + "dog " * 40, "X")]
    files = named(write_files(tmp_path, pairs))
    assert main(["evaluate", "--model", RUN, *files, "--output", "out"]) == 0
    lines, _ = translated(monkeypatch, capsys, pairs[0][0].encode())
    assert Path("out/test.hypotheses.txt").read_text("utf8").split("\n")[:-1] == lines


def test_a_byte_order_mark_and_wide_spaces_change_nothing(trained, monkeypatch, capsys):
    plain, _ = translated(monkeypatch, capsys, b"the dog\nthe cat")
    wide = "\ufeffthe  dog \n\tthe\u00a0cat\r\n"
    assert translated(monkeypatch, capsys, wide.encode())[0] == plain


def test_learned_positions_have_their_own_length(monkeypatch, capsys):
    words = ["--positions", "learned", "--max-length", "90", "--max-tokens", "40"]
    assert main(["train", *words, *TINY.split(), "--out", "mine"]) == 0
    text = (
        b"dog dog dog dog dog dog dog dog dog dog dog dog dog dog dog dog dog dog dog dog dog dog"
    )
    lines, said = translated(monkeypatch, capsys, 2 * text, model="mine")
    assert len(lines) == 1 and "translated in parts" in said[0]
    place = steps_in(Path("mine"))[-1]
    note(place, longest_source=80)
    assert "or 40 tokens" in translated(monkeypatch, capsys, 2 * text, model="mine")[1][0]
    assert translated(monkeypatch, capsys, text, "--extra", "20", model="mine")[1] == []
    for extra in ("89", "90", "1000"):
        assert main(["translate", "--model", "mine", "--extra", extra]) == 2
        assert "90 positions, too few for --extra" in last_line(capsys)


def test_the_n_best_are_numbered_and_scored(trained, monkeypatch, capsys):
    data = b"the dog\n\nthe cat"
    lines, _ = translated(monkeypatch, capsys, data, "--n-best", "3")
    rows = [line.split("\t") for line in lines]
    assert [row[0] for row in rows] == [*"111", "2", *"333"]
    scores = [float(row[1]) for row in rows]
    assert scores[:3] == sorted(scores[:3], reverse=True)
    assert rows[3] == ["2", "0.0000", ""]
    model, tokenizer, _ = load_checkpoint(RUN)
    [found] = search.translator(model, tokenizer).candidates(["the cat"], 3)
    assert [row[2] for row in rows[4:]] == [text for text, _ in found]
    assert scores[4:] == pytest.approx([score for _, score in found], abs=1e-3)
    best = translated(monkeypatch, capsys, data)[0]
    assert best == [rows[0][2], "", rows[4][2]]
    assert len(translated(monkeypatch, capsys, data, "--n-best", "1")[0][0].split("\t")) == 3


def test_the_options_of_the_search_are_used(trained, monkeypatch, capsys):
    asked = []

    def spy(model, source, config=None, n_best=1, rule=None):
        asked.append((config, n_best))
        return beam_search(model, source, config, n_best, rule)

    monkeypatch.setattr(search, "beam_search", spy)
    options = "--beam 2 --alpha 1.5 --extra 7 --n-best 2".split()
    lines, _ = translated(monkeypatch, capsys, b"the dog", *options)
    assert asked == [(SearchConfig(2, 1.5, 7), 2)] and len(lines) == 2
    assert main(["evaluate", "--model", RUN, *options[:6]]) == 0
    assert asked[-1] == (SearchConfig(2, 1.5, 7), 1)
    translated(monkeypatch, capsys, b"the dog")
    assert asked[-1] == (SearchConfig(), 1)


@pytest.mark.parametrize("command", ["translate", "evaluate"])
def test_the_engine_that_is_asked_for_searches(trained, monkeypatch, command):
    pytest.importorskip("ctranslate2")
    searched = []

    def spy(self, folder, int8=False):
        searched.append(int8)
        opened(self, folder, int8)

    opened = Engine.__init__
    monkeypatch.setattr(Engine, "__init__", spy)
    by_engine = ["--engine", "ctranslate2"]
    for options, expected in (
        ([], []),
        (["--engine", "annotated"], []),
        (by_engine, [False]),
        (["--int8"], [True]),
        ([*by_engine, "--int8"], [True]),
    ):
        piped(monkeypatch, b"the dog")
        assert main([command, "--model", RUN, "--beam", "2", *options]) == 0
        assert searched == expected
        searched.clear()


def test_ctranslate2_writes_what_we_write(trained, monkeypatch, capsys):
    pytest.importorskip("ctranslate2")
    text = "the dog\n\n" + " ".join(["dog"] * 300) + "\nthe \xff cat\n"
    data, options = text.encode("latin-1"), ["--beam", "1", "--extra", "2"]
    mine = translated(monkeypatch, capsys, data, *options)
    assert translated(monkeypatch, capsys, data, *options, "--engine", "ctranslate2") == mine
    assert len(mine[0]) == 4
    options = ["--n-best", "2", "--engine", "ctranslate2"]
    rows = translated(monkeypatch, capsys, b"the dog\n\nthe cat", *options)[0]
    assert [row.split("\t")[0] for row in rows] == [*"11", "2", *"33"]


def test_an_export_translates_and_is_scored(trained, monkeypatch, capsys):
    pytest.importorskip("ctranslate2")
    ctranslate2 = ["--engine", "ctranslate2"]
    for out, int8 in (("full", []), ("light", ["--int8"])):
        assert main(["export", "--to", "ctranslate2", out, "--model", RUN, *int8]) == 0
        said = f"the model is in {out}; annotated translate --engine ctranslate2 --model {out}"
        assert last_line(capsys) == said
        lines = translated(monkeypatch, capsys, b"the dog\n\n", *ctranslate2, model=out)[0]
        assert len(lines) == 2 and lines[1] == ""
        assert main(["evaluate", "--model", out, *ctranslate2]) == 0
        assert "toy test: BLEU" in capsys.readouterr().out
    assert main(["export", "--to", "ctranslate2", "full", "--model", RUN]) == 2
    assert last_line(capsys) == "annotated: full exists already: name another folder, or remove it"
    for command in ("translate", "evaluate"):
        piped(monkeypatch, b"the dog")
        assert main([command, "--model", "full"]) == 2
        said = "annotated: full was written for CTranslate2: add --engine ctranslate2"
        assert last_line(capsys) == said
    assert main(["evaluate", "--model", "full", *ctranslate2, "--record", "r.json"]) == 2
    assert "full does not say how it was trained: run.json is missing" in last_line(capsys)


def test_a_record_says_who_decoded(trained, tmp_path):
    pytest.importorskip("ctranslate2")
    assert main(["evaluate", "--model", RUN, "--int8", "--record", "r.json"]) == 0
    decoding = json.loads((tmp_path / "r.json").read_text())["config"]["decoding"]
    assert decoding["engine"] == "ctranslate2" and decoding["int8"] is True


@pytest.mark.parametrize("command", ["translate", "evaluate"])
def test_what_the_engine_cannot_do_is_said(trained, monkeypatch, capsys, command):
    pytest.importorskip("ctranslate2")
    ask = [command, "--model", RUN]
    for options, said in (
        (["--int8", "--engine", "annotated"], "--int8 is for --engine ctranslate2: leave one"),
        (["--int8", "--device", "cuda"], "--engine ctranslate2 works on the CPU: leave --device"),
        (["--int8", "--extra", "1023"], "has 1,024 positions, too few for --extra 1023"),
        (["--int8", "--extra", "5000"], "has 1,024 positions, too few for --extra 5000"),
    ):
        assert main([*ask, *options]) == 2
        assert said in last_line(capsys)


@pytest.mark.parametrize("words", ["translate --int8", "export --to ctranslate2 out"])
def test_without_ctranslate2_it_says_what_to_install(trained, monkeypatch, capsys, words):
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    piped(monkeypatch, b"the dog")
    assert main([*words.split(), "--model", RUN]) == 2
    said = 'annotated: CTranslate2 is not installed: pip install "annotated[fast]" brings it'
    assert last_line(capsys) == said


def test_without_a_name_it_is_the_model_that_comes_with_the_package(trained, monkeypatch, capsys):
    model, tokenizer, about = load_checkpoint(steps_in(Path(RUN))[0])
    save_checkpoint("pretrained", model, tokenizer, about)
    piped(monkeypatch, b"the dog\nthe cat\n")
    capsys.readouterr()
    assert main(["translate"]) == 0
    named = translated(monkeypatch, capsys, b"the dog\nthe cat\n", model="pretrained")[0]
    assert main(["evaluate"]) == 0
    assert "toy test: BLEU" in capsys.readouterr().out
    place = options_of(["translate"]).folder()
    assert place.name == "pretrained" and len(named) == 2


def test_at_a_terminal_it_says_which_model_it_is(trained, monkeypatch, capsys):
    piped(monkeypatch, b"")
    capsys.readouterr()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["translate", "--model", RUN]) == 0
    assert last_line(capsys) == f"the model is {RUN}/step-00000003, trained on toy en-de"


def test_output_is_utf8_whatever_the_terminal_speaks(trained):
    done = subprocess.run(
        [sys.executable, "-m", "annotated", "translate", "--model", RUN],
        input="größer 犬\n".encode(),
        env=ENV | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
    )
    assert done.returncode == 0 and done.stderr == b""
    assert done.stdout.decode("utf-8").count("\n") == 1


def test_a_reader_that_goes_away_is_no_error(trained):
    command = f"{shlex.quote(sys.executable)} -m annotated translate --model {RUN}"
    lines = "the dog\n" * 600
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} | head -n 1"],
        input=lines.encode(),
        env=ENV,
        capture_output=True,
    )
    assert done.returncode == 0 and done.stderr == b"" and done.stdout.count(b"\n") == 1


def shell(line, **more):
    """A line of bash, in which `annotated` is the command; what it said and how it ended."""
    line = f'annotated() {{ {shlex.quote(sys.executable)} -m annotated "$@"; }}; {line}'
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], env=ENV, capture_output=True, **more
    )


def test_what_is_there_is_translated_before_the_rest_comes(trained):
    command = [sys.executable, "-m", "annotated", "translate", "--model", RUN]
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENV)
    with subprocess.Popen(command, **pipes) as process:
        for line in (b"the dog\n", b"the cat\nthe man sees the", b" dog\n"):
            process.stdin.write(line)
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], 60)
            assert ready and process.stdout.readline().endswith(b"\n")
        process.stdin.write(b"the end")
        assert process.communicate(timeout=60)[0].count(b"\n") == 1


def test_a_large_file_is_translated_many_lines_together():
    data = io.BytesIO(b"the dog\n" * 1000 + b"end")
    assert [len(x) for x in translate.lines_of(data, 512)] == [512, 488, 1]
    assert [*translate.lines_of(io.BytesIO(b"\n\nx\n"), 2)] == [[b"", b""], [b"x"]]


def test_a_line_may_be_longer_than_what_is_read_together(monkeypatch):
    monkeypatch.setattr(translate, "READ", 3)
    assert sum(translate.lines_of(io.BytesIO(b"abcdefgh\n\nij"), 9), []) == [
        b"abcdefgh",
        b"",
        b"ij",
    ]


@pytest.mark.parametrize(
    "line, said",
    [
        (f"annotated translate --model {RUN} <&-", "standard input is closed"),
        (f"annotated translate --model {RUN} </dev/null >&-", "standard output is closed"),
        (f"annotated evaluate --model {RUN} >&-", "standard output is closed"),
        (f"echo dog | annotated translate --model {RUN} >/dev/full", "No space left"),
        ("annotated data toy >/dev/full", "No space left"),
    ],
)
def test_a_closed_or_full_stream_is_one_sentence(trained, line, said):
    done = shell(line)
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1, done.stderr
    assert said in done.stderr.decode()


@pytest.mark.parametrize("end", ["| true", ">&-", "2>&- | true", ">/dev/full"])
def test_a_record_is_written_though_nobody_reads_the_scores(trained, tmp_path, end):
    files = named(write_files(tmp_path, PAIRS[:40]))
    assert main(["train", *files, *TINY.split(), "--out", "mine"]) == 0
    done = shell(f"annotated evaluate --model mine --record r.json --output out {end}")
    assert done.returncode == (2 if "full" in end else 0), done.stderr
    record = json.loads(Path("r.json").read_text("utf8"))
    assert set(record["scores"]) == {"validation"} and (tmp_path / "out").is_dir()


@pytest.mark.parametrize("end", ["2>&1 | true", "2>&-"])
def test_training_goes_on_though_nobody_reads_its_progress(tmp_path, end):
    done = shell(f"annotated {shlex.join(file_words(tmp_path, 'mine', 6))} {end}")
    assert done.returncode == 0 and done.stdout == b""
    assert steps_in(Path("mine"))[-1].name == "step-00000006"


def test_a_command_to_go_on_with_can_be_pasted(monkeypatch, capsys):
    monkeypatch.setattr(train, "fit", lambda trial: signal.SIGINT)
    words = ["train", *TINY.split(), "--out", "my run", "--record", "it's.json"]
    assert main(words) == 130
    again = last_line(capsys).split("to go on: ")[1]
    assert shlex.split(again) == [
        "annotated",
        *"train|--resume|my run|--record|it's.json".split("|"),
    ]


# A model's folder in which something is wrong


def described(change):
    """What writes model.json anew after a change to its content."""

    def write(file):
        content = json.loads(file.read_text())
        change(content)
        file.write_text(json.dumps(content))

    return write


def cut(file):
    file.write_bytes(file.read_bytes()[:-40])


@pytest.mark.parametrize(
    "name, spoil",
    [
        ("model.safetensors", Path.unlink),
        ("model.json", described(lambda content: content.pop("about"))),
        ("model.safetensors", cut),
        ("model.safetensors", lambda file: file.write_bytes(b"")),
        ("model.safetensors", lambda file: file.write_bytes(b"PK\x03\x04 no such format")),
        ("model.safetensors", lambda file: save_file({"weight": torch.zeros(2)}, file)),
        ("model.json", Path.unlink),
        ("model.json", lambda file: file.write_text("{")),
        ("model.json", lambda file: file.write_bytes(b"\xff\xfe")),
        ("model.json", lambda file: file.write_text("[]")),
        ("model.json", lambda file: file.write_text("{}")),
        ("model.json", described(lambda content: content.pop("model"))),
        ("model.json", described(lambda content: content["model"].update(wings=2))),
        ("model.json", described(lambda content: content["model"].update(heads=7))),
        ("model.json", described(lambda content: content["model"].update(d_model=32))),
        ("model.json", described(lambda content: content["model"].update(heads="two"))),
        ("tokenizer.json", Path.unlink),
        ("tokenizer.json", cut),
        ("tokenizer.json", lambda file: file.write_text('{"version": "1.0"}')),
        ("tokenizer.json", lambda file: Tokenizer.train(["text"], 262).save(file)),
    ],
)
def test_a_model_that_cannot_be_read_is_one_sentence(trained, monkeypatch, capsys, name, spoil):
    place = steps_in(Path(RUN))[-1]
    spoil(place / name)
    for words in (["translate"], ["evaluate"], ["average", RUN, "--last", "1", "--out", "mean"]):
        piped(monkeypatch, b"the dog\n")
        capsys.readouterr()
        assert main([*words, *([] if words[0] == "average" else ["--model", RUN])]) == 2
        out, err = capsys.readouterr()
        assert out == "" and len(err.splitlines()) == 1, err
        assert err.startswith("annotated: ") and str(place) in err
    assert not Path("mean").exists()


# annotated evaluate


def test_a_model_is_named_by_its_run_or_by_one_checkpoint(trained, capsys):
    for folder in (RUN, f"{RUN}/step-00000002"):
        assert main(["evaluate", "--model", folder]) == 0


def test_evaluate_prints_each_score_with_its_signature(trained, capsys):
    capsys.readouterr()
    assert main(["evaluate", "--model", RUN]) == 0
    bleu, chrf = capsys.readouterr().out.splitlines()
    assert bleu.startswith("toy test: BLEU ") and "tok:13a" in bleu
    assert chrf.startswith("toy test: chrF2 ")
    for split in ("test_longer", "validation"):
        assert main(["evaluate", "--model", RUN, "--split", split]) == 0
        assert f"toy {split}: BLEU" in capsys.readouterr().out


def test_evaluate_takes_every_test_set_for_all(trained, capsys, tmp_path):
    capsys.readouterr()
    assert main(["evaluate", "--model", RUN, "--split", "all", "--output", "out"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == 2 * ["toy test"] + 2 * ["toy test_longer"]
    kinds = ("hypotheses", "references")
    names = [f"{split}.{kind}.txt" for split in ("test", "test_longer") for kind in kinds]
    assert sorted(os.listdir("out")) == sorted(names)
    saved = (tmp_path / "out/test.references.txt").read_text("utf-8").splitlines()
    assert saved == [target for _, target in PAIRS[204:208]]
    assert len((tmp_path / "out/test.hypotheses.txt").read_text("utf-8").split("\n")) == 5


def test_the_saved_files_give_the_printed_score(trained, capsys):
    """Counted by sacreBLEU's own command."""
    capsys.readouterr()
    assert main(["evaluate", "--model", RUN, "--output", "out", "--beam", "2"]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    files = ["out/test.references.txt", "-i", "out/test.hypotheses.txt"]
    done = subprocess.run(
        [sys.executable, "-m", "sacrebleu", *files, "-b", "-w", "2"], capture_output=True, text=True
    )
    assert line.split()[3] == done.stdout.strip()


@pytest.mark.parametrize(
    "words, ways",
    [
        (["--data", "multi30k"], ["tok:13a", "cut:norm+moses-de", "chrF2"]),
        (["--data", "multi30k", "--pair", "en-fr"], ["tok:13a", "cut:norm+moses-fr", "chrF2"]),
        (["--data", "wmt14"], ["tok:13a", "cut:quotes+moses-de+compounds", "chrF2"]),
        (named(["a.en", "a.zh"]), ["tok:zh", "chrF2"]),
        (named(["one.txt", "two.txt"]), ["tok:13a", "chrF2"]),
    ],
)
def test_scores_go_by_the_corpus_and_its_target_language(trained, capsys, words, ways):
    write_files(Path(), PAIRS[:2], ("a.en", "a.zh"))
    write_files(Path(), PAIRS[:2], ("one.txt", "two.txt"))
    capsys.readouterr()
    assert main(["evaluate", "--model", RUN, *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(ways)
    assert all(way in line for way, line in zip(ways, lines, strict=True))


def test_a_set_that_may_have_been_trained_on_is_not_scored(tmp_path, capsys):
    files = named(write_files(tmp_path, PAIRS[:400]))
    assert main(["train", *files, *TINY.split(), "--out", "mine"]) == 0
    assert main(["evaluate", "--model", "mine"]) == 0
    write_files(tmp_path, PAIRS)  # they grow: other pairs are held out
    capsys.readouterr()
    assert main(["evaluate", "--model", "mine"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "the validation set of files has changed since" in err
    assert "--source and --target" in err and len(err.splitlines()) == 1
    assert main(["evaluate", "--model", "mine", *named(write_files(tmp_path, PAIRS[:2]))]) == 0


def test_only_the_set_that_is_asked_for_must_be_the_old_one(trained, monkeypatch, capsys):
    corpus = small_corpus()
    corpus.splits["test_longer"] = PAIRS[211:213]
    monkeypatch.setattr("annotated.cli.corpus.load", lambda name, pair: replace(corpus, name=name))
    for words in ([], ["--data", "toy"], ["--split", "test"]):
        assert main(["evaluate", "--model", RUN, *words]) == 0
    for split in ("test_longer", "all"):
        assert main(["evaluate", "--model", RUN, "--split", split]) == 2
        assert "the test_longer set of toy has changed" in last_line(capsys)
    assert main(["evaluate", "--model", RUN, "--data", "multi30k", "--split", "all"]) == 0


def test_two_files_are_a_set_to_score(trained, tmp_path, capsys):
    files = write_files(tmp_path, PAIRS[:3])
    capsys.readouterr()
    assert main(["evaluate", "--model", RUN, *named(files), "--output", "out"]) == 0
    assert "files test: BLEU" in capsys.readouterr().out
    assert len((tmp_path / "out/test.hypotheses.txt").read_text().split("\n")) == 4
    assert main(["evaluate", "--model", RUN, *named(files), "--split", "test"]) == 2
    assert "--split goes with a corpus" in last_line(capsys)


# annotated average


def test_the_average_is_the_mean_of_the_last_checkpoints(tmp_path, capsys):
    assert main(["train", *TINY.split()[:-1], "7", "--out", "mine"]) == 0
    assert [place.name for place in steps_in(tmp_path / "mine")] == steps_named(2, 4, 6, 7)
    words = ["average", "mine", "--last", "3", "--out", "mean"]
    assert main(words) == 0
    assert last_line(capsys) == "the mean of 3 checkpoints, steps 4 to 7, is in mean"
    model, tokenizer, about = load_checkpoint("mean")
    states = [load_file(f"mine/{name}/model.safetensors") for name in steps_named(4, 6, 7)]
    for name, value in model.state_dict().items():
        mean = torch.stack([state[name].double() for state in states]).mean(0)
        assert value.dtype == torch.float32 and torch.equal(value, mean.float()), name
    newest = load_checkpoint("mine")[2]
    assert about == newest | {"averaged": [4, 6, 7], "averaging": words}
    assert len(tokenizer) == model.config.vocab_size
    assert main(["evaluate", "--model", "mean"]) == 0
    assert main(["train", "--resume", "mean", "--steps", "9"]) == 2


def test_as_many_are_averaged_as_the_run_was_told_to(tmp_path, capsys):
    words = TINY.replace("--validate-every 2 --steps 3", "--validate-every 1 --steps 6").split()
    assert main(["train", *words, "--average", "3", "--out", "mine"]) == 0
    assert [place.name for place in steps_in(tmp_path / "mine")] == steps_named(4, 5, 6)
    assert main(["average", "mine", "--out", "mean"]) == 0
    assert "the mean of 3 checkpoints, steps 4 to 6" in last_line(capsys)
    assert load_checkpoint("mean")[2]["averaged"] == [4, 5, 6]


def test_half_the_size_keeps_the_translations(trained, capsys):
    for out, half in (("full", []), ("half", ["--half"])):
        assert main(["average", RUN, "--last", "2", "--out", out, *half]) == 0
    full, half = (load_file(f"{out}/model.safetensors") for out in ("full", "half"))
    for name, value in half.items():
        assert value.dtype == torch.float16 and torch.equal(value, full[name].half())
    model = load_checkpoint("half")[0]
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert Path("half/model.json").stat().st_size < 3000
    assert main(["evaluate", "--model", "half"]) == 0


def test_one_checkpoint_is_in_memory_at_a_time(trained, monkeypatch):
    import gc
    import weakref

    kept = []
    load = average.load_checkpoint

    def spy(path):
        gc.collect()
        assert not any(tensor() is not None for tensor in kept)
        loaded = load(path)
        kept.extend(weakref.ref(value) for value in loaded[0].parameters())
        return loaded

    monkeypatch.setattr(average, "load_checkpoint", spy)
    assert main(["average", RUN, "--last", "2", "--out", "mean"]) == 0
    assert kept


@pytest.mark.parametrize(
    "words, said",
    [
        ([RUN, "--out", "mean"], f"{RUN} has 2 checkpoints, not 5: train with --keep 5 or give"),
        ([RUN, "--out", "mean", "--last", "3"], "not 3: train with --keep 3 or give --last 2"),
        ([RUN, "--out", "mean", "--last", "0"], "--last is a whole number from 1 to 10^9, not 0"),
        ([RUN, "--out", RUN, "--last", "2"], f"--out {RUN} exists already"),
        (["nowhere", "--out", "mean"], "nowhere holds no checkpoints of a run"),
        ([f"{RUN}/step-00000003", "--out", "mean"], "holds no checkpoints of a run"),
    ],
)
def test_what_cannot_be_averaged_is_said(trained, capsys, words, said):
    assert main(["average", *words]) == 2
    assert said in last_line(capsys)
    assert not Path("mean").exists()


def test_checkpoints_of_different_models_are_not_averaged(trained, capsys):
    assert main(["train", *TINY.replace("--d-ff 16", "--d-ff 32").split(), "--out", "other"]) == 0
    shutil.copytree("other/step-00000003", f"{RUN}/step-00000004")
    assert main(["average", RUN, "--last", "2", "--out", "mean"]) == 2
    assert "all of the same model" in last_line(capsys)
    assert not Path("mean").exists()


def test_train_average_evaluate_leave_one_whole_record(tmp_path, capsys):
    lines = [
        f"annotated train {TINY} --out runs/a --keep 20",
        "annotated average runs/a --last 2 --half --out shipped",
        "annotated evaluate --model shipped --split all --beam 5 --alpha 1.0 --record r.json",
    ]
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0
    record = json.loads((tmp_path / "r.json").read_text("utf-8"))
    run = resume("runs/a")[0]
    assert record["name"] == "r" and record["commands"] == lines and record["command"] == lines[2]
    assert record["seconds"] == run.seconds and record["curve"] == run.log
    assert record["step"] == 3 and record["averaged"] == [2, 3]
    assert len(record["trained_on"]) == 1
    assert set(record["scores"]) == {"test", "test_longer"}
    for scores in record["scores"].values():
        assert_scores(scores)
    config = record["config"]
    assert config["decoding"] == {"beam": 5, "alpha": 1.0, "extra": 50} | OURS
    assert config["training"]["keep"] == 20
    assert config["model"]["parameters"] == sum(w.numel() for w in run.model.parameters())
    assert len(record["examples"]) == 4
    assert set(record["examples"][0]) == {"source", "reference", "output"}
    assert record["data"]["splits"]["train"]["pairs"] == 200


def test_a_record_of_one_checkpoint_has_two_commands(trained, tmp_path):
    words = ["evaluate", "--model", RUN, "--record", "r.json"]
    assert main(words) == 0
    record = json.loads((tmp_path / "r.json").read_text("utf-8"))
    ran = [["annotated", "train", *TINY.split()], ["annotated", *words]]
    assert list(map(shlex.split, record["commands"])) == ran
    assert "averaged" not in record and set(record["scores"]) == {"test"}


def test_a_model_without_its_training_has_no_record(trained, capsys):
    model, tokenizer, about = load_checkpoint(RUN)
    save_checkpoint("alone", model, tokenizer, about)
    save_checkpoint("stranger", model, tokenizer)
    for folder, said in (("alone", "run.json is missing"), ("stranger", "annotated train")):
        assert main(["evaluate", "--model", folder, "--record", "r.json"]) == 2
        assert said in last_line(capsys)
    for words in (["--data", "toy"], named(write_files(Path(), PAIRS[:2]))):
        assert main(["evaluate", "--model", RUN, "--record", "r.json", *words]) == 2
        assert "leave out what names other" in last_line(capsys)
    assert not Path("r.json").exists()


# annotated data


def test_data_shows_what_is_there(capsys):
    assert main(["data", "toy"]) == 0
    out = capsys.readouterr().out
    assert "200 pairs" in out and "en: dog dog dog ." in out


def test_data_shows_files(tmp_path, capsys):
    assert main(["data", *named(write_files(tmp_path))]) == 0
    out = capsys.readouterr().out
    counts = [int(line.split()[1]) for line in out.splitlines() if "pairs" in line]
    assert sum(counts) == len(PAIRS) and "de: DOG DOG DOG ." in out


# What the user can mend


@pytest.mark.parametrize(
    "words, said",
    [
        (["translate"], "the model that comes with the package is missing"),
        (["evaluate"], "the model that comes with the package is missing"),
        (["translate", "--model", "nowhere"], "nowhere holds no model"),
        (["evaluate", "--model", "nowhere"], "nowhere holds no model"),
        (["train", "--heads", "3"], "not divisible by 3 heads"),
        (["train", "--heads", "0"], "--heads is a whole number from 1 to 10^9, not 0"),
        (["train", "--layers", "0"], "--layers is a whole number from 1"),
        (["train", "--d-model", "-16"], "--d-model is a whole number from 1"),
        (["train", "--d-k", "0"], "--d-k is a whole number from 1"),
        (["train", "--d-model", "15", "--heads", "1"], "d_model must be even"),
        (["train", "--steps", "0"], "--steps is a whole number from 1"),
        (["train", "--micro-batches", "0"], "--micro-batches is a whole number from 1"),
        (["train", "--minutes", "0"], "--minutes is finite and more than 0, not 0.0"),
        (["train", "--minutes", "inf"], "--minutes is finite and more than 0, not inf"),
        (["train", "--dropout", "1.5"], "--dropout is from 0 up to 1, not 1.5"),
        (["train", "--dropout", "nan"], "--dropout is from 0 up to 1, not nan"),
        (["train", "--attention-gain", "inf"], "--attention-gain is finite and more than 0"),
        (["train", "--scale", "-1"], "--scale is finite and more than 0, not -1.0"),
        (["train", "--seed", "-1"], "--seed is a whole number from 0 up to 2^63, not -1"),
        (["train", "--vocab-size", "258"], "--vocab-size is 259 or more, not 258"),
        (["data", "--vocab-size", "258"], "--vocab-size is 259 or more, not 258"),
        (["data", "--max-tokens", "0"], "--max-tokens is a whole number from 2"),
        (["train", "--batch-tokens", "1"], "--batch-tokens is a whole number from 2"),
        (["train", "--batch-tokens", "2"], "none of 200 training pairs has 2 tokens or less"),
        (["train", "--smoothing", "1"], "--smoothing is from 0 up to 1"),
        (["train", "--resume", "nowhere", "--minutes", "nan"], "--minutes is finite"),
        (["train", "--source", "a"], "--source and --target go together"),
        (["train", "--valid-source", "a"], "--source and --target go together"),
        (["train", "--source", "a", "--target", "b", "--data", "toy"], "take the place of --data"),
        (["train", "--source", "a", "--target", "b"], "a is missing"),
    ],
)
def test_what_the_user_can_mend_is_one_sentence_and_status_2(words, said, capsys, tmp_path):
    small = TINY.split() if words[0] == "train" and "--resume" not in words else []
    assert main([words[0], *small, *words[1:]]) == 2
    err = capsys.readouterr().err
    assert said in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("annotated: ")
    assert "Traceback" not in err
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.parametrize(
    "left, right, said",
    [
        (b"a\nb\xff\nc\n", b"a\nb\nc\n", "text.en is not UTF-8 in line 2"),
        (b"a\nb\nc\n", b"a\nb\n", "text.en has 3 lines and"),
        (b"a\n", b"a\nb\n", "text.de has 2 lines and"),
        (b"", b"", "hold no sentences"),
        (b"\n\n", b"\n\n", "hold no sentences"),
        (b"a\n", b"b\n", "too few to hold some out for validation"),
    ],
)
def test_files_that_cannot_be_used_are_said(tmp_path, capsys, left, right, said):
    (tmp_path / "text.en").write_bytes(left)
    (tmp_path / "text.de").write_bytes(right)
    files = named([str(tmp_path / "text.en"), str(tmp_path / "text.de")])
    for words in (["train", *files, *TINY.split()], ["data", *files]):
        assert main(words) == 2
        line = last_line(capsys)
        assert said in line and str(tmp_path) in line and line.startswith("annotated: ")
    assert sorted(os.listdir()) == ["text.de", "text.en"]


def test_cuda_that_is_not_there_is_said(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["train", "--device", "cuda", *TINY.split()]) == 2
    assert "no CUDA device" in capsys.readouterr().err


def test_a_set_that_is_not_there_is_said(trained, capsys):
    assert main(["evaluate", "--model", RUN, "--split", "test_2016"]) == 2
    assert "test_longer, or all" in last_line(capsys)


@pytest.mark.parametrize("command", ["translate", "evaluate"])
@pytest.mark.parametrize(
    "words, said",
    [
        (["--beam", "0"], "--beam is a whole number from 1 to 10^9, not 0"),
        (["--beam", "-2"], "--beam is a whole number from 1 to 10^9, not -2"),
        (["--alpha", "-1"], "--alpha is from 0 to 100, not -1"),
        (["--alpha", "nan"], "--alpha is from 0 to 100, not nan"),
        (["--extra", "-1"], "--extra is a whole number from 0 to 10^9, not -1"),
        (["--alpha", "1e308"], "--alpha is from 0 to 100"),
    ],
)
def test_a_search_that_cannot_be_is_said(trained, monkeypatch, capsys, command, words, said):
    piped(monkeypatch, b"the dog\n")
    capsys.readouterr()
    assert main([command, "--model", RUN, *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"annotated: {said}") and len(err.splitlines()) == 1


@pytest.mark.parametrize("words", ["--n-best 9", "--n-best 5", "--n-best 0", "--beam 1 --n-best 2"])
def test_no_more_are_given_than_the_beam_holds(trained, capsys, words):
    capsys.readouterr()
    assert main(["translate", "--model", RUN, *words.split()]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert re.search(r"--n-best \d: a beam of \d finds 1 to \d", line)


def test_a_loss_that_is_no_number_leaves_the_checkpoints_before_it(tmp_path, capsys):
    words = TINY.replace("--validate-every 2 --steps 3", "--validate-every 1 --steps 99").split()
    assert main(["train", *words, "--scale", "1e30", "--out", "mine"]) == 2
    line = last_line(capsys)
    assert "the loss is nan at step" in line and "smaller --scale" in line
    run = resume("mine")[0]
    assert run.step >= 1 and f"at step {run.step + 1}" in line


def test_a_full_gpu_is_one_sentence(monkeypatch, capsys):
    def full(*args, **options):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate ...\nand so on")

    monkeypatch.setattr(train, "train", full)
    assert main(["train", *TINY.split()]) == 2
    assert "more --micro-batches" in last_line(capsys)


def test_a_full_memory_is_one_sentence(trained, monkeypatch, capsys):
    """No machine has room for this many tokens."""
    piped(monkeypatch, b"the dog\n")
    many = ["--extra", str(10**9), "--beam", "4000"]
    assert main(["translate", "--model", RUN, *many]) == 2
    assert "the memory is full" in (line := last_line(capsys)) and "--extra" in line


def test_a_compiler_that_is_not_there_is_one_sentence(monkeypatch, capsys):
    from torch._dynamo.exc import TorchDynamoException

    def missing(*args, **options):
        raise TorchDynamoException("no C++ compiler\nand so on")

    monkeypatch.setattr(train, "train", missing)
    assert main(["train", *TINY.split()]) == 2
    assert "no C++ compiler" in (line := last_line(capsys)) and "leave --compile out" in line


def test_other_errors_are_not_hidden(monkeypatch):
    """A mistake of ours shows where it is."""

    def wrong(*args, **options):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(train, "train", wrong)
    with pytest.raises(RuntimeError, match="shapes differ"):
        main(["train", *TINY.split()])


def test_a_file_that_cannot_be_written_is_named(trained, capsys):
    Path("taken").write_text("")
    assert main(["evaluate", "--model", RUN, "--output", "taken"]) == 2
    assert last_line(capsys) == "annotated: taken: File exists"


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "COMMAND"),
        (["fly"], "fly"),
        (["train", "--data", "wmt99"], "wmt99.*wmt14"),
        (["data", "wmt99"], "wmt99.*wmt14"),
        (["train", "--preset", "huge"], "huge.*base.*big"),
        (["train", "--precision", "fp8"], "fp8.*bf16"),
        (["train", "--positions", "round"], "round.*sinusoidal"),
        (["train", "--device", "tpu"], "tpu.*cpu.*cuda"),
        (["train", "--steps", "x"], "--steps: invalid int value: 'x'"),
        (["train", "--speed", "3"], "--speed"),
    ],
)
def test_words_that_are_no_command_are_one_sentence_and_status_2(words, said, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("annotated") and "--help" in line
    assert re.search(said, line)


# Help


@pytest.mark.parametrize("command", ["data", "train", "average", "translate", "evaluate"])
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert "usage: annotated" in out
    if command == "train":
        assert "Section 3.1" in out and "--warmup" in out and "--resume" in out


def test_every_field_has_an_option_that_says_what_the_comment_says(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = capsys.readouterr().out
    names = [
        field.name for config in (TransformerConfig, TrainingConfig) for field in fields(config)
    ]
    options = {f"--{name.replace('_', '-')}" for name in names}
    assert options - {*re.findall(r"^  (--[a-z-]+)", out, re.M)} == {"--pad"}
    assert "  --layers N  " in out and "N, in each stack" in out


def test_it_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "annotated", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.startswith("annotated ")


# Real processes: signals, a full disk, several workers

ENV = {**os.environ, "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
FORKS = """
import os, sys
import torch
import torch._dynamo  # as the optimizer does when it is made
from annotated.cli import train
from annotated.cli.main import main

torch.set_num_threads(1)
train.choose_matmul_precision = lambda: "highest"  # a measurement, which may differ from run to run
print("ready", flush=True)
for line in sys.stdin:
    folder, *words = line.split()
    child = os.fork()
    if child == 0:
        sys.stdin.close()
        os.chdir(folder)
        sys.stderr = open("stderr.txt", "a", buffering=1)
        os._exit(main(words))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forks:
    """Runs commands, each in a process of its own, without waiting for imports each time.

    A process that has imported all, and computed nothing, forks one for each command.
    """

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", FORKS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENV,
        )
        assert self.process.stdout.readline() == "ready\n"

    def start(self, words):
        """The id of a process that runs the command here; its errors are added to stderr.txt."""
        self.process.stdin.write(" ".join([os.getcwd(), *words]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self):
        """The exit status of the command that was started last; that of a signal is negative."""
        return int(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=60)


@pytest.fixture(scope="module")
def forks():
    forks = Forks()
    yield forks
    forks.close()


def file_words(tmp_path, out, steps, *more):
    """A command that trains a tiny model on small files, with a checkpoint every third step."""
    sizes = "--layers 1 --d-model 16 --d-ff 16 --heads 2 --vocab-size 300 --batch-tokens 200"
    every = f"--validate-every 3 --log-every 1 --steps {steps} --out {out}"
    valid = write_files(tmp_path, PAIRS[:2], ("valid.en", "valid.de"))
    files = [*named(write_files(tmp_path)), *named(valid, "--valid-")]
    return ["train", *files, *sizes.split(), *every.split(), "--dropout", "0.2", *more]


def inode(file):
    return file.stat().st_ino if file.exists() else None


def wait_for(what):
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline, "the run does not begin"
        time.sleep(0.001)


def test_a_run_killed_at_twenty_random_moments_ends_as_one_that_was_not(tmp_path, forks):
    steps, draw = 150, random.Random(0)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    forks.start(file_words(tmp_path, "whole", steps))
    assert forks.end() == 0
    period = 3 * resume(whole)[0].seconds / steps  # from a checkpoint to the next
    again = ["train", "--resume", "killed"]
    step, found = 0, []
    for _ in range(20):
        log = inode(killed / "log.jsonl")
        child = forks.start(again if step else file_words(tmp_path, "killed", steps))
        wait_for(lambda log=log: inode(killed / "log.jsonl") != log)  # the loop begins
        rows = step + draw.randint(0, 4)
        wait_for(lambda rows=rows: len(read_log(killed / "log.jsonl")) >= rows)
        time.sleep(draw.uniform(0, period))
        os.kill(child, signal.SIGKILL)
        assert forks.end() == -signal.SIGKILL
        rows = read_log(killed / "log.jsonl")
        assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
        if steps_in(killed):
            load_checkpoint(killed)
            step = resume(killed)[0].step
            assert step % 3 == 0
        found.append((step, len(rows), len(list(killed.glob(".step-*")))))
    assert len({step for step, _, _ in found}) > 3 and found[-1][0] < steps, found
    forks.start(again)
    assert forks.end() == 0
    assert_same_run(whole, killed)
    assert resume(killed)[0].since == resume(whole)[0].since


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_with_a_checkpoint_and_says_how_to_go_on(tmp_path, forks, number):
    words = file_words(tmp_path, "mine", 100_000, "--record", "r.json")
    words[words.index("--validate-every") + 1] = "50000"
    child = forks.start(words)
    log = tmp_path / "mine/log.jsonl"
    wait_for(lambda: log.exists() and len(read_log(log)) > 4)
    os.kill(child, number)
    assert forks.end() == 128 + number
    [place] = steps_in(tmp_path / "mine")
    run, rows = resume(place)[0], read_log(log)
    assert run.step == rows[-1]["step"] > 4 and place.name == f"step-{run.step:08}"
    assert not (tmp_path / "r.json").exists()
    line = (tmp_path / "stderr.txt").read_text().splitlines()[-1]
    again = "annotated train --resume mine --record r.json"
    assert line == f"stopped at step {run.step:,}; to go on: {again}"
    forks.start([*again.split()[1:], "--steps", str(run.step + 2)])
    assert forks.end() == 0
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["curve"][-1]["step"] == run.step + 2


def test_a_full_disk_ends_a_run_and_leaves_its_checkpoints(tmp_path):
    """A limit on the size of files that a checkpoint fits under at first, but not at last."""
    words = file_words(tmp_path, "mine", 6)
    assert main(words) == 0
    limit = (steps_in(tmp_path / "mine")[-1] / "model.safetensors").stat().st_size - 1

    def full():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that a write fails as on a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    done = subprocess.run(
        [sys.executable, "-m", "annotated", "train", "--resume", "mine", "--steps", "12"],
        env=ENV,
        preexec_fn=full,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    line = done.stderr.splitlines()[-1]
    assert line.startswith("annotated: mine/step-00000009 cannot be written (")
    assert "Traceback" not in done.stderr and "what was saved before is untouched" in line
    assert [place.name for place in steps_in(tmp_path / "mine")] == steps_named(3, 6)
    assert not list((tmp_path / "mine").glob(".step-*"))
    assert resume("mine")[0].step == 6
    load_checkpoint("mine")


def test_a_port_in_use_is_one_sentence(monkeypatch, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        group = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        for name, value in group.items():
            monkeypatch.setenv(name, value)
        assert main(["train", *TINY.split()]) == 2
    line = last_line(capsys)
    assert "the workers cannot find each other" in line and port in line


@pytest.mark.parametrize("worker", [False, True])
def test_a_worker_ends_before_python_shuts_down_around_the_threads_of_its_group(tmp_path, worker):
    (tmp_path / "script.py").write_text(
        "import atexit\nfrom annotated.cli.main import program\n"
        "atexit.register(print, 'shutting down')\nprogram()\n"
    )
    words = [sys.executable, "script.py", "average", "nowhere", "--out", "mean"]
    env = ENV | ({"RANK": "0"} if worker else {})
    done = subprocess.run(words, env=env, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("annotated: nowhere")
    assert done.stdout == ("" if worker else "shutting down\n")


def test_two_processes_of_the_command_give_the_log_of_one(tmp_path):
    rows = {}
    for processes in (1, 2):
        words = file_words(tmp_path, f"run-{processes}", 4)
        words[words.index("--dropout") + 1] = "0"
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        done = subprocess.run(
            [sys.executable, *(launch if processes == 2 else []), "-m", "annotated", *words],
            env=ENV,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("the run goes to") == 1
        rows[processes] = read_log(tmp_path / f"run-{processes}/log.jsonl")
    assert len(rows[1]) == len(rows[2]) == 4
    for one, two in zip(rows[1], rows[2], strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
        assert two["learning_rate"] == one["learning_rate"]
    assert rows[2][2]["validation_loss"] == pytest.approx(rows[1][2]["validation_loss"], rel=1e-5)


@pytest.mark.parametrize("out", [["--out", "mine"], []])
def test_of_two_runs_begun_together_none_is_lost(tmp_path, out):
    words = [sys.executable, "-m", "annotated", "train", *TINY.split(), *out]
    both = [subprocess.Popen(words, env=ENV, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate()[1] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes == ([0, 2] if out else [0, 0]), errors
    folders = [Path("mine")] if out else [Path(RUN), Path(f"{RUN}-2")]
    assert [len(steps_in(folder)) for folder in folders] == [2] * len(folders)
    assert sum("--out mine exists already" in error.splitlines()[-1] for error in errors) == len(
        out[1:]
    )


ELSEWHERE = """
import hashlib, sys
from pathlib import Path
from annotated.data import corpora
from annotated.cli.main import program

files, url = Path(sys.argv.pop(1)), sys.argv.pop(1)
sums = {str(x.relative_to(files)): hashlib.sha256(x.read_bytes()).hexdigest()
        for x in files.rglob("*") if x.is_file()}
corpora.FILTERED = [1]
corpora.NEWSTEST = corpora.Remote("news", url, "", sums)
corpora.WMT14 = corpora.Remote("wmt14", url, "", sums)
corpora.WMT14_MEMBERS["de"] = {"train.tgz": "train.{}"}
program()
"""


@pytest.fixture
def published(tmp_path):
    """A folder of a small wmt14, its address on loopback, and a list of what is asked for."""
    files, asked = tmp_path / "published", []
    (files / "deu-eng").mkdir(parents=True)
    for year in (2013, 2014):
        names = [f"deu-eng/newstest{year}.{side}" for side in ("eng", "deu")]
        write_files(files, PAIRS[:3], names)
    with tarfile.open(files / "train.tgz", "w:gz") as archive:
        for name in write_files(tmp_path, PAIRS, ("train.en", "train.de")):
            archive.add(name, Path(name).name)

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *words):
            asked.append(self.path)

        def __init__(self, *words):
            super().__init__(*words, directory=str(files))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    yield files, f"http://127.0.0.1:{server.server_port}/", asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("machines", [1, 2])
def test_on_an_empty_cache_the_first_worker_fetches_for_all(tmp_path, published, machines):
    """Two workers on one machine, or on two that share the run's folder and nothing else."""
    files, url, asked = published
    (tmp_path / "script.py").write_text(ELSEWHERE)
    begin = ["--out", "run", "--data", "wmt14", *TINY.split()]
    for more in (begin, ["--resume", "run", "--steps", "5"]):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        running = []
        for rank in range(2):
            env = {name: value for name, value in ENV.items() if "proxy" not in name.lower()}
            env |= {"RANK": str(rank), "WORLD_SIZE": "2", "ANNOTATED_DATA": ""}
            env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            env |= {"XDG_CACHE_HOME": str(tmp_path / f"cache-{rank % machines}")}
            words = [sys.executable, "script.py", str(files), url, "train", *more]
            running.append(subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True))
        errors = [process.communicate(timeout=120)[1] for process in running]
        assert [process.returncode for process in running] == [0, 0], errors
        assert "Downloading" not in errors[1]
    assert len(asked) == len(set(asked)) == 5
    assert [row["step"] for row in read_log(tmp_path / "run/log.jsonl")] == [2, 3, 4, 5]
    assert not (tmp_path / "cache-1/annotated").exists()
    assert bool(list((tmp_path / "run").glob("pairs-*"))) == (machines == 2)
