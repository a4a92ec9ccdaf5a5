"""Prepared: the same pairs as in lists, killed and resumed to the byte, refused whole."""

import errno
import hashlib
import json
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotated.data import memory_mapped as module
from annotated.data.batching import batches, encode_pairs, plan
from annotated.data.memory_mapped import (
    CHUNK,
    RECORD,
    SIZES,
    TOKENS,
    Prepared,
    PreparedError,
    copied,
    is_prepared,
    learn_vocabulary,
    prepare,
    read_state,
    sample,
    starts_of,
    tokenizer_hash,
)
from annotated.data.tokenizer import Tokenizer, TokenizerError, spaced
from annotated.files import Busy

WORDS = ["the", "dog", "sleeps", "der", "Hund", "schläft", "sieht", "🤗", "<pad>", "it's", "a"]
TOKENIZER = Tokenizer.train(WORDS * 3, 300)
NAMES = (TOKENS, SIZES, RECORD)


def drawn(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Pairs of sentences of random lengths; the source begins with the pair's number."""
    draw = random.Random(seed)
    return [
        (
            " ".join([str(i), *draw.choices(WORDS, k=draw.randrange(12))]),
            " ".join(draw.choices(WORDS, k=draw.randrange(12))),
        )
        for i in range(count)
    ]


PAIRS = drawn(700)


def contents(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in NAMES]


def interrupted(pairs, after):
    yield from pairs[:after]
    raise KeyboardInterrupt


@pytest.fixture
def folder(tmp_path) -> Path:
    """A finished folder of PAIRS."""
    prepare(PAIRS, TOKENIZER, tmp_path / "done", chunk=100)
    return tmp_path / "done"


# What comes out


@pytest.mark.parametrize("max_tokens", [None, 30, 8])
@pytest.mark.parametrize("chunk", [7, 64, 700, CHUNK])
def test_it_holds_what_encode_pairs_makes(tmp_path, max_tokens, chunk):
    found = prepare(iter(PAIRS), TOKENIZER, tmp_path, max_tokens, chunk=chunk)
    wanted = encode_pairs(PAIRS, TOKENIZER, max_tokens)
    assert list(found) == wanted and len(found) == len(wanted)
    assert found.state.left_out == len(PAIRS) - len(wanted)
    assert found.sizes.dtype == np.int32 and found.sizes.shape == (len(wanted), 2)
    assert found.sizes.tolist() == [[len(source), len(target)] for source, target in wanted]


LINES = st.lists(
    st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]), max_size=30)] * 2), max_size=40
)


def test_a_vocabulary_of_words_will_do(tmp_path):
    words = pytest.importorskip("annotated.data.word_tokenizer")
    tokenizer = words.WordTokenizer.train(WORDS, 12)
    found = prepare(PAIRS, tokenizer, tmp_path, chunk=100)
    assert list(found) == encode_pairs(PAIRS, tokenizer)


@given(LINES, st.integers(1, 9))
@settings(deadline=None, max_examples=40)
def test_any_text_comes_back(tmp_path_factory, pairs, chunk):
    found = prepare(pairs, TOKENIZER, tmp_path_factory.mktemp("any"), chunk=chunk)
    wanted = [tuple(map(spaced, pair)) for pair in pairs]
    assert [tuple(map(TOKENIZER.decode, pair)) for pair in found] == wanted


def test_the_files_are_what_the_page_says(tmp_path):
    found = prepare(PAIRS[:3], TOKENIZER, tmp_path)
    ids = [i for pair in PAIRS[:3] for line in pair for i in TOKENIZER.encode(line)]
    assert (tmp_path / TOKENS).read_bytes() == b"".join(i.to_bytes(2, "little") for i in ids)
    sizes = [len(TOKENIZER.encode(line)) for pair in PAIRS[:3] for line in pair]
    assert (tmp_path / SIZES).read_bytes() == b"".join(n.to_bytes(4, "little") for n in sizes)
    assert found.state.tokens == len(ids)
    assert sorted(os.listdir(tmp_path)) == sorted(NAMES)


