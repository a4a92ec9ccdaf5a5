# Tangled from chapters/reference/toy-grammar.md: change it there, then run `make tangle`.
"""Clauses spelled in English, as trees with the labels of the Penn Treebank."""

from itertools import count
from typing import Any

from annotated.data.toy.lexicon import BE, suffixed
from annotated.data.toy.syntax import PRONOUNS, Clause, Phrase, Tree, leaf, pronoun_for, tree

PREPOSITIONS = ("for", "to", "of", "with")  # the other particles are adverbs: get up
COORDINATORS = ("and", "but")
COMMA = ","
AUXILIARIES = ("can", "must", "should", "will")
TAGS = {"two": "CD", "three": "CD", "many": "JJ"} | {own: "PRP$" for _, own in PRONOUNS.values()}


def english_phrase(phrase: Phrase, objective: bool = False) -> Tree:
    """The tree of a noun phrase; `objective` for me, him, them."""
    if phrase.pronoun:
        text = PRONOUNS[phrase.pronoun][0] if objective else phrase.pronoun
        return tree("NP", leaf("PRP", text, (phrase, "noun")))
    assert phrase.noun
    text, adjective = phrase.noun.english[phrase.plural], None
    tag = "NNP" if phrase.is_name else "NNS" if phrase.plural else "NN"
    noun = leaf(tag, text, (phrase, "noun"))
    if phrase.adjective:
        text = phrase.adjective.english
        adjective = leaf("JJ", text, (phrase, "adjective"))
    simple = tree("NP", english_determiner(phrase, text), adjective, noun)
    if phrase.conjunct:
        conjunction = leaf("CC", "and", (phrase, "and"))
        return tree("NP", simple, conjunction, english_phrase(phrase.conjunct))
    return tree("NP", simple, english_relative(phrase.relative)) if phrase.relative else simple


def english_determiner(phrase: Phrase, following: str) -> Tree | None:
    """The, a or an, my, its ...; none before names, masses and some plurals."""
    word = phrase.determiner
    if not word or phrase.is_name:
        return None
    if phrase.owner:
        word = PRONOUNS[pronoun_for(phrase.owner)][1]
    elif word == "a" and following[0] in "aeiou":
        word = "an"
    return leaf(TAGS.get(word, "DT"), word, (phrase, "determiner"))


def english_relative(clause: Clause) -> Tree:
    """Who, whom or that, and the clause in which its place stays empty."""
    gap = next(p for p in [clause.subject, *clause.objects] if p.pronoun == "relative")
    word = "that" if not gap.is_a("person") else "who" if gap is clause.subject else "whom"
    pronoun = leaf("WDT" if word == "that" else "WP", word, (gap, "noun"))
    return tree("SBAR", tree("WHNP", pronoun), english_clause(clause))


def english_verbs(clause: Clause) -> list[Tree]:
    """Its verbs, the finite one first: [is] [sleeping], [does] [sleep], [wants] [to] [sleep]."""
    verb, tense, who = clause.verb, clause.tense, clause.subject.agreement
    present, modal, key = "VBZ" if who == 1 else "VBP", (clause, "modal"), (clause, "verb")
    infinitive = leaf("VB", verb.english, key)
    if clause.negated and tense == "can":
        return [leaf("MD", "cannot", modal, (clause, "not")), infinitive]
    if tense in AUXILIARIES:
        return [leaf("MD", tense, modal), infinitive]
    if tense == "progressive":
        finite = leaf(present, english_present("be", who), key)
        return [finite, leaf("VBG", suffixed(verb.english, "ing"), key)]
    word, past = verb.english, "were" if verb is BE and who == 2 else verb.past
    others: list[Tree] = []
    if tense == "want":
        word, key, others = "want", modal, [leaf("TO", "to", key), infinitive]
    if clause.negated and verb is not BE:  # does not sleep
        word, past, others = "do", "did", [leaf("VB", word, key), *others]
    if tense == "past":
        return [leaf("VBD", past, key), *others]
    return [leaf(present, english_present(word, who), key), *others]


def english_present(verb: str, who: int) -> str:
    """The present tense of a verb with I (0), he (1) or they (2)."""
    if verb == "be":
        return ("am", "is", "are")[who]
    if who != 1:
        return verb
    return "has" if verb == "have" else suffixed(verb, "s")


