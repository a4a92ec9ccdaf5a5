# Tangled from chapters/translation/scores.md: change it there, then run `make tangle`.
"""How good translations are: BLEU, chrF, and the mean of several checkpoints (Section 6.1)."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import sacrebleu
import sacremoses
import torch
from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEUScore
from sacremoses import MosesPunctNormalizer, MosesTokenizer
from torch import Tensor


@dataclass(frozen=True)
class Score:
    """A score from 0 to 100, and the signature that says how it was counted."""

    value: float
    signature: str
    metric: str  # "BLEU", "tokenized BLEU" or "chrF2"
    words: tuple[int, int] | None = None  # of BLEU: counted in the translations, in the references

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
    words = (score.sys_len, score.ref_len) if isinstance(score, BLEUScore) else None
    return Score(score.score, str(metric.get_signature()), name, words)


RULES = {  # of sacreBLEU, for languages whose words 13a does not find
    **dict.fromkeys(("zh", "zho", "cmn"), "zh"),
    **dict.fromkeys(("ja", "jpn"), "ja-mecab"),
    **dict.fromkeys(("ko", "kor"), "ko-mecab"),
    **dict.fromkeys(("th", "tha", "lo", "lao", "km", "khm", "my", "mya"), "char"),
}


def bleu(
    hypotheses: Sequence[str],
    references: Sequence[str],
    lowercase: bool = False,
    language: str = "de",
) -> Score:
    """Corpus BLEU by sacreBLEU: text as it is read, one reference a sentence (Post, 2018).

    language: a code, perhaps with a region, "zh-TW"; it decides by which rules words are cut.
    Raises ValueError where there is nothing to score or the two are not of one length.
    """
    rules = RULES.get(re.split("[-_]", language.lower())[0], "13a")
    try:
        metric = sacrebleu.BLEU(lowercase=lowercase, tokenize=rules)
    except RuntimeError:  # they need a package that is not here
        metric = sacrebleu.BLEU(lowercase=lowercase, tokenize="char")
    return counted(metric, "BLEU", hypotheses, references)


def chrf(hypotheses: Sequence[str], references: Sequence[str], lowercase: bool = False) -> Score:
    """chrF2 by sacreBLEU, letters counted over the whole corpus (Popović, 2015).

    Raises ValueError as `bleu` does.
    """
    return counted(sacrebleu.CHRF(lowercase=lowercase), "chrF2", hypotheses, references)


moses = cache(MosesTokenizer)  # one tokenizer for each language
normalizer = cache(MosesPunctNormalizer)
PLAIN = str.maketrans("„“”«»‚‘’", '"""""' + "'''")


def moses_tokenize(text: str, language: str = "de") -> str:
    """The text with a space between any two words, as Moses's tokenizer.perl cuts it.

    language: two letters; one that Moses has no list of abbreviations for gets the English list.
    """
    return moses(language).tokenize(text, return_str=True, escape=False)


def plain_punctuation(text: str, language: str = "de") -> str:
    """All quotes, dashes and spaces in one form each, by Moses's normalize-punctuation.perl."""
    return normalizer(language).normalize(text)


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
    """BLEU as most papers on Multi30k give it: in lower case, plain punctuation, cut by Moses."""

    def cut(text: str) -> str:
        return moses_tokenize(plain_punctuation(text, language), language)

    return tokenized_bleu(hypotheses, references, cut, f"norm+moses-{language}", lowercase=True)


def paper_bleu(
    hypotheses: Sequence[str],
    references: Sequence[str],
    language: str = "de",
    lowercase: bool = False,
) -> Score:
    """BLEU as the paper's authors counted it: plain quotes, cut by Moses, compounds split."""

    def cut(text: str) -> str:
        return split_compounds(moses_tokenize(plain_quotes(text), language))

    name = f"quotes+moses-{language}+compounds"
    return tokenized_bleu(hypotheses, references, cut, name, lowercase)


def all_scores(
    hypotheses: Sequence[str],
    references: Sequence[str],
    language: str = "de",
    lowercase: bool = False,
    corpus: str = "",
) -> dict[str, Score]:
    """The scores of a record: "bleu", the form that papers on the corpus give, and "chrf".

    It is "moses_bleu" for multi30k and "paper_bleu" for wmt14. With `lowercase`, case does not
    count in any of them: for a model that writes no capitals.
    """
    scores = {"bleu": bleu(hypotheses, references, lowercase, language)}
    if corpus == "multi30k":
        scores["moses_bleu"] = moses_bleu(hypotheses, references, language)
    if corpus == "wmt14":
        scores["paper_bleu"] = paper_bleu(hypotheses, references, language, lowercase)
    return scores | {"chrf": chrf(hypotheses, references, lowercase)}


def add(total: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    """Add each weight of the state to the running sum of its name."""
    if {name: x.shape for name, x in state.items()} != {name: x.shape for name, x in total.items()}:
        raise ValueError("an average needs one or more checkpoints, all of the same model")
    for name, value in state.items():
        total[name] += value.to("cpu", torch.float64)


def average(checkpoints: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several states of one model, weight by weight, for `load_state_dict`.

    Takes a state at a time: hand in a generator that loads them, and one is in memory at once,
    beside a sum in float64. The mean lies on the CPU, in the first state's types. Raises ValueError
    where there is no state, or where they are not of one model.
    """
    total: dict[str, Tensor] = {}
    types: dict[str, torch.dtype] = {}
    count = 0
    for state in checkpoints:
        if count == 0:
            types = {name: value.dtype for name, value in state.items()}
            total = {n: torch.zeros(x.shape, dtype=torch.float64) for n, x in state.items()}
        add(total, state)
        count += 1
        del state  # before the next one is loaded
    if count == 0:
        raise ValueError("an average needs one or more checkpoints, all of the same model")
    return {name: (value / count).to(types[name]) for name, value in total.items()}