def test_a_large_vocabulary_takes_four_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(Tokenizer, "__len__", lambda self: 2**16)
    assert prepare(PAIRS, TOKENIZER, tmp_path / "2").state.dtype == "<u2"
    monkeypatch.setattr(Tokenizer, "__len__", lambda self: 2**16 + 1)
    monkeypatch.setattr(module, "encode_chunk", lambda *_: [([70_000, 3], [2**32 - 1])])
    found = prepare(PAIRS[:1], TOKENIZER, tmp_path / "4")
    assert found.state.dtype == "<u4" and found[0] == ([70_000, 3], [2**32 - 1])


def test_indices_are_those_of_a_list(folder):
    found, wanted = Prepared(folder), encode_pairs(PAIRS, TOKENIZER)
    order = random.Random(1).sample(range(-700, 700), 1400)
    assert [found[i] for i in order] == [wanted[i] for i in order]
    assert found[np.int32(5)] == found[np.int64(-695)] == wanted[5]
    for beyond in (700, -701, 10**12):
        with pytest.raises(IndexError):
            found[beyond]
    with pytest.raises(TypeError):
        found["1"]
    assert all(isinstance(i, int) for side in found[0] for i in side)


def test_batches_are_those_of_a_list(folder):
    found, wanted = Prepared(folder), encode_pairs(PAIRS, TOKENIZER)
    ours = [list(map(int, group)) for group in plan(found, 500, seed=3, epoch=2)]
    assert ours == [list(map(int, group)) for group in plan(wanted, 500, seed=3, epoch=2)]
    for a, b in zip(batches(found, 500, 3), batches(wanted, 500, 3), strict=True):
        assert all(x.equal(y) for x, y in zip(a, b, strict=True))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=100))
def test_starts_are_sums(sizes):
    starts = starts_of(np.array(sizes, "<i4"))
    sums = np.cumsum([0, *map(sum, sizes)])
    assert starts.tolist() == [*sums[: len(sizes) : module.STRIDE], sums[-1]]


@pytest.mark.parametrize(
    "pairs", [[], [("", "")], [("", "")] * 50, [("", "dog"), ("dog", "")], PAIRS[:16], PAIRS[:17]]
)
def test_few_pairs_and_empty_sentences(tmp_path, pairs):
    assert list(prepare(pairs, TOKENIZER, tmp_path)) == encode_pairs(pairs, TOKENIZER)
    assert list(prepare(pairs, TOKENIZER, tmp_path)) == encode_pairs(pairs, TOKENIZER)


def test_nothing_is_left_where_every_pair_is_too_long(tmp_path):
    found = prepare(PAIRS, TOKENIZER, tmp_path, max_tokens=1)
    assert list(found) == [] and found.state.left_out == len(PAIRS)


def test_maps_are_renewed_and_change_nothing(folder, monkeypatch):
    monkeypatch.setattr(module, "REOPEN", 3)
    assert list(Prepared(folder)) == encode_pairs(PAIRS, TOKENIZER)


def test_the_fingerprints_are_those_of_the_files(folder, tmp_path):
    TOKENIZER.save(tmp_path / "tokenizer.json")
    digest = hashlib.sha256((tmp_path / "tokenizer.json").read_bytes()).hexdigest()
    assert tokenizer_hash(TOKENIZER) == digest == Prepared(folder).state.tokenizer
    assert tokenizer_hash(Tokenizer.load(tmp_path / "tokenizer.json")) == digest
    text = "".join(f"{source}\t{target}\n" for source, target in PAIRS)
    assert Prepared(folder).state.text == hashlib.sha256(text.encode()).hexdigest()


# Interruptions


@pytest.mark.parametrize("after", [0, 1, 99, 100, 101, 399, 699, 700])
def test_ctrl_c_and_again(tmp_path, folder, after):
    stopped = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        prepare(interrupted(PAIRS, after), TOKENIZER, stopped, chunk=100)
    state = read_state(stopped)
    assert (state.read if state else 0) == after // 100 * 100
    with pytest.raises(PreparedError, match="prepare"):
        Prepared(stopped)
    prepare(PAIRS, TOKENIZER, stopped, chunk=64)
    assert contents(stopped) == contents(folder)


