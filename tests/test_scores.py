"""Scores: BLEU, chrF, and the mean of several checkpoints."""

import gzip
import math
import os
import random
import re
import weakref
from collections import Counter
from pathlib import Path

import pytest
import sacrebleu
import torch
from sacremoses import MosesPunctNormalizer, MosesTokenizer

from annotated.model.transformer import Transformer, TransformerConfig
from annotated.translation.scores import (
    all_scores,
    average,
    bleu,
    chrf,
    moses_bleu,
    moses_tokenize,
    paper_bleu,
    plain_punctuation,
    plain_quotes,
    split_compounds,
    tokenized_bleu,
)

OUTPUTS = [
    'Das Online-Portal berichtete: "Die Ski-Saison beginnt früher."',
    "ein Mann mit einer Mütze isst Eis & Kuchen.",
    "Er hat 1.000,50 Euro [etwa] bezahlt, sagt's Kind.",
]
REFERENCES = [
    "Das Online-Portal meldete: „Die Ski-Saison beginnt früher.“",
    "Ein Mann mit einer Kappe isst Eis & Kuchen.",
    "Er hat 1.000,50 Euro [etwa] bezahlt, sagte's Kind.",
]

DATA = os.environ.get("ANNOTATED_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="ANNOTATED_DATA names no folder")


def lines_of(name):
    """The lines of a data file, or a skip."""
    path = Path(DATA) / name
    if not path.exists():
        pytest.skip(f"no {name}")
    return gzip.decompress(path.read_bytes()).decode("utf-8").removesuffix("\n").split("\n")


def spoiled(lines, seed=0):
    """The lines with words dropped, doubled and swapped: outputs of a poor system."""
    draw = random.Random(seed)
    out = []
    for line in lines:
        words = [w for word in line.split() for w in [word] * draw.choice([0] + [1] * 9 + [2])]
        if len(words) > 1 and draw.random() < 0.5:
            i = draw.randrange(len(words) - 1)
            words[i], words[i + 1] = words[i + 1], words[i]
        out.append(" ".join(words))
    return out


def multi_bleu(hypotheses, references):
    """What multi-bleu.perl computes from tokenized lines: no smoothing, one reference."""
    ours = theirs = 0
    right, total = Counter(), Counter()
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        h, r = hypothesis.split(), reference.split()
        ours, theirs = ours + len(h), theirs + len(r)
        for n in (1, 2, 3, 4):
            a = Counter(zip(*(h[i:] for i in range(n)), strict=False))
            b = Counter(zip(*(r[i:] for i in range(n)), strict=False))
            right[n] += (a & b).total()
            total[n] += a.total()
    logs = sum(math.log(right[n] / total[n]) for n in (1, 2, 3, 4)) / 4
    return 100 * math.exp(logs + min(0, 1 - theirs / ours))


def test_bleu_is_sacrebleus():
    outputs = ["the dog sees the big cat .", "he sleeps .", "yes , this is so ."]
    references = ["the dog sees the small cat .", "he sleeps .", "yes , that is so ."]
    score = bleu(outputs, references)
    assert score.value == sacrebleu.corpus_bleu(outputs, [references]).score
    assert "tok:13a" in score.signature and "version:" in score.signature
    assert str(score) == f"BLEU {score.value:.2f}  ({score.signature})"
    assert score.value == pytest.approx(multi_bleu(outputs, references))
    assert score.words == (16, 16)


def test_bleu_says_how_many_words_it_counted():
    """So that one can see whether outputs are too short, or long."""
    outputs, references = ["ein hund .", "nein"], ["ein großer hund rennt .", "nein !"]
    assert bleu(outputs, references).words == moses_bleu(outputs, references).words == (4, 7)
    assert chrf(outputs, references).words is None


def test_capitals_count_unless_they_do_not():
    cased, lower = bleu(OUTPUTS, REFERENCES), bleu(OUTPUTS, REFERENCES, lowercase=True)
    assert cased.value < lower.value
    assert "case:mixed" in cased.signature and "case:lc" in lower.signature
    assert lower.value == sacrebleu.corpus_bleu(OUTPUTS, [REFERENCES], lowercase=True).score


def test_chrf_is_sacrebleus():
    score = chrf(OUTPUTS, REFERENCES)
    assert score.value == sacrebleu.corpus_chrf(OUTPUTS, [REFERENCES]).score
    assert score.metric == "chrF2" and "nc:6|nw:0" in score.signature  # letters only


def test_chrf_by_hand():
    # "Hunde" for "Hund": precisions 4/5, 3/4, 2/3, 1/2; all of the reference is found
    precision = (4 / 5 + 3 / 4 + 2 / 3 + 1 / 2) / 4
    assert chrf(["Hunde"], ["Hund"]).value == pytest.approx(500 * precision / (4 * precision + 1))


def test_moses_cuts_as_its_manual_says():
    """Known output of tokenizer.perl, for English and with its escapes undone."""
    text = "This ain't funny. It's actually hillarious, yet double Ls. | [] < > [ ] & You're gonna"
    cut = "This ain 't funny . It 's actually hillarious , yet double Ls . | [ ] < > [ ] & You 're"
    assert moses_tokenize(text, "en") == f"{cut} gonna"


@pytest.mark.parametrize(
    "language, text, cut",
    [
        ("de", "„Ja“, sagt er (leise)…", "„ Ja “ , sagt er ( leise ) …"),
        (
            "de",
            "Es kostet 1.000,50 Euro, ca. 5 % mehr.",
            "Es kostet 1.000,50 Euro , ca. 5 % mehr .",
        ),
        ("de", "Ein T-Shirt... und mehr", "Ein T-Shirt ... und mehr"),  # no dash is split
        ("de", "der mit der Nummer 10.", "der mit der Nummer 10."),  # may be an ordinal number
        ("de", "der mit der Nummer 1102.", "der mit der Nummer 1102 ."),
        ("fr", "L'homme n'a pas d'eau.", "L' homme n' a pas d' eau ."),
        ("en", "Mr. Smith's dog.", "Mr. Smith 's dog ."),
        ("de", " zwei  Wörter\t hier ", "zwei Wörter hier"),
        ("de", "", ""),
    ],
)
def test_moses_by_language(language, text, cut):
    assert moses_tokenize(text, language) == cut


def test_compounds_are_split_as_by_the_authors_script():
    mark = "##AT##-##AT##"
    assert split_compounds("die Ski-Saison - und") == f"die Ski {mark} Saison - und"
    assert split_compounds("E-Mail-Adresse") == f"E {mark} Mail {mark} Adresse"
    assert split_compounds("- a -") == "- a -"
    # a letter that closes one match opens no other: so does Perl's s///g
    assert split_compounds("a-b-c") == f"a {mark} b-c"


def test_quotes_are_made_plain():
    assert plain_quotes("„a“ ”b” «c» ‚d‘ e’s – …") == '"a" "b" "c" \'d\' e\'s – …'


def as_multi30k(line, language="de"):
    """The three steps of the script that comes with Multi30k."""
    return moses_tokenize(MosesPunctNormalizer(language).normalize(line.lower()), language)


def test_punctuation_is_made_plain():
    assert (
        plain_punctuation("„ja“, dann – ‚nein‘… mit  «eis»") == '"ja", dann - \'nein\'... mit "eis"'
    )
    assert plain_punctuation("„ja“, er", "en") == '"ja," er'  # as American printers do it


def test_moses_bleu_is_multi_bleu_of_lines_in_the_data_scripts_form():
    score = moses_bleu(OUTPUTS, REFERENCES)
    cut = [[as_multi30k(x) for x in side] for side in (OUTPUTS, REFERENCES)]
    assert score.value == pytest.approx(multi_bleu(*cut))
    assert score.metric == "tokenized BLEU"
    for part in ("case:lc", "tok:none", "cut:norm+moses-de", "sacremoses:", "version:"):
        assert part in score.signature


def test_moses_bleu_cuts_by_the_language():
    french = ["c'est l'homme d'ici qui dort"], ["l'homme d'ici qui dort"]
    cut = [[as_multi30k(x, "fr") for x in side] for side in french]
    assert moses_bleu(*french, "fr").value == pytest.approx(multi_bleu(*cut))
    assert moses_bleu(*french, "fr").value != pytest.approx(moses_bleu(*french, "de").value)


def test_paper_bleu_is_multi_bleu_of_the_authors_steps():
    def steps(line):
        return split_compounds(moses_tokenize(plain_quotes(line)))

    score = paper_bleu(OUTPUTS, REFERENCES)
    cut = [[steps(x) for x in side] for side in (OUTPUTS, REFERENCES)]
    assert score.value == pytest.approx(multi_bleu(*cut))
    assert "case:mixed" in score.signature and "cut:quotes+moses-de+compounds" in score.signature
    sacre = bleu(OUTPUTS, REFERENCES).value
    assert sacre < score.value and sacre < moses_bleu(OUTPUTS, REFERENCES).value


def test_what_is_done_first():
    """Lower-casing before Moses, which knows "Bart." as a name; plain punctuation before it too."""
    outputs, cut = ["Er rasiert seinen Bart."], ["er rasiert seinen bart ."]
    assert moses_bleu(outputs, cut).value == pytest.approx(100)
    assert moses_bleu(['er sagt "ja" zu ihr.'], ["Er sagt „Ja“ zu ihr."]).value > 99
    assert paper_bleu(["It is Smith's dog"], ["It is Smith’s dog"], "en").value > 99


def test_escaping_both_sides_changes_nothing():
    tokenizer = MosesTokenizer("de")

    def escaped(line):
        return tokenizer.tokenize(line, return_str=True)

    assert "&amp;" in escaped(OUTPUTS[1]) and "&" in moses_tokenize(OUTPUTS[1]).split()
    one = tokenized_bleu(OUTPUTS, REFERENCES, moses_tokenize, "moses-de")
    other = tokenized_bleu(OUTPUTS, REFERENCES, escaped, "moses-de-escaped")
    assert one.value == pytest.approx(other.value)
    assert "cut:moses-de|" in one.signature and one.signature != other.signature


@needs_data
def test_on_real_captions():
    """Multi30k's German test set against spoiled copies, by multi-bleu's formula."""
    references = lines_of("multi30k/test_2016_flickr.de.gz")
    outputs = spoiled(references)
    cut = [[as_multi30k(x) for x in side] for side in (outputs, references)]
    assert moses_bleu(outputs, references).value == pytest.approx(multi_bleu(*cut))
    assert 20 < bleu(outputs, references).value < 80
    typographic = [re.sub('"([^"]*)"', "„\\1“", line) for line in references]  # as in training
    assert typographic != references
    assert moses_bleu(typographic, references).value == pytest.approx(100)
    rules = [[sacrebleu.BLEU().tokenizer(x) for x in side] for side in (outputs, references)]
    assert bleu(outputs, references).value == pytest.approx(multi_bleu(*rules))


@needs_data
def test_on_real_news():
    """Quotes and hyphens, in which news abound: splitting, then plain quotes, add to the score."""
    references = lines_of("wmt_newstest/deu-eng/newstest2014.deu.gz")[:1000]
    outputs = [plain_quotes(line) for line in spoiled(references)]

    def compounds(line):
        return split_compounds(moses_tokenize(line))

    cut = tokenized_bleu(outputs, references, moses_tokenize, "moses-de").value
    split = tokenized_bleu(outputs, references, compounds, "moses-de+compounds").value
    score = paper_bleu(outputs, references).value
    assert cut + 0.3 < split and split + 0.3 < score and bleu(outputs, references).value < score
    plain = [[compounds(plain_quotes(x)) for x in side] for side in (outputs, references)]
    assert score == pytest.approx(multi_bleu(*plain))


def test_each_corpus_is_scored_as_papers_on_it_do():
    plain = {"bleu": bleu(OUTPUTS, REFERENCES), "chrf": chrf(OUTPUTS, REFERENCES)}
    captions = {"moses_bleu": moses_bleu(OUTPUTS, REFERENCES, "de")}
    news = {"paper_bleu": paper_bleu(OUTPUTS, REFERENCES, "de")}
    for corpus, more in {"multi30k": captions, "wmt14": news, "toy": {}, "files": {}}.items():
        scores = all_scores(OUTPUTS, REFERENCES, "de", corpus=corpus)
        assert scores == plain | more and list(scores)[0] == "bleu" and list(scores)[-1] == "chrf"
        for score in all_scores(OUTPUTS, REFERENCES, "fr", True, corpus).values():
            assert "case:lc" in score.signature
            assert "cut:" not in score.signature or "moses-fr" in score.signature


CHINESE = ["那只狗在花园里睡觉。", "她看见了一只小猫。"]


@pytest.mark.parametrize("language", ["zh", "zh-TW", "ZH_cn", "zho"])
def test_chinese_is_cut_by_its_own_rules(language):
    output = ["那只大狗在花园里睡觉。", "她看见一只小猫。"]
    rules = sacrebleu.BLEU(tokenize="zh")
    score = all_scores(output, CHINESE, language)["bleu"]
    assert score.value == pytest.approx(rules.corpus_score(output, [CHINESE]).score) and score.value
    assert score.value > 50 and "tok:zh" in score.signature and bleu(output, CHINESE).value < 1


@pytest.mark.parametrize(
    "language, rules", [("ja", "ja-mecab"), ("ko", "ko-mecab"), ("th", "char")]
)
def test_letters_are_counted_where_the_rules_need_what_is_not_here(language, rules):
    signature = bleu(CHINESE, CHINESE, language=language).signature
    try:
        sacrebleu.BLEU(tokenize=rules)
    except RuntimeError:
        rules = "char"
    assert f"tok:{rules}" in signature
    assert "tok:13a" in bleu(CHINESE, CHINESE, language="kok").signature


@pytest.mark.parametrize("way", [bleu, moses_bleu, paper_bleu, chrf])
def test_perfect_translations_have_100_and_empty_ones_0(way):
    lines = ["one two three four five .", "six seven eight nine ten ."]
    assert way(lines, lines).value == pytest.approx(100)
    assert way(["", ""], lines).value == 0
    assert way(tuple(lines), tuple(lines)).value == pytest.approx(100)


@pytest.mark.parametrize("way", [bleu, moses_bleu, paper_bleu, chrf, all_scores])
@pytest.mark.parametrize("outputs, references", [([], []), (["a"], ["a", "b"])])
def test_what_cannot_be_scored_is_said(way, outputs, references):
    with pytest.raises(ValueError, match="cannot be scored"):
        way(outputs, references)


@pytest.mark.parametrize("way", [bleu, moses_bleu, chrf])
def test_a_sentence_is_no_list_of_sentences(way):
    with pytest.raises(ValueError, match="in brackets"):
        way("the dog sleeps", "the cat sleeps")


def test_an_average_is_the_mean_of_each_weight():
    states = [Transformer(TransformerConfig(20, 1, 8, 8, 2)).state_dict() for _ in range(3)]
    mean = average(states)
    assert list(mean) == list(states[0])
    for name, value in mean.items():
        exact = torch.stack([state[name].double() for state in states]).mean(0)
        assert torch.equal(value, exact.float())
    one = average(states[:1])
    assert all(torch.equal(one[name], value) for name, value in states[0].items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_an_average_keeps_the_types_and_sums_in_double(dtype):
    states = [{"w": torch.full((3,), 0.1, dtype=dtype)} for _ in range(1000)]
    mean = average(states)["w"]
    torch.testing.assert_close(mean, states[0]["w"], rtol=1e-13, atol=0)  # no rounding adds up
    assert states[0]["w"][0] == torch.tensor(0.1, dtype=dtype)  # what was handed in is as it was


def test_one_checkpoint_is_in_memory_at_a_time():
    alive = []

    def load():
        for value in range(4):
            assert all(reference() is None for reference in alive), "an earlier one is still there"
            tensor = torch.full((5,), float(value))
            alive.append(weakref.ref(tensor))
            state = {"w": tensor}
            del tensor
            yield state
            del state

    assert torch.equal(average(load())["w"], torch.full((5,), 1.5))
    assert len(alive) == 4


def test_only_checkpoints_of_one_model_have_an_average():
    one = Transformer(TransformerConfig(20, 1, 8, 8, 2)).state_dict()
    other = Transformer(TransformerConfig(21, 1, 8, 8, 2)).state_dict()
    for states in ([], iter([]), [one, other], [one, {}], iter([one, other])):
        with pytest.raises(ValueError, match="same model"):
            average(states)
