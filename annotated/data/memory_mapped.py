# Tangled from chapters/reference/large-corpora.md: change it there, then run `make tangle`.
"""Millions of pairs: encoded once, into files that training maps instead of loading (5.1)."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice
from operator import index as as_int
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import IO, Any

import numpy as np
from tqdm import tqdm

from annotated.data.batching import Encoded, longer_side
from annotated.data.tokenizer import Tokenizer, checked, spaced
from annotated.files import alone, put, write

TOKENS, SIZES, RECORD = "tokens.bin", "sizes.bin", "prepared.json"


class PreparedError(ValueError):
    """A folder that cannot be used: one sentence that says what to do."""


@dataclass
class State:
    """What prepared.json holds: what the files are made from and how far they go."""

    tokenizer: str  # SHA-256 of the vocabulary's file
    dtype: str  # of a token: "<u2" or "<u4", unsigned, 2 or 4 bytes, the lowest first
    max_tokens: int | None  # longer pairs are left out
    text: str = hashlib.sha256().hexdigest()  # SHA-256 of all pairs that were read
    kept: int = 0  # pairs in the files
    left_out: int = 0  # pairs that were too long
    tokens: int = 0  # source and target together
    finished: bool = False  # whether the stream has come to its end

    @property
    def read(self) -> int:
        """The pairs that were taken from the stream."""
        return self.kept + self.left_out

    def lengths(self) -> dict[str, int]:
        """The bytes that each file must have."""
        return {TOKENS: self.tokens * np.dtype(self.dtype).itemsize, SIZES: self.kept * 8}


def tokenizer_hash(tokenizer: Tokenizer) -> str:
    """The SHA-256 of the file that `tokenizer.save` writes."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "tokenizer.json")
        tokenizer.save(path)
        return hashlib.sha256(path.read_bytes()).hexdigest()


def damaged(folder: Path) -> PreparedError:
    """The error of files that are not what the record says, or of a record that says nothing."""
    return PreparedError(f"{folder} is damaged: remove it and prepare the corpus again")


