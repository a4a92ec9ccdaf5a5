# Tangled from chapters/6-1-scores.md: change it there, then run `make tangle`.
"""How good translations are: BLEU, chrF, and the mean of several checkpoints (Section 6.1)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import sacrebleu
import sacremoses
from sacrebleu.metrics.base import Metric
from sacremoses import MosesTokenizer


@dataclass(frozen=True)
class Score:
    """A score from 0 to 100, and the signature that says how it was counted."""

    value: float
    signature: str
    metric: str  # "BLEU", "tokenized BLEU" or "chrF2"

    def __str__(self) -> str:
        return f"{self.metric} {self.value:.2f}  ({self.signature})"


def counted(
    metric: Metric,
    name: str,
    hypotheses: Sequence[str],
    references: Sequence[str],
    cut: Callable[[str], str] = str,
) -> Score:
    """The score by one of sacreBLEU's metrics, one reference a sentence; `cut` prepares a line.

    Raises ValueError where there is nothing to score or the two are not of one length.
    """
    if isinstance(hypotheses, str) or isinstance(references, str):
        raise ValueError("sentences are scored in lists: put a single one in brackets")
    if len(hypotheses) != len(references) or len(references) == 0:
        raise ValueError(
            f"{len(hypotheses)} translations cannot be scored by {len(references)} references: "
            "each needs one"
        )
    score = metric.corpus_score([cut(x) for x in hypotheses], [[cut(x) for x in references]])
    return Score(score.score, str(metric.get_signature()), name)


def bleu(hypotheses: Sequence[str], references: Sequence[str], lowercase: bool = False) -> Score:
    """Corpus BLEU by sacreBLEU: text as it is read, one reference a sentence (Post, 2018).

    Raises ValueError where there is nothing to score or the two are not of one length.
    """
    return counted(sacrebleu.BLEU(lowercase=lowercase), "BLEU", hypotheses, references)


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """chrF2 by sacreBLEU, letters counted over the whole corpus (Popović, 2015).

    Raises ValueError as `bleu` does.
    """
    return counted(sacrebleu.CHRF(), "chrF2", hypotheses, references)


moses = cache(MosesTokenizer)  # one tokenizer for each language
PLAIN = str.maketrans("„“”«»‚‘’", '"""""' + "'''")


def moses_tokenize(text: str, language: str = "de") -> str:
    """The text with a space between any two words, as Moses's tokenizer.perl cuts it.

    language: two letters; one that Moses has no list of abbreviations for gets the English list.
    """
    return moses(language).tokenize(text, return_str=True, escape=False)


def split_compounds(text: str) -> str:
    """`Ski-Saison` as three words, like the script that scored the paper's translations."""
    return re.sub(r"(\S)-(\S)", r"\1 ##AT##-##AT## \2", text)


def plain_quotes(text: str) -> str:
    """All quotation marks as `"` and all apostrophes as `'`."""
    return text.translate(PLAIN)


def tokenized_bleu(
    hypotheses: Sequence[str],
    references: Sequence[str],
    cut: Callable[[str], str],
    name: str,
    lowercase: bool = False,
) -> Score:
    """Corpus BLEU of the words that `cut` parts by spaces; its name goes into the signature.

    With `lowercase`, lines are lower-cased before they are cut. Raises ValueError as `bleu` does.
    """
    case = str.lower if lowercase else str
    metric = sacrebleu.BLEU(lowercase=lowercase, tokenize="none", force=True)  # no warning: cut
    score = counted(metric, "tokenized BLEU", hypotheses, references, lambda x: cut(case(x)))
    signature = f"{score.signature}|cut:{name}|sacremoses:{sacremoses.__version__}"
    return replace(score, signature=signature)


def moses_bleu(hypotheses: Sequence[str], references: Sequence[str], language: str = "de") -> Score:
    """BLEU as most papers on Multi30k give it: lower-cased, cut by Moses, hyphens left alone."""
    cut = cutter(language)
    return tokenized_bleu(hypotheses, references, cut, f"moses-{language}", lowercase=True)


def paper_bleu(hypotheses: Sequence[str], references: Sequence[str], language: str = "de") -> Score:
    """BLEU as the paper's authors counted it: plain quotes, cut by Moses, compounds split."""

    def cut(text: str) -> str:
        return split_compounds(moses_tokenize(plain_quotes(text), language))

    return tokenized_bleu(hypotheses, references, cut, f"quotes+moses-{language}+compounds")
