# Tangled from chapters/reference/corpora.md: change it there, then run `make tangle`.
"""Parallel corpora: pairs of sentences that mean the same in two languages (Section 5.1)."""

import gzip
import hashlib
import itertools
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pooch

from annotated.data import toy
from annotated.files import make, permit, put

Splits = dict[str, Any]  # the name of a split: its (source, target) sentences, a list or PairFiles


class CorpusError(ValueError):
    """A corpus that cannot be had: one sentence that names the file and what to do."""


@dataclass(frozen=True)
class Corpus:
    """Sentence pairs in named splits, as (source, target) strings.

    Every corpus has the splits "train" and "validation"; the names of the others start with "test".
    A split is a list; "train" may also be `PairFiles`, which can be iterated and no more.
    """

    name: str
    source: str  # language code of the source side: "en"
    target: str
    splits: Splits

    @property
    def pair(self) -> str:
        """Both languages: "en-de"."""
        return f"{self.source}-{self.target}"

    def lists(self) -> Splits:
        """The splits that are lists."""
        return {name: pairs for name, pairs in self.splits.items() if isinstance(pairs, list)}

    def tests(self) -> list[str]:
        """The names of the test sets."""
        return [name for name in self.splits if name.startswith("test")]


def forbidden(path: Path) -> CorpusError:
    """The error of a file that is there and not for us."""
    return CorpusError(f"{path} cannot be read: permission denied; ask its owner for it")


