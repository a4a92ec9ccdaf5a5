# Tangled from chapters/reference/toy-grammar.md: change it there, then run `make tangle`.
"""Clauses spelled in German: inflection by case, gender and number, and the order of words."""

from annotated.data.toy.english import COMMA, COORDINATORS
from annotated.data.toy.lexicon import MODALS, PRESENT, PRETERITE, TABLES, Noun
from annotated.data.toy.syntax import Clause, Key, Phrase, Word, word

CASES = ("nom", "acc", "dat")
Table = dict[str, str]  # for each case: masculine, feminine, neuter, plural; "-" for no ending

THE = {"nom": "der die das die", "acc": "den die das die", "dat": "dem der dem den"}
RELATIVE = THE | {"dat": "dem der dem denen"}
PERSONAL = {"nom": "er sie es sie", "acc": "ihn sie es sie", "dat": "ihm ihr ihm ihnen"}
THIS = {"nom": "er e es e", "acc": "en e es e", "dat": "em er em en"}
A = {"nom": "- e - e", "acc": "en e - e", "dat": "em er em en"}
NONE = {"nom": "- - - -", "acc": "- - - -", "dat": "- - - -"}
WEAK = {"nom": "e e e en", "acc": "en e e en", "dat": "en en en en"}
MIXED = {"nom": "er e es en", "acc": "en e es en", "dat": "en en en en"}
STRONG = THIS
SPEAKER = {"I": ("ich", "mich", "mir"), "we": ("wir", "uns", "uns")}
DETERMINERS = {  # the stem, its endings, and those of an adjective after it
    "the": ("", THE, WEAK), "this": ("dies", THIS, WEAK), "these": ("dies", THIS, WEAK),
    "every": ("jed", THIS, WEAK), "many": ("viel", THIS, STRONG), "two": ("zwei", NONE, STRONG),
    "three": ("drei", NONE, STRONG), "": ("", NONE, STRONG), "a": ("ein", A, MIXED),
    "no": ("kein", A, MIXED), "my": ("mein", A, MIXED), "our": ("unser", A, MIXED),
    "his": ("sein", A, MIXED), "her": ("ihr", A, MIXED),
}  # fmt: skip


def inflected(table: Table, case: str, phrase: Phrase) -> str:
    return table[case].split()["mfnp".index(phrase.gender)].strip("-")


def german_determiner(phrase: Phrase, case: str, determiner: str) -> tuple[str, str]:
    """The determiner's form, and the ending that an adjective takes after it."""
    if phrase.owner:
        determiner = "his" if phrase.owner.gender in "mn" else "her"
    stem, endings, after = DETERMINERS[determiner]
    return stem + inflected(endings, case, phrase), inflected(after, case, phrase)


def german_noun(noun: Noun, case: str, plural: bool) -> str:
    """The noun's form: -n in the dative plural, the weak nouns' ending outside the nominative."""
    one, many = noun.german
    if plural:
        return many + "n" if case == "dat" and many[-1] not in "ns" else many
    return many if "weak" in noun.kinds and case != "nom" else one


def german_pronoun(phrase: Phrase, case: str) -> str:
    """Er or sie or es, by the gender of the noun that it stands for."""
    if phrase.pronoun in SPEAKER:
        return SPEAKER[phrase.pronoun][CASES.index(case)]
    return inflected(RELATIVE if phrase.pronoun == "relative" else PERSONAL, case, phrase)


def german_phrase(phrase: Phrase, case: str, *negation: Key) -> list[Word]:
    """The words of a noun phrase; a `negation` makes its determiner kein."""
    if phrase.pronoun:
        return [word(german_pronoun(phrase, case), (phrase, "noun"))]
    assert phrase.noun
    words = []
    if not phrase.is_name:
        article, ending = german_determiner(phrase, case, "no" if negation else phrase.determiner)
        if article:
            words.append(word(article, *negation, (phrase, "determiner")))
        if phrase.adjective:
            stem = STEM_CHANGES.get(phrase.adjective.german, phrase.adjective.german)
            words.append(word(stem + ending, (phrase, "adjective")))
    words.append(word(german_noun(phrase.noun, case, phrase.plural), (phrase, "noun")))
    if phrase.conjunct:
        words += [word("und", (phrase, "and")), *german_phrase(phrase.conjunct, case)]
    return words


STEM_CHANGES = {"dunkel": "dunkl", "teuer": "teur", "müde": "müd"}


def german_prepositional(preposition: str, case: str, phrase: Phrase) -> list[Word]:
    """A preposition and its phrase: in + dem becomes im, which then stands for both."""
    first, *others = german_phrase(phrase, case)
    key = (phrase, "preposition")
    contraction = CONTRACTIONS.get(f"{preposition} {first.text}")
    if contraction and not phrase.pronoun:
        return [word(contraction, key, *first.keys), *others]
    return [word(preposition, key), first, *others]


def german_object(clause: Clause, phrase: Phrase, mark: str) -> list[Word]:
    """An object in its case: dem Hund, auf den Bus, zum Markt, keinen Apfel."""
    preposition, _, case = mark.rpartition("_")
    if mark == "to" and phrase.noun:
        preposition = phrase.noun.prepositions[2]
        case = "dat" if preposition == "zu" else "acc"
    if preposition:
        return german_prepositional(preposition, case, phrase)
    return german_phrase(phrase, case, *[(clause, "not")] * (phrase is clause.absent))


