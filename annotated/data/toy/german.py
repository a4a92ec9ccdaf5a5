"""Clauses spelled in German: inflection by case, gender and number, and the order of words."""

from annotated.data.toy.english import COMMA, COORDINATORS
from annotated.data.toy.lexicon import IRREGULAR, MODALS, PRETERITE, TABLES, Noun
from annotated.data.toy.syntax import Clause, Key, Phrase, Word

CASES = ("nom", "acc", "dat")
GENDERS = "mfnp"  # masculine, feminine, neuter; plural, where gender does not matter
Table = dict[tuple[str, str], str]


def inflection(nominative: str, accusative: str, dative: str) -> Table:
    """A form or an ending for each case and gender, "-" for none."""
    cells = zip(CASES, (nominative, accusative, dative), strict=True)
    return {
        (c, g): w.strip("-") for c, row in cells for g, w in zip(GENDERS, row.split(), strict=True)
    }


# %%
#                   m    f    n    plural
THE = inflection("  der  die  das  die", " den  die  das  die", " dem  der  dem  den  ")
RELATIVE = THE | {("dat", "p"): "denen"}
THIS = inflection(" er   e    es   e  ", " en   e    es   e  ", " em   er   em   en   ")
A = inflection("    -    e    -    e  ", " en   e    -    e  ", " em   er   em   en   ")
NONE = inflection(" -    -    -    -  ", " -    -    -    -  ", " -    -    -    -    ")
WEAK = inflection(" e    e    e    en ", " en   e    e    en ", " en   en   en   en   ")
MIXED = inflection("er   e    es   en ", " en   e    es   en ", " en   en   en   en   ")
STRONG = THIS
PERSONAL = inflection("er sie es sie", "ihn sie es sie", "ihm ihr ihm ihnen")
SPEAKER = {"I": ("ich", "mich", "mir"), "we": ("wir", "uns", "uns")}
DETERMINERS = {  # the stem, its endings, and those of an adjective after it
    "the": ("", THE, WEAK), "this": ("dies", THIS, WEAK), "these": ("dies", THIS, WEAK),
    "every": ("jed", THIS, WEAK), "many": ("viel", THIS, STRONG), "two": ("zwei", NONE, STRONG),
    "three": ("drei", NONE, STRONG), "": ("", NONE, STRONG), "a": ("ein", A, MIXED),
    "no": ("kein", A, MIXED), "my": ("mein", A, MIXED), "our": ("unser", A, MIXED),
    "his": ("sein", A, MIXED), "her": ("ihr", A, MIXED),
}  # fmt: skip


# %%
def german_determiner(phrase: Phrase, case: str, word: str) -> tuple[str, str]:
    """The determiner's form, and the ending that an adjective takes after it."""
    if phrase.owner:
        word = "his" if phrase.owner.gender in "mn" else "her"
    stem, endings, after = DETERMINERS[word]
    return stem + endings[case, phrase.gender], after[case, phrase.gender]


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
    return (RELATIVE if phrase.pronoun == "relative" else PERSONAL)[case, phrase.gender]


# %%
def german_phrase(phrase: Phrase, case: str, negation: Key | None = None) -> list[Word]:
    """The words of a noun phrase; a `negation` makes its determiner kein."""
    key = (phrase, "noun")
    if phrase.pronoun:
        return [Word(german_pronoun(phrase, case), (key,))]
    assert phrase.noun
    words = []
    if not phrase.is_name:
        article, ending = german_determiner(phrase, case, "no" if negation else phrase.determiner)
        if article:
            keys = (phrase, "determiner")
            words.append(Word(article, (negation, keys) if negation else (keys,)))
        if phrase.adjective:
            stem = STEM_CHANGES.get(phrase.adjective.german, phrase.adjective.german)
            words.append(Word(stem + ending, ((phrase, "adjective"),)))
    words.append(Word(german_noun(phrase.noun, case, phrase.plural), (key,)))
    if phrase.conjunct:
        words += [Word("und", ((phrase, "and"),)), *german_phrase(phrase.conjunct, case)]
    return words


STEM_CHANGES = {"dunkel": "dunkl", "teuer": "teur", "müde": "müd"}


# %%
def german_prepositional(preposition: str, case: str, phrase: Phrase) -> list[Word]:
    """A preposition and its phrase: in + dem becomes im, which then stands for both."""
    first, *others = german_phrase(phrase, case)
    key = (phrase, "preposition")
    contraction = CONTRACTIONS.get(f"{preposition} {first.text}")
    if contraction and not phrase.pronoun:
        return [Word(contraction, (key, *first.keys)), *others]
    return [Word(preposition, (key,)), first, *others]


CONTRACTIONS = {"in dem": "im", "in das": "ins", "an dem": "am", "zu dem": "zum", "zu der": "zur"}