def test_what_is_done_is_not_encoded_again(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        prepare(interrupted(PAIRS, 650), TOKENIZER, tmp_path, chunk=100)
    encoded, original = [], module.encode_chunk

    def watched(pairs, *rest):
        encoded.extend(pairs)
        return original(pairs, *rest)

    monkeypatch.setattr(module, "encode_chunk", watched)
    prepare(PAIRS, TOKENIZER, tmp_path, chunk=100)
    assert encoded == PAIRS[600:]
    prepare(PAIRS, TOKENIZER, tmp_path, chunk=100)
    assert encoded == PAIRS[600:]


@given(st.lists(st.binary(max_size=50), min_size=2, max_size=2), st.integers(0, 699))
@settings(deadline=None, max_examples=12)
def test_whatever_stands_behind_the_record_is_cut_off(tmp_path_factory, torn, after):
    straight, stopped = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")
    prepare(PAIRS, TOKENIZER, straight)
    with pytest.raises(KeyboardInterrupt):
        prepare(interrupted(PAIRS, after), TOKENIZER, stopped, chunk=100)
    for name, rest in zip((TOKENS, SIZES), torn, strict=True):
        with open(stopped / name, "ab") as file:
            file.write(rest)
    (stopped / f"{RECORD}.part").write_bytes(torn[0])
    prepare(PAIRS, TOKENIZER, stopped)
    assert contents(stopped) == contents(straight)


def test_more_pairs_at_the_end_are_added(tmp_path, folder):
    prepare(PAIRS[:333], TOKENIZER, tmp_path / "grown")
    with pytest.raises(KeyboardInterrupt):
        prepare(interrupted(PAIRS, 500), TOKENIZER, tmp_path / "grown", chunk=100)
    with pytest.raises(PreparedError, match="up to pair 433"):
        Prepared(tmp_path / "grown")
    prepare(PAIRS, TOKENIZER, tmp_path / "grown")
    assert contents(tmp_path / "grown") == contents(folder)


def prepare_slowly(folder):
    """In a process of its own: the chunks are small, and each takes a moment."""

    def stream():
        for i, pair in enumerate(PAIRS):
            if i % 10 == 0:
                time.sleep(0.002)
            yield pair

    prepare(stream(), TOKENIZER, folder, chunk=10)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_killed_at_random_moments_it_ends_the_same(tmp_path, folder):
    killed, draw, progress = tmp_path / "killed", random.Random(7), [0]
    killed.mkdir()

    def done():
        state = read_state(killed)  # whole at every moment, or this raises
        return state.read if state else 0

    while len(progress) < 9 and progress[-1] < len(PAIRS):
        child = multiprocessing.get_context("fork").Process(target=prepare_slowly, args=[killed])
        child.start()
        while child.is_alive() and done() == progress[-1]:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.01))
        child.kill()  # SIGKILL: it can do nothing about it
        child.join()
        progress.append(done())
        assert child.exitcode == -signal.SIGKILL or progress[-1] == len(PAIRS)
    assert progress == sorted(set(progress)) and len(progress) > 2
    prepare(PAIRS, TOKENIZER, killed)
    assert contents(killed) == contents(folder)


# Refusals


def refuses(words, *arguments, **options):
    """The sentence of a refusal, which must leave the folder as it was."""
    folder = arguments[2]
    before = contents(folder)
    with pytest.raises(PreparedError, match=words) as caught:
        prepare(*arguments, **options)
    assert contents(folder) == before
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("after", [300, 700])
def test_another_vocabulary_corpus_or_length_is_refused(tmp_path, after):
    with pytest.raises(KeyboardInterrupt):
        prepare(interrupted(PAIRS, after), TOKENIZER, tmp_path, 30, chunk=100)
    other = Tokenizer.train(WORDS[:5] * 3, 280)
    refuses("vocabulary", PAIRS, other, tmp_path, 30)
    refuses("max_tokens=30, not 31", PAIRS, TOKENIZER, tmp_path, 31)
    refuses("max_tokens=30, not None", PAIRS, TOKENIZER, tmp_path)
    swapped = [(target, source) for source, target in PAIRS]
    changed = [*PAIRS[:250], ("another", "pair"), *PAIRS[251:]]
    for pairs in (
        swapped,
        changed,
        PAIRS[::-1],
        PAIRS[1:],
        PAIRS[: after - 1],
        [],
        [("\ud800", "")],
    ):
        refuses("another corpus", pairs, TOKENIZER, tmp_path, 30)
    assert len(prepare(PAIRS, TOKENIZER, tmp_path, 30)) > 0


