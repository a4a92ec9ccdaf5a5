"""Corpora: reading, finding and downloading files, each failure in one sentence."""

import dataclasses
import gzip
import hashlib
import io
import math
import os
import pickle
import random
import statistics
import tarfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotated.data import corpora, toy
from annotated.data.corpora import (
    Archives,
    Corpus,
    CorpusError,
    PairFiles,
    Remote,
    bucket,
    fetch,
    load,
    load_files,
    read_lines,
    read_pairs,
    stream_pairs,
)

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


def test_a_byte_order_mark_is_no_text(tmp_path):
    assert read_lines(write(tmp_path / "a", b"\xef\xbb\xbfone\ntwo\n")) == ["one", "two"]


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


def test_pairs_are_read_as_they_are_asked_for(tmp_path):
    left = write(tmp_path / "a.en", b"a\nb\n\xff\n")
    pairs = stream_pairs(left, write(tmp_path / "a.de", b"x\ny\nz\n"))
    assert [next(pairs), next(pairs)] == [("a", "x"), ("b", "y")]
    with pytest.raises(CorpusError, match="a.en is not UTF-8 in line 3"):
        next(pairs)


@pytest.mark.parametrize("more", ["a.en", "a.de"])
def test_pairs_end_where_one_side_ends(tmp_path, more):
    for name in ("a.en", "a.de"):
        write(tmp_path / name, b"a\nb\n" + b"c\nd\ne\n" * (name == more))
    with pytest.raises(CorpusError) as error:
        list(stream_pairs(tmp_path / "a.en", tmp_path / "a.de"))
    message = one_sentence(error)
    less = {"a.en": "a.de", "a.de": "a.en"}[more]
    assert f"{more} has 5 lines and" in message and f"{less} has 2" in message


def test_pair_files_can_be_read_again_and_leave_out_empty_sides(tmp_path):
    files = [
        (write(tmp_path / "a.en", b"a\n\nc\nd\n"), write(tmp_path / "a.de", b"w\nx\n \nz\n")),
        (write(tmp_path / "b.en.gz", b"e"), write(tmp_path / "b.de.gz", b"v")),
    ]
    pairs = PairFiles(files)
    assert list(pairs) == list(pairs) == [("a", "w"), ("d", "z"), ("e", "v")]
    one, other = iter(pairs), iter(pairs)
    assert next(one) == next(other) == ("a", "w")
    assert list(pickle.loads(pickle.dumps(pairs))) == list(pairs)  # a worker can have it


def test_pair_files_hold_out_a_bucket(tmp_path):
    lines = [f"sentence {i}" for i in range(300)]
    text = "\n".join(lines).encode()
    pairs = PairFiles([(write(tmp_path / "a", text), write(tmp_path / "b", text))], held_out=10)
    kept = [source for source, _ in pairs]
    assert kept == [line for line in lines if bucket(line, 10) != 0]
    assert 250 < len(kept) < 290


def test_bucket_is_pinned_on_every_machine():
    assert [bucket(line, 100) for line in ("Run!", "Go on.", "Größe")] == PINNED
    assert {bucket(str(i), 7) for i in range(200)} == set(range(7))


PINNED = [52, 42, 24]


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

    def start(*script: str, data: bytes = DATA) -> tuple[Remote, Server]:
        server = Server(list(script), data)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        sums = {"train.en.gz": hashlib.sha256(data).hexdigest()}
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


def test_bad_file_in_the_cache_is_not_used_after_a_failed_download(serve, tmp_path):
    remote, server = serve("good", *6 * ["missing"], "good")
    [path] = fetch(remote, ["train.en.gz"])
    path.write_bytes(b"rubbish")
    for _ in range(2):
        with pytest.raises(CorpusError):
            fetch(remote, ["train.en.gz"])
    assert fetch(remote, ["train.en.gz"]) == [path] and path.read_bytes() == DATA


def test_what_another_process_completes_meanwhile_stays(serve, tmp_path, monkeypatch):
    remote, server = serve("good")
    download = corpora.download

    def overtaken(*what):
        monkeypatch.setattr(corpora, "download", download)
        fetch(remote, ["train.en.gz"])  # the other one
        inodes.append((remote.cache / "train.en.gz").stat().st_ino)
        download(*what)

    inodes: list[int] = []
    monkeypatch.setattr(corpora, "download", overtaken)
    [path] = fetch(remote, ["train.en.gz"])
    assert path.stat().st_ino == inodes[0] and server.requests == 1