def stream_lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 text file, gzipped where its name ends in .gz, white space stripped.

    Only "\n" ends a line: `str.splitlines` would also split at U+0085, U+2028 and others, on one
    side only, and move every later sentence away from its translation. A byte order mark is no
    text. Raises CorpusError where the file is missing, not ours to read, damaged or not UTF-8.
    """
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            for line in file:
                number += 1
                yield line.decode("utf-8-sig").strip()
    except FileNotFoundError:
        raise CorpusError(f"{path} is missing: put the file there") from None
    except UnicodeDecodeError:
        raise CorpusError(f"{path} is not UTF-8 in line {number}: convert it to UTF-8") from None
    except PermissionError:
        raise forbidden(path) from None
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(f"{path} cannot be read ({error}): replace it by a whole copy") from None


def read_lines(path: Path) -> list[str]:
    """The same as a list."""
    return list(stream_lines(path))


def stream_pairs(source: Path, target: Path) -> Iterator[tuple[str, str]]:
    """Line i of one file with line i of the other, a pair at a time.

    Raises CorpusError where the files have different numbers of lines, when the shorter one ends.
    """
    left, right = stream_lines(source), stream_lines(target)
    for count, (a, b) in enumerate(itertools.zip_longest(left, right)):
        if a is None or b is None:
            longer, shorter = (source, target) if b is None else (target, source)
            rest = 1 + sum(1 for side in (left, right) for _ in side)
            raise CorpusError(
                f"{longer} has {count + rest} lines and {shorter} has {count}: "
                "line i of one must translate line i of the other"
            )
        yield a, b


def read_pairs(source: Path, target: Path) -> list[tuple[str, str]]:
    """The same as a list. Raises CorpusError also where no line of a file holds any text."""
    pairs = list(stream_pairs(source, target))
    if not (any(left for left, _ in pairs) and any(right for _, right in pairs)):
        raise CorpusError(f"{source} and {target} hold no sentences: fill both")
    return pairs


@dataclass(frozen=True)
class Remote:
    """Files that are published together."""

    folder: str  # their folder under ANNOTATED_DATA and in the cache
    url: str  # ends in a slash; a file's name follows
    terms: str  # shown before anything is downloaded
    files: Mapping[str, str | None]  # each file's name and SHA-256; None where it is not known

    @property
    def cache(self) -> Path:
        """Where downloaded files are kept."""
        return Path(pooch.os_cache("annotated")) / self.folder


def named(sums: str) -> dict[str, str | None]:
    """File names and their SHA-256, from lines as the program sha256sum prints them."""
    return {name: sha256 for sha256, name in map(str.split, sums.strip().split("\n"))}


def is_whole(path: Path, sha256: str | None, unzip: bool = False) -> bool:
    """Whether the file is there and what it holds, or what it unzips to, has that SHA-256.

    Where that is not known (None), any file will do. Raises CorpusError where it may not be read.
    """
    if sha256 is None or not path.is_file():
        return path.is_file()
    try:
        with gzip.open(path) if unzip else open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256  # type: ignore
    except PermissionError:
        raise forbidden(path) from None
    except (OSError, EOFError, zlib.error):
        return False


def local(remote: Remote, name: str) -> Path | None:
    """The file under the folder that ANNOTATED_DATA names; None where there is none.

    Raises CorpusError where the folder does not exist or the file is not the one we know.
    """
    folder = os.environ.get("ANNOTATED_DATA")
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise CorpusError(f"ANNOTATED_DATA names {folder}, which is no folder: mend or unset it")
    plain = Path(folder) / remote.folder / name
    packed = Path(f"{plain}.gz")  # a copy of a text may be gzipped
    path = packed if packed.exists() else plain
    if not path.exists():
        return None
    if not is_whole(path, remote.files[name], unzip=path is packed):
        raise CorpusError(
            f"{path} is damaged or another version (its SHA-256 differs): "
            f"delete it, and what is published at {remote.url} is taken instead"
        )
    return path


def fetch(remote: Remote, names: Iterable[str]) -> list[Path]:
    """The paths of files on this machine: under ANNOTATED_DATA, in the cache, else downloaded.

    Terms of use and progress go to standard error. Raises CorpusError.
    """
    found = {name: local(remote, name) for name in names}
    wanted = [name for name, path in found.items() if path is None]
    missing = [name for name in wanted if not is_whole(remote.cache / name, remote.files[name])]
    if missing:
        print(f"Downloading {', '.join(missing)} to {remote.cache}.", file=sys.stderr)
        print(remote.terms, file=sys.stderr)
    for name in missing:
        download(remote, name)
    return [path or remote.cache / name for name, path in found.items()]


def download(remote: Remote, name: str) -> None:
    """Put one file into the cache, whole or not at all, with three attempts and a progress bar."""
    cache, agent = remote.cache, {"User-Agent": "annotated"}  # some refuse a library's name
    bar = pooch.HTTPDownloader(progressbar=True, timeout=30, headers=agent)
    try:
        make((cache / name).parent)
        store = pooch.create(cache, remote.url, registry=dict(remote.files), retry_if_failed=2)
        store.fetch(name, downloader=bar)  # unless another process has been faster
        permit(cache / name)
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


MULTI30K_SUMS = """
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
"""

MULTI30K = Remote(
    folder="multi30k",
    url="https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/",
    terms="Multi30k describes images of Flickr30K. It is for non-commercial research and teaching; "
    "use of the images is bound by Flickr's terms. https://github.com/multi30k/dataset",
    files=named(MULTI30K_SUMS),
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


TATOEBA_SUMS = """
b7688f84f99fa33c17397c14d8bd9cef1fdeb2ee0bf50074767023aee8926e28  deu-eng-2018-05-13.zip
161c93f18da3a7e6df611ed961426613260de8af06ccf8c79c977afe5135ac44  fra-eng-2019-04-08.zip
"""

TATOEBA = Remote(
    folder="tatoeba",
    url="https://www.manythings.org/anki/",
    terms="Sentence pairs of Tatoeba, under CC-BY 2.0 FR: attribute them to tatoeba.org and "
    "manythings.org/anki. The files change from time to time and are not pinned.",
    files={"deu-eng.zip": None, "fra-eng.zip": None} | named(TATOEBA_SUMS),
)


def bucket(sentence: str, buckets: int) -> int:
    """A number from 0 up to `buckets` that depends on nothing but the sentence."""
    return int(hashlib.sha256(sentence.encode("utf-8")).hexdigest(), 16) % buckets


def tatoeba_splits(source: str, target: str) -> Splits:
    """Three splits, by the English sentence: one of its buckets validates, one tests."""
    code = {"de": "deu", "fr": "fra"}[target]
    [dated] = [name for name in TATOEBA.files if name.startswith(f"{code}-eng-")]
    path = local(TATOEBA, dated) or fetch(TATOEBA, [f"{code}-eng.zip"])[0]
    splits: Splits = {"train": [], "validation": [], "test": []}
    for pair in read_tatoeba(path, f"{code}.txt"):
        split = {0: "validation", 1: "test"}.get(bucket(pair[0], 100), "train")
        splits[split].append(pair)
    return splits


def read_tatoeba(path: Path, name: str) -> list[tuple[str, str]]:
    """The pairs in a zip file: a line has an English sentence, a tab, its translation, maybe more.

    Raises CorpusError where the file is damaged or of another kind.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            [member] = [each for each in archive.namelist() if each.split("/")[-1] == name]
            text = archive.read(member).decode("utf-8-sig")
        lines = [line.split("\t") for line in text.removesuffix("\n").split("\n")]
        return [(line[0].strip(), line[1].strip()) for line in lines]
    except (OSError, ValueError, IndexError, zipfile.BadZipFile, zlib.error) as error:
        raise CorpusError(
            f"{path} is damaged or holds no {name} of tab-separated pairs ({error}): delete it, "
            "and it is downloaded again"
        ) from None


