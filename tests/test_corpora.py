"""annotated.corpora: reading, finding and downloading files, each failure in one sentence."""

import dataclasses
import gzip
import hashlib
import os
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotated import corpora, toy
from annotated.corpora import Corpus, CorpusError, Remote, fetch, load, read_lines, read_pairs

TEXT = "".join(f"Ein Satz, Nummer {i}.\n" for i in range(2000)).encode()
DATA = gzip.compress(random.Random(0).randbytes(30_000) + TEXT, mtime=0)  # worth cutting in two


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def one_sentence(error: pytest.ExceptionInfo) -> str:
    """The message of an error, which must be a single line of readable length."""
    message = str(error.value)
    assert "\n" not in message and 20 < len(message) < 500
    return message


# Reading


@pytest.mark.parametrize("name", ["a.txt", "a.en.gz"])
def test_lines_end_at_newline_only(tmp_path, name):
    text = "one\x85still one\u2028still\x0bone\rone\ntwo\n  three \n\nfive\n"
    lines = read_lines(write(tmp_path / name, text.encode()))
    assert lines == ["one\x85still one\u2028still\x0bone\rone", "two", "three", "", "five"]


def test_windows_line_ends_leave_no_carriage_return(tmp_path):
    assert read_lines(write(tmp_path / "a", b"one\r\ntwo\r\n")) == ["one", "two"]


