"""The command line: what goes in, what comes out, where, and with which exit status."""

import json
import shlex
import subprocess
import sys

import pytest

from annotated import __main__ as cli
from annotated.__main__ import main, parser
from annotated.corpora import Corpus

TINY = "--layers 1 --d-model 16 --d-ff 16 --heads 2 --vocab-size 300 --validate-every 2 --steps 3"
WORDS = ["dog", "cat", "child", "man", "sees", "hears", "the", "a"]


def small_corpus(name="toy", pair="en-de"):
    """A corpus in the shape of the real ones, small enough to train on in a moment."""
    lines = [f"{a} {b} {c} ." for a in WORDS for b in WORDS for c in WORDS]
    pairs = [(line, line.upper()) for line in lines]
    splits = {"train": pairs[:200], "validation": pairs[200:204], "test": pairs[204:208]}
    splits["test_longer"] = pairs[208:210]
    return Corpus(name, *pair.split("-"), splits)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "load", small_corpus)


@pytest.fixture
def trained():
    assert main(["train", *TINY.split()]) == 0


def piped(monkeypatch, data: bytes):
    class Stdin:
        buffer = data.splitlines(keepends=True)

        @staticmethod
        def isatty():
            return False

    monkeypatch.setattr(sys, "stdin", Stdin)


def test_train_writes_a_model_and_a_log_and_says_where(tmp_path, capsys):
    assert main(["train", *TINY.split()]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "runs/toy-en-de" in err and "parameters" in err and "BLEU" in err
    rows = (tmp_path / "runs/toy-en-de/log.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [2, 3]
    assert (tmp_path / "runs/toy-en-de/model.safetensors").is_file()


def test_a_second_run_does_not_replace_the_first(tmp_path, trained):
    assert main(["train", *TINY.split()]) == 0
    assert (tmp_path / "runs/toy-en-de-2/model.json").is_file()


def test_a_folder_that_exists_is_not_written_to(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    assert main(["train", "--out", "mine", *TINY.split()]) == 2
    assert "exists already" in capsys.readouterr().err


def test_options_are_fields_of_the_configurations(trained, tmp_path):
    about = json.loads((tmp_path / "runs/toy-en-de/model.json").read_text())
    assert about["model"]["d_ff"] == 16 and about["model"]["heads"] == 2
    assert about["about"]["training"]["steps"] == 3


def test_a_preset_is_the_papers_model_with_the_options_on_top():
    words = ["train", "--preset", "big", "--layers", "2", "--no-norm-first", "--minutes", "1.5"]
    model, training = cli.configure(parser().parse_args(words))
    assert (model.d_model, model.layers, model.norm_first) == (1024, 2, False)
    assert training.minutes == 1.5


def test_translate_gives_a_line_for_each_line(trained, monkeypatch, capsys):
    capsys.readouterr()
    piped(monkeypatch, "the dog\n\nthe cat\x85 <pad>\n  \nein Hund".encode())
    assert main(["translate"]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) == 6 and lines[-1] == ""
    assert lines[1] == lines[3] == ""


def test_the_newest_run_is_the_default(trained, tmp_path):
    assert main(["train", *TINY.split()]) == 0
    assert cli.model_folder(parser().parse_args(["translate"])).name == "toy-en-de-2"


def test_evaluate_prints_a_score_with_its_signature(trained, tmp_path, capsys):
    capsys.readouterr()
    assert main(["evaluate", "--output", "out.txt"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("toy test: BLEU ") and "tok:13a" in out
    assert len((tmp_path / "out.txt").read_text().split("\n")) == 5
    assert main(["evaluate", "--split", "test_longer"]) == 0
    assert "toy test_longer: BLEU" in capsys.readouterr().out


def test_a_record_is_whole_and_its_command_parses(tmp_path):
    words = ["train", *TINY.split(), "--record", "results/tiny.json"]
    assert main(words) == 0
    record = json.loads((tmp_path / "results/tiny.json").read_text())
    wanted = "name command commit date hardware software data config seconds curve scores examples"
    assert set(record) == set(wanted.split())
    assert shlex.split(record["command"])[1:] == words
    assert set(record["scores"]) == {"test", "test_longer"}
    assert record["data"]["splits"]["train"]["pairs"] == 200
    assert record["config"]["model"]["parameters"] > 0
    assert len(record["examples"]) == 4 and len(record["curve"]) == 2


def test_data_shows_what_is_there(capsys):
    assert main(["data", "toy"]) == 0
    out = capsys.readouterr().out
    assert "200 pairs" in out and "en: dog dog dog ." in out


@pytest.mark.parametrize(
    "words, said",
    [
        (["translate"], "no trained model"),
        (["translate", "--model", "nowhere"], "nowhere holds no model"),
        (["evaluate", "--model", "nowhere"], "nowhere holds no model"),
        (["train", "--heads", "3"], "not divisible by 3 heads"),
        (["train", "--positions", "round"], "sinusoidal"),
        (["train", "--device", "tpu"], "cpu or cuda"),
        (["train", "--steps", "0"], "steps"),
        (["train", "--dropout", "1.5"], "dropout"),
        (["train", "--vocab-size", "5"], "vocab"),
        (["train", "--batch-tokens", "1"], "budget of 1 tokens"),
        (["train", "--smoothing", "1"], "smoothing"),
    ],
)
def test_what_the_user_can_mend_is_one_sentence_and_status_2(words, said, capsys, tmp_path):
    small = TINY.split() if words[0] == "train" else []
    assert main([words[0], *small, *words[1:]]) == 2
    err = capsys.readouterr().err
    assert said in err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("annotated: ")
    assert "Traceback" not in err
    assert not list(tmp_path.glob("runs/*"))


def test_cuda_that_is_not_there_is_said(capsys, monkeypatch):
    monkeypatch.setattr(cli.torch.cuda, "is_available", lambda: False)
    assert main(["train", "--device", "cuda", *TINY.split()]) == 2
    assert "no CUDA device" in capsys.readouterr().err


def test_a_set_that_is_not_there_is_said(trained, capsys):
    assert main(["evaluate", "--split", "test_2016"]) == 2
    assert "test_longer" in capsys.readouterr().err


def test_input_that_is_not_utf8_is_said_with_its_line(trained, monkeypatch, capsys):
    piped(monkeypatch, b"good\n\xff\xfe\n")
    assert main(["translate"]) == 2
    assert "line 2 of the input is not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [[], ["fly"], ["train", "--data", "wmt99"], ["train", "--steps", "x"]]
)
def test_words_that_are_no_command_have_status_2(words):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2


@pytest.mark.parametrize("command", ["data", "train", "translate", "evaluate"])
def test_help_teaches(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert "usage: annotated" in out
    if command == "train":
        assert "Section 3.1" in out and "--warmup" in out


def test_every_field_has_an_option_and_every_help_a_field():
    names = {f.name for c in (cli.TransformerConfig, cli.TrainingConfig) for f in cli.fields(c)}
    assert names - set(cli.HELP) == {"pad"}
    assert set(cli.HELP) <= names


def test_it_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "annotated", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.startswith("annotated ")