def test_half_a_surrogate_is_refused_and_what_is_done_is_kept(tmp_path):
    with pytest.raises(TokenizerError, match="D800"):
        prepare([*PAIRS[:100], ("\ud800", "")], TOKENIZER, tmp_path, chunk=100)
    assert read_state(tmp_path).read == 100


def test_an_empty_folder_is_no_corpus(tmp_path):
    for nothing in (tmp_path, tmp_path / "missing"):
        with pytest.raises(PreparedError, match="no prepared corpus"):
            Prepared(nothing)


@given(st.sampled_from(NAMES), st.floats(0, 1, exclude_max=True), st.booleans())
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_cut_file_is_refused(folder, name, share, grow):
    whole = (folder / name).read_bytes()
    wanted = [whole + b"\0"] if grow else [whole[: int(share * len(whole))], None]
    try:
        for data in wanted:
            (folder / name).unlink(missing_ok=True)
            if data is not None:
                (folder / name).write_bytes(data)
            with pytest.raises(PreparedError, match="damaged|no prepared corpus"):
                Prepared(folder)
            if name != RECORD and not grow:
                with pytest.raises(PreparedError, match="damaged"):
                    prepare(PAIRS, TOKENIZER, folder)
    finally:
        (folder / name).write_bytes(whole)
    assert len(Prepared(folder)) == len(PAIRS)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[]", "null", "7", '"x"', "[1, 2]", "{", "\xff"),
        *('{"tokenizer": 1}', '{"a": 1}'),
    ],
)
def test_a_damaged_record_is_refused(folder, text):
    (folder / RECORD).write_bytes(text.encode("latin-1"))
    for act in (lambda: Prepared(folder), lambda: prepare(PAIRS, TOKENIZER, folder)):
        with pytest.raises(PreparedError, match="damaged"):
            act()


@pytest.mark.parametrize(
    "field, value",
    [
        *(
            ("left_out", "7"),
            ("left_out", -701),
            ("kept", -1),
            ("kept", "7"),
            ("kept", 1e3),
            ("kept", None),
            ("kept", 699),
        ),
        *(("tokens", 1), ("dtype", "x"), ("dtype", None), ("dtype", "<f8"), ("dtype", "<u4")),
    ],
)
def test_a_record_that_does_not_fit_the_files_is_refused(folder, field, value):
    record = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps(record | {field: value}))
    with pytest.raises(PreparedError, match="damaged"):
        Prepared(folder)


@pytest.mark.parametrize("name", [TOKENS, SIZES])
def test_a_cut_file_of_an_unfinished_folder_is_refused_before_more_is_written(tmp_path, name):
    with pytest.raises(KeyboardInterrupt):
        prepare(interrupted(PAIRS, 300), TOKENIZER, tmp_path, chunk=100)
    os.truncate(tmp_path / name, (tmp_path / name).stat().st_size - 1)
    refuses("damaged", PAIRS, TOKENIZER, tmp_path)


def test_sizes_that_do_not_add_up_are_refused(folder):
    data = bytearray((folder / SIZES).read_bytes())
    data[0] += 1
    (folder / SIZES).write_bytes(data)
    with pytest.raises(PreparedError, match="damaged"):
        Prepared(folder)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("name", [TOKENS, SIZES])