def test_last_line_needs_no_newline(tmp_path):
    assert read_lines(write(tmp_path / "a", b"one\ntwo")) == ["one", "two"]


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]))))
def test_number_of_lines_is_number_of_newlines(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("lines") / "a.gz"
    write(path, "".join(line + "\n" for line in [*lines, "end"]).encode())
    assert read_lines(path) == [line.strip() for line in [*lines, "end"]]


def test_missing_file_is_named(tmp_path):
    with pytest.raises(CorpusError) as error:
        read_lines(tmp_path / "train.de.gz")
    assert "train.de.gz is missing" in one_sentence(error)


@pytest.mark.parametrize("name", ["a.txt", "a.gz"])
def test_file_that_is_not_utf8_is_named_with_its_line(tmp_path, name):
    with pytest.raises(CorpusError) as error:
        read_lines(write(tmp_path / name, "gut\nschön\n".encode("latin-1")))
    message = one_sentence(error)
    assert name in message and "not UTF-8 in line 2" in message


@pytest.mark.parametrize("kept", [1, 5, 11, 20, 500, -9, -4, -1])
def test_truncated_gzip_is_named(tmp_path, kept):
    path = tmp_path / "train.en.gz"
    path.write_bytes(gzip.compress(TEXT)[:kept])
    with pytest.raises(CorpusError) as error:
        read_lines(path)
    message = one_sentence(error)
    assert "train.en.gz cannot be read" in message and "whole copy" in message


@pytest.mark.parametrize("place", [0, 3, 60, -6])
def test_corrupted_gzip_is_named(tmp_path, place):
    data = bytearray(gzip.compress(TEXT))
    data[place] ^= 0xFF
    (tmp_path / "train.en.gz").write_bytes(data)
    with pytest.raises(CorpusError) as error:
        read_lines(tmp_path / "train.en.gz")
    assert "train.en.gz" in one_sentence(error)


def test_folder_in_place_of_a_file_is_named(tmp_path):
    with pytest.raises(CorpusError, match="cannot be read"):
        read_lines(tmp_path)


def test_pairs_are_lines_of_the_same_number(tmp_path):
    left, right = write(tmp_path / "a.en", b"a\nb\n"), write(tmp_path / "a.de.gz", b"x\ny\n")
    assert read_pairs(left, right) == [("a", "x"), ("b", "y")]


def test_sides_of_different_length_are_named(tmp_path):
    left, right = write(tmp_path / "a.en", b"a\nb\nc\n"), write(tmp_path / "a.de", b"x\ny\n")
    with pytest.raises(CorpusError) as error:
        read_pairs(left, right)
    message = one_sentence(error)
    assert "a.en has 3 lines" in message and "a.de has 2" in message


@pytest.mark.parametrize("data", [b"", b"\n", b"  \n\t\n"])
def test_empty_files_are_named(tmp_path, data):
    left, right = write(tmp_path / "a.en", data), write(tmp_path / "a.de", data)
    with pytest.raises(CorpusError) as error:
        read_pairs(left, right)
    assert "a.en" in one_sentence(error) and "hold no sentences" in str(error.value)


# Finding and downloading


class Server(ThreadingHTTPServer):
    """Answers each request as the next word of `script` says; the last word is repeated."""

    def __init__(self, script: list[str], data: bytes = DATA):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.data, self.requests = script, data, 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/raw/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        word = self.server.script[min(self.server.requests, len(self.server.script) - 1)]
        self.server.requests += 1
        data = self.server.data
        if word == "missing":
            return self.send_error(404)
        if word == "broken":
            return self.send_error(503)
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if word == "dropped":
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif word == "wrong":
            self.wfile.write(data[:-1] + b"!")
        else:
            self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """A function that starts a server on loopback and describes its one file as a Remote."""
    servers = []
    monkeypatch.delenv("ANNOTATED_DATA", raising=False)
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr("time.sleep", lambda seconds: None)

    def start(*script: str) -> tuple[Remote, Server]:
        server = Server(list(script))
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        sums = {"train.en.gz": hashlib.sha256(DATA).hexdigest()}
        return Remote("corpus", server.url, "For research only.", sums), server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def cached(tmp_path) -> list[str]:
    """The names of everything in the cache, half-written files included."""
    return [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_download_shows_terms_and_progress_on_standard_error(serve, tmp_path, capsys):
    remote, server = serve("good")
    [path] = fetch(remote, ["train.en.gz"])
    assert path.read_bytes() == DATA and path.parent.name == "corpus"
    out, err = capsys.readouterr()
    assert out == "" and "For research only." in err and "100%" in err
    assert server.requests == 1 and cached(tmp_path) == ["train.en.gz"]


def test_second_call_reads_the_cache_and_says_nothing(serve, capsys):
    remote, server = serve("good")
    fetch(remote, ["train.en.gz"])
    capsys.readouterr()
    fetch(remote, ["train.en.gz"])
    assert server.requests == 1
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("fault", ["dropped", "wrong", "broken", "missing"])
def test_download_is_tried_again(serve, tmp_path, fault):
    remote, server = serve(fault, "good")
    [path] = fetch(remote, ["train.en.gz"])
    assert path.read_bytes() == DATA
    assert server.requests == 2 and cached(tmp_path) == ["train.en.gz"]


@pytest.mark.parametrize(
    "fault, words",
    [
        ("dropped", "the connection failed"),
        ("wrong", "wrong SHA-256"),
        ("broken", "the server answered 503"),
        ("missing", "the server answered 404"),
    ],
)
def test_failed_download_is_one_sentence_and_leaves_nothing(serve, tmp_path, fault, words):
    remote, server = serve(fault)
    with pytest.raises(CorpusError) as error:
        fetch(remote, ["train.en.gz"])
    message = one_sentence(error)
    assert words in message and f"{remote.url}train.en.gz" in message
    assert "ANNOTATED_DATA" in message
    assert server.requests == 3 and cached(tmp_path) == []


def test_no_server_is_one_sentence(serve, tmp_path):
    remote, server = serve("good")
    server.shutdown()
    server.server_close()
    with pytest.raises(CorpusError) as error:
        fetch(remote, ["train.en.gz"])
    assert "the connection failed" in one_sentence(error)
    assert cached(tmp_path) == []


@pytest.mark.parametrize("bad", [b"", DATA[:1000], DATA[:-1] + b"!"])
def test_bad_file_in_the_cache_is_mended(serve, tmp_path, bad):
    remote, server = serve("good")
    [path] = fetch(remote, ["train.en.gz"])
    path.write_bytes(bad)
    assert fetch(remote, ["train.en.gz"]) == [path]
    assert path.read_bytes() == DATA and server.requests == 2


def test_bad_file_in_the_cache_does_not_outlive_a_failed_download(serve, tmp_path):
    remote, server = serve("good", "missing")
    [path] = fetch(remote, ["train.en.gz"])
    path.write_bytes(b"rubbish")
    with pytest.raises(CorpusError):
        fetch(remote, ["train.en.gz"])
    assert cached(tmp_path) == []


def test_cache_that_cannot_be_made_is_one_sentence(serve, tmp_path):
    remote, server = serve("good")
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(CorpusError) as error:
        fetch(remote, ["train.en.gz"])
    one_sentence(error)


def test_full_disk_is_one_sentence(serve, tmp_path, monkeypatch):
    remote, server = serve("good")

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.move", full)
    with pytest.raises(CorpusError, match="No space left on device") as error:
        fetch(remote, ["train.en.gz"])
    one_sentence(error)
    assert cached(tmp_path) == []


def test_annotated_data_comes_before_cache_and_download(serve, tmp_path, monkeypatch):
    remote, server = serve("good")
    monkeypatch.setenv("ANNOTATED_DATA", str(tmp_path))
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "train.en.gz").write_bytes(DATA)
    assert fetch(remote, ["train.en.gz"]) == [tmp_path / "corpus" / "train.en.gz"]
    assert server.requests == 0 and cached(tmp_path) == []


def test_file_that_annotated_data_lacks_is_downloaded(serve, tmp_path, monkeypatch):
    remote, server = serve("good")
    monkeypatch.setenv("ANNOTATED_DATA", str(tmp_path))
    assert fetch(remote, ["train.en.gz"]) == [tmp_path / "cache/annotated/corpus/train.en.gz"]


def test_damaged_file_under_annotated_data_is_named_and_kept(serve, tmp_path, monkeypatch):
    remote, server = serve("good")
    monkeypatch.setenv("ANNOTATED_DATA", str(tmp_path))
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "train.en.gz").write_bytes(DATA[:1000])
    with pytest.raises(CorpusError) as error:
        fetch(remote, ["train.en.gz"])
    message = one_sentence(error)
    assert str(tmp_path / "corpus" / "train.en.gz") in message and "SHA-256" in message
    assert (tmp_path / "corpus" / "train.en.gz").exists() and server.requests == 0


