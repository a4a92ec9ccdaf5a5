# Tangled from chapters/data/toy-language.md: change it there, then run `make tangle`.
"""The toy language: a generated fragment of English and German, exactly known (Section 5.1).

A sentence is first made as abstract syntax, then spelled out twice: as an English tree and as
German words. Every word carries the concept that it expresses, so the gold alignment is known.
"""

import random
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, TypeVar

NOUNS = """
person adult   | man men              | der Mann Männer
person adult   | woman women          | die Frau Frauen
person adult   | teacher              | die Lehrerin Lehrerinnen
person adult   | doctor               | die Ärztin Ärztinnen
person adult   | farmer               | der Bauer Bauern weak
person adult   | neighbor             | der Nachbar Nachbarn weak
person adult   | baker                | der Bäcker Bäcker
person youth   | boy                  | der Junge Jungen weak
person youth   | girl                 | das Mädchen Mädchen
person youth   | child children       | das Kind Kinder
person kin     | father -             | der Vater -
person kin     | mother -             | die Mutter -
person kin     | brother              | der Bruder Brüder
person kin     | sister               | die Schwester Schwestern
person kin     | uncle -              | der Onkel -
person kin     | aunt -               | die Tante -
person name    | Peter -              | der Peter -
person name    | Paul -               | der Paul -
person name    | Anna -               | die Anna -
person name    | Maria -              | die Maria -
animal pet hunter           | dog              | der Hund Hunde
animal pet hunter           | cat              | die Katze Katzen
animal pet singer           | bird             | der Vogel Vögel
animal pet grazer           | rabbit           | das Kaninchen Kaninchen
animal farm grazer          | horse            | das Pferd Pferde
animal farm grazer          | cow              | die Kuh Kühe
animal farm grazer          | donkey           | der Esel Esel
animal farm grazer          | goat             | die Ziege Ziegen
animal farm grazer          | pig              | das Schwein Schweine
animal wild hunter          | bear             | der Bär Bären weak
animal wild hunter          | fox foxes        | der Fuchs Füchse
"""


NOUNS += """
food baked sweet            | cake             | der Kuchen Kuchen
food baked sweet            | cookie           | der Keks Kekse
food baked crop mass        | bread -          | das Brot -
food cooked                 | soup             | die Suppe Suppen
food cooked                 | egg              | das Ei Eier
food cooked prey mass       | meat -           | das Fleisch -
food prey                   | sausage          | die Wurst Würste
food prey mass              | cheese -         | der Käse -
food fruit crop             | apple            | der Apfel Äpfel
food fruit crop             | pear             | die Birne Birnen
food crop                   | carrot           | die Karotte Karotten
fodder crop mass            | grass -          | das Gras -
fodder crop mass            | hay -            | das Heu -
drink mass cold             | milk -           | die Milch -
drink mass cold             | water -          | das Wasser -
drink mass cold             | juice -          | der Saft -
drink mass hot              | tea -            | der Tee -
drink mass hot              | coffee -         | der Kaffee -
text paper                  | book             | das Buch Bücher
text paper                  | letter           | der Brief Briefe
text paper                  | newspaper        | die Zeitung Zeitungen
text tale                   | story stories    | die Geschichte Geschichten
text tale                   | poem             | das Gedicht Gedichte
vehicle private machine     | car              | das Auto Autos
vehicle private machine     | bicycle          | das Fahrrad Fahrräder
vehicle private machine     | boat             | das Boot Boote
vehicle public              | bus buses        | der Bus Busse
vehicle public              | train            | der Zug Züge
clothes                     | coat             | der Mantel Mäntel
clothes                     | scarf scarves    | der Schal Schals
clothes                     | shirt            | das Hemd Hemden
clothes                     | jacket           | die Jacke Jacken
"""


NOUNS += """
opening entrance            | door             | die Tür Türen
opening entrance            | window           | das Fenster Fenster
opening thing luggage       | suitcase         | der Koffer Koffer
opening thing luggage       | bag              | die Tasche Taschen
opening thing luggage       | box boxes        | die Kiste Kisten
thing small                 | key              | der Schlüssel Schlüssel
thing small gift            | ball             | der Ball Bälle
thing small gift            | doll             | die Puppe Puppen
thing small gift            | flower           | die Blume Blumen
art gift                    | picture          | das Bild Bilder
thing small                 | cup              | die Tasse Tassen
thing small                 | knife knives     | das Messer Messer
thing small                 | umbrella         | der Regenschirm Regenschirme
thing machine               | lamp             | die Lampe Lampen
thing machine               | clock            | die Uhr Uhren
thing                       | table            | der Tisch Tische
thing                       | chair            | der Stuhl Stühle
place home in:in:in         | kitchen          | die Küche Küchen
place home in:in:in         | room             | das Zimmer Zimmer
place home in:in:zu         | house            | das Haus Häuser
place outside in:in:in      | garden           | der Garten Gärten
place outside in:in:in      | park             | der Park Parks
place outside in:in:in      | forest           | der Wald Wälder
place outside in:auf:auf    | meadow           | die Wiese Wiesen
place outside on:an:zu      | beach beaches    | der Strand Strände
place town in:in:in         | village          | das Dorf Dörfer
place town in:in:in         | city cities      | die Stadt Städte
place town at:auf:zu        | market           | der Markt Märkte
place town at:an:zu         | station          | der Bahnhof Bahnhöfe
place town at:in:zu         | school           | die Schule Schulen
place waters in:in:zu       | lake             | der See Seen
place waters in:in:zu       | river            | der Fluss Flüsse
"""


ADJECTIVES = """
old          alt         | adult animal text private clothes thing art home town
young        jung        | adult animal
small        klein       | youth animal private opening thing art fruit room house garden village
big          groß        | animal private opening cake table art house garden forest park lake
new          neu         | text vehicle clothes opening thing art
beautiful    schön       | text private clothes art flower doll garden beach village lake
friendly     freundlich  | person
tired        müde        | person pet farm
sick         krank       | person animal
happy        glücklich   | person
sad          traurig     | person tale
hungry       hungrig     | person animal
thirsty      durstig     | person animal
clever       klug        | person pet fox
lazy         faul        | youth adult pet farm
brave        mutig       | youth adult
rich         reich       | adult
famous       berühmt     | adult
brown        braun       | animal luggage table chair coat jacket
black        schwarz     | animal clothes private luggage umbrella
white        weiß        | pet farm clothes table chair cup flower
red          rot         | private clothes luggage ball flower umbrella cup apple entrance
blue         blau        | private clothes luggage ball cup umbrella entrance
green        grün        | private clothes luggage apple pear meadow
wild         wild        | wild
dangerous    gefährlich  | wild
fresh        frisch      | bread cake fruit carrot meat egg milk juice fodder
sweet        süß         | sweet fruit juice
warm         warm        | soup milk clothes bread
cold         kalt        | cold soup meat
hot          heiß        | hot soup
expensive    teuer       | private clothes luggage machine art table meat
cheap        billig      | private clothes luggage machine table chair
heavy        schwer      | luggage table chair
broken       kaputt      | machine luggage doll umbrella entrance
dirty        schmutzig   | clothes private luggage cup knife
long         lang        | tale letter book scarf coat
short        kurz        | tale letter book scarf
interesting  interessant | text
boring       langweilig  | text
quiet        ruhig       | village garden park beach
dark         dunkel      | room forest kitchen
"""


VERBS = """
sleep slept         | schlafen schläft geschlafen | person animal |  | home outside
laugh               | lachen lacht gelacht | person |  | town
cry cried           | weinen weint geweint | person |  | home
sing sang           | singen singt gesungen | person singer |  | home outside
dance               | tanzen tanzt getanzt | person |  | home outside
work                | arbeiten arbeitet gearbeitet | person |  | home garden town
play                | spielen spielt gespielt | youth pet |  | home outside
swim swam           | schwimmen schwimmt geschwommen* | person animal |  | waters
get.up got          | auf|stehen steht aufgestanden* | person |  |
wake.up woke        | auf|wachen wacht aufgewacht* | person animal |  |
fall.asleep fell    | ein|schlafen schläft eingeschlafen* | person animal |  | home
come.back came      | zurück|kommen kommt zurückgekommen* | person pet |  |
run.away ran        | weg|laufen läuft weggelaufen* | animal |  |
arrive              | an|kommen kommt angekommen* | person public |  | station
go went             | gehen geht gegangen* | person | to place |
run ran             | laufen läuft gelaufen* | person animal | to outside |
eat ate             | essen isst gegessen | person | acc food | home
eat ate             | fressen frisst gefressen | hunter | acc prey | garden
eat ate             | fressen frisst gefressen | grazer | acc crop | garden meadow
drink drank         | trinken trinkt getrunken | person | acc drink | home
drink drank         | trinken trinkt getrunken | pet | acc water milk | home
drink drank         | trinken trinkt getrunken | farm wild | acc water |
cook                | kochen kocht gekocht | person | acc cooked | kitchen
bake                | backen backt gebacken | person | acc baked | kitchen
read read           | lesen liest gelesen | person | acc text | home garden park
write wrote         | schreiben schreibt geschrieben | person | acc tale letter book | home garden
"""


