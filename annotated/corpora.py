# Tangled from chapters/5-1-data.md: change it there, then run `make tangle`.
"""Parallel corpora: pairs of sentences that mean the same in two languages (Section 5.1)."""

import gzip
import os
import sys
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pooch

from annotated import toy

Splits = dict[str, list[tuple[str, str]]]  # the name of a split: its (source, target) sentences


class CorpusError(ValueError):
    """A corpus that cannot be had: one sentence that names the file and what to do."""


@dataclass(frozen=True)
class Corpus:
    """Sentence pairs in named splits, as (source, target) strings.

    Every corpus has the splits "train" and "validation"; the names of the others start with "test".
    """

    name: str
    source: str  # language code of the source side: "en"
    target: str
    splits: Splits


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file, gzipped where its name ends in .gz, white space stripped.

    Only "\\n" ends a line: `str.splitlines` would also split at U+0085, U+2028 and others, on one
    side only, and move every later sentence away from its translation.
    Raises CorpusError where the file is missing, damaged or not UTF-8.
    """
    data = b""
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        lines = data.decode("utf-8").removesuffix("\n").split("\n")
    except FileNotFoundError:
        raise CorpusError(f"{path} is missing: put the file there") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CorpusError(f"{path} is not UTF-8 in line {line}: convert it to UTF-8") from None
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(f"{path} cannot be read ({error}): replace it by a whole copy") from None
    return [line.strip() for line in lines]


def read_pairs(source: Path, target: Path) -> list[tuple[str, str]]:
    """Line i of one file with line i of the other.

    Raises CorpusError where the files have no text or different numbers of lines.
    """
    left, right = read_lines(source), read_lines(target)
    if len(left) != len(right):
        raise CorpusError(
            f"{source} has {len(left)} lines and {target} has {len(right)}: "
            "line i of one must translate line i of the other"
        )
    if not any(left) or not any(right):
        raise CorpusError(f"{source} and {target} hold no sentences: fill both")
    return list(zip(left, right, strict=True))


@dataclass(frozen=True)
class Remote:
    """Files that are published together."""

    folder: str  # their folder under ANNOTATED_DATA and in the cache
    url: str  # ends in a slash; a file's name follows
    terms: str  # shown before anything is downloaded
    files: dict[str, str]  # the name of each file and its SHA-256


def is_whole(path: Path, sha256: str) -> bool:
    """Whether the file is there and holds exactly the bytes of that SHA-256."""
    return path.is_file() and pooch.file_hash(str(path)) == sha256


def local(remote: Remote, name: str) -> Path | None:
    """The file under the folder that ANNOTATED_DATA names; None where there is none.

    Raises CorpusError where the folder does not exist or the file is not the one we know.
    """
    folder = os.environ.get("ANNOTATED_DATA")
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise CorpusError(f"ANNOTATED_DATA names {folder}, which is no folder: mend or unset it")
    path = Path(folder) / remote.folder / name
    if not path.exists():
        return None
    if not is_whole(path, remote.files[name]):
        raise CorpusError(
            f"{path} is damaged or another version (its SHA-256 differs): "
            f"replace it by {remote.url}{name} or delete it"
        )
    return path


def fetch(remote: Remote, names: Iterable[str]) -> list[Path]:
    """The paths of files on this machine: under ANNOTATED_DATA, in the cache, else downloaded.

    Terms of use and progress go to standard error. Raises CorpusError.
    """
    cache = Path(pooch.os_cache("annotated")) / remote.folder
    paths = {name: local(remote, name) or cache / name for name in names}
    missing = [name for name, path in paths.items() if not is_whole(path, remote.files[name])]
    if missing:
        print(f"Downloading {', '.join(missing)} to {cache}.", file=sys.stderr)
        print(remote.terms, file=sys.stderr)
    for name in missing:
        download(remote, name, cache)
    return list(paths.values())


def download(remote: Remote, name: str, cache: Path) -> None:
    """Put one file into the cache, whole or not at all, with three attempts and a progress bar."""
    bar = pooch.HTTPDownloader(progressbar=True, timeout=30)
    try:
        (cache / name).unlink(missing_ok=True)  # whatever is there failed its check
        store = pooch.create(cache, remote.url, registry=remote.files, retry_if_failed=2)
        store.fetch(name, downloader=bar)
    except (OSError, ValueError) as error:
        raise CorpusError(
            f"{remote.url}{name} could not be downloaded to {cache} ({reason(error)}): try again "
            f"later, or put the file into {remote.folder}/ in a folder that ANNOTATED_DATA names"
        ) from None


def reason(error: Exception) -> str:
    """In a few words, why a download failed."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server answered {response.status_code}"
    if isinstance(error, PermissionError):
        return "the folder cannot be written"
    if isinstance(error, ValueError):
        return "what arrived has the wrong SHA-256"
    return getattr(error, "strerror", None) or "the connection failed"