@dataclass(frozen=True)
class PairFiles:
    """Sentence pairs out of pairs of files, which are read anew each time they are iterated.

    A pair with an empty side teaches nothing and is left out. Where `held_out` is given, so is
    every pair whose source sentence is in bucket 0 of that many (see `bucket`).
    Raises CorpusError, in the midst of it, where `stream_pairs` does.
    """

    files: Iterable[tuple[Path, Path]]  # source and target; iterated each time, too
    held_out: int | None = None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for source, target in self.files:
            for pair in stream_pairs(source, target):
                if all(pair) and not (self.held_out and bucket(pair[0], self.held_out) == 0):
                    yield pair


@dataclass(frozen=True)
class Archives:
    """The two sides of parallel archives, as files: fetched and unpacked when iterated."""

    remote: Remote
    members: Mapping[str, str]  # an archive and the name of a side in it, with {} for the language
    source: str
    target: str

    def __iter__(self) -> Iterator[tuple[Path, Path]]:
        for archive, member in self.members.items():
            sides = [member.format(side) for side in (self.source, self.target)]
            yield unpack(self.remote, archive, sides)


def unpack(remote: Remote, archive: str, sides: list[str]) -> tuple[Path, Path]:
    """Two members of an archive as files in the cache; both whole and of one length, or none.

    Raises CorpusError where the archive cannot be had, is damaged, or has no such members.
    """
    source, target = (remote.cache / side for side in sides)
    if source.exists() and target.exists():
        return source, target
    [path] = fetch(remote, [archive])
    print(f"Unpacking {path} into {remote.cache}.", file=sys.stderr)
    make(remote.cache)
    with tempfile.TemporaryDirectory(dir=remote.cache) as folder:  # is gone if anything fails
        parts = extract(path, sides, Path(folder))
        for _ in stream_pairs(*parts):
            pass  # CorpusError where the sides differ in length or are not UTF-8
        for part, side in zip(parts, (source, target), strict=True):
            make(side.parent)
            put(part, side)
    return source, target


def extract(archive: Path, names: list[str], folder: Path) -> list[Path]:
    """Copy these members of a tar file into a folder, each under the last part of its name."""
    parts = [folder / Path(name).name for name in names]
    try:
        with tarfile.open(archive, "r|*") as members:  # from front to back, unzipped as it comes
            for member in members:
                stream = members.extractfile(member) if member.name in names else None
                if stream:
                    with open(folder / Path(member.name).name, "wb") as file:
                        shutil.copyfileobj(stream, file)
                if all(part.exists() for part in parts):
                    return parts
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise CorpusError(
            f"{archive} cannot be unpacked ({error}): if it is damaged, delete it and try again"
        ) from None
    raise CorpusError(f"{archive} lacks {' or '.join(names)}: delete it and try again")