def english_verb_phrase(clause: Clause, adverb: Tree | None) -> Tree:
    """The verbs, each over the next, with "not" and the adverb after the first."""
    finite, *others = english_verbs(clause)
    inner = english_rest(clause)
    for verb in reversed(others):
        inner = [tree("VP", verb, *inner)]
        if verb.label == "TO":
            inner = [tree("S", *inner)]
    if clause.negated and clause.tense != "can":  # "cannot" says it already
        return tree("VP", finite, leaf("RB", "not", (clause, "not")), adverb, *inner)
    return tree("VP", finite, adverb, *inner)


def english_rest(clause: Clause) -> list[Tree]:
    """What follows the verbs: objects, adjective, place, time and a subordinate clause."""
    rest = english_objects(clause)
    if clause.adjective:
        rest.append(tree("ADJP", leaf("JJ", clause.adjective.english, (clause, "adjective"))))
    if clause.place and clause.place.noun:
        preposition = leaf("IN", clause.place.noun.prepositions[0], (clause.place, "preposition"))
        rest.append(tree("PP", preposition, english_phrase(clause.place)))
    if clause.time and not clause.time.middle and not clause.fronted:
        rest.append(english_time(clause))
    if clause.joined and not clause.joined_first and clause.conjunction not in COORDINATORS:
        rest.append(english_subordinate(clause))
    return rest


def english_objects(clause: Clause) -> list[Tree]:
    """The objects with their prepositions, and the particle: "puts on the coat", "puts it on"."""
    word, key, found = clause.verb.particle, (clause, "verb"), []
    for phrase, mark in clause.marked:
        preposition = "to" if mark == "to" else word if word in PREPOSITIONS else ""
        noun = None if phrase.pronoun == "relative" else english_phrase(phrase, objective=True)
        if preposition:
            meant = (phrase, "preposition") if mark not in ("acc", "dat") else key
            noun = tree("PP", leaf("TO" if preposition == "to" else "IN", preposition, meant), noun)
        found += [noun] if noun else []
    if word and word not in PREPOSITIONS:
        last = bool(found) and clause.objects[0].pronoun in PRONOUNS
        found.insert(len(found) if last else 0, tree("PRT", leaf("RP", word, key)))
    return found


def english_time(clause: Clause) -> Tree:
    """The adverbial's tree, its words numbered as concepts of the clause."""
    assert clause.time
    numbers = count()

    def build(label: str, *children: Any) -> Tree:
        if isinstance(children[0], str):
            return leaf(label, children[0], (clause, f"time {next(numbers)}"))
        return tree(label, *[build(*child) for child in children])

    return build(*clause.time.english)


def english_clause(clause: Clause) -> Tree:
    """The tree of a clause, and of the one that is joined to it."""
    front: list[Tree] = []
    if clause.joined and clause.joined_first:
        front = [english_subordinate(clause), leaf(COMMA, COMMA, (clause, "comma"))]
    if clause.fronted:
        front.append(english_time(clause))
    if clause.subject.pronoun not in ("relative", "elided"):
        front.append(english_phrase(clause.subject))
    adverb = english_time(clause) if clause.time and clause.time.middle else None
    helped = clause.verb is BE or clause.tense in AUXILIARIES
    verb_phrase = english_verb_phrase(clause, adverb if helped else None)
    if clause.conjunction in COORDINATORS:
        return english_coordination(clause, front, verb_phrase)
    return tree("S", *front, None if helped else adverb, verb_phrase)


def english_subordinate(clause: Clause) -> Tree:
    """The clause joined to this one: because ..., that ..."""
    assert clause.joined
    conjunction = leaf("IN", clause.conjunction, (clause, "conjunction"))
    return tree("SBAR", conjunction, english_clause(clause.joined))


def english_coordination(clause: Clause, front: list[Tree], first: Tree) -> Tree:
    """Two verb phrases of one subject, or two clauses; a comma stands before "but"."""
    assert clause.joined
    second = english_clause(clause.joined)
    word = leaf("CC", clause.conjunction, (clause, "conjunction"))
    if clause.joined.subject.pronoun == "elided":
        return tree("S", *front, tree("VP", first, word, *second.children))
    comma = leaf(COMMA, COMMA, (clause, "comma")) if clause.conjunction == "but" else None
    return tree("S", tree("S", *front, first), comma, word, second)