def test_a_full_disk_is_said_in_a_sentence(tmp_path, name, folder):
    """Writing to /dev/full fails as writing to a full disk does."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / name).symlink_to("/dev/full")
    with pytest.raises(PreparedError, match="full: .* prepare again") as caught:
        prepare(PAIRS, TOKENIZER, tmp_path / "full", chunk=100)
    assert str(tmp_path) in str(caught.value)
    (tmp_path / "full" / name).unlink()  # somebody makes room
    prepare(PAIRS, TOKENIZER, tmp_path / "full", chunk=100)
    assert contents(tmp_path / "full") == contents(folder)


def test_a_disk_that_fills_up_later_keeps_what_is_done(tmp_path, folder, monkeypatch):
    calls, original = [], module.write_state

    def failing(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(*arguments)

    monkeypatch.setattr(module, "write_state", failing)
    with pytest.raises(PreparedError, match="full"):
        prepare(PAIRS, TOKENIZER, tmp_path / "full", chunk=100)
    assert read_state(tmp_path / "full").read == 300
    prepare(PAIRS, TOKENIZER, tmp_path / "full", chunk=100)
    assert contents(tmp_path / "full") == contents(folder)


def test_other_errors_of_the_disk_and_of_the_stream_pass(tmp_path, monkeypatch):
    def broken(error):
        yield from PAIRS[:250]
        raise error

    for error in (OSError(errno.EIO, "Input/output error"), ValueError("line 251 is damaged")):
        with pytest.raises(type(error), match=str(error.args[-1])):
            prepare(broken(error), TOKENIZER, tmp_path, chunk=100)
        assert read_state(tmp_path).read == 200


def test_two_at_once_are_refused(tmp_path, folder):
    def nested():
        yield from PAIRS[:150]
        with pytest.raises(Busy, match="another process"):
            prepare(PAIRS, TOKENIZER, tmp_path / "one")
        yield from PAIRS[150:]

    prepare(nested(), TOKENIZER, tmp_path / "one", chunk=100)
    assert contents(tmp_path / "one") == contents(folder)


def test_progress_goes_to_standard_error(tmp_path, capfd):
    prepare(PAIRS, TOKENIZER, tmp_path, total=len(PAIRS))
    out, err = capfd.readouterr()
    assert out == ""


# sample


def test_a_sample_gives_each_pair_the_same_chance():
    stream, rounds = [(str(i), "") for i in range(10)], 4000
    seen = Counter(pair for seed in range(rounds) for pair in sample(iter(stream), 3, seed))
    assert set(seen) == set(stream)
    spread = (rounds * 0.3 * 0.7) ** 0.5
    assert all(abs(count - rounds * 0.3) < 5 * spread for count in seen.values())


def test_a_sample_repeats_and_has_no_pair_twice():
    chosen = sample(PAIRS, 50, seed=4)
    assert chosen == sample(iter(PAIRS), 50, seed=4) != sample(PAIRS, 50, seed=5)
    assert len(set(chosen)) == 50 and set(chosen) <= set(PAIRS)


def test_a_sample_of_few_pairs_is_all_of_them():
    assert sample(PAIRS[:3], 9) == PAIRS[:3] and sample([], 9) == [] == sample(PAIRS, 0)


def test_a_vocabulary_of_a_list_is_of_all_its_lines_and_of_a_stream_of_a_sample(monkeypatch):
    pairs = [(f"the  dog {i}", f"der Hund {i}") for i in range(50)]
    lines = [" ".join(line.split()) for pair in pairs for line in pair]
    whole = Tokenizer.train(lines, 300)
    for some in (pairs, iter(pairs)):
        assert tokenizer_hash(learn_vocabulary(some, 300)) == tokenizer_hash(whole)
    monkeypatch.setattr(module, "SAMPLE", 1)
    one = learn_vocabulary(iter(pairs), 300)
    assert len(one) < len(whole) == len(learn_vocabulary(pairs, 300))
    assert learn_vocabulary(pairs, 300, lowercase=True).encode("DOG") == whole.encode("dog")


def test_a_finished_folder_is_known_by_its_vocabulary_and_copied_whole(tmp_path):
    pairs, place, there = [("a dog", "ein Hund")] * 9, tmp_path / "here", tmp_path / "there"
    tokenizer, other = (Tokenizer.train(["a dog"] * 3, n) for n in (262, 261))
    assert not is_prepared(place, tokenizer)
    prepare(pairs, tokenizer, place)
    assert is_prepared(place, tokenizer) and not is_prepared(place, other)
    (tmp_path / ".there.part").mkdir()  # of a copy that was killed
    for _ in range(2):
        assert copied(place, there) == there and list(Prepared(there)) == list(Prepared(place))
    assert sorted(tmp_path.iterdir()) == [place, there]
    prepare([*pairs, *pairs], tokenizer, tmp_path / "more")
    assert len(Prepared(copied(tmp_path / "more", there))) == 18