CONTRACTIONS = {"in dem": "im", "in das": "ins", "an dem": "am", "zu dem": "zum", "zu der": "zur"}


def german_verbs(clause: Clause) -> tuple[Word, list[Word]]:
    """The finite verb, and what closes the clause: participle, infinitive or prefix."""
    verb, part, closing = clause.verb, "verb", ""
    if clause.tense in MODALS:
        forms, part, closing = MODALS[clause.tense], "modal", verb.prefix + verb.infinitive
    elif clause.tense != "past":
        forms, closing = verb.present, verb.prefix
    elif verb.infinitive in PRETERITE:
        forms = PRETERITE[verb.infinitive]
    else:
        forms, closing = PRESENT[verb.auxiliary], verb.participle
    finite = word(forms[clause.subject.agreement], (clause, part))
    return finite, [word(closing, (clause, "verb"))] if closing else []


def german_verbs_last(clause: Clause) -> list[Word]:
    """All verbs at the end: aufsteht, aufgestanden ist, aufstehen will."""
    finite, closing = german_verbs(clause)
    if clause.verb.prefix and clause.tense in ("present", "progressive"):
        return [Word(clause.verb.prefix + finite.text, finite.keys)]
    return [*closing, finite]


def german_middle(clause: Clause) -> tuple[list[Word], list[Word]]:
    """What stands between the finite verb and the closing one: the pronouns, and all else."""
    groups: dict[str, list[Word]] = {name: [] for name in "pronouns known near new last".split()}
    for phrase, mark in clause.marked:
        if phrase.pronoun == "relative":
            continue
        if phrase.pronoun:
            group = "pronouns" if mark in CASES else "near"
        elif mark in CASES:
            group = "known" if phrase.definite or mark == "dat" else "new"
        else:
            group = "last"
        groups[group] += german_object(clause, phrase, mark)
    pronouns, known, near, new, last = groups.values()
    time, place = [] if clause.fronted else german_time(clause), clause.place
    negative = clause.negated or clause.time and clause.time.negative
    middle = [*known, *time] if negative else [*time, *known]
    if clause.negated and not clause.absent:
        middle.append(word("nicht", (clause, "not")))
    middle += near
    if place and place.noun:
        middle += german_prepositional(place.noun.prepositions[1], "dat", place)
    if clause.adjective:
        last.append(word(clause.adjective.german, (clause, "adjective")))
    return pronouns, [*middle, *new, *last]


def german_time(clause: Clause) -> list[Word]:
    if not clause.time:
        return []
    german, links = clause.time.german, clause.time.links
    keys = [[(clause, f"time {i}") for i in link] for link in links or [[i] for i in range(9)]]
    return [word(text, *own) for text, own in zip(german, keys, strict=False)]


def german_clause(clause: Clause) -> list[Word]:
    """A main clause: its finite verb is the second thing in it, its other verbs close it."""
    finite, closing = german_verbs(clause)
    subject, (pronouns, middle) = german_subject(clause), german_middle(clause)
    if clause.joined and clause.joined_first:
        start = [*german_joined(clause), word(COMMA, (clause, "comma")), finite]
    elif clause.fronted:
        start = [*german_time(clause), finite]
    else:
        start, subject = [*subject, finite], []
    second = [*subject, *pronouns] if clause.subject.pronoun else [*pronouns, *subject]
    return [*start, *second, *middle, *closing, *german_following(clause)]


def german_subordinate(clause: Clause) -> list[Word]:
    """A clause whose verbs all come last; a relative pronoun that is its object comes first."""
    gaps = [(phrase, mark) for phrase, mark in clause.marked if phrase.pronoun == "relative"]
    first = [one for phrase, mark in gaps for one in german_object(clause, phrase, mark)]
    pronouns, middle = german_middle(clause)
    body = [*first, *german_subject(clause), *pronouns, *middle, *german_verbs_last(clause)]
    return body + german_following(clause)


def german_subject(clause: Clause) -> list[Word]:
    if clause.subject.pronoun == "elided":
        return []
    return german_phrase(clause.subject, "nom") + german_relative(clause.subject)


def german_relative(phrase: Phrase) -> list[Word]:
    """A phrase's relative clause between its commas, or nothing."""
    comma = word(COMMA)
    return [comma, *german_subordinate(phrase.relative), comma] if phrase.relative else []


def german_following(clause: Clause) -> list[Word]:
    """What comes after the closing verb: the objects' relative clauses, a joined clause."""
    words = [one for phrase in clause.objects for one in german_relative(phrase)]
    if not clause.joined or clause.joined_first:
        return words
    if clause.conjunction != "and":
        words.append(word(COMMA, (clause, "comma")))
    return words + german_joined(clause)


def german_joined(clause: Clause) -> list[Word]:
    assert clause.joined
    spelled = german_clause if clause.conjunction in COORDINATORS else german_subordinate
    conjunction = word(TABLES["conjunctions"][clause.conjunction], (clause, "conjunction"))
    return [conjunction, *spelled(clause.joined)]


def tidied(words: list[Word]) -> list[Word]:
    """Two commas in a row become one; none stays at the end."""
    kept: list[Word] = []
    for one in words:
        if one.text == COMMA and kept[-1].text == COMMA:
            one = word(COMMA, *kept.pop().keys, *one.keys)
        kept.append(one)
    return kept[:-1] if kept[-1].text == COMMA else kept