def german_object(clause: Clause, phrase: Phrase, mark: str) -> list[Word]:
    """An object in its case: dem Hund, auf den Bus, zum Markt, keinen Apfel."""
    preposition, _, case = mark.rpartition("_")
    if mark == "to" and phrase.noun:
        preposition = phrase.noun.prepositions[2]
        case = "dat" if preposition == "zu" else "acc"
    if preposition:
        return german_prepositional(preposition, case, phrase)
    return german_phrase(phrase, case, (clause, "not") if phrase is clause.absent else None)


# %%
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
        forms, closing = IRREGULAR[verb.auxiliary], verb.participle
    finite = Word(forms[clause.subject.agreement], ((clause, part),))
    return finite, [Word(closing, ((clause, "verb"),))] if closing else []


def german_verbs_last(clause: Clause) -> list[Word]:
    """All verbs at the end: aufsteht, aufgestanden ist, aufstehen will."""
    finite, closing = german_verbs(clause)
    if clause.verb.prefix and clause.tense in ("present", "progressive"):
        return [Word(clause.verb.prefix + finite.text, finite.keys)]
    return [*closing, finite]


# %%
def german_middle(clause: Clause) -> tuple[list[Word], list[Word]]:
    """What stands between the finite verb and the closing one: the pronouns, and all else."""
    groups: dict[str, list[Word]] = {
        name: [] for name in ("pronouns", "known", "not", "near", "place", "new", "last")
    }
    for phrase, mark in clause.marked:
        bare = mark in CASES
        known = phrase.definite or mark == "dat"
        if phrase.pronoun:
            name = "pronouns" if bare else "near"
        else:
            name = "last" if not bare else "known" if known else "new"
        if phrase.pronoun != "relative":
            groups[name] += german_object(clause, phrase, mark)
    if clause.negated and not clause.absent:
        groups["not"] = [Word("nicht", ((clause, "not"),))]
    if clause.place and clause.place.noun:
        preposition = clause.place.noun.prepositions[1]
        groups["place"] = german_prepositional(preposition, "dat", clause.place)
    if clause.adjective:
        groups["last"].append(Word(clause.adjective.german, ((clause, "adjective"),)))
    pronouns, known, *others = groups.values()
    time = [] if clause.fronted else german_time(clause)
    never = bool(clause.time and clause.time.negative)
    early = [*known, *time] if clause.negated or never else [*time, *known]
    return pronouns, early + [word for group in others for word in group]


def german_time(clause: Clause) -> list[Word]:
    if not clause.time:
        return []
    words = zip(clause.time.german, clause.time.links, strict=True)
    return [Word(text, tuple((clause, f"time {i}") for i in links)) for text, links in words]


# %%
def german_clause(clause: Clause) -> list[Word]:
    """A main clause: its finite verb is the second thing in it, its other verbs close it."""
    finite, closing = german_verbs(clause)
    subject, (pronouns, middle) = german_subject(clause), german_middle(clause)
    if clause.joined and clause.joined_first:
        front = [*german_joined(clause), Word(COMMA, ((clause, "comma"),))]
    else:
        front = german_time(clause) if clause.fronted else []
    if not front:
        start = [*subject, finite, *pronouns]
    elif clause.subject.pronoun:
        start = [*front, finite, *subject, *pronouns]
    else:  # Heute besucht uns der Onkel
        start = [*front, finite, *pronouns, *subject]
    return [*start, *middle, *closing, *german_following(clause)]


def german_subordinate(clause: Clause) -> list[Word]:
    """A clause whose verbs all come last; a relative pronoun that is its object comes first."""
    first = [
        word
        for phrase, mark in clause.marked
        if phrase.pronoun == "relative"
        for word in german_object(clause, phrase, mark)
    ]
    pronouns, middle = german_middle(clause)
    body = [*first, *german_subject(clause), *pronouns, *middle, *german_verbs_last(clause)]
    return body + german_following(clause)


# %%
PAUSE = Word(COMMA)


def german_subject(clause: Clause) -> list[Word]:
    if clause.subject.pronoun == "elided":
        return []
    relative = german_relative(clause.subject)
    return german_phrase(clause.subject, "nom") + relative + [PAUSE] * bool(relative)


def german_relative(phrase: Phrase) -> list[Word]:
    """A phrase's relative clause after its comma, or nothing."""
    return [PAUSE, *german_subordinate(phrase.relative)] if phrase.relative else []


def german_following(clause: Clause) -> list[Word]:
    """What comes after the closing verb: the objects' relative clauses, a joined clause."""
    words = [word for phrase in clause.objects for word in german_relative(phrase)]
    if not clause.joined or clause.joined_first:
        return words
    pause = [PAUSE]
    if clause.conjunction in COORDINATORS:
        with_comma = clause.conjunction == "but" or words
        pause = [Word(COMMA, ((clause, "comma"),))] if with_comma else []
    return [*words, *pause, *german_joined(clause)]


def german_joined(clause: Clause) -> list[Word]:
    assert clause.joined
    spell = german_clause if clause.conjunction in COORDINATORS else german_subordinate
    conjunction = TABLES["conjunctions"][clause.conjunction]
    return [Word(conjunction, ((clause, "conjunction"),)), *spell(clause.joined)]
