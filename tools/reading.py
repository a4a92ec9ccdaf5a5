"""How long the pages take to read: their words of prose, 200 a minute, as each page's box says.

python tools/reading.py [PAGE..]          words and minutes; exit 1 where a box says otherwise
python tools/reading.py --fix [PAGE..]    write the minutes into the boxes
"""

import argparse
import math
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a script, Python looks in tools/ only
    sys.path.insert(0, str(ROOT))

from tools import chapters  # noqa: E402

PACE = 200  # words a minute
NO_PROSE = re.compile(r"\A---\n.*?\n---\n|^```\{code-cell\}.*?\n```$", re.DOTALL | re.MULTILINE)
TIME = re.compile(
    r"^- \*\*(?:Time|On two cores):\*\* "
    r"(?:(?P<read>\d+) minutes? to read|\?(?: minutes? to read)?)?(?:, )?(?P<run>.*)$",
    re.MULTILINE,
)
RUN = " to run on two cores"


def words(text: str) -> int:
    """The words of a page that are read: all but front matter and code cells."""
    return len(NO_PROSE.sub("", text).split())


def minutes(text: str) -> int:
    """The minutes that a page takes to read, rounded up."""
    return math.ceil(words(text) / PACE)


def boxed(text: str) -> int | None:
    """The minutes that the page's box says; None where it says none, or says them twice."""
    found = TIME.search(text)
    clear = found and found["read"] and "to read" not in found["run"]
    return int(found["read"]) if found and clear else None


def with_time(text: str) -> str:
    """The page whose box says how long it takes to read; its words on running stay."""
    found = TIME.search(text)
    if not found:
        return text
    run = found["run"]
    if run and RUN not in run:
        run = re.sub(r"^[^,;]+", lambda first: first[0] + RUN, run)

    def said(count: int) -> str:
        line = f"- **Time:** {count} minute{'s' * (count != 1)} to read{', ' * bool(run)}{run}"
        return text[: found.start()] + line + text[found.end() :]

    return said(minutes(said(0)))


def parts(through: str = "", before: str = "") -> list[Path]:
    """The pages of the table of contents, in order: all parts, or some.

    through: the beginning of the caption of the last part; before: of the first one left out.
    """
    pages: list[Path] = []
    for part in yaml.safe_load((ROOT / "_toc.yml").read_text("utf8"))["parts"]:
        if before and part["caption"].startswith(before):
            break
        pages += [ROOT / f"{page['file']}.md" for page in part["chapters"]]
        if through and part["caption"].startswith(through):
            break
    return pages


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pages", nargs="*", type=Path, help="only these (default: all)")
    parser.add_argument("--fix", action="store_true", help="write the minutes into the boxes")
    options = parser.parse_args(arguments)
    wrong = 0
    for path in options.pages or chapters.paths():
        text = path.read_text("utf8")
        if options.fix and with_time(text) != text:
            text = with_time(text)
            path.write_text(text, "utf8")
        differs = bool(TIME.search(text)) and boxed(text) != minutes(text)
        wrong += differs
        note = f"  its box says {boxed(text)}: --fix" if differs else ""
        print(f"{words(text):6,} words {minutes(text):3} min  {chapters.show(path)}{note}")
    if not options.pages:
        total = sum(words(path.read_text("utf8")) for path in parts(through="Translation"))
        print(f"{total:6,} words from the start to a translation")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