def test_annotated_data_that_is_no_folder_is_named(serve, tmp_path, monkeypatch):
    remote, server = serve("good")
    monkeypatch.setenv("ANNOTATED_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(CorpusError) as error:
        fetch(remote, ["train.en.gz"])
    assert "nowhere" in one_sentence(error)


# Corpora


def test_toy_is_the_default_and_needs_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("ANNOTATED_DATA", str(tmp_path / "nowhere"))
    names = ["train", "validation", "test", "test_longer", "test_unseen"]
    few = {name: toy.generate(3, seed=seed) for seed, name in enumerate(names)}
    monkeypatch.setattr(toy, "splits", lambda: few)  # the real ones are tested in test_toy.py
    corpus = load()
    assert (corpus.name, corpus.source, corpus.target) == ("toy", "en", "de")
    assert corpus == load("toy", "en-de") and list(corpus.splits) == names
    for name, pairs in corpus.splits.items():
        assert pairs == [(pair.english, pair.german) for pair in few[name]]


def test_corpus_is_frozen():
    corpus = Corpus("a", "en", "de", {})
    with pytest.raises(dataclasses.FrozenInstanceError):
        corpus.name = "b"


@pytest.mark.parametrize(
    "name, pair, words",
    [
        ("multi31k", "en-de", "toy, multi30k"),
        ("multi30k", "en-cs", "en-de, en-fr"),
        ("toy", "en-fr", "en-de"),
        ("toy", "", "en-de"),
    ],
)
def test_unknown_corpus_or_pair_names_the_choices(name, pair, words):
    with pytest.raises(CorpusError) as error:
        load(name, pair)
    assert words in one_sentence(error)


def small_multi30k(folder: Path, monkeypatch, lines: dict[str, int]) -> None:
    """A Multi30k of a few lines a file, under ANNOTATED_DATA, with its own hashes."""
    (folder / "multi30k").mkdir()
    sums = {}
    for name in corpora.MULTI30K.files:
        text = "".join(f"{name} {i}\n" for i in range(lines.get(name, 2)))
        path = write(folder / "multi30k" / name, text.encode())
        sums[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setenv("ANNOTATED_DATA", str(folder))
    monkeypatch.setattr(corpora, "MULTI30K", dataclasses.replace(corpora.MULTI30K, files=sums))


@pytest.mark.parametrize("target", ["de", "fr"])
def test_multi30k_puts_each_file_where_it_belongs(tmp_path, monkeypatch, target):
    small_multi30k(tmp_path, monkeypatch, {})
    corpus = load("multi30k", f"en-{target}")
    assert (corpus.name, corpus.source, corpus.target) == ("multi30k", "en", target)
    tests = ["test_2016_flickr", "test_2017_flickr", "test_2017_mscoco"]
    assert list(corpus.splits) == ["train", "validation", *tests]
    for split, pairs in corpus.splits.items():
        file = "val" if split == "validation" else split
        assert pairs == [(f"{file}.en.gz {i}", f"{file}.{target}.gz {i}") for i in range(2)]


def test_multi30k_with_sides_of_different_length_is_named(tmp_path, monkeypatch):
    small_multi30k(tmp_path, monkeypatch, {"val.de.gz": 3})
    with pytest.raises(CorpusError, match="val.de.gz has 3"):
        load("multi30k")


def test_multi30k_knows_fifteen_files():
    remote = corpora.MULTI30K
    assert len(remote.files) == 15 and len(set(remote.files.values())) == 15
    assert all(len(bytes.fromhex(sha256)) == 32 for sha256 in remote.files.values())
    assert remote.url.startswith("https://") and remote.url.endswith("/")


@pytest.mark.skipif(not os.environ.get("ANNOTATED_DATA"), reason="ANNOTATED_DATA is not set")
@pytest.mark.parametrize("pair", ["en-de", "en-fr"])
def test_real_multi30k_has_its_published_sizes(pair):
    corpus = load("multi30k", pair)
    sizes = {split: len(pairs) for split, pairs in corpus.splits.items()}
    assert sizes == {
        "train": 29000,
        "validation": 1014,
        "test_2016_flickr": 1000,
        "test_2017_flickr": 1000,
        "test_2017_mscoco": 461,
    }
    start = "Two young, White males are outside near many bushes."
    assert corpus.splits["train"][0][0] == start
    empty = sum(not (source and target) for source, target in corpus.splits["train"])
    assert empty == 0