WMT14_MEMBERS = {
    "de": {
        "wmt13/training-parallel-europarl-v7.tgz": "training/europarl-v7.de-en.{}",
        "wmt13/training-parallel-commoncrawl.tgz": "commoncrawl.de-en.{}",
        "wmt14/training-parallel-nc-v9.tgz": "training/news-commentary-v9.de-en.{}",
    },
    "fr": {
        "wmt13/training-parallel-europarl-v7.tgz": "training/europarl-v7.fr-en.{}",
        "wmt13/training-parallel-commoncrawl.tgz": "commoncrawl.fr-en.{}",
        "wmt13/training-parallel-un.tgz": "un/undoc.2000.fr-en.{}",
        "wmt14/training-parallel-nc-v9.tgz": "training/news-commentary-v9.fr-en.{}",
        "wmt10/training-giga-fren.tar": "giga-fren.release2.fixed.{}.gz",
    },
}
WMT14_SUMS = """
0224c7c710c8a063dfd893b0cc0830202d61f4c75c17eb8e31836103d27d96e7  wmt13/training-parallel-europarl-v7.tgz
c7a74e2ea01ac6c920123108627e35278d4ccb5701e15428ffa34de86fa3a9e5  wmt13/training-parallel-commoncrawl.tgz
29141b5c1eba149a94f7a59d3b1a834b2e47fe0f8758d68dcd77a3d3f497ee47  wmt13/training-parallel-un.tgz
cb8953f292298e6877ae433c98912b927cb0766b303f4540512ddd286c748485  wmt14/training-parallel-nc-v9.tgz
3ff8319f6919393520559bfbc7ad6a747ec81b3abc7be9993b338d4b017b4d9a  wmt10/training-giga-fren.tar
"""  # noqa: E501
WMT14 = Remote(
    folder="wmt14",
    url="https://www.statmt.org/",
    terms="Training data of the WMT 2014 workshop, for research: several gigabytes. Each part has "
    "terms of its own, see https://www.statmt.org/wmt14/translation-task.html",
    files=named(WMT14_SUMS),
)


NEWSTEST_SUMS = """
ace268a1d9724ca76f6d8e5c720ffdc08f01bdce45630ed8b269dc7918e1c16e  deu-eng/newstest2013.eng
d7ea35ab91ff3709e03ad9cb6bf5b4f2cc775cd2d72efd5254c4aec5e69663ca  deu-eng/newstest2013.deu
7294bccf2879a97b3706b95c9595f1459617a8ee7130d5d8581c910e69736971  deu-eng/newstest2014.eng
ae5d110486bc33d7175e9e28c7d0051eb3e5fcd2166dd93371089852c091a20e  deu-eng/newstest2014.deu
ace268a1d9724ca76f6d8e5c720ffdc08f01bdce45630ed8b269dc7918e1c16e  eng-fra/newstest2013.eng
909b63be5df3eb8c13e1d5967bf3f0adfdb9f6ed5e638c5bffff563ee2ff7f41  eng-fra/newstest2013.fra
9a12cb6e8efb3509ebede627e4a9c83ee64935509d561ff70f4b7bd5f93f6096  eng-fra/newstest2014.eng
2bd07dc204f965bf88e90adb6223a8cb850f9bf9840df6af1f4945195936656e  eng-fra/newstest2014.fra
"""  # of the texts, unzipped

NEWSTEST = Remote(
    folder="wmt_newstest",
    url="https://raw.githubusercontent.com/Helsinki-NLP/OPUS-MT-testsets/master/testsets/",
    terms="News test sets of the WMT workshops, for research; cite the workshop of the year. "
    "https://www.statmt.org/wmt14/translation-task.html",
    files=named(NEWSTEST_SUMS),
)

RUNS = """
2222-2230 1774-1810 2132-2142 1136-1144 1644-1673 1472-1490 786-796 1183-1225 1109-1135 1960-1979
818-854 2698-2710 195-220 2520-2526 2686-2697 2945-2954 1523-1535 1956-1959 1367-1378 2487-2501
1057-1079 2338-2360 1429-1435 2089-2095 105-124 2775-2842 912-926 1980-1984 2601-2613 1730-1773
1179-1182 466-508 2209-2221 322-363 169-194 1247-1250 1636-1643 979-996 2990-3003 403-440 612-629
2331-2337 2983-2989 2096-2111 2447-2465 2538-2554 1251-1273 1844-1848 1603-1616 2403-2446 805-817
1-25 1536-1553 2565-2578 1080-1100 2743-2748 2391-2402 797-804 2843-2857 1274-1283 884-893 125-141
2749-2774 2466-2486 1862-1879 1926-1955 2658-2685 1385-1428 678-686 2315-2323 2637-2641 383-395
509-515 221-248 660-664 1284-1366 2858-2886 2143-2163 1145-1178 1040-1056 2930-2944 946-949
377-382 2555-2564 2502-2519 1829-1843 2887-2911 665-670 1849-1861 441-465 2579-2596 2642-2657
2372-2390 149-161 40-104 904-911 1466-1471 304-321 2361-2371 1899-1925 396-402 2164-2167 249-303
2112-2121 2633-2636 2721-2728 1379-1384 560-581 734-743 1491-1522 671-677 2527-2537 538-547
2711-2720 997-1000 894-903 2190-2208 548-559 1569-1602 2298-2309 950-969 2016-2042 2122-2131
364-376 927-945 720-733 2955-2982 649-659 1674-1681 2310-2314 1030-1039 2597-2600 1811-1828
2614-2632 1011-1029 26-39 142-148 516-537 1880-1898 2324-2330 2168-2189 1985-2015 687-719
1682-1729 855-865 2729-2742 1617-1635 1456-1465 2912-2929 2043-2088
"""  # the lines of newstest2014 that the workshop of 2014 scored for English and German, in order
FILTERED = [
    line
    for first, last in (map(int, run.split("-")) for run in RUNS.split())
    for line in range(first, last + 1)
]