VERBS += """
buy bought          | kaufen kauft gekauft | person | acc food clothes thing art private book \
                    | city market
sell sold           | verkaufen verkauft verkauft | person | acc food private machine clothes \
                    | city market
find found!         | finden findet gefunden | person | acc thing art clothes pet paper \
                    | home outside
look.for            | suchen sucht gesucht | person | acc thing art clothes pet farm paper \
                    | home outside
lose lost!          | verlieren verliert verloren | person | acc small luggage coat jacket \
                    | outside town
forget forgot!      | vergessen vergisst vergessen | person | acc small luggage clothes paper | town
see saw!            | sehen sieht gesehen | person animal | acc person animal | outside town
hear heard!         | hören hört gehört | person pet | acc person animal train |
watch               | beobachten beobachtet beobachtet | person pet | acc animal | outside
follow              | folgen folgt gefolgt* | pet | dat person |
feed fed            | füttern füttert gefüttert | person | acc pet farm | garden
wash                | waschen wäscht gewaschen | person | acc clothes cup knife private dog | garden
carry carried       | tragen trägt getragen | person | acc luggage table chair |
repair              | reparieren repariert repariert | person | acc machine private table chair \
                    | garden
paint               | malen malt gemalt | person | acc art | outside
visit               | besuchen besucht besucht | person | acc person village city |
need needed!        | brauchen braucht gebraucht | person | acc thing clothes private doctor |
have had!           | haben hat gehabt | person | acc private pet luggage gift |
love loved!         | lieben liebt geliebt | person | acc person pet horse |
like liked!         | mögen mag gemocht | person | acc person animal food drink text |
know knew!          | kennen kennt gekannt | person | acc person tale |
"""


VERBS += """
open                | auf|machen macht aufgemacht | person | acc opening |
close               | zu|machen macht zugemacht | person | acc opening |
put.on put          | an|ziehen zieht angezogen | person | acc clothes |
pick.up             | ab|holen holt abgeholt | person | acc person | station school
call                | an|rufen ruft angerufen | person | acc person |
invite              | ein|laden lädt eingeladen | person | acc person |
tidy.up tidied      | auf|räumen räumt aufgeräumt | person | acc kitchen room house |
bring.along brought | mit|bringen bringt mitgebracht | person | acc cake gift sausage bread pet |
help                | helfen hilft geholfen | person | dat person | home garden
thank               | danken dankt gedankt | person | dat person |
listen.to           | zu|hören hört zugehört | person | dat person singer |
wait.for            | warten wartet gewartet | person | auf_acc person public | station
think.of thought    | denken denkt gedacht | person | an_acc person |
talk.to             | sprechen spricht gesprochen | person | mit_dat person | outside town
play.with           | spielen spielt gespielt | youth pet | mit_dat ball | home outside
dance.with          | tanzen tanzt getanzt | person | mit_dat person | home outside
give gave           | geben gibt gegeben | person | dat person acc gift text food private |
show showed         | zeigen zeigt gezeigt | person \
                    | dat person acc gift paper private clothes house garden |
send sent           | schicken schickt geschickt | person | dat person acc gift paper poem |
tell told           | erzählen erzählt erzählt | person | dat person acc story |
say said!           | sagen sagt gesagt | person | that |
believe believed!   | glauben glaubt geglaubt | person | that |
know knew!          | wissen weiß gewusst | person | that |
hope hoped!         | hoffen hofft gehofft | person | that |
be was!             | sein ist gewesen* | person | adjective |
"""


PRESENT = {  # with ich, with er and with wir, where the rule does not hold
    "sein": "bin ist sind",
    "haben": "habe hat haben",
    "wissen": "weiß weiß wissen",
    "mögen": "mag mag mögen",
}
PRETERITE = {"sein": "war war waren", "haben": "hatte hatte hatten"}  # all others take the perfect
MODALS = {
    "can": "kann kann können",
    "must": "muss muss müssen",
    "want": "will will wollen",
    "should": "sollte sollte sollten",
    "will": "werde wird werden",
}


ADVERBIALS = """
mid   present        | (ADVP (RB often))                          | oft=0
mid   present        | (ADVP (RB always))                         | immer=0
mid   present        | (ADVP (RB sometimes))                      | manchmal=0
never present        | (ADVP (RB never))                          | nie=0
end   present        | (NP (DT every) (NN day))                   | jeden=0 Tag=1
end   present        | (PP (IN in) (NP (DT the) (NN morning)))    | am=01 Morgen=2
end   present past   | (PP (IN in) (NP (DT the) (NN evening)))    | am=01 Abend=2
end   present future | (PP (IN on) (NP (NNP Sunday)))             | am=0 Sonntag=1
end   now            | (ADVP (RB now))                            | jetzt=0
end   now future     | (NP (NN today))                            | heute=0
end   past           | (NP (NN yesterday))                        | gestern=0
end   past           | (NP (DT this) (NN morning))                | heute=0 Morgen=1
end   past           | (NP (JJ last) (NN week))                   | letzte=0 Woche=1
end   future         | (NP (NN tomorrow))                         | morgen=0
end   future         | (NP (NN tonight))                          | heute=0 Abend=0
end   future         | (NP (JJ next) (NN week))                   | nächste=0 Woche=1
"""


SUBJECT_REASONS = """
sleep, fall.asleep: tired sick | eat: hungry | drink: thirsty | sing, dance, dance.with: happy
laugh: happy | cry: sad sick tired hungry | come.back: hungry tired thirsty
call: sick sad | thank: happy
"""
OBJECT_REASONS = """
eat: fresh sweet warm | drink: cold fresh hot | read: interesting beautiful short sad new
buy: cheap beautiful fresh new | sell: old expensive broken cheap | repair: broken old
look.for: expensive beautiful | wash: dirty | feed: hungry tired sick | put.on: warm new beautiful
visit, call, help, think.of: sick sad old | love, like: beautiful friendly clever brave interesting
bake: sweet | need: new warm | carry: heavy
"""


@dataclass(frozen=True)
class Noun:
    """A noun, or a name: `english` and `german` are (singular, plural)."""

    kinds: frozenset[str]
    english: tuple[str, str]
    german: tuple[str, str]
    gender: str  # "m", "f" or "n"
    weak: bool  # takes its plural's form outside the nominative: den Jungen, dem Jungen
    place: tuple[str, str, str] | None  # in English, in German, and in German for a direction


@dataclass(frozen=True)
class Adjective:
    english: str
    german: str
    kinds: frozenset[str]  # of the nouns that it fits


@dataclass(frozen=True)
class Verb:
    """A verb with its forms, and with what may stand beside it."""

    english: str
    past: str
    particle: str  # get up, look for
    stative: bool  # never "is knowing"
    infinitive: str  # without its prefix
    third: str
    participle: str
    auxiliary: str  # of the perfect: haben or sein
    prefix: str  # auf|stehen
    subjects: frozenset[str]
    objects: tuple[tuple[str, frozenset[str]], ...]  # (how it is marked, kinds of noun)
    places: frozenset[str]


@dataclass(frozen=True)
class Adverbial:
    use: str  # where English puts it: "mid", "never" (mid as well) or "end"
    tenses: frozenset[str]
    english: str  # a bracketed tree
    german: tuple[
        tuple[str, tuple[int, ...]], ...
    ]  # word, indices of the English words it stands for


def rows(table: str) -> list[list[str]]:
    """The cells of each line of a table, stripped."""
    lines = [line for line in table.split("\n") if line]
    return [[cell.strip() for cell in f"{line} ".split(" | ")] for line in lines]


def read_noun(kinds: str, english: str, german: str) -> Noun:
    words = kinds.split()
    places = [word.split(":") for word in words if ":" in word]
    place = (places[0][0], places[0][1], places[0][2]) if places else None
    one, many = (english.split() + [english + "s"])[:2]
    article, *forms = german.split()
    gender = {"der": "m", "die": "f", "das": "n"}[article]
    traits = frozenset([word for word in words if ":" not in word] + [one])
    return Noun(traits, (one, many), (forms[0], forms[1]), gender, "weak" in forms, place)


def read_adjective(words: str, kinds: str) -> Adjective:
    english, german = words.split()
    return Adjective(english, german, frozenset(kinds.split()))


def read_adverbial(use: str, english: str, german: str) -> Adverbial:
    words = [word.split("=") for word in german.split()]
    links = tuple((word, tuple(map(int, indices))) for word, indices in words)
    where, *tenses = use.split()
    return Adverbial(where, frozenset(tenses), english, links)