def test_many_at_once_fill_an_empty_cache(serve, tmp_path):
    data = tarred(SIDES)
    remote, _ = serve("good", data=data)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: list(training(remote)), range(16)))
    assert found == 16 * [NEWS]
    assert sorted(cached(tmp_path)) == ["news.de", "news.en", "news.tgz"]


def test_downloads_are_for_whom_the_umask_allows(serve, tmp_path):
    remote, _ = serve("good")
    before = os.umask(0o022)
    try:
        [path] = fetch(remote, ["train.en.gz"])
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644


def test_file_that_may_not_be_read_is_said(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied")

    remote = Remote("corpus", "http://nowhere/", "", {"a.gz": "0"})
    monkeypatch.setenv("ANNOTATED_DATA", str(tmp_path))
    (tmp_path / "corpus").mkdir()
    path = write(tmp_path / "corpus" / "a.gz", b"one\n")
    monkeypatch.setattr(gzip, "open", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    for read in (lambda: read_lines(path), lambda: fetch(remote, ["a.gz"])):
        with pytest.raises(CorpusError) as error:
            read()
        assert "a.gz cannot be read: permission denied" in one_sentence(error)


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


@pytest.mark.parametrize("place", [None, 0, 300, -6])
def test_text_may_lie_gzipped_under_annotated_data(serve, tmp_path, monkeypatch, place):
    remote, server = serve("good")
    remote = dataclasses.replace(remote, files={"a/b.de": hashlib.sha256(TEXT).hexdigest()})
    monkeypatch.setenv("ANNOTATED_DATA", str(tmp_path))
    path = tmp_path / "corpus" / "a" / "b.de.gz"
    path.parent.mkdir(parents=True)
    data = bytearray(gzip.compress(TEXT))
    if place is not None:
        data[place] ^= 0xFF
    path.write_bytes(data)
    if place is None:
        assert fetch(remote, ["a/b.de"]) == [path] and read_lines(path)[1] == "Ein Satz, Nummer 1."
    else:
        with pytest.raises(CorpusError, match="b.de.gz is damaged or another version"):
            fetch(remote, ["a/b.de"])
    assert server.requests == 0


def test_file_without_a_known_hash_is_taken_as_it_is(serve, tmp_path, monkeypatch):
    remote, server = serve("good")
    remote = dataclasses.replace(remote, files={"parts/new.zip": None})
    [path] = fetch(remote, ["parts/new.zip"])
    assert path.read_bytes() == DATA and server.requests == 1
    assert fetch(remote, ["parts/new.zip"]) == [path] and server.requests == 1
    monkeypatch.setenv("ANNOTATED_DATA", str(tmp_path))
    (tmp_path / "corpus" / "parts").mkdir(parents=True)
    write(tmp_path / "corpus" / "parts" / "new.zip", b"mine")
    assert fetch(remote, ["parts/new.zip"]) == [tmp_path / "corpus" / "parts" / "new.zip"]


def test_file_without_a_known_hash_is_not_taken_in_half(serve, tmp_path):
    remote, server = serve("dropped")
    remote = dataclasses.replace(remote, files={"new.zip": None})
    with pytest.raises(CorpusError, match="the connection failed"):
        fetch(remote, ["new.zip"])
    assert cached(tmp_path) == []


def test_annotated_data_that_is_no_folder_is_named(serve, tmp_path, monkeypatch):
    remote, server = serve("good")
    monkeypatch.setenv("ANNOTATED_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(CorpusError) as error:
        fetch(remote, ["train.en.gz"])
    assert "nowhere" in one_sentence(error)


# Archives

SIDES = {
    "training/news.en": "one\ntwo\x85still\n\nfour\n".encode(),
    "training/news.cs": b"jedna\n",
    "training/news.de": "eins\nzwei\ndrei\nvier ä\n".encode(),
}


def tarred(sides: dict[str, bytes], mode: str = "w:gz") -> bytes:
    """A tar file with a folder and these members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        folder = tarfile.TarInfo("training")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in sides.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def training(remote: Remote, member: str = "training/news.{}") -> PairFiles:
    remote = dataclasses.replace(remote, files={"2014/news.tgz": None})
    return PairFiles(Archives(remote, {"2014/news.tgz": member}, "en", "de"))


NEWS = [("one", "eins"), ("two\x85still", "zwei"), ("four", "vier ä")]


def test_training_pairs_come_out_of_an_archive(serve, tmp_path, capsys):
    remote, server = serve("good", data=tarred(SIDES))
    pairs = training(remote)
    assert server.requests == 0 and cached(tmp_path) == []
    assert list(pairs) == NEWS
    assert "For research only." in capsys.readouterr().err
    assert sorted(cached(tmp_path)) == ["news.de", "news.en", "news.tgz"]


def test_archive_is_fetched_and_unpacked_once(serve, tmp_path):
    remote, server = serve("good", data=tarred(SIDES))
    assert list(training(remote)) == list(training(remote)) == NEWS
    next(path for path in (tmp_path / "cache").rglob("news.tgz")).unlink()
    assert list(training(remote)) == NEWS and server.requests == 1


def test_member_of_an_archive_may_be_gzipped(serve):
    sides = {name + ".gz": gzip.compress(data) for name, data in SIDES.items()}
    remote, _ = serve("good", data=tarred(sides, "w"))
    assert list(training(remote, "training/news.{}.gz")) == NEWS


def test_archive_under_annotated_data_is_not_downloaded(serve, tmp_path, monkeypatch):
    remote, server = serve("good")
    monkeypatch.setenv("ANNOTATED_DATA", str(tmp_path / "data"))
    (tmp_path / "data" / "corpus" / "2014").mkdir(parents=True)
    (tmp_path / "data" / "corpus" / "2014" / "news.tgz").write_bytes(tarred(SIDES))
    assert list(training(remote)) == NEWS and server.requests == 0
    assert sorted(cached(tmp_path)) == ["news.de", "news.en"]


@pytest.mark.parametrize(
    "sides, words",
    [
        ({**SIDES, "training/news.de": b"eins\nzwei\n"}, "news.en has 4 lines and"),
        ({**SIDES, "training/news.en": b"one\n\xff\n"}, "news.en is not UTF-8 in line 2"),
        ({"training/news.en": b"one\n"}, "lacks training/news.en or training/news.de"),
    ],
)
def test_archive_with_unusable_sides_is_refused_every_time(serve, tmp_path, sides, words):
    remote, _ = serve("good", data=tarred(sides))
    for _ in range(2):
        with pytest.raises(CorpusError) as error:
            list(training(remote))
        assert words in one_sentence(error)
    assert cached(tmp_path) == ["news.tgz"]


@pytest.mark.parametrize("kept", [0, 10, 100, 130])
def test_damaged_archive_is_named(serve, tmp_path, kept):
    remote, _ = serve("good", data=tarred(SIDES)[:kept])
    with pytest.raises(CorpusError) as error:
        list(training(remote))
    message = one_sentence(error)
    assert "news.tgz" in message and "delete it and try again" in message
    assert cached(tmp_path) == ["news.tgz"]


def test_names_in_an_archive_do_not_say_where_it_is_unpacked(serve, tmp_path):
    sides = {**SIDES, "../../../evil": b"x", "/evil": b"x"}
    remote, _ = serve("good", data=tarred({"../../../evil": b"x", **sides}))
    assert list(training(remote)) == NEWS
    assert not list(tmp_path.parent.rglob("evil"))


# Your own files


def own(folder: Path, count: int, suffix: str = "") -> tuple[Path, Path]:
    source = "".join(f"sentence {i}\n" for i in range(count)).encode()
    target = "".join(f"Satz {i}\n" for i in range(count)).encode()
    return write(folder / f"mine.en{suffix}", source), write(folder / f"mine.de{suffix}", target)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_own_files_hold_some_pairs_out(tmp_path, suffix):
    corpus = load_files(*own(tmp_path, 2000, suffix))
    assert (corpus.name, corpus.source, corpus.target) == ("files", "en", "de")
    train, validation = list(corpus.splits["train"]), corpus.splits["validation"]
    assert sorted(train + validation) == sorted((f"sentence {i}", f"Satz {i}") for i in range(2000))
    assert 60 < len(validation) < 140
    assert validation == load_files(*own(tmp_path, 2000, suffix)).splits["validation"]


def test_no_source_sentence_of_own_files_is_on_both_sides(tmp_path):
    left = write(tmp_path / "a.en", b"".join(b"sentence %d\n" % (i % 500) for i in range(4000)))
    right = write(tmp_path / "a.de", b"".join(b"Satz %d\n" % i for i in range(4000)))
    splits = load_files(left, right).splits
    assert not {a for a, _ in splits["train"]} & {a for a, _ in splits["validation"]}


def test_own_files_hold_out_two_thousand_pairs_at_most(tmp_path):
    often = next(f"sentence {i}" for i in range(1000) if bucket(f"sentence {i}", 20) == 0)
    source = b"".join(b"sentence %d\n" % i for i in range(1000)) + f"{often}\n".encode() * 3000
    left, right = write(tmp_path / "a.en", source), write(tmp_path / "a.de", b"x\n" * 4000)
    splits = load_files(left, right).splits
    assert len(splits["validation"]) == 2000
    assert often not in {a for a, _ in splits["train"]}


def test_many_pairs_hold_out_about_a_thousand(tmp_path):
    splits = load_files(*own(tmp_path, 60_000)).splits
    assert 850 < len(splits["validation"]) < 1150


def test_own_validation_files_are_taken_whole(tmp_path):
    held = write(tmp_path / "v.en", b"a\n\nc\n"), write(tmp_path / "v.de", b"x\ny\nz\n")
    splits = load_files(*own(tmp_path, 3), validation=held).splits
    assert splits["validation"] == [("a", "x"), ("", "y"), ("c", "z")]
    assert len(list(splits["train"])) == 3


@pytest.mark.parametrize(
    "source, target, words",
    [
        (b"", b"", "a.en and .*a.de hold no sentences"),
        (b"\n \n", b"a\nb\n", "hold no sentences"),
        (b"a\nb\nc\n", b"x\n", "a.en has 3 lines and .*a.de has 1"),
        ("a\nä\n".encode("latin-1"), b"x\ny\n", "a.en is not UTF-8 in line 2"),
        (b"a\nb\n", b"x\ny\n", "2 pairs, too few to hold some out for validation"),
    ],
)
def test_own_files_that_cannot_be_used_are_one_sentence(tmp_path, source, target, words):
    with pytest.raises(CorpusError, match=words) as error:
        load_files(write(tmp_path / "a.en", source), write(tmp_path / "a.de", target))
    one_sentence(error)


def test_own_files_that_are_missing_are_named(tmp_path):
    with pytest.raises(CorpusError, match="a.de is missing"):
        load_files(write(tmp_path / "a.en", b"a\n"), tmp_path / "a.de")


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
        ("multi31k", "en-de", "toy, multi30k, tatoeba, wmt14"),
        ("wmt14", "de-en", "en-de, en-fr"),
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


# Tatoeba


def zipped(path: Path, members: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize("target, code", [("de", "deu"), ("fr", "fra")])
@pytest.mark.parametrize("folder", ["", "x-eng/"])
def test_tatoeba_is_split_by_english_sentence(tmp_path, monkeypatch, target, code, folder):
    monkeypatch.setenv("ANNOTATED_DATA", str(tmp_path))
    text = "".join(f"Sentence {i}.\tSatz {i}, {j}.\tCC-BY\n" for i in range(500) for j in range(3))
    resource_fork = f"__MACOSX/{folder}._{code}.txt"
    members = {f"{folder}_about.txt": "", resource_fork: "\x00", f"{folder}{code}.txt": text}
    zipped(tmp_path / "tatoeba" / f"{code}-eng.zip", members)
    splits = load("tatoeba", f"en-{target}").splits
    assert list(splits) == ["train", "validation", "test"]
    assert sum(map(len, splits.values())) == 1500 and len(splits["train"]) > 1400
    assert all(pairs for pairs in splits.values())
    for split, pairs in splits.items():
        others = [pair for other in splits.values() if other is not pairs for pair in other]
        assert not {english for english, _ in pairs} & {english for english, _ in others}, split
        assert len(pairs) == 3 * len({english for english, _ in pairs})
        assert all(other.startswith("Satz") and other.endswith(".") for _, other in pairs)


@pytest.mark.parametrize(
    "members", [{}, {"fra.txt": "a\tb\n"}, {"deu.txt": "no tab\n"}, {"deu.txt": ""}]
)
def test_tatoeba_of_another_kind_is_one_sentence(tmp_path, monkeypatch, members):
    monkeypatch.setenv("ANNOTATED_DATA", str(tmp_path))
    zipped(tmp_path / "tatoeba" / "deu-eng.zip", members)
    with pytest.raises(CorpusError, match="deu-eng.zip is damaged or holds no deu.txt") as error:
        load("tatoeba")
    one_sentence(error)


def test_damaged_tatoeba_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("ANNOTATED_DATA", str(tmp_path))
    path = zipped(tmp_path / "tatoeba" / "deu-eng.zip", {"deu.txt": "a\tb\n" * 5000})
    for kept in (0, 50, 100):
        path.write_bytes(path.read_bytes()[:kept] if kept < 100 else b"PK\x03\x04" + b"x" * kept)
        with pytest.raises(CorpusError, match="deu-eng.zip is damaged"):
            load("tatoeba")


def test_another_version_under_the_dated_name_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ANNOTATED_DATA", str(tmp_path))
    zipped(tmp_path / "tatoeba" / "deu-eng-2018-05-13.zip", {"deu.txt": "a\tb\n"})
    with pytest.raises(CorpusError, match="another version"):
        load("tatoeba")


# The real corpora


real = pytest.mark.skipif(not os.environ.get("ANNOTATED_DATA"), reason="ANNOTATED_DATA is not set")


@real
@pytest.mark.parametrize(
    "pair, sizes", [("en-de", (166_455, 1662, 1696)), ("en-fr", (163_844, 1601, 1685))]
)
def test_real_tatoeba_shares_no_english_sentence_between_splits(pair, sizes):
    splits = load("tatoeba", pair).splits
    assert tuple(map(len, splits.values())) == sizes
    english = [{source for source, _ in pairs} for pairs in splits.values()]
    assert len(set.union(*english)) == sum(map(len, english))
    assert all(source and target for pairs in splits.values() for source, target in pairs)


@real
@pytest.mark.parametrize("pair", ["en-de", "en-fr"])
def test_real_wmt14_has_its_test_sets_without_an_archive(pair, monkeypatch):
    monkeypatch.setattr(corpora, "download", None)  # would fail
    splits = load("wmt14", pair).splits
    sizes = {name: len(pairs) for name, pairs in splits.items() if name != "train"}
    filtered = {"test_2014_filtered": 2737} if pair == "en-de" else {}
    assert sizes == {"validation": 3000, "test_2014": 3003, **filtered}
    assert not hasattr(splits["train"], "__len__") and next(iter(splits)) == "train"
    if filtered:
        first = ("Orlando Bloom and Miranda Kerr still love each other",)
        assert splits["test_2014_filtered"][0][:1] == first
        assert {*splits["test_2014_filtered"]} < {*splits["test_2014"]}


@real
def test_filtered_lines_are_those_of_the_published_list():
    path = Path(os.environ["ANNOTATED_DATA"], "wmt_newstest")
    lines = (path / "newstest2014_ende_filtered2737_lines.txt").read_text().split()
    assert corpora.FILTERED == list(map(int, lines))


@real
def test_news_is_spread_as_the_chapter_draws_it():
    pairs = load("wmt14").splits["validation"]
    words = [(len(source.split()), len(target.split())) for source, target in pairs]
    assert 0.5 < statistics.stdev(math.log(a) for a, _ in words) < 0.65  # drawn with 0.55
    assert 0.15 < statistics.stdev(math.log(b / a) for a, b in words) < 0.25  # drawn with 0.2


def test_wmt14_archives_are_the_workshops():
    remote = corpora.WMT14
    assert all(len(bytes.fromhex(sha256)) == 32 for sha256 in remote.files.values())
    assert len({*remote.files.values()}) == 5 and len(corpora.WMT14_MEMBERS["de"]) == 3
    for members in corpora.WMT14_MEMBERS.values():
        assert set(members) <= set(remote.files)
        assert all(member.count("{}") == 1 for member in members.values())


# What tells one corpus from another

SMALL = Corpus("toy", "en", "de", {"train": [("a", "b"), ("c", "d")], "test": [("e", "é")]})


def test_a_fingerprint_changes_with_the_data():
    one = corpora.corpus_hashes(SMALL)
    assert one["splits"]["train"]["pairs"] == 2 and one["pair"] == "en-de"
    other = Corpus("toy", "en", "de", SMALL.splits | {"test": [("e", "e")]})
    two = corpora.corpus_hashes(other)
    assert one["splits"]["train"] == two["splits"]["train"]
    assert one["splits"]["test"]["sha256"] != two["splits"]["test"]["sha256"]


def test_a_fingerprint_of_a_stream_is_that_of_the_list():
    class Stream:
        def __iter__(self):
            return iter(SMALL.splits["train"])

    streamed = Corpus("toy", "en", "de", SMALL.splits | {"train": Stream()})
    assert corpora.corpus_hashes(streamed) == corpora.corpus_hashes(SMALL)
    text = "a\tb\nc\td\n"
    expected = {"pairs": 2, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    assert corpora.corpus_hashes(SMALL)["splits"]["train"] == expected


def test_a_corpus_knows_its_languages_its_lists_and_its_test_sets():
    streamed = Corpus("toy", "en", "de", SMALL.splits | {"train": iter([]), "test_2": []})
    assert streamed.pair == "en-de" and streamed.tests() == ["test", "test_2"]
    assert streamed.lists() == {"test": SMALL.splits["test"], "test_2": []}