def wmt14_splits(source: str, target: str) -> Splits:
    """The paper's data; its archives are fetched when "train" is iterated for the first time."""
    folder, code = {"de": ("deu-eng", "deu"), "fr": ("eng-fra", "fra")}[target]
    sides = [f"{folder}/newstest{year}.{side}" for year in (2013, 2014) for side in ("eng", code)]
    paths = fetch(NEWSTEST, sides)
    full = read_pairs(*paths[2:])
    splits: Splits = {
        "train": PairFiles(Archives(WMT14, WMT14_MEMBERS[target], source, target)),
        "validation": read_pairs(*paths[:2]),
        "test_2014": full,
    }
    if target == "de":
        splits["test_2014_filtered"] = [full[line - 1] for line in FILTERED]
    return splits


CORPORA: dict[str, tuple[tuple[str, ...], Callable[[str, str], Splits]]] = {
    "toy": (("en-de",), toy_splits),
    "multi30k": (("en-de", "en-fr"), multi30k_splits),
    "tatoeba": (("en-de", "en-fr"), tatoeba_splits),
    "wmt14": (("en-de", "en-fr"), wmt14_splits),
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


def sums(splits: Splits) -> dict[str, dict[str, Any]]:
    """The number of pairs in each split, and the SHA-256 of their text."""
    found = {}
    for name, pairs in splits.items():
        digest, count = hashlib.sha256(), 0
        for source, target in pairs:  # a stream has no length
            digest.update(f"{source}\t{target}\n".encode())
            count += 1
        found[name] = {"pairs": count, "sha256": digest.hexdigest()}
    return found


def corpus_hashes(corpus: Corpus) -> dict[str, Any]:
    """What a record says of a corpus."""
    return {"name": corpus.name, "pair": corpus.pair, "splits": sums(corpus.splits)}


def load_files(source: Path, target: Path, validation: tuple[Path, Path] | None = None) -> Corpus:
    """Two files, line by line, as a corpus named "files"; its languages are the files' suffixes.

    "train" is a stream. Where no validation files are given, "validation" has up to 2,000 of the
    pairs, those whose source sentence is in bucket 0 of max(20, pairs / 1000), and "train" none of
    these sentences. Raises CorpusError where a file is damaged, not UTF-8, empty, of another length
    than the other, or where too few pairs are there to hold some out. Both files are read through.
    """
    everything = PairFiles([(source, target)])
    count = sum(1 for _ in everything)
    if not count:
        raise CorpusError(f"{source} and {target} hold no sentences: fill both")
    if validation:
        splits: Splits = {"train": everything, "validation": read_pairs(*validation)}
    else:
        buckets = max(20, count // 1000)
        held_out = (pair for pair in everything if bucket(pair[0], buckets) == 0)
        splits = {
            "train": PairFiles([(source, target)], held_out=buckets),
            "validation": list(itertools.islice(held_out, 2000)),
        }
    if not splits["validation"] or not any(True for _ in splits["train"]):
        raise CorpusError(
            f"{source} and {target} hold {count} pairs, too few to hold some out for validation: "
            "name validation files as well"
        )
    return Corpus("files", language(source), language(target), splits)


def language(path: Path) -> str:
    """The last part of a file's name, .gz apart: "de" for train.de.gz."""
    return path.name.removesuffix(".gz").rpartition(".")[2]