def read_objects(words: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """ "dat person acc gift text" -> (("dat", {person}), ("acc", {gift, text}))"""
    slots: list[tuple[str, list[str]]] = []
    for word in words.split():
        if word in ("dat", "acc", "to", "that", "adjective") or "_" in word:
            slots.append((word, []))
        else:
            slots[-1][1].append(word)
    return tuple((mark, frozenset(kinds)) for mark, kinds in slots)


def read_verb(english: str, german: str, subjects: str, objects: str, places: str) -> Verb:
    base, past = (english.rstrip("!").split() + [""])[:2]
    base, _, particle = base.partition(".")
    infinitive, third, participle = german.rstrip("*").split()
    prefix, _, infinitive = infinitive.rpartition("|")
    return Verb(
        base, past or suffixed(base, "ed"), particle, english.endswith("!"),
        infinitive, third, participle, "sein" if german.endswith("*") else "haben", prefix,
        frozenset(subjects.split()), read_objects(objects), frozenset(places.split()),
    )  # fmt: skip


def suffixed(verb: str, ending: str) -> str:
    """An English verb with -s, -ed or -ing: cry, cries; bake, baking; swim, swimming."""
    if ending == "s":
        if verb.endswith(("s", "sh", "ch", "x", "o")):
            return verb + "es"
        return verb[:-1] + "ies" if verb[-1] == "y" and verb[-2] not in "aeou" else verb + "s"
    if ending == "ed" and verb[-1] == "y" and verb[-2] not in "aeou":
        return verb[:-1] + "ied"
    if verb.endswith("e"):
        verb = verb[:-1]
    elif verb in ("get", "put", "run", "swim", "forget"):
        verb += verb[-1]
    return verb + ending


LEXICON = [read_noun(*row) for row in rows(NOUNS)]
DESCRIPTIONS = [read_adjective(*row) for row in rows(ADJECTIVES)]
ACTIONS = [read_verb(*row) for row in rows(VERBS)]
TIMES = [read_adverbial(*row) for row in rows(ADVERBIALS)]
BE = ACTIONS[-1]


@dataclass(eq=False)
class Phrase:
    """A noun phrase: a noun with what stands around it, or a pronoun."""

    noun: Noun | None = None
    plural: bool = False
    determiner: str = "the"  # "" for none
    adjective: Adjective | None = None
    relative: "Clause | None" = None
    conjunct: "Phrase | None" = None  # Anna and Peter
    pronoun: str = ""  # "I", "we", "he", "she", "it", "they" or "relative"
    antecedent: "Phrase | None" = None  # of a pronoun
    owner: "Phrase | None" = None  # of "his", "her", "its", "their"

    @property
    def head(self) -> Noun | None:
        """The noun that decides on gender and meaning: a pronoun has its antecedent's."""
        return self.antecedent.head if self.antecedent else self.noun

    @property
    def number(self) -> int:
        """0 singular, 1 plural."""
        if self.antecedent and self.pronoun in ("relative", "same"):
            return self.antecedent.number
        return int(self.plural or bool(self.conjunct) or self.pronoun in ("we", "they"))

    @property
    def gender(self) -> str:
        """The German gender: "m", "f", "n", or "p" in the plural."""
        if self.number:
            return "p"
        return self.head.gender if self.head else {"she": "f"}.get(self.pronoun, "m")

    @property
    def definite(self) -> bool:
        return bool(self.pronoun) or self.determiner in DEFINITE or self.is_name

    @property
    def is_name(self) -> bool:
        return self.noun is not None and "name" in self.noun.kinds


def origin(phrase: Phrase) -> Phrase:
    """What a pronoun stands for in the end."""
    return origin(phrase.antecedent) if phrase.antecedent else phrase


@dataclass(eq=False)
class Clause:
    """A clause, in no language yet: who does what to whom, when and where."""

    subject: Phrase
    verb: Verb
    objects: list[Phrase] = field(default_factory=list)  # one for each of the verb's objects
    adjective: Adjective | None = None  # the dog is tired
    tense: str = "present"  # "present", "progressive", "past", or a modal verb
    negated: bool = False
    time: Adverbial | None = None
    place: Phrase | None = None
    fronted: bool = False  # the time comes first
    joined: "Joined | None" = None  # another clause, and how it is joined

    @property
    def marked(self) -> list[tuple[Phrase, str]]:
        """Each object and how German marks it: "acc", "dat", "auf_acc", "to" ..."""
        marks = (mark for mark, _ in self.verb.objects)
        return list(zip(self.objects, marks, strict=False))  # "that" and "adjective" have no phrase

    @property
    def without(self) -> Phrase | None:
        """The indefinite object that a negation turns into one with kein."""
        if not self.negated:
            return None
        direct = [phrase for phrase, mark in self.marked if mark == "acc"]
        return next((phrase for phrase in direct if not phrase.definite), None)


@dataclass(eq=False)
class Joined:
    """A clause joined to another: a subordinate one, or one after "and" or "but"."""

    word: str  # "because", "when", "that", "and", "but" ...
    clause: Clause
    first: bool = False  # it stands before the main clause


Key = tuple[object, str]  # a node of the syntax and its part: (phrase, "noun")


class Word(NamedTuple):
    """A word of either language, and the concepts that it expresses."""

    text: str
    keys: tuple[Key, ...] = ()


class Tree(NamedTuple):
    """A constituent, or a part of speech over its word."""

    label: str
    children: "tuple[Tree | Word, ...]"

    def leaves(self) -> list[Word]:
        """The words below, from left to right."""
        found: list[Word] = []
        self._collect(found)
        return found

    def _collect(self, found: list[Word]) -> None:
        for child in self.children:
            if isinstance(child, Word):
                found.append(child)
            else:
                child._collect(found)

    def bracketed(self, words: Iterator[str]) -> str:
        """Penn brackets, with the next of the `words` at each leaf."""
        parts = [next(words) if isinstance(c, Word) else c.bracketed(words) for c in self.children]
        return f"({self.label} {' '.join(parts)})"


def tree(label: str, *children: "Tree | None") -> Tree:
    return Tree(label, tuple([child for child in children if child is not None]))


def leaf(tag: str, text: str, *keys: Key) -> Tree:
    return Tree(tag, (Word(text, keys),))


@cache
def read_tree(text: str) -> Any:
    """Nested tuples of a bracketed string: "(NP (NN today))" -> ("NP", ("NN", "today"))"""
    stack: list[list[Any]] = [[]]
    for token in text.replace("(", " ( ").replace(")", " ) ").split():
        if token == "(":
            stack.append([])
        elif token == ")":
            done = tuple(stack.pop())
            stack[-1].append(done)
        else:
            stack[-1].append(token)
    return stack[0][0]


SUBJECTS = ("I", "we", "he", "she", "it", "they")
OBJECTIVE = {"I": "me", "we": "us", "he": "him", "she": "her", "it": "it", "they": "them"}
POSSESSIVE = {"he": "his", "she": "her", "it": "its", "they": "their", "I": "my", "we": "our"}
PREPOSITIONS = ("for", "to", "of", "with")  # the other particles are adverbs: get up
DETERMINER_TAGS = {"two": "CD", "three": "CD", "many": "JJ", "my": "PRP$", "our": "PRP$"}
DEFINITE = ("the", "this", "these", "every", "my", "our", "own")


def agreement(phrase: Phrase) -> int:
    """0 for I, 1 for he, she and it, 2 for all others."""
    return 2 if phrase.number else 0 if origin(phrase).pronoun == "I" else 1


def pronoun_for(phrase: Phrase) -> str:
    """The English pronoun that stands for a phrase."""
    if phrase.pronoun in SUBJECTS:
        return phrase.pronoun
    if phrase.number:
        return "they"
    assert phrase.head
    if "person" not in phrase.head.kinds or "child" in phrase.head.kinds:
        return "it"
    return {"m": "he", "f": "she", "n": "she"}[phrase.head.gender]


def english_phrase(phrase: Phrase, objective: bool = False) -> Tree:
    """The English tree of a noun phrase."""
    if phrase.pronoun:
        text = OBJECTIVE[phrase.pronoun] if objective else phrase.pronoun
        return tree("NP", leaf("PRP", text, (phrase, "noun")))
    assert phrase.noun
    tag, text = "NNS" if phrase.plural else "NN", phrase.noun.english[phrase.plural]
    noun = leaf("NNP" if phrase.is_name else tag, text, (phrase, "noun"))
    adjective = None
    if phrase.adjective:
        adjective = leaf("JJ", phrase.adjective.english, (phrase, "adjective"))
    following = phrase.adjective.english if phrase.adjective else text
    simple = tree("NP", english_determiner(phrase, following), adjective, noun)
    if phrase.conjunct:
        conjunction = leaf("CC", "and", (phrase, "and"))
        return tree("NP", simple, conjunction, english_phrase(phrase.conjunct, objective))
    return tree("NP", simple, english_relative(phrase)) if phrase.relative else simple


def english_determiner(phrase: Phrase, following: str) -> Tree | None:
    """The, a or an, my, its ...; none before names, masses and some plurals."""
    word = phrase.determiner
    if not word or phrase.is_name:
        return None
    if word == "own":
        assert phrase.owner
        return leaf("PRP$", POSSESSIVE[pronoun_for(phrase.owner)], (phrase, "determiner"))
    if word == "a" and following[0] in "aeiou":
        word = "an"
    return leaf(DETERMINER_TAGS.get(word, "DT"), word, (phrase, "determiner"))


def english_relative(phrase: Phrase) -> Tree:
    """Who, whom or that, and the clause in which its place stays empty."""
    assert phrase.relative and phrase.noun
    clause, inside = phrase.relative, clause_gap(phrase.relative)
    as_subject = inside is clause.subject
    word = "that" if "person" not in phrase.noun.kinds else "who" if as_subject else "whom"
    pronoun = leaf("WDT" if word == "that" else "WP", word, (inside, "noun"))
    return tree("SBAR", tree("WHNP", pronoun), english_clause(clause))


def clause_gap(clause: Clause) -> Phrase:
    """The phrase of a relative clause that is its relative pronoun."""
    return next(p for p in [clause.subject, *clause.objects] if p.pronoun == "relative")


def english_verbs(clause: Clause) -> list[Tree]:
    """Its verbs, the finite one first: [is] [sleeping], [does] [sleep], [wants] [to] [sleep]."""
    chain = english_chain(clause.verb, clause.tense, agreement(clause.subject), clause.negated)
    return [leaf(tag, text, *[(clause, part) for part in parts]) for tag, text, *parts in chain]


def english_chain(verb: Verb, tense: str, who: int, negated: bool) -> list[tuple[str, ...]]:
    """(tag, word, the concepts that it expresses) for each verb of a clause."""
    now, base = "VBZ" if who == 1 else "VBP", verb.english
    do = negated and verb is not BE and tense in ("present", "past", "want")
    if tense == "want":
        want = [(now, english_present("want", who), "modal"), ("TO", "to", "verb")]
        if do:
            want = [(now, english_present("do", who), "modal"), ("VB", "want", "modal"), want[1]]
        return [*want, ("VB", base, "verb")]
    if tense in MODALS:
        modal = ("MD", "cannot", "modal", "not") if negated and tense == "can" else None
        return [modal or ("MD", tense, "modal"), ("VB", base, "verb")]
    if tense == "progressive":
        return [(now, english_present("be", who), "verb"), ("VBG", suffixed(base, "ing"), "verb")]
    if do:
        finite = ("VBD", "did") if tense == "past" else (now, english_present("do", who))
        return [(*finite, "verb"), ("VB", base, "verb")]
    if tense == "past":
        return [("VBD", "were" if verb is BE and who == 2 else verb.past, "verb")]
    return [(now, english_present(base, who), "verb")]


def english_present(verb: str, who: int) -> str:
    """The present tense of an English verb for I (0), he (1) or they (2)."""
    if verb == "be":
        return ("am", "is", "are")[who]
    if who != 1:
        return verb
    return "has" if verb == "have" else suffixed(verb, "s")


def english_verb_phrase(clause: Clause, adverb: Tree | None) -> Tree:
    """The verbs, each over the next, with "not" and the adverb after the first."""
    verbs = english_verbs(clause)
    negated = clause.negated and clause.tense != "can"  # "cannot" says it already
    after = [leaf("RB", "not", (clause, "not")) if negated else None, adverb]
    inner = english_rest(clause)
    for verb in reversed(verbs):
        if verb is verbs[0]:
            inner = [*after, *inner]
        inner = [tree("VP", verb, *inner)]
        if verb.label == "TO":
            inner = [tree("S", *inner)]
    (phrase,) = inner
    assert phrase
    return phrase


def english_rest(clause: Clause) -> list[Tree | None]:
    """What follows the verbs: objects, adjective, place, time and a subordinate clause."""
    rest = english_objects(clause)
    if clause.adjective:
        rest.append(tree("ADJP", leaf("JJ", clause.adjective.english, (clause, "adjective"))))
    if clause.place:
        rest.append(english_place(clause.place))
    if clause.time and clause.time.use == "end" and not clause.fronted:
        rest.append(english_time(clause))
    if clause.joined and not clause.joined.first and clause.joined.word not in COORDINATORS:
        rest.append(english_joined(clause.joined))
    return rest


def english_objects(clause: Clause) -> list[Tree | None]:
    """The objects with their prepositions, and the particle: "puts on the coat", "puts it on"."""
    word, key, found = clause.verb.particle, (clause, "verb"), []
    for phrase, mark in clause.marked:
        preposition = "to" if mark == "to" else word if word in PREPOSITIONS else ""
        noun = None if phrase.pronoun == "relative" else english_phrase(phrase, objective=True)
        if preposition:
            meant = (phrase, "preposition") if mark not in ("acc", "dat") else key
            noun = tree("PP", leaf("TO" if preposition == "to" else "IN", preposition, meant), noun)
        found.append(noun)
    if word and word not in PREPOSITIONS:
        last = bool(found) and clause.objects[0].pronoun in SUBJECTS
        found.insert(len(found) if last else 0, tree("PRT", leaf("RP", word, key)))
    return found


def english_place(phrase: Phrase) -> Tree:
    assert phrase.noun and phrase.noun.place
    preposition = leaf("IN", phrase.noun.place[0], (phrase, "preposition"))
    return tree("PP", preposition, english_phrase(phrase))


def english_time(clause: Clause) -> Tree:
    """The adverbial's tree, its words numbered as concepts of the clause."""
    assert clause.time
    numbers = iter(range(9))

    def build(label: str, *children: Any) -> Tree:
        if isinstance(children[0], str):
            return leaf(label, children[0], (clause, f"time {next(numbers)}"))
        return tree(label, *[build(*child) for child in children])

    return build(*read_tree(clause.time.english))


COORDINATORS = ("and", "but")
COMMA = ","


def english_joined(joined: Joined) -> Tree:
    """A subordinate clause: because ..., that ..."""
    return tree("SBAR", leaf("IN", joined.word, (joined, "word")), english_clause(joined.clause))


def english_clause(clause: Clause) -> Tree:
    """The English tree of a clause, and of those joined to it."""
    joined, time = clause.joined, clause.time
    front: list[Tree | None] = []
    if joined and joined.first:
        front = [english_joined(joined), leaf(COMMA, COMMA, (joined, "comma"))]
    if time and clause.fronted:
        front.append(english_time(clause))
    subject = (
        None if clause.subject.pronoun in ("relative", "same") else english_phrase(clause.subject)
    )
    middle = english_time(clause) if time and time.use != "end" else None
    helped = clause.tense in ("can", "must", "should", "will") or clause.verb is BE
    verb_phrase = english_verb_phrase(clause, middle if helped else None)
    if joined and joined.word in COORDINATORS:
        return english_coordination(clause, [*front, subject], verb_phrase)
    return tree("S", *front, subject, None if helped else middle, verb_phrase)


def english_coordination(clause: Clause, before: list[Tree | None], first: Tree) -> Tree:
    """Two verb phrases of one subject, or two clauses; a comma stands before "but"."""
    joined = clause.joined
    assert joined
    second = english_clause(joined.clause)
    word = leaf("CC", joined.word, (joined, "word"))
    if joined.clause.subject.pronoun == "same":
        return tree(
            "S",
            *before,
            tree("VP", first, word, *[c for c in second.children if isinstance(c, Tree)]),
        )
    comma = leaf(COMMA, COMMA, (joined, "comma")) if joined.word == "but" else None
    return tree("S", tree("S", *before, first), comma, word, second)


CASES = ("nom", "acc", "dat")
GENDERS = "mfnp"  # masculine, feminine, neuter; plural, where gender does not matter
Table = dict[tuple[str, str], str]


def endings(nominative: str, accusative: str, dative: str) -> Table:
    """A table of inflection: a form for each case and gender, "-" for none."""
    cells = zip(CASES, (nominative, accusative, dative), strict=True)
    return {
        (c, g): w.replace("-", "")
        for c, row in cells
        for g, w in zip(GENDERS, row.split(), strict=True)
    }


#                m    f    n    plural
THE = endings("  der  die  das  die", " den  die  das  die", " dem  der  dem  den  ")
WHICH = THE | {("dat", "p"): "denen"}  # the relative pronoun
THIS = endings(" er   e    es   e  ", " en   e    es   e  ", " em   er   em   en   ")
A = endings("    -    e    -    e  ", " en   e    -    e  ", " em   er   em   en   ")
WEAK = endings(" e    e    e    en ", " en   e    e    en ", " en   en   en   en   ")
MIXED = endings("er   e    es   en ", " en   e    es   en ", " en   en   en   en   ")
STRONG = THIS
PERSONAL = endings("er sie es sie", "ihn sie es sie", "ihm ihr ihm ihnen")
SPEAKER = {"I": ("ich", "mich", "mir"), "we": ("wir", "uns", "uns")}


STEMS = {"this": "dies", "these": "dies", "every": "jed", "many": "viel"}
EIN_WORDS = {"a": "ein", "my": "mein", "our": "unser", "no": "kein"}
NUMBERS = {"two": "zwei", "three": "drei", "": ""}


def german_determiner(phrase: Phrase, case: str, word: str) -> tuple[str, Table]:
    """The determiner's form, and the endings that an adjective takes after it."""
    slot = (case, phrase.gender)
    if word == "the":
        return THE[slot], WEAK
    if word in STEMS:
        return STEMS[word] + THIS[slot], STRONG if word == "many" else WEAK
    if word in NUMBERS:
        return NUMBERS[word], STRONG
    if word == "own":
        assert phrase.owner
        his = phrase.owner.gender in "mn"
        return ("sein" if his else "ihr") + A[slot], MIXED
    return EIN_WORDS[word] + A[slot], MIXED


def german_noun(noun: Noun, case: str, plural: bool) -> str:
    """The noun's form: -n in the dative plural, the weak nouns' ending outside the nominative."""
    one, many = noun.german
    if plural:
        return many + "n" if case == "dat" and many[-1] not in "ns" else many
    return many if noun.weak and case != "nom" else one


def german_phrase(phrase: Phrase, case: str, negation: Key | None = None) -> list[Word]:
    """The German words of a noun phrase; a `negation` makes its determiner kein."""
    if phrase.pronoun:
        return [Word(german_pronoun(phrase, case), ((phrase, "noun"),))]
    assert phrase.noun
    noun = Word(german_noun(phrase.noun, case, phrase.plural), ((phrase, "noun"),))
    if phrase.is_name:
        words = [noun]
    else:
        article, table = german_determiner(phrase, case, "no" if negation else phrase.determiner)
        keys: tuple[Key, ...] = ((phrase, "determiner"),)
        words = [Word(article, (negation, *keys) if negation else keys)] if article else []
        if phrase.adjective:
            stem = STEM_CHANGES.get(phrase.adjective.german, phrase.adjective.german)
            words.append(Word(stem + table[case, phrase.gender], ((phrase, "adjective"),)))
        words.append(noun)
    if phrase.conjunct:
        words += [Word("und", ((phrase, "and"),)), *german_phrase(phrase.conjunct, case)]
    return words


def german_pronoun(phrase: Phrase, case: str) -> str:
    """Er or sie or es, by the gender of the noun that it stands for."""
    if phrase.pronoun == "relative":
        return WHICH[case, phrase.gender]
    if phrase.pronoun in SPEAKER:
        return SPEAKER[phrase.pronoun][CASES.index(case)]
    return PERSONAL[case, phrase.gender]


STEM_CHANGES = {"dunkel": "dunkl", "teuer": "teur", "müde": "müd"}
CONTRACTIONS = {
    ("in", "dem"): "im", ("in", "das"): "ins", ("an", "dem"): "am",
    ("zu", "dem"): "zum", ("zu", "der"): "zur",
}  # fmt: skip


def german_prepositional(preposition: str, case: str, phrase: Phrase) -> list[Word]:
    """A preposition and its phrase: in + dem becomes im, which then stands for both."""
    first, *others = german_phrase(phrase, case)
    key = (phrase, "preposition")
    short = CONTRACTIONS.get((preposition, first.text))
    if short and not phrase.pronoun:
        return [Word(short, (key, *first.keys)), *others]
    return [Word(preposition, (key,)), first, *others]


def german_form(forms: str, who: int) -> str:
    return forms.split()[who]


def german_verbs(clause: Clause) -> tuple[Word, list[Word]]:
    """The finite verb, and what closes the clause: participle, infinitive or prefix."""
    verb, who, key = clause.verb, agreement(clause.subject), (clause, "verb")
    if clause.tense in MODALS:
        finite = Word(german_form(MODALS[clause.tense], who), ((clause, "modal"),))
        return finite, [Word(verb.prefix + verb.infinitive, (key,))]
    if clause.tense == "past" and verb.infinitive in PRETERITE:
        return Word(german_form(PRETERITE[verb.infinitive], who), (key,)), []
    if clause.tense == "past":
        helper = german_form(PRESENT[verb.auxiliary], who)
        return Word(helper, (key,)), [Word(verb.participle, (key,))]
    regular = f"{verb.infinitive[:-1]} {verb.third} {verb.infinitive}"
    if not verb.infinitive.endswith("en"):  # füttern, ich füttere
        regular = f"{verb.infinitive[:-1]}e {verb.third} {verb.infinitive}"
    finite = Word(german_form(PRESENT.get(verb.infinitive, regular), who), (key,))
    return finite, [Word(verb.prefix, (key,))] if verb.prefix else []


def german_verbs_last(clause: Clause) -> list[Word]:
    """All verbs at the end: aufsteht, aufgestanden ist, aufstehen will."""
    finite, (*closing,) = german_verbs(clause)
    if clause.verb.prefix and clause.tense in ("present", "progressive"):
        return [Word(clause.verb.prefix + finite.text, finite.keys)]
    return [*closing, finite]


def german_object(clause: Clause, phrase: Phrase, mark: str) -> list[Word]:
    """An object in its case: dem Hund, auf den Bus, zum Markt, keinen Apfel."""
    if mark == "to":
        assert phrase.noun and phrase.noun.place
        preposition = phrase.noun.place[2]
        return german_prepositional(preposition, "dat" if preposition == "zu" else "acc", phrase)
    preposition, _, case = mark.rpartition("_")
    if preposition:
        return german_prepositional(preposition, case, phrase)
    return german_phrase(phrase, case, (clause, "not") if phrase is clause.without else None)


def german_middle(clause: Clause) -> tuple[list[Word], list[Word]]:
    """What stands between the finite verb and the closing one: the pronouns, and all else."""
    pronouns: list[Word] = []
    known: list[Word] = []
    new: list[Word] = []
    attached: list[Word] = []
    near: list[Word] = []
    for phrase, mark in clause.marked:
        if phrase.pronoun != "relative":
            bare = mark in ("acc", "dat")
            known_or_new = known if phrase.definite or mark == "dat" else new
            if not bare and phrase.pronoun:
                near += german_object(clause, phrase, mark)
                continue
            group = attached if not bare else pronouns if phrase.pronoun else known_or_new
            group += german_object(clause, phrase, mark)
    time = [] if clause.fronted or not clause.time else german_time(clause)
    never = bool(clause.time and clause.time.use == "never")
    negation = [Word("nicht", ((clause, "not"),))] if clause.negated and not clause.without else []
    if clause.adjective:
        attached.append(Word(clause.adjective.german, ((clause, "adjective"),)))
    early = [*known, *time] if clause.negated or never else [*time, *known]
    return pronouns, [*early, *negation, *near, *german_place(clause), *new, *attached]


def german_time(clause: Clause) -> list[Word]:
    assert clause.time
    words = clause.time.german
    return [Word(text, tuple((clause, f"time {i}") for i in indices)) for text, indices in words]


def german_place(clause: Clause) -> list[Word]:
    if not clause.place:
        return []
    assert clause.place.noun and clause.place.noun.place
    return german_prepositional(clause.place.noun.place[1], "dat", clause.place)


CONJUNCTIONS = {
    "because": "weil", "when": "wenn", "although": "obwohl", "while": "während",
    "before": "bevor", "that": "dass", "and": "und", "but": "aber",
}  # fmt: skip
PAUSE = Word(COMMA)


def german_clause(clause: Clause) -> list[Word]:
    """A main clause: its finite verb is the second thing in it, its other verbs close it."""
    finite, closing = german_verbs(clause)
    front, subject = german_front(clause), german_subject(clause)
    pronouns, middle = german_middle(clause)
    if not front:
        start = [*subject, finite, *pronouns]
    elif clause.subject.pronoun:
        start = [*front, finite, *subject, *pronouns]
    else:  # Heute besucht uns der Onkel
        start = [*front, finite, *pronouns, *subject]
    return [*start, *middle, *closing, *german_following(clause)]


def german_subordinate(clause: Clause) -> list[Word]:
    """A clause whose verbs all come last; a relative pronoun that is its object comes first."""
    gap = [(phrase, mark) for phrase, mark in clause.marked if phrase.pronoun == "relative"]
    first = [word for phrase, mark in gap for word in german_object(clause, phrase, mark)]
    pronouns, middle = german_middle(clause)
    body = [*first, *german_subject(clause), *pronouns, *middle, *german_verbs_last(clause)]
    return body + german_following(clause)


def german_front(clause: Clause) -> list[Word]:
    """What stands before the finite verb in place of the subject, if anything does."""
    joined = clause.joined
    if joined and joined.first:
        return [*german_joined(joined), Word(COMMA, ((joined, "comma"),))]
    return german_time(clause) if clause.fronted else []


def german_subject(clause: Clause) -> list[Word]:
    if clause.subject.pronoun == "same":
        return []
    return german_phrase(clause.subject, "nom") + german_relative(clause.subject, PAUSE)


def german_following(clause: Clause) -> list[Word]:
    """What comes after the closing verb: the objects' relative clauses, a joined clause."""
    words = [word for phrase in clause.objects for word in german_relative(phrase)]
    joined = clause.joined
    if not joined or joined.first:
        return words
    if joined.word in COORDINATORS:
        pause = [Word(COMMA, ((joined, "comma"),))] if joined.word == "but" or words else []
        return [*words, *pause, *german_joined(joined)]
    return [*words, PAUSE, *german_joined(joined)]


def german_joined(joined: Joined) -> list[Word]:
    word = Word(CONJUNCTIONS[joined.word], ((joined, "word"),))
    main = joined.word in COORDINATORS
    return [word, *(german_clause if main else german_subordinate)(joined.clause)]


def german_relative(phrase: Phrase, *closing: Word) -> list[Word]:
    """A phrase's relative clause with its commas, or nothing."""
    if not phrase.relative:
        return []
    return [PAUSE, *german_subordinate(phrase.relative), *closing]


Links = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Pair:
    """A sentence in English (source) and in German (target), and all that is known about it.

    `alignment` links the index of a source word to that of a target word; a word may have many.
    `antecedents` links a pronoun of the target to the noun it stands for, `source_antecedents`
    one of the source: personal, possessive and relative ones. `tree` is the English sentence's
    constituency tree in Penn brackets; its leaves are the words of `source`.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    alignment: Links
    antecedents: Links
    source_antecedents: Links
    tree: str

    @property
    def english(self) -> str:
        return joined_up(self.source)

    @property
    def german(self) -> str:
        return joined_up(self.target)

    @property
    def length(self) -> int:
        """The number of English words; punctuation does not count."""
        return sum(word not in PUNCTUATION for word in self.source)


PUNCTUATION = (COMMA, ".")


def joined_up(words: Sequence[str]) -> str:
    """The words as text, punctuation attached to the word before it."""
    return "".join(w if w in PUNCTUATION else " " + w for w in words).strip()


def spell(clause: Clause) -> Pair:
    """Spells a main clause in both languages, and reads off everything that is known."""
    stop = (clause, "stop")
    built = english_clause(clause)
    built = tree("S", *built.children, leaf(".", ".", stop))  # type: ignore[arg-type]
    english = capital(built.leaves())
    german = capital([*tidy(german_clause(clause)), Word(".", (stop,))])
    here, there = positions(english), positions(german)
    return Pair(
        source=tuple(word.text for word in english),
        target=tuple(word.text for word in german),
        alignment=links(here, there),
        antecedents=references(there),
        source_antecedents=references(here),
        tree=built.bracketed(iter([word.text for word in english])),
    )


def capital(words: list[Word]) -> list[Word]:
    first = words[0]
    return [first._replace(text=first.text[0].upper() + first.text[1:]), *words[1:]]


def tidy(words: list[Word]) -> list[Word]:
    """Two commas in a row become one; none stays at the end."""
    kept: list[Word] = []
    for word in words:
        if word.text == COMMA and kept[-1].text == COMMA:
            word = Word(COMMA, kept.pop().keys + word.keys)
        kept.append(word)
    return kept[:-1] if kept[-1].text == COMMA else kept


def positions(words: list[Word]) -> dict[Key, list[int]]:
    """Where each concept is expressed."""
    places: dict[Key, list[int]] = {}
    for i, word in enumerate(words):
        for key in word.keys:
            places.setdefault(key, []).append(i)
    return places


def links(english: dict[Key, list[int]], german: dict[Key, list[int]]) -> Links:
    """The pairs of positions whose words express a common concept."""
    shared = [(here, german[key]) for key, here in english.items() if key in german]
    return tuple(sorted({(i, j) for here, there in shared for i in here for j in there}))


def references(places: dict[Key, list[int]]) -> Links:
    """(position of a pronoun, position of the noun that it stands for) in one language."""
    found = []
    for (node, part), (place, *_) in places.items():
        if isinstance(node, Phrase) and (node.antecedent or node.owner):
            whole = {"noun": node.antecedent, "determiner": node.owner}.get(part)
            parts = [origin(whole), origin(whole).conjunct] if whole else []
            found += [(place, places[p, "noun"][0]) for p in parts if p and p.noun]
    return tuple(sorted(found))


T = TypeVar("T")


class Dice:
    """Choices from one stream of random.random(), which is the same on every platform."""

    def __init__(self, seed: int):
        self.random = random.Random(seed).random

    def chance(self, probability: float) -> bool:
        return self.random() < probability

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.random() * len(options))]

    def weighted(self, options: dict[T, int]) -> T:
        at = self.random() * sum(options.values())
        for option, weight in options.items():
            at -= weight
            if at < 0:
                return option
        return option


class Nonsense(Exception):
    """A half-made sentence that cannot be finished sensibly: it is dropped and made anew."""


@cache
def nouns_of(kinds: frozenset[str]) -> tuple[Noun, ...]:
    return tuple(noun for noun in LEXICON if noun.kinds & kinds)


@cache
def verbs_for(noun: Noun | None, frame: str = "") -> tuple[Verb, ...]:
    """The verbs that a noun can be the subject of (None: I, we ...); `frame` limits the objects."""
    kinds = noun.kinds if noun else frozenset(["person"])
    return tuple(
        verb for verb in ACTIONS
        if verb.subjects & kinds and (not frame or frame == frame_of(verb))
    )  # fmt: skip


def frame_of(verb: Verb) -> str:
    marks = [mark for mark, _ in verb.objects]
    return marks[-1] if marks and marks[-1] in ("that", "adjective") else "action"


@cache
def adjectives_for(noun: Noun | None) -> tuple[Adjective, ...]:
    """The adjectives that fit a noun (None: I, we ...)."""
    kinds = noun.kinds if noun else PERSON
    return tuple(adjective for adjective in DESCRIPTIONS if adjective.kinds & kinds)


@cache
def reasons(table: str) -> dict[str, tuple[str, ...]]:
    """ "sleep, cry: tired sick | eat: hungry" -> {"sleep": ("tired", "sick"), ...}"""
    entries = [entry.split(":") for entry in table.replace("\n", "|").split("|") if ":" in entry]
    return {verb.strip(): tuple(why.split()) for verbs, why in entries for verb in verbs.split(",")}


def full_name(verb: Verb) -> str:
    return f"{verb.english}.{verb.particle}" if verb.particle else verb.english


def kinds(words: str) -> frozenset[str]:
    return frozenset(words.split())


PERSON, ANIMAL, NAME = kinds("person"), kinds("animal"), kinds("name")
OWNED = kinds(
    "kin pet private clothes luggage cup umbrella kitchen room house garden book letter neighbor "
    "food drink"
)
COUNTED = ("two", "three", "many")
VAGUE = ("a", "every", *COUNTED)


def is_a(kind: str, phrase: Phrase) -> bool:
    """Whether a phrase means somebody or something of a kind; I and we are persons."""
    return kind in phrase.head.kinds if phrase.head else kind == "person"


def some_phrase(dice: Dice, noun: Noun, subject: Phrase | None = None) -> Phrase:
    """A phrase with this noun; that of an object may belong to the `subject`."""
    phrase = Phrase(noun)
    if phrase.is_name:
        return phrase
    phrase.plural = noun.german[1] != "-" and dice.chance(0.22)
    phrase.determiner = some_determiner(dice, phrase, subject)
    phrase.owner = subject if phrase.determiner == "own" else None
    if dice.chance(0.15 if "kin" in noun.kinds else 0.32) and adjectives_for(noun):
        phrase.adjective = dice.pick(adjectives_for(noun))
    return phrase


def some_determiner(dice: Dice, phrase: Phrase, subject: Phrase | None) -> str:
    """The, a, my, its ... in sensible proportions: how often depends on the noun."""
    assert phrase.noun
    traits = phrase.noun.kinds
    own = 10 if subject and traits & OWNED and may_own(subject, phrase) else 0
    my, bare = 6 if traits & OWNED else 0, 20 if subject else 0
    if "kin" in traits:
        return dice.weighted({"my": 8, "our": 4, "own": 2 * own})
    if "mass" in traits:
        return dice.weighted({"": 5 * bare, "the": 80, "this": 12, "own": 2 * own})
    if phrase.plural:
        return dice.weighted({"the": 50, "": bare, "two": 8, "three": 6, "many": 6, "these": 6,
                              "my": my, "our": my, "own": own})  # fmt: skip
    every = 0 if subject else 4
    return dice.weighted({"the": 56, "a": 16 + bare, "this": 6, "every": every,
                          "my": my, "our": my, "own": own})  # fmt: skip


def may_own(subject: Phrase, phrase: Phrase) -> bool:
    """Not a girl (her: grammar says sein, people say ihr), nor an animal its uncle."""
    if subject.pronoun in ("I", "we", "relative") or is_a("girl", subject):
        return False
    return is_a("person", subject) or not is_a("kin", phrase)


def some_place(dice: Dice, noun: Noun) -> Phrase:
    """A known place: the old garden, our kitchen."""
    phrase = Phrase(noun)
    if noun.kinds & OWNED and dice.chance(0.2):
        phrase.determiner = dice.pick(("my", "our"))
    if adjectives_for(noun) and dice.chance(0.2):
        phrase.adjective = dice.pick(adjectives_for(noun))
    return phrase


def some_subject(dice: Dice, among: frozenset[str] | None = None, inner: bool = False) -> Phrase:
    """Somebody who does something. An `inner` clause has he, she or they only for a noun."""
    if not among and dice.chance(0.16):
        return Phrase(pronoun=dice.pick(("I", "we") if inner else ("I", "we", "he", "she", "they")))
    among = among or dice.weighted({PERSON: 72, ANIMAL: 28})
    phrase = some_phrase(dice, dice.pick(nouns_of(among)))
    if phrase.is_name and dice.chance(0.2):
        phrase.conjunct = Phrase(dice.pick([n for n in nouns_of(NAME) if n is not phrase.noun]))
    return phrase


def some_object(dice: Dice, subject: Phrase, among: frozenset[str], action: str) -> Phrase:
    """Somebody or something else, of these kinds."""
    noun = dice.pick(nouns_of(among))
    speakers = [p for p in ("I", "we") if subject.pronoun not in ("I", "we")]
    if noun.place:
        phrase = some_place(dice, noun)
    elif speakers and "person" in noun.kinds and dice.chance(0.12):
        phrase = Phrase(pronoun=dice.pick(speakers))
    else:
        phrase = some_phrase(dice, noun, subject)
    mine = phrase.determiner in ("my", "our", "own")
    made = not phrase.adjective or phrase.adjective.english in MADE
    if action in MAKING and not made or action in (*MAKING, "buy") and mine:
        raise Nonsense  # nobody bakes an old cake, or buys what is theirs
    if noun is subject.head or phrase.determiner == {"I": "our", "we": "my"}.get(subject.pronoun):
        raise Nonsense
    return phrase


MAKING = ("write", "paint", "bake", "cook")
MADE = ("beautiful", "small", "big", "sweet", "long", "short", "interesting", "sad", "hot", "warm")


def act(dice: Dice, subject: Phrase, verb: Verb | None = None) -> Clause:
    """A clause in which the subject does something."""
    verb = verb or dice.pick(verbs_for(subject.head, "action"))
    objects = [some_object(dice, subject, among, full_name(verb)) for _, among in verb.objects]
    clause = Clause(subject, verb, objects, tense=some_tense(dice, subject, verb))
    if any(mark == "dat" and not o.determiner and not o.is_name for o, mark in clause.marked):
        raise Nonsense  # a bare dative (Lehrerinnen helfen) is not said
    return clause


def some_tense(dice: Dice, subject: Phrase, verb: Verb) -> str:
    """A tense or a modal verb: nobody must wake up, and only people should work."""
    if verb.infinitive in STATES:
        return "present"
    tenses = {"present": 22, "progressive": 34, "past": 28}
    if verb.stative:
        tenses = {"present": 60, "past": 30}
    elif full_name(verb) not in INVOLUNTARY:
        tenses |= {"can": 5, "want": 6, "will": 5}
        if is_a("person", subject):
            tenses |= {"must": 5, "should": 4}
    return dice.weighted(tenses)


STATES = ("brauchen", "lieben", "mögen", "kennen", "glauben", "hoffen", "wissen")
INVOLUNTARY = ("wake.up", "fall.asleep", "cry", "laugh", "think.of")


def describe(dice: Dice, subject: Phrase, adjective: str = "") -> Clause:
    """The subject is tired, cheap, beautiful ..., or is `adjective`, where that fits."""
    options = [a for a in adjectives_for(subject.head) if adjective in ("", a.english)]
    known = origin(subject).adjective
    if not options or known and (not adjective or known is options[0]):
        raise Nonsense
    tense = "past" if dice.chance(0.2) else "present"
    return Clause(subject, BE, adjective=dice.pick(options), tense=tense)


HABITATS = {
    "farm": ("garden", "meadow", "lake", "river"),
    "wild": ("forest", "meadow", "lake", "river"),
    "pet": ("kitchen", "room", "house", "garden", "park", "meadow", "lake", "river"),
}


def locate(dice: Dice, clause: Clause, probability: float = 0.28) -> None:
    """Says where. Animals have their own places."""
    allowed = next((w for kind, w in HABITATS.items() if is_a(kind, clause.subject)), None)
    options = [n for n in nouns_of(clause.verb.places) if not allowed or n.english[0] in allowed]
    if options and dice.chance(probability):
        clause.place = some_place(dice, dice.pick(options))


def date(dice: Dice, clause: Clause, probability: float = 0.3, front: bool = True) -> None:
    """Says when, and sometimes says it first. It must suit the tense and the object."""
    if clause.verb.infinitive in (*STATES, "sein", "haben") or not dice.chance(probability):
        return
    when = {"past": "past", "present": "present", "progressive": "now"}.get(clause.tense, "future")
    known = any(phrase.definite for phrase in clause.objects)
    if when == "present" and known or when == "future" and is_a("animal", clause.subject):
        return
    clause.time = dice.pick([time for time in TIMES if when in time.tenses])
    if clause.time.use == "never" and clause.place and clause.objects:
        raise Nonsense
    clause.fronted = front and clause.time.use == "end" and dice.chance(0.5)


def deny(dice: Dice, clause: Clause, probability: float = 0.16) -> None:
    """Negates a clause, unless it could be doubted what exactly is denied."""
    vague = clause.subject.determiner in VAGUE or bool(clause.place and clause.objects)
    for phrase, mark in clause.marked:
        vague = vague or phrase.determiner in COUNTED or not (mark == "acc" or phrase.definite)
    habit = clause.time and clause.time.use != "end"
    if not vague and not habit and clause.tense != "must":
        clause.negated = dice.chance(probability)


def relate(dice: Dice, phrase: Phrase, verb: Verb, probability: float) -> None:
    """May give a phrase a relative clause, whose pronoun is its subject or its object."""
    noun = phrase.noun
    unfit = not noun or noun.place or noun.kinds & {"name", "kin", "mass"}
    if not dice.chance(probability) or unfit or phrase.determiner not in ("the", *VAGUE):
        return
    pronoun = Phrase(pronoun="relative", antecedent=phrase)
    phrase.relative = (object_relative if dice.chance(0.5) else subject_relative)(dice, pronoun)
    if phrase.relative.verb.english == verb.english:
        raise Nonsense


def subject_relative(dice: Dice, pronoun: Phrase) -> Clause:
    """The dog that sleeps in the garden; the car that is broken."""
    if not is_a("person", pronoun) and not is_a("animal", pronoun):
        clause = describe(dice, pronoun)
        if origin(pronoun).adjective:
            raise Nonsense
        return clause
    clause = act(dice, pronoun)
    if clause.tense == "present" and full_name(clause.verb) in MOMENTARY:
        clause.tense = "past"
    locate(dice, clause, 0.5)
    deny(dice, clause, 0.08)
    return clause


def object_relative(dice: Dice, pronoun: Phrase) -> Clause:
    """The dog that the old man loves; the bus that we are waiting for."""
    subject = some_subject(dice, inner=True)
    options = []
    for verb in verbs_for(subject.head, "action"):
        if len(verb.objects) == 1 and any(is_a(k, pronoun) for k in verb.objects[0][1]):
            options.append(verb)
    if not options or subject.determiner in ("every", *COUNTED):
        raise Nonsense
    verb = dice.pick(options)
    if verb.infinitive == "haben":
        raise Nonsense
    clause = Clause(subject, verb, [pronoun], tense=some_tense(dice, subject, verb))
    deny(dice, clause, 0.05)
    return clause


MOMENTARY = (
    "wake.up fall.asleep come.back arrive get.up run.away open close thank lose forget find".split()
)


def simple(
    dice: Dice, subject: Phrase | None = None, inner: bool = False, rich: float = 1.0
) -> Clause:
    """One clause, perhaps with relative clauses; an `inner` one begins with its subject."""
    subject = subject or some_subject(dice, inner=inner)
    if subject.determiner not in VAGUE and not subject.pronoun and dice.chance(0.16):
        clause = describe(dice, subject)
    else:
        clause = act(dice, subject)
        locate(dice, clause)
        date(dice, clause, front=not inner)
    relate(dice, subject, clause.verb, 0.1 * rich)
    at_end = clause.time and clause.time.use == "end" and not clause.fronted
    if clause.objects and not clause.place and not at_end:
        relate(dice, clause.objects[-1], clause.verb, 0.2 * rich)
    deny(dice, clause)
    return clause


def lasting(dice: Dice, rich: float) -> Clause:
    """An action that goes on for a while."""
    subject = some_subject(dice, inner=True)
    options = [v for v in verbs_for(subject.head, "action") if full_name(v) in LASTING]
    clause = act(dice, subject, dice.pick(options))
    if subject.determiner == "every":
        raise Nonsense
    clause.tense = "progressive"
    locate(dice, clause)
    relate(dice, subject, clause.verb, 0.06 * rich)
    return clause


LASTING = (
    "sleep sing dance work play swim cook bake read write eat drink look.for wait.for repair paint "
    "wash feed tidy.up talk.to watch play.with dance.with"
).split()


def same(phrase: Phrase) -> Phrase:
    """A pronoun for the phrase."""
    if is_a("girl", phrase) and not phrase.number:
        raise Nonsense  # she: grammar says es, people say sie
    antecedent = None if phrase.pronoun in ("I", "we") else phrase
    return Phrase(pronoun=pronoun_for(phrase), antecedent=antecedent)


def explained(dice: Dice, table: str, rich: float) -> tuple[Clause, str]:
    """An action and an adjective that explains it, from one of the two tables."""
    why, subject = reasons(table), some_subject(dice)
    verb = dice.pick([v for v in verbs_for(subject.head, "action") if full_name(v) in why])
    clause = act(dice, subject, verb)
    if clause.tense in MODALS:
        wanted = full_name(verb) in ("sleep", "eat", "drink", "buy", "sell")
        clause.tense = "want" if wanted else "past"
    locate(dice, clause, 0.1)
    relate(dice, subject, verb, 0.06 * rich)
    return clause, dice.pick(why[full_name(verb)])


def with_reason(dice: Dice, inner: bool = False, rich: float = 1.0) -> Clause:
    """The man buys the bread because it is fresh; the boy does not sleep although he is tired."""
    of_object = dice.chance(0.45)
    clause, why = explained(dice, OBJECT_REASONS if of_object else SUBJECT_REASONS, rich)
    if not of_object and not inner and clause.subject.noun and dice.chance(0.3):
        return condition(dice, clause, why)
    reason = describe(dice, same(clause.objects[-1] if of_object else clause.subject), why)
    reason.tense = "past" if clause.tense == "past" else "present"
    if not of_object and dice.chance(0.3):
        deny(dice, clause, 1.0)
    clause.joined = Joined("although" if clause.negated else "because", reason)
    return clause


def condition(dice: Dice, clause: Clause, why: str) -> Clause:
    """When the dog is hungry, it eats meat."""
    state = describe(dice, clause.subject, why)
    clause.subject = same(clause.subject)
    clause.tense = state.tense = "present"
    clause.joined = Joined("when", state, first=True)
    return clause


SEQUELS = """
look.for find, bake eat, cook eat, buy eat, buy read, write read, find repair, buy repair,
repair sell, wash put.on, buy put.on, find wash, find open, buy open, look.for feed
"""
CONTRASTS = """
look.for find, hear see, see hear, read like, bake eat, cook eat, buy need, have need, like know,
buy read, sell need, wait.for see, buy put.on, open close, find need, call visit, buy like,
drink like, see know
"""


def couple(dice: Dice, table: str) -> tuple[Clause, Clause]:
    """Two actions of one subject on one object, which is a pronoun the second time."""
    first, second = dice.pick(table.split(",")).split()
    subject = some_subject(dice, PERSON if dice.chance(0.8) else None)
    actions = {full_name(verb): verb for verb in verbs_for(subject.head, "action")}
    if first not in actions or second not in actions:
        raise Nonsense
    clause, verb = act(dice, subject, actions[first]), actions[second]
    thing = clause.objects[-1]
    if not thing.noun or thing.determiner == "every":
        raise Nonsense
    if not any(is_a(kind, thing) for kind in verb.objects[-1][1]):
        raise Nonsense
    return clause, Clause(same(subject), verb, [same(thing)])


def with_and(dice: Dice, rich: float = 1.0) -> Clause:
    """The man buys the book and reads it; the man is cooking and the woman is reading."""
    if dice.chance(0.4):
        clause, other = lasting(dice, rich), lasting(dice, rich)
    else:
        clause, other = couple(dice, SEQUELS)
        clause.tense = other.tense = "present"
        other.subject = Phrase(pronoun="same", antecedent=clause.subject)
        date(dice, clause, 0.4)
        if clause.time and not clause.fronted:
            raise Nonsense
    clause.joined = Joined("and", other)
    return clause


def with_but(dice: Dice, rich: float = 1.0) -> Clause:
    """The woman is looking for the key, but she cannot find it; he is tired, but he ..."""
    if dice.chance(0.3):
        other, why = explained(dice, SUBJECT_REASONS, rich)
        clause = describe(dice, other.subject, why)
        clause.tense, other.tense = "present", dice.pick(("can", "want", "present"))
        other.subject, other.place = same(other.subject), None
    else:
        clause, other = couple(dice, CONTRASTS)
        clause.tense = "present" if clause.verb.stative or dice.chance(0.3) else "progressive"
        other.tense = "can" if not other.verb.stative and dice.chance(0.4) else "present"
    deny(dice, other, 1.0)
    if not other.negated:
        raise Nonsense
    clause.joined = Joined("but", other)
    return clause


def with_while(dice: Dice, inner: bool = False, rich: float = 1.0) -> Clause:
    """The man is cooking while the woman is reading."""
    clause, other = lasting(dice, rich), lasting(dice, rich)
    clause.joined = Joined("while", other, first=not inner and dice.chance(0.4))
    return clause


def with_before(dice: Dice, rich: float = 1.0) -> Clause:
    """The woman reads a story before she falls asleep."""
    subject = some_subject(dice)
    actions = verbs_for(subject.head, "action")
    earlier = [verb for verb in actions if full_name(verb) in EARLIER]
    later = [verb for verb in actions if full_name(verb) in LATER]
    clause = act(dice, subject, dice.pick(earlier))
    other = act(dice, same(subject), dice.pick(later))
    if clause.verb is other.verb:
        raise Nonsense
    clause.tense = other.tense = "present"
    clause.joined = Joined("before", other, first=bool(subject.noun) and dice.chance(0.4))
    if clause.joined.first:
        clause.subject, other.subject = other.subject, clause.subject
    return clause


EARLIER = "read write cook sing play drink wash feed tidy.up close open call talk.to bake".split()
LATER = "go fall.asleep come.back eat work".split()


def with_that(dice: Dice, inner: bool = False, rich: float = 1.0) -> Clause:
    """The boy hopes that his mother will come back."""
    subject = some_subject(dice, PERSON if dice.chance(0.7) else None, inner)
    options = verbs_for(subject.head, "that")
    if not options or subject.determiner in ("every", *COUNTED):
        raise Nonsense
    verb = dice.pick(options)
    clause = Clause(subject, verb)
    if verb.english == "say" and dice.chance(0.5):
        clause.tense = "past"
    about_itself = dice.chance(0.25)
    said = content(dice, same(subject) if about_itself else None, rich)
    if said.verb is verb or not credible(clause, said, about_itself):
        raise Nonsense
    clause.joined = Joined("that", said)
    doubtful = verb.english in ("know", "believe", "say") and clause.tense == "present"
    if doubtful and not about_itself and subject.pronoun not in ("I", "we"):
        deny(dice, clause, 0.2)
    return clause


Maker = Callable[..., Clause]


def content(dice: Dice, subject: Phrase | None, rich: float) -> Clause:
    """What is said, known, believed or hoped."""
    choices: dict[Maker, float] = {
        simple: 80 / rich,
        with_reason: 10 * rich,
        with_while: 4 * rich,
        with_that: 4 * rich,
    }
    make = dice.weighted({maker: int(weight) for maker, weight in choices.items()})
    return (
        simple(dice, subject, True, rich) if make is simple else make(dice, inner=True, rich=rich)
    )


def credible(clause: Clause, said: Clause, about_itself: bool) -> bool:
    """People hope for what will be, and need not be told what they are doing."""
    if clause.tense == "past":
        return said.tense == "past"
    if clause.verb.english == "hope":
        dear = is_a("person", said.subject) or is_a("pet", said.subject)
        return dear and said.tense in ("can", "will") and not said.negated
    return not about_itself or said.verb is BE or said.tense in ("can", "must", "should", "past")


def some_sentence(dice: Dice, rich: float = 1.0) -> Clause:
    """A sentence of any kind; `rich` ones have more clauses."""
    makers: dict[Maker, float] = {
        simple: 50 / rich, with_reason: 14, with_that: 11 * rich, with_but: 8, with_and: 7,
        with_while: 6, with_before: 4,
    }  # fmt: skip
    make = dice.weighted({maker: int(weight) for maker, weight in makers.items()})
    return make(dice, rich=rich)


def is_clear(clause: Clause) -> bool:
    """Whether a pronoun has only one noun before it to stand for, and no noun comes twice."""
    seen: list[Phrase] = []
    for _, phrase in walk(clause):
        if phrase.antecedent and phrase.pronoun in SUBJECTS:
            meant = origin(phrase)
            if any(pronoun_for(p) == phrase.pronoun for p in seen if p is not meant):
                return False
        elif phrase.pronoun not in ("relative", "same"):
            seen.append(phrase)
    nouns = [p.noun for one in seen for p in (one, one.conjunct) if p and p.noun]
    return len(nouns) == len(set(map(id, nouns)))


HELD_OUT_ADJECTIVES = """
old dog, black cat, red car, hungry bird, friendly teacher, new bicycle, fresh bread, tired boy,
interesting book, white horse, small child, broken lamp, beautiful picture, expensive coat
"""
HELD_OUT_OBJECTS = """
buy apple, read letter, see cow, repair car, eat soup, look.for key, love cat, feed rabbit,
open window, visit aunt, wash shirt, drink tea, help woman, write poem, call doctor, bake cake
"""
HELD_OUT = frozenset(
    pair.strip().replace("\n", " ")
    for pair in (HELD_OUT_ADJECTIVES.strip() + "," + HELD_OUT_OBJECTS.strip()).split(",")
)


def walk(clause: Clause) -> Iterator[tuple[Clause, Phrase]]:
    """All phrases of a sentence in their English order, each with its clause."""
    joined = clause.joined
    if joined and joined.first:
        yield from walk(joined.clause)
    for phrase in (clause.subject, *clause.objects, clause.place):
        if phrase:
            yield clause, phrase
            if phrase.relative:
                yield from walk(phrase.relative)
    if joined and not joined.first:
        yield from walk(joined.clause)


def combinations(clause: Clause) -> set[str]:
    """All "adjective noun" and "verb object" of a sentence."""
    found = set()
    for part, phrase in walk(clause):
        if not phrase.head:
            continue
        noun = phrase.head.english[0]
        if phrase.adjective:
            found.add(f"{phrase.adjective.english} {noun}")
        if phrase is part.subject:
            if part.adjective:
                found.add(f"{part.adjective.english} {noun}")
        elif phrase is not part.place:
            found.add(f"{full_name(part.verb)} {noun}")
    return found


def clauses(seed: int, rich: float = 1.0) -> Iterator[Clause]:
    """Sensible sentences without end, as abstract syntax."""
    dice = Dice(seed)
    while True:
        try:
            clause = some_sentence(dice, rich)
        except Nonsense:
            continue
        if is_clear(clause):
            yield clause


def generate(
    count: int,
    seed: int = 1,
    shortest: int = 3,
    longest: int = 16,
    unseen: bool = False,
    rich: float = 1.0,
    words: Container[str] | None = None,
) -> list[Pair]:
    """`count` different pairs, `shortest` to `longest` English words long.

    `unseen` asks for at least one held-out combination in each (else there is none), more `rich`
    grammar makes longer sentences, and `words` limits the vocabulary of both sides. Raises
    ValueError for lengths that the grammar does not have, or where no such sentence turns up.
    """
    if not 3 <= shortest <= longest <= 25:
        raise ValueError(f"sentences have 3 to 25 words, not {shortest} to {longest}")
    found: dict[tuple[str, ...], Pair] = {}
    made, failures = clauses(seed, rich), 0
    while len(found) < count and failures < PATIENCE:
        clause, failures = next(made), failures + 1
        if bool(combinations(clause) & HELD_OUT) == unseen:
            pair = spell(clause)
            fits = shortest <= pair.length <= longest and pair.source not in found
            if fits and (words is None or all(w in words for w in pair.source + pair.target)):
                found[pair.source], failures = pair, 0
    if len(found) < count:
        raise ValueError(f"found {len(found)} such sentences, and no more in {PATIENCE} tries")
    return list(found.values())


PATIENCE = 3000


@cache
def splits(
    seed: int = 1,
    train: int = 20_000,
    validation: int = 500,
    test: int = 500,
    test_longer: int = 300,
    test_unseen: int = 300,
) -> dict[str, list[Pair]]:
    """The data sets, by name; no English sentence is in two of them. Made once, then shared.

    `test` is like `train`. `test_longer` has 17 to 25 words where training stops at 16.
    `test_unseen` combines words as training never does, though each of its words is in `train`.
    """
    pairs = generate(train + validation + test, seed)
    middle = train + validation
    words = {word for pair in pairs[:train] for word in pair.source + pair.target}
    return {
        "train": pairs[:train],
        "validation": pairs[train:middle],
        "test": pairs[middle:],
        "test_longer": generate(test_longer, seed + 1, 17, 25, rich=4.0, words=words),
        "test_unseen": generate(test_unseen, seed + 2, unseen=True, words=words),
    }