def read_state(folder: Path) -> State | None:
    """What the folder's record says, None where there is none; PreparedError where damaged."""
    try:
        state = State(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
        numbers = [state.read, *state.lengths().values()]
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise damaged(folder) from None
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise damaged(folder)
    return state


def write_state(folder: Path, state: State) -> None:
    """Put a new record in place of the old one, whole or not at all."""
    write(folder / RECORD, json.dumps(asdict(state), indent=1))


def cut_back(folder: Path, state: State) -> None:
    """Take off what the record does not count. PreparedError where less is there than it counts."""
    for name, length in state.lengths().items():
        path = folder / name
        found = path.stat().st_size if path.exists() else 0
        if found < length:
            raise damaged(folder)
        if found > length:
            os.truncate(path, length)


def encode_chunk(
    pairs: Sequence[tuple[str, str]], tokenizer: Tokenizer, max_tokens: int | None
) -> list[Encoded]:
    """What `encode_pairs` makes of the pairs, faster: the library has all lines at once."""
    lines = [checked(spaced(line)) for pair in pairs for line in pair]
    if hasattr(tokenizer, "bpe"):
        ids = [encoding.ids for encoding in tokenizer.bpe.encode_batch(lines)]
    else:  # a vocabulary of words
        ids = [tokenizer.encode(line) for line in lines]
    encoded = zip(ids[0::2], ids[1::2], strict=True)
    return [pair for pair in encoded if max_tokens is None or longer_side(pair) <= max_tokens]


def append(files: Sequence[IO[bytes]], encoded: Sequence[Encoded], dtype: str) -> int:
    """Write the pairs behind what is there, in the order tokens, sizes; how many tokens it was."""
    tokens = np.fromiter(chain.from_iterable(chain.from_iterable(encoded)), dtype)
    sizes = np.array([(len(source), len(target)) for source, target in encoded], "<i4")
    for file, array in zip(files, (tokens, sizes), strict=True):
        file.write(array.tobytes())
        file.flush()
        os.fsync(file.fileno())
    return tokens.size


CHUNK = 8192  # pairs between two records: a second of work


def chunks(pairs: Iterator[tuple[str, str]], size: int, end: int | None = None) -> Iterator[Any]:
    """The pairs in lists of `size`, as long as there are any, or `end` of them."""
    pairs = islice(pairs, end)
    while chunk := list(islice(pairs, size)):
        yield chunk


def feed(digest: Any, pairs: Iterable[tuple[str, str]]) -> None:
    """Let a SHA-256 read pairs: source, a tab, target, a newline."""
    text = "".join(f"{source}\t{target}\n" for source, target in pairs)
    digest.update(text.encode("utf-8", "surrogatepass"))


def begin(folder: Path, tokenizer: Tokenizer, max_tokens: int | None) -> State:
    """The state to go on from; a new one in an empty folder.

    Raises PreparedError where the folder was made with another vocabulary or another max_tokens.
    """
    dtype = "<u2" if len(tokenizer) <= 2**16 else "<u4"
    new = State(tokenizer_hash(tokenizer), dtype, max_tokens)
    state = read_state(folder) or new
    if state.tokenizer != new.tokenizer:
        raise PreparedError(f"{folder} was made with another vocabulary: choose another folder")
    if state.max_tokens != max_tokens:
        raise PreparedError(
            f"{folder} was made with max_tokens={state.max_tokens}, not {max_tokens}: choose "
            "another folder"
        )
    return state


def prepare(
    pairs: Iterable[tuple[str, str]],
    tokenizer: Tokenizer,
    folder: str | os.PathLike[str],
    max_tokens: int | None = None,
    *,
    total: int | None = None,
    chunk: int = CHUNK,
) -> "Prepared":
    """Encode a stream of (source, target) sentences into a folder, or go on where it was left.

    A pair with a side of more than `max_tokens` positions (EOS counts) is left out; None keeps all.
    Call it again after an interruption, with the same pairs: the folder ends up the same, byte for
    byte. In memory there is one chunk at a time. Progress goes to standard error; `total`, where
    known, is the number of pairs.
    Raises PreparedError where the folder belongs to another corpus, vocabulary or max_tokens,
    where it is damaged, and where the disk is full; files.Busy where another process prepares it.
    """
    folder = Path(folder)
    with alone(folder), tqdm(total=total, unit=" pairs", unit_scale=True, disable=None) as bar:
        state = begin(folder, tokenizer, max_tokens)
        cut_back(folder, state)
        stream, digest = iter(pairs), hashlib.sha256()
        for part in chunks(stream, chunk, end=state.read):
            feed(digest, part)
            bar.update(len(part))
        if digest.hexdigest() != state.text:
            raise PreparedError(f"{folder} was made from another corpus: choose another folder")
        try:
            go_on(chunks(stream, chunk), tokenizer, folder, state, digest, bar)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise PreparedError(
                f"the disk of {folder} is full: what is done is kept, make room and prepare again"
            ) from None
    return Prepared(folder)


def go_on(
    parts: Iterable[Sequence[tuple[str, str]]],
    tokenizer: Tokenizer,
    folder: Path,
    state: State,
    digest: Any,
    bar: tqdm,
) -> None:
    """Encode the chunks that are left; after each, the state is brought up to date and recorded."""
    with open(folder / TOKENS, "ab") as tokens, open(folder / SIZES, "ab") as sizes:
        for part in parts:
            encoded = encode_chunk(part, tokenizer, state.max_tokens)
            written = append((tokens, sizes), encoded, state.dtype)
            feed(digest, part)
            state.finished = False
            state.tokens += written
            state.kept += len(encoded)
            state.left_out += len(part) - len(encoded)
            state.text = digest.hexdigest()
            write_state(folder, state)
            bar.update(len(part))
    if not state.finished:
        state.finished = True
        write_state(folder, state)


STRIDE = 16  # pairs between two sums that are kept


def starts_of(sizes: np.ndarray) -> np.ndarray:
    """Sizes (pairs, 2) -> the tokens before pair 0, 16, 32 ... and, at last, those of all pairs."""
    edges = np.arange(0, sizes.size, 2 * STRIDE)
    groups = np.add.reduceat(sizes.reshape(-1), edges, dtype=np.int32)  # 64 bits would copy sizes
    return np.concatenate([[0], np.cumsum(groups, dtype=np.int64)])  # (pairs / 16 + 1,)


def mapped(path: Path, dtype: str) -> np.ndarray:
    """A file as an array whose parts are read when somebody looks at them."""
    if path.stat().st_size == 0:  # nothing cannot be mapped
        return np.empty(0, dtype)
    return np.asarray(np.memmap(path, dtype, mode="r"))


REOPEN = 1024  # pairs that are read through one map


class Prepared(Sequence[Encoded]):
    """The encoded pairs in a folder that `prepare` has finished, in their order.

    Like the list that `encode_pairs` makes, but each pair is read when it is asked for. `sizes`
    (pairs, 2) int32 has the lengths of all sources and targets, without special ids.
    Raises PreparedError where the folder is empty, unfinished or damaged.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        state = read_state(self.folder)
        if state is None:
            raise PreparedError(f"{folder} holds no prepared corpus: prepare one there")
        if not state.finished:
            raise PreparedError(
                f"{folder} is prepared up to pair {state.read:,}: prepare again, it goes on there"
            )
        for name, length in state.lengths().items():
            path = self.folder / name
            if not path.exists() or path.stat().st_size != length:
                raise damaged(self.folder)
        self.state = state
        self.sizes = mapped(self.folder / SIZES, "<i4").reshape(-1, 2)  # (pairs, 2)
        self._starts = starts_of(self.sizes)
        if self._starts[-1] != state.tokens:
            raise damaged(self.folder)
        self._reads = 0

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: Any) -> Any:
        """Pair number `index` as two lists of ids; IndexError beyond the ends."""
        i = range(len(self))[as_int(index)]  # from the end where it is negative
        if self._reads % REOPEN == 0:
            self._tokens = mapped(self.folder / TOKENS, self.state.dtype)
        self._reads += 1
        first = i - i % STRIDE
        *before, source, target = self.sizes[first : i + 1].ravel().tolist()
        start = int(self._starts[i // STRIDE]) + sum(before)
        ids = self._tokens[start : start + source + target].tolist()
        return ids[:source], ids[source:]


def is_prepared(folder: Path, tokenizer: Tokenizer) -> bool:
    """Whether the folder is finished, by this vocabulary."""
    state = read_state(folder)
    return bool(state and state.finished and state.tokenizer == tokenizer_hash(tokenizer))


def copied(folder: Path, there: Path) -> Path:
    """A finished folder in another place, where it is copied to unless it is there."""
    if read_state(there) != read_state(folder):
        part = there.with_name(f".{there.name}.part")
        for old in (part, there):
            shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(folder, part)
        put(part, there)
    return there


def sample(pairs: Iterable[tuple[str, str]], count: int, seed: int = 0) -> list[tuple[str, str]]:
    """`count` pairs of a stream, or all where it has fewer, each with the same chance.

    Reads the whole stream; in memory are the chosen ones. The same seed chooses the same pairs.
    """
    draw, chosen = Random(seed), []
    for i, pair in enumerate(pairs):
        if i < count:
            chosen.append(pair)
        elif (place := int(draw.random() * (i + 1))) < count:
            chosen[place] = pair
    return chosen


SAMPLE = 500_000  # pairs of a stream: enough for a vocabulary


def learn_vocabulary(
    pairs: Iterable[tuple[str, str]], vocab_size: int, lowercase: bool = False
) -> Tokenizer:
    """A vocabulary of both sides; of a stream, which is no list, it is learned from a sample."""
    chosen = pairs if isinstance(pairs, list) else sample(pairs, SAMPLE)
    lines = (spaced(line) for pair in chosen for line in pair)
    return Tokenizer.train(lines, vocab_size, lowercase=lowercase)