SUMS = """
d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f  train.en.gz
726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6  train.de.gz
622e75069e9f4c577425c4f277116ce66e63a2401c0a2312d90073cb12379a3c  train.fr.gz
14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28  val.en.gz
f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a  val.de.gz
ca3106f1a72390591d25f6c45cb4cd39dec4cd3f123e099748a3ce5256c160e9  val.fr.gz
611d361c6334bc7246101d48097c13cf5c4413c5befc793cc629934359d532d9  test_2016_flickr.en.gz
9204244e408ccb38d2a55cfcd344df15005fc42a07a6e55ca6c52b6ababb8cc8  test_2016_flickr.de.gz
6d326e188d259fb1d04ac19eae3af956559b3a0b93d7635e56c90987c40c8b90  test_2016_flickr.fr.gz
76a444ee25172e72695cddb13ae4a3bda59430617be88e0bb46b60504f054074  test_2017_flickr.en.gz
a2c89666db00c495cd8513b9d708d5a3acc205d7de312ef2bf5fb7ebc1540aee  test_2017_flickr.de.gz
3ba671ceb2299f3304ffafefea7a833d08632fbaf0ba18546f8a2ec2391af496  test_2017_flickr.fr.gz
aab300bfb4427697987e02cd0aacd44bfe8aa50456231b6474c08038bbed2b58  test_2017_mscoco.en.gz
799e4854c25d601cb6cb6be29eabe5667734c61ace2f495e03e429031a0bc338  test_2017_mscoco.de.gz
754f3072ba9f124569ba5258b32730fc1d214bbf8e0c6dfb2b74401676220db0  test_2017_mscoco.fr.gz
"""  # as sha256sum prints them

MULTI30K = Remote(
    folder="multi30k",
    url="https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/",
    terms="Multi30k describes images of Flickr30K. It is for non-commercial research and teaching; "
    "use of the images is bound by Flickr's terms. https://github.com/multi30k/dataset",
    files={name: sha256 for sha256, name in map(str.split, SUMS.strip().split("\n"))},
)


def multi30k_splits(source: str, target: str) -> Splits:
    """The five splits of Multi30k; downloads them where they are not at hand."""
    files = {"train": "train", "validation": "val"}
    for test in ("test_2016_flickr", "test_2017_flickr", "test_2017_mscoco"):
        files[test] = test
    names = [f"{file}.{side}.gz" for file in files.values() for side in (source, target)]
    paths = fetch(MULTI30K, names)
    sides = zip(paths[0::2], paths[1::2], strict=True)
    return {split: read_pairs(*both) for split, both in zip(files, sides, strict=True)}


def toy_splits(source: str, target: str) -> Splits:
    """The five splits of the toy language: generated, so nothing is read or downloaded."""
    return {
        split: [(pair.english, pair.german) for pair in pairs]
        for split, pairs in toy.splits().items()
    }


CORPORA: dict[str, tuple[tuple[str, ...], Callable[[str, str], Splits]]] = {
    "toy": (("en-de",), toy_splits),
    "multi30k": (("en-de", "en-fr"), multi30k_splits),
}


def load(name: str = "toy", pair: str = "en-de") -> Corpus:
    """A corpus by its name, with its languages as "source-target".

    Raises CorpusError where the name or the pair is unknown or a file cannot be had.
    """
    if name not in CORPORA:
        raise CorpusError(f"there is no corpus {name!r}: choose one of {', '.join(CORPORA)}")
    pairs, splits = CORPORA[name]
    if pair not in pairs:
        raise CorpusError(f"{name} has no pair {pair!r}: choose one of {', '.join(pairs)}")
    source, target = pair.split("-")
    return Corpus(name, source, target, splits(source, target))
