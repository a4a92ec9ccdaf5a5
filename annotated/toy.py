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
beautiful    schön       | text private clothes art flower doll garden beach village city lake meadow
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
long         lang        | text scarf coat
short        kurz        | text scarf
interesting  interessant | text
boring       langweilig  | text
quiet        ruhig       | village garden park beach
dark         dunkel      | room forest kitchen
"""


VERBS = """
sleep slept       | schlafen schläft geschlafen      | person animal   |                | home outside
laugh             | lachen lacht gelacht             | person          |                | town
cry cried         | weinen weint geweint             | person          |                | home
sing sang         | singen singt gesungen            | person singer   |                | home outside
dance             | tanzen tanzt getanzt             | person          |                | home outside
work              | arbeiten arbeitet gearbeitet     | person          |                | home garden town
play              | spielen spielt gespielt          | youth pet       |                | home outside
swim swam         | schwimmen schwimmt geschwommen*  | person animal   |                | waters
get.up got        | auf|stehen steht aufgestanden*   | person          |                |
wake.up woke      | auf|wachen wacht aufgewacht*     | person animal   |                |
fall.asleep fell  | ein|schlafen schläft eingeschlafen* | person animal |              | home
come.back came    | zurück|kommen kommt zurückgekommen* | person pet   |                |
run.away ran      | weg|laufen läuft weggelaufen*    | animal          |                |
arrive            | an|kommen kommt angekommen*      | person public   |                | station
go went           | gehen geht gegangen*             | person          | to place   |
run ran           | laufen läuft gelaufen*           | person animal   | to outside |
eat ate           | essen isst gegessen              | person          | acc food       | home
eat ate           | fressen frisst gefressen         | hunter          | acc prey       | garden
eat ate           | fressen frisst gefressen         | grazer          | acc crop       | garden meadow
drink drank       | trinken trinkt getrunken         | person          | acc drink      | home
drink drank       | trinken trinkt getrunken         | pet             | acc water milk | home
drink drank       | trinken trinkt getrunken         | farm wild       | acc water      |
cook              | kochen kocht gekocht             | person          | acc cooked     | kitchen
bake              | backen backt gebacken            | person          | acc baked      | kitchen
read read         | lesen liest gelesen              | person          | acc text       | home garden park
write wrote       | schreiben schreibt geschrieben   | person          | acc tale letter book      | home garden
"""


VERBS += """
buy bought        | kaufen kauft gekauft             | person | acc food clothes thing art private book newspaper | city market
sell sold         | verkaufen verkauft verkauft      | person | acc food private machine clothes     | city market
find found!        | finden findet gefunden           | person | acc thing art clothes pet paper      | home outside
look.for          | suchen sucht gesucht             | person | acc thing art clothes pet farm paper | home outside
lose lost!         | verlieren verliert verloren      | person | acc small luggage coat jacket        | outside town
forget forgot!     | vergessen vergisst vergessen     | person | acc small luggage clothes paper      | town
see saw!           | sehen sieht gesehen              | person animal | acc person animal             | outside town
hear heard!        | hören hört gehört                | person pet | acc person animal train          |
watch             | beobachten beobachtet beobachtet | person pet | acc animal                       | outside
follow            | folgen folgt gefolgt*            | pet | dat person                              |
feed fed          | füttern füttert gefüttert        | person | acc pet farm                         | garden
wash              | waschen wäscht gewaschen         | person | acc clothes cup knife private dog    | garden
carry carried     | tragen trägt getragen            | person | acc luggage table chair              |
repair            | reparieren repariert repariert   | person | acc machine private table chair      | garden
paint             | malen malt gemalt                | person | acc art                              | outside
visit             | besuchen besucht besucht         | person | acc person village city              |
need needed!      | brauchen braucht gebraucht       | person | acc thing clothes private doctor     |
have had!         | haben hat gehabt                 | person | acc private pet luggage gift         |
love loved!       | lieben liebt geliebt             | person | acc person pet horse                 |
like liked!       | mögen mag gemocht                | person | acc person animal food drink text    |
know knew!        | kennen kennt gekannt             | person | acc person tale                      |
"""


VERBS += """
open              | auf|machen macht aufgemacht  | person | acc opening               |
close             | zu|machen macht zugemacht    | person | acc opening               |
put.on put        | an|ziehen zieht angezogen    | person | acc clothes               |
pick.up           | ab|holen holt abgeholt       | person | acc person                | station school
call              | an|rufen ruft angerufen      | person | acc person                |
invite            | ein|laden lädt eingeladen    | person | acc person                |
tidy.up tidied    | auf|räumen räumt aufgeräumt  | person | acc kitchen room house    |
bring.along brought | mit|bringen bringt mitgebracht | person | acc cake gift sausage bread pet |
help              | helfen hilft geholfen        | person | dat person                | home garden
thank             | danken dankt gedankt         | person | dat person                |
listen.to         | zu|hören hört zugehört       | person | dat person singer         |
wait.for          | warten wartet gewartet       | person | auf_acc person public     | station
think.of thought  | denken denkt gedacht         | person | an_acc person             |
talk.to           | sprechen spricht gesprochen  | person | mit_dat person            | outside town
play.with         | spielen spielt gespielt      | youth pet | mit_dat ball           | home outside
dance.with        | tanzen tanzt getanzt         | person | mit_dat person            | home outside
give gave         | geben gibt gegeben           | person | dat person acc gift text food private |
show showed       | zeigen zeigt gezeigt         | person | dat person acc gift paper private clothes house garden |
send sent         | schicken schickt geschickt   | person | dat person acc gift paper poem |
tell told         | erzählen erzählt erzählt     | person | dat person acc story      |
say said!          | sagen sagt gesagt            | person | that                      |
believe believed! | glauben glaubt geglaubt      | person | that                      |
know knew!        | wissen weiß gewusst          | person | that                      |
hope hoped!       | hoffen hofft gehofft         | person | that                      |
be was!           | sein ist gewesen*            | person animal food drink text private clothes opening thing | adjective |
"""


PRESENT = {  # with ich, with er and with wir, where the rule does not hold
    "sein": "bin ist sind", "haben": "habe hat haben",
    "wissen": "weiß weiß wissen", "mögen": "mag mag mögen",
}
PRETERITE = {"sein": "war war waren", "haben": "hatte hatte hatten"}  # all others take the perfect
MODALS = {
    "can": "kann kann können", "must": "muss muss müssen", "want": "will will wollen",
    "should": "sollte sollte sollten", "will": "werde wird werden",
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
sleep, fall.asleep: tired sick | eat: hungry | drink: thirsty | laugh, sing, dance, dance.with: happy
cry: sad sick tired hungry | help, invite: friendly | come.back: hungry tired thirsty
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
    german: tuple[tuple[str, tuple[int, ...]], ...]  # word, indices of the English words it stands for


def rows(table: str) -> list[list[str]]:
    """The cells of each line of a table, stripped."""
    lines = [line for line in table.split("\n") if line]
    return [[cell.strip() for cell in f"{line} ".split(" | ")] for line in lines]


def read_noun(kinds: str, english: str, german: str) -> Noun:
    words = kinds.split()
    place = next((tuple(word.split(":")) for word in words if ":" in word), None)
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
    """"dat person acc gift text" -> (("dat", {person}), ("acc", {gift, text}))"""
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
        if self.pronoun == "relative":
            assert self.antecedent
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
    def without(self) -> Phrase | None:
        """The indefinite object that a negation turns into one with kein."""
        if not self.negated:
            return None
        accusative = [o for o, (mark, _) in zip(self.objects, self.verb.objects) if mark == "acc"]
        return next((o for o in accusative if not o.definite and not o.pronoun), None)


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
    return 2 if phrase.number else 0 if phrase.pronoun == "I" else 1


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
    noun = leaf("NNS" if phrase.plural else "NN", phrase.noun.english[phrase.plural], (phrase, "noun"))
    if phrase.is_name:
        noun = noun._replace(label="NNP")
    adjective = phrase.adjective and leaf("JJ", phrase.adjective.english, (phrase, "adjective"))
    following = phrase.adjective.english if phrase.adjective else phrase.noun.english[phrase.plural]
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
    verb, who, key, modal = clause.verb.english, agreement(clause.subject), (clause, "verb"), (clause, "modal")
    tag = "VBZ" if who == 1 else "VBP"
    base = leaf("VB", verb, key)
    if clause.tense == "want":
        chain = [leaf("TO", "to", key), base]
        if clause.negated:
            return [leaf(tag, english_present("do", who), modal), leaf("VB", "want", modal), *chain]
        return [leaf(tag, english_present("want", who), modal), *chain]
    if clause.tense in MODALS:
        cannot = clause.negated and clause.tense == "can"
        return [leaf("MD", "cannot", modal, (clause, "not")) if cannot else leaf("MD", clause.tense, modal), base]
    if clause.tense == "progressive":
        return [leaf(tag, english_present("be", who), key), leaf("VBG", suffixed(verb, "ing"), key)]
    past = clause.tense == "past"
    if clause.negated and verb != "be":
        return [leaf("VBD", "did", key) if past else leaf(tag, english_present("do", who), key), base]
    if past:
        return [leaf("VBD", "were" if verb == "be" and who == 2 else clause.verb.past, key)]
    return [leaf(tag, english_present(verb, who), key)]


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
    adjective = clause.adjective and tree("ADJP", leaf("JJ", clause.adjective.english, (clause, "adjective")))
    place = clause.place and english_place(clause.place)
    at_end = clause.time and clause.time.use == "end" and not clause.fronted
    time = english_time(clause) if at_end else None
    joined = clause.joined
    trailing = joined and not joined.first and joined.word not in COORDINATORS
    return [*english_objects(clause), adjective, place, time, english_joined(joined) if trailing else None]


def english_objects(clause: Clause) -> list[Tree | None]:
    """The objects with their prepositions, and the particle: "puts on the coat", "puts it on"."""
    word, key, found = clause.verb.particle, (clause, "verb"), []
    for phrase, (mark, _) in zip(clause.objects, clause.verb.objects):
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
    subject = None if clause.subject.pronoun in ("relative", "same") else english_phrase(clause.subject)
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
        return tree("S", *before, tree("VP", first, word, *[c for c in second.children if isinstance(c, Tree)]))
    comma = leaf(COMMA, COMMA, (joined, "comma")) if joined.word == "but" else None
    return tree("S", tree("S", *before, first), comma, word, second)


CASES = ("nom", "acc", "dat")
GENDERS = "mfnp"  # masculine, feminine, neuter; plural, where gender does not matter
Table = dict[tuple[str, str], str]


def endings(nominative: str, accusative: str, dative: str) -> Table:
    """A table of inflection: a form for each case and gender, "-" for none."""
    cells = zip(CASES, (nominative, accusative, dative))
    return {(c, g): w.replace("-", "") for c, row in cells for g, w in zip(GENDERS, row.split())}


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


def german_middle(clause: Clause) -> list[Word]:
    """What stands between the finite verb and the closing one, in the order that it has there."""
    pronouns: list[Word] = []
    known: list[Word] = []
    new: list[Word] = []
    attached: list[Word] = []
    for phrase, (mark, _) in zip(clause.objects, clause.verb.objects):
        if phrase.pronoun != "relative":
            bare = mark in ("acc", "dat")
            known_or_new = known if phrase.definite or mark == "dat" else new
            group = attached if not bare else pronouns if phrase.pronoun else known_or_new
            group += german_object(clause, phrase, mark)
    time = [] if clause.fronted or not clause.time else german_time(clause)
    never = bool(clause.time and clause.time.use == "never")
    negation = [Word("nicht", ((clause, "not"),))] if clause.negated and not clause.without else []
    if clause.adjective:
        attached.append(Word(clause.adjective.german, ((clause, "adjective"),)))
    early = [*known, *time] if clause.negated or never else [*time, *known]
    return [*pronouns, *early, *negation, *german_place(clause), *new, *attached]


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


def german_clause(clause: Clause, last: bool = False) -> list[Word]:
    """A main clause, its finite verb second; with `last`, one whose verbs all come last."""
    joined = clause.joined
    front: list[Word] = []
    if clause.subject.pronoun == "same":
        subject: list[Word] = []
    else:
        subject = german_phrase(clause.subject, "nom") + german_relative(clause.subject, PAUSE)
    middle = german_middle(clause)
    if last:
        gap = [p for p in clause.objects if p.pronoun == "relative"]
        marks = dict(zip(map(id, clause.objects), (mark for mark, _ in clause.verb.objects)))
        first = [word for p in gap for word in german_object(clause, p, marks[id(p)])]
        body = [*first, *subject, *middle, *german_verbs_last(clause)]
        return body + german_following(clause)
    if joined and joined.first:
        front = [*german_joined(joined), Word(COMMA, ((joined, "comma"),))]
    elif clause.fronted:
        front = german_time(clause)
    finite, closing = german_verbs(clause)
    start = [*front, finite, *subject] if front else [*subject, finite]
    return [*start, *middle, *closing, *german_following(clause)]


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
    return [word, *german_clause(joined.clause, last=joined.word not in COORDINATORS)]


def german_relative(phrase: Phrase, *closing: Word) -> list[Word]:
    """A phrase's relative clause with its commas, or nothing."""
    if not phrase.relative:
        return []
    return [PAUSE, *german_clause(phrase.relative, last=True), *closing]


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
    return Pair(
        source=tuple(word.text for word in english),
        target=tuple(word.text for word in german),
        alignment=links(english, german),
        antecedents=references(german),
        source_antecedents=references(english),
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


def links(english: list[Word], german: list[Word]) -> Links:
    """The pairs of positions whose words express a common concept."""
    places: dict[Key, list[int]] = {}
    for i, word in enumerate(english):
        for key in word.keys:
            places.setdefault(key, []).append(i)
    found = {(i, j) for j, word in enumerate(german) for key in word.keys for i in places.get(key, [])}
    return tuple(sorted(found))


def references(words: list[Word]) -> Links:
    """(position of a pronoun, position of the noun that it stands for) in one language."""
    place = {key: i for i, word in enumerate(words) for key in word.keys}
    found = []
    for node, part in place:
        if isinstance(node, Phrase):
            whole = {"noun": node.antecedent, "determiner": node.owner}.get(part)
            parts = [origin(whole), origin(whole).conjunct] if whole else []
            found += [(place[node, part], place[p, "noun"]) for p in parts if p and p.noun]
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
                break
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
    """"sleep, cry: tired sick | eat: hungry" -> {"sleep": ("tired", "sick"), ...}"""
    entries = [entry.split(":") for entry in table.replace("\n", "|").split("|") if ":" in entry]
    return {verb.strip(): tuple(why.split()) for verbs, why in entries for verb in verbs.split(",")}


def full_name(verb: Verb) -> str:
    return f"{verb.english}.{verb.particle}" if verb.particle else verb.english


class Author(Dice):
    """Makes up clauses that make sense."""

    def noun_phrase(self, noun: Noun, subject: Phrase | None = None, plain: bool = False) -> Phrase:
        """A phrase with this noun; of an object's noun the `subject` may be the owner."""
        phrase = Phrase(noun)
        if "name" in noun.kinds:
            return phrase
        mass, kin = "mass" in noun.kinds, "kin" in noun.kinds
        countable = noun.german[1] != "-" and not mass
        phrase.plural = countable and self.chance(0.22)
        phrase.determiner = self.determiner(phrase, subject, mass, kin)
        if phrase.determiner == "own":
            phrase.owner = subject
        options = adjectives_for(noun)
        if options and not plain and self.chance(0.15 if kin else 0.32):
            phrase.adjective = self.pick(options)
        return phrase

    def determiner(self, phrase: Phrase, subject: Phrase | None, mass: bool, kin: bool) -> str:
        assert phrase.noun
        own = 0
        if subject and phrase.noun.kinds & OWNED:
            own = 10 if not subject.pronoun and subject.noun and "girl" not in subject.noun.kinds else 0
            if subject.pronoun in ("he", "she", "they"):
                own = 10
            if kin and subject.noun and "animal" in subject.noun.kinds or "girl" in str(subject.noun and subject.noun.english):
                own = 0
        speaker = 6 if phrase.noun.kinds & OWNED else 0
        if kin:
            return self.weighted({"my": 8, "our": 4, "own": 2 * own})
        if mass:
            return self.weighted({"": 50 if subject else 0, "the": 40, "this": 8})
        if phrase.plural:
            bare = 20 if subject else 0
            return self.weighted({"the": 50, "": bare, "two": 8, "three": 6, "many": 6, "these": 6,
                                  "my": speaker, "our": speaker, "own": own})  # fmt: skip
        return self.weighted({"the": 56, "a": 30 if subject else 16, "this": 6,
                              "every": 0 if subject else 4, "my": speaker, "our": speaker,
                              "own": own})  # fmt: skip

    def subject(self, deictic: bool = True, kinds: frozenset[str] = frozenset()) -> Phrase:
        """Somebody who does something: a person or an animal, I, we, or two people."""
        if self.chance(0.16) and not kinds:
            return Phrase(pronoun=self.pick(SUBJECTS[:4] + ("they",) if deictic else SUBJECTS[:2]))
        kinds = kinds or self.weighted({PERSON: 72, ANIMAL: 28})
        phrase = self.noun_phrase(self.pick(nouns_of(kinds)))
        if phrase.is_name and not phrase.plural and self.chance(0.2):
            phrase.conjunct = Phrase(self.pick([n for n in nouns_of(NAME) if n != phrase.noun]))
        return phrase


PERSON, ANIMAL, NAME = frozenset(["person"]), frozenset(["animal"]), frozenset(["name"])
OWNED = frozenset(["kin", "pet", "private", "clothes", "luggage", "cup", "umbrella", "kitchen",
                   "room", "house", "garden", "book", "letter", "neighbor"])  # fmt: skip


class ClauseAuthor(Author):
    """Makes up clauses with one verb."""

    def action(self, subject: Phrase, verb: Verb | None = None) -> Clause:
        """A clause in which the subject does something."""
        verb = verb or self.pick(verbs_for(subject.head, "action"))
        clause = Clause(subject, verb)
        for _, kinds in verb.objects:
            clause.objects.append(self.object(subject, kinds, full_name(verb)))
        clause.tense = self.tense(subject, verb)
        return clause

    def object(self, subject: Phrase, kinds: frozenset[str], action: str) -> Phrase:
        """Somebody or something else, of these kinds."""
        noun = self.pick(nouns_of(kinds))
        if noun in (subject.noun, subject.head):
            raise Nonsense
        if noun.place:
            phrase = self.place_phrase(noun)
        elif "person" in noun.kinds and self.chance(0.12):
            phrase = Phrase(pronoun=self.pick([p for p in ("I", "we") if p != subject.pronoun]))
        else:
            phrase = self.noun_phrase(noun, subject)
        if action in MAKING and phrase.adjective and phrase.adjective.english not in MADE:
            raise Nonsense
        if action in (*MAKING, "buy") and phrase.determiner in ("my", "our", "own"):
            raise Nonsense
        if subject.pronoun in ("I", "we") and (phrase.pronoun or phrase.determiner in ("my", "our")):
            if phrase.pronoun or subject.pronoun != {"my": "I", "our": "we"}[phrase.determiner]:
                raise Nonsense
        return phrase

    def tense(self, subject: Phrase, verb: Verb) -> str:
        """A tense or a modal verb: nobody must wake up, and only people should."""
        if verb.infinitive in STATES:
            return "present"
        tenses = {"present": 22, "progressive": 34, "past": 28}
        if verb.stative:
            tenses = {"present": 60, "past": 30}
        elif full_name(verb) not in INVOLUNTARY:
            tenses |= {"can": 5, "want": 6, "will": 5}
            if not subject.head or "person" in subject.head.kinds:
                tenses |= {"must": 5, "should": 4}
        return self.weighted(tenses)

    def place_phrase(self, noun: Noun) -> Phrase:
        """A known place: in the old garden, in our kitchen."""
        phrase = Phrase(noun)
        if noun.kinds & OWNED and self.chance(0.2):
            phrase.determiner = self.pick(("my", "our"))
        if self.chance(0.2) and adjectives_for(noun):
            phrase.adjective = self.pick(adjectives_for(noun))
        return phrase

    def state(self, subject: Phrase, adjective: str = "") -> Clause:
        """The subject is tired, cheap, beautiful ..."""
        options = [a for a in adjectives_for(subject.head) if adjective in ("", a.english)]
        if not options:
            raise Nonsense
        described = self.pick(options)
        if subject.adjective and not adjective or described is origin(subject).adjective:
            raise Nonsense
        clause = Clause(subject, BE, adjective=described)
        clause.tense = "past" if self.chance(0.2) else "present"
        return clause


BE = ACTIONS[-1]
MAKING = ("write", "paint", "bake", "cook")
MADE = ("beautiful", "small", "big", "sweet", "long", "short", "interesting", "sad", "hot", "warm")
MOMENTARY = ("wake.up", "fall.asleep", "come.back", "arrive", "get.up", "run.away", "open", "close",
             "thank", "lose", "forget", "find")  # fmt: skip
INVOLUNTARY = ("wake.up", "fall.asleep", "cry", "laugh", "think.of")
STATES = ("brauchen", "lieben", "mögen", "kennen", "glauben", "hoffen", "wissen")


HABITATS = {
    "farm": ("garden", "meadow", "lake", "river"),
    "wild": ("forest", "meadow", "lake", "river"),
    "pet": ("kitchen", "room", "house", "garden", "park", "meadow", "lake", "river"),
}


class CircumstanceAuthor(ClauseAuthor):
    """Adds to a clause where and when it happens, and denies it."""

    def deny(self, clause: Clause, probability: float = 0.16) -> None:
        """The dog does not sleep. Not where the negation's reach could be doubted."""
        phrases = [clause.subject, *clause.objects]
        vague = ("a", "every", "two", "three", "many", "")
        if any(p.noun and not p.is_name and p.determiner in vague[:5] for p in phrases[:1]):
            return
        unsure = [p for p in phrases[1:] if p.noun and p.determiner in ("two", "three", "many")]
        known = [p for p, (m, _) in zip(clause.objects, clause.verb.objects) if m != "acc"]
        unsure += [p for p in known if p.noun and not p.definite]
        if unsure or clause.tense == "must" or clause.time and clause.time.use != "end":
            return
        if clause.place and clause.objects:
            return
        clause.negated = self.chance(probability)

    def locate(self, clause: Clause, probability: float = 0.28) -> None:
        """Says where. Animals have their own places."""
        head = clause.subject.head
        allowed = next((w for k, w in HABITATS.items() if head and k in head.kinds), None)
        options = [n for n in nouns_of(clause.verb.places) if not allowed or n.english[0] in allowed]
        if options and self.chance(probability):
            clause.place = self.place_phrase(self.pick(options))

    def date(self, clause: Clause, probability: float = 0.3, front: bool = True) -> None:
        """Says when. The adverbial must suit the tense and the object."""
        tense = {"past": "past", "present": "present", "progressive": "now"}.get(clause.tense, "future")
        if clause.verb is BE or clause.verb.infinitive in STATES or not self.chance(probability):
            return
        known = any(o.definite for o in clause.objects)
        options = [t for t in TIMES if tense in t.tenses]
        if tense == "present" and (known or clause.negated):
            return
        clause.time = self.pick(options)
        if clause.time.use == "never" and clause.place and clause.objects:
            raise Nonsense
        clause.fronted = front and clause.time.use == "end" and self.chance(0.5)


class RelativeAuthor(CircumstanceAuthor):
    """Adds relative clauses."""

    def relate(self, phrase: Phrase, verb: Verb, depth: int = 0) -> None:
        """Gives a phrase a relative clause, with its pronoun as subject or as object."""
        noun = phrase.noun
        if not noun or noun.place or noun.kinds & {"name", "kin", "mass"} or phrase.conjunct:
            return
        if phrase.determiner not in ("the", "a", "two", "three", "every", "many"):
            return
        pronoun = Phrase(pronoun="relative", antecedent=phrase)
        if self.chance(0.5):
            clause = self.subject_relative(pronoun)
        else:
            clause = self.object_relative(pronoun)
        if clause.verb is verb:
            raise Nonsense
        phrase.relative = clause

    def subject_relative(self, pronoun: Phrase) -> Clause:
        """The dog that sleeps in the garden; the car that is broken."""
        assert pronoun.head and pronoun.antecedent
        if not pronoun.head.kinds & {"person", "animal"}:
            clause = self.state(pronoun)
            if pronoun.antecedent.adjective:
                raise Nonsense
            return clause
        clause = self.action(pronoun)
        if clause.tense == "present" and full_name(clause.verb) in MOMENTARY:
            clause.tense = "past"
        self.locate(clause, 0.5)
        self.deny(clause, 0.08)
        return clause

    def object_relative(self, pronoun: Phrase) -> Clause:
        """The dog that the old man loves; the bus that we are waiting for."""
        assert pronoun.head
        subject = self.subject(deictic=False)
        options = [
            verb for verb in verbs_for(subject.head, "action")
            if len(verb.objects) == 1 and verb.objects[0][1] & pronoun.head.kinds
            and verb.infinitive != "haben" and subject.noun is not pronoun.head
        ]  # fmt: skip
        if not options or subject.determiner in ("every", "two", "three", "many"):
            raise Nonsense
        verb = self.pick(options)
        clause = Clause(subject, verb, [pronoun], tense=self.tense(subject, verb))
        self.deny(clause, 0.05)
        return clause


class SimpleAuthor(RelativeAuthor):
    """Makes up clauses with all that they may hold."""

    def simple(
        self, subject: Phrase | None = None, front: bool = True, end: bool = True, rich: float = 1.0
    ) -> Clause:
        """One clause, perhaps with relative clauses; `front` and `end` say where it is free."""
        subject = subject or self.subject()
        if subject.noun and not subject.conjunct and self.chance(0.14):
            clause = self.state(subject)
        else:
            clause = self.action(subject)
            self.locate(clause)
            self.date(clause, front=front)
        if self.chance(0.1 * rich):
            self.relate(subject, clause.verb)
        open_end = not clause.place and (not clause.time or clause.time.use != "end" or clause.fronted)
        if clause.objects and open_end and end and self.chance(0.2 * rich):
            self.relate(clause.objects[-1], clause.verb)
        self.deny(clause)
        return clause


def same(phrase: Phrase) -> Phrase:
    """A pronoun for the phrase."""
    if phrase.head and "girl" in phrase.head.kinds and not phrase.number:
        raise Nonsense  # grammar asks for "es", people say "sie"
    antecedent = None if phrase.pronoun in ("I", "we") else phrase
    return Phrase(pronoun=pronoun_for(phrase), antecedent=antecedent)


class ReasonAuthor(SimpleAuthor):
    """Joins clauses that explain each other."""

    def explained(self, table: str, rich: float) -> tuple[Clause, str]:
        """An action and an adjective that explains it, from one of the two tables."""
        why = reasons(table)
        subject = self.subject()
        verb = self.pick([v for v in verbs_for(subject.head, "action") if full_name(v) in why])
        clause = self.action(subject, verb)
        if clause.tense in MODALS:
            clause.tense = "want" if full_name(verb) in ("sleep", "eat", "drink", "buy", "sell") else "past"
        self.locate(clause, 0.1)
        if self.chance(0.06 * rich):
            self.relate(subject, verb)
        return clause, self.pick(why[full_name(verb)])

    def with_reason(self, front: bool = True, rich: float = 1.0) -> Clause:
        """... because it is fresh. ... although he is tired. When the dog is hungry, it ..."""
        if self.chance(0.45):
            clause, why = self.explained(OBJECT_REASONS, rich)
            reason = self.state(same(clause.objects[-1]), why)
        else:
            clause, why = self.explained(SUBJECT_REASONS, rich)
            if front and clause.subject.noun and self.chance(0.3):
                return self.condition(clause, why)
            reason = self.state(same(clause.subject), why)
        self.agree(clause, reason)
        if reason.subject.head is clause.subject.head and self.chance(0.2):
            clause.negated = not clause.place and clause.subject.determiner not in VAGUE
            if any(not o.definite for o in clause.objects if o.plural):
                raise Nonsense
        word = "although" if clause.negated else "because"
        clause.joined = Joined(word, reason)
        return clause

    def agree(self, clause: Clause, other: Clause) -> None:
        other.tense = "past" if clause.tense == "past" else "present"

    def condition(self, clause: Clause, why: str) -> Clause:
        """When the dog is hungry, it eats meat."""
        state = self.state(clause.subject, why)
        clause.subject = same(clause.subject)
        clause.tense, state.tense = "present", "present"
        clause.joined = Joined("when", state, first=True)
        return clause


VAGUE = ("a", "every", "two", "three", "many")


LASTING = (
    "sleep sing dance work play swim cook bake read write eat drink look.for wait.for repair paint "
    "wash feed tidy.up talk.to watch play.with dance.with"
).split()
SEQUELS = "look.for find, bake eat, cook eat, buy eat, buy read, write read, find repair, buy repair, \
repair sell, wash put.on, buy put.on, find wash, find open, buy open, look.for feed"
CONTRASTS = "look.for find, hear see, see hear, read like, bake eat, cook eat, buy need, have need, \
like know, buy read, sell need, wait.for see, buy put.on, open close, find need, call visit, \
buy like, drink like, see know"


class JoiningAuthor(ReasonAuthor):
    """Joins clauses one after the other."""

    def couple(self, table: str) -> tuple[Clause, Clause]:
        """Two actions of one subject on one object, which is a pronoun the second time."""
        first, second = self.pick(table.split(", ")).split()
        subject = self.subject(kinds=PERSON) if self.chance(0.8) else self.subject()
        verbs = verbs_for(subject.head, "action")
        one, other = ([v for v in verbs if full_name(v) == name] for name in (first, second))
        if not one or not other:
            raise Nonsense
        clause = self.action(subject, one[0])
        thing = clause.objects[-1]
        if not thing.noun or not thing.noun.kinds & other[0].objects[-1][1] or thing.determiner == "every":
            raise Nonsense
        return clause, Clause(same(subject), other[0], [same(thing)])

    def with_and(self, rich: float = 1.0) -> Clause:
        """The man buys the book and reads it. The man is cooking and the woman is reading."""
        if self.chance(0.4):
            clause, other = self.lasting(rich), self.lasting(rich)
        else:
            clause, other = self.couple(SEQUELS)
            clause.tense = other.tense = "present"
            other.subject = Phrase(pronoun="same", antecedent=clause.subject)
            self.date(clause, 0.4)
            if clause.time and not clause.fronted:
                raise Nonsense
        clause.joined = Joined("and", other)
        return clause

    def with_but(self, rich: float = 1.0) -> Clause:
        """The woman is looking for the key, but she cannot find it."""
        if self.chance(0.3):
            action, why = self.explained(SUBJECT_REASONS, rich)
            clause, other = self.state(action.subject, why), action
            clause.tense = "present"
            other.subject, other.place = same(action.subject), None
            other.tense = self.pick(("can", "want", "present"))
        else:
            clause, other = self.couple(CONTRASTS)
            clause.tense = "present" if clause.verb.stative or self.chance(0.3) else "progressive"
            other.tense = "can" if not other.verb.stative and self.chance(0.4) else "present"
        if any(not o.definite and o.plural for o in other.objects):
            raise Nonsense
        other.negated = True
        clause.joined = Joined("but", other)
        return clause

    def lasting(self, rich: float) -> Clause:
        """An action that goes on for a while."""
        subject = self.subject(deictic=False)
        clause = self.action(subject, self.pick(
            [v for v in verbs_for(subject.head, "action") if full_name(v) in LASTING]
        ))
        clause.tense = "progressive"
        self.locate(clause, 0.3)
        if self.chance(0.06 * rich):
            self.relate(subject, clause.verb)
        return clause


class SentenceAuthor(JoiningAuthor):
    """Makes up whole sentences."""

    def with_while(self, front: bool = True, rich: float = 1.0) -> Clause:
        """The man is cooking while the woman is reading."""
        clause, other = self.lasting(rich), self.lasting(rich)
        if clause.subject.noun is other.subject.noun:
            raise Nonsense
        clause.joined = Joined("while", other, first=front and self.chance(0.4))
        return clause

    def with_before(self, front: bool = True, rich: float = 1.0) -> Clause:
        """The woman reads a story before she falls asleep."""
        subject = self.subject()
        clause = self.action(subject)
        later = [v for v in verbs_for(subject.head, "action") if full_name(v) in LATER]
        other = self.action(same(subject), self.pick(later))
        if full_name(clause.verb) not in EARLIER or full_name(clause.verb) in LATER:
            raise Nonsense
        clause.tense = other.tense = "present"
        clause.joined = Joined("before", other, first=front and bool(subject.noun) and self.chance(0.4))
        if clause.joined.first:
            clause.subject, other.subject = other.subject, clause.subject
        return clause

    def with_that(self, rich: float = 1.0) -> Clause:
        """The boy hopes that his mother will come back."""
        subject = self.subject(kinds=PERSON) if self.chance(0.7) else self.subject()
        verb = self.pick(verbs_for(subject.head, "that") or (BE,))
        if verb is BE or subject.determiner in VAGUE[2:]:
            raise Nonsense
        clause = Clause(subject, verb, tense="past" if verb.english == "say" and self.chance(0.5) else "present")
        inner = same(subject) if self.chance(0.25) else None
        kinds = {"simple": int(80 / rich), "reason": int(10 * rich), "while": int(4 * rich),
                 "that": int(4 * rich)}  # fmt: skip
        content = self.content(self.weighted(kinds), inner, rich)
        if content.verb is verb or not self.credible(clause, content, inner):
            raise Nonsense
        clause.joined = Joined("that", content)
        if clause.tense == "present" and verb.english != "hope" and not inner:
            self.deny(clause, 0.2)
        return clause

    def credible(self, clause: Clause, content: Clause, inner: Phrase | None) -> bool:
        """People hope for what will be, and need not be told what they are doing."""
        if clause.tense == "past":
            return content.tense == "past"
        if clause.verb.english == "hope":
            head = content.subject.head
            person = not head or "person" in head.kinds or "pet" in head.kinds
            return person and content.tense in ("can", "will") and not content.negated
        return not inner or content.tense in ("can", "must", "should", "past") or content.verb is BE

    def content(self, kind: str, subject: Phrase | None, rich: float) -> Clause:
        """What is said, known, believed or hoped."""
        if kind == "that":
            return self.with_that(rich=rich)
        if kind != "simple":
            return (self.with_reason if kind == "reason" else self.with_while)(front=False, rich=rich)
        return self.simple(subject or self.subject(deictic=False), front=False, rich=rich)

    def sentence(self, rich: float = 1.0) -> Clause:
        """A sentence of any kind."""
        kinds = {"simple": int(50 / rich), "reason": 14, "that": int(11 * rich), "but": 8,
                 "while": 6, "before": 4, "and": 7}  # fmt: skip
        makers: dict[str, Callable[..., Clause]] = {
            "simple": self.simple, "reason": self.with_reason, "that": self.with_that,
            "but": self.with_but, "while": self.with_while, "before": self.with_before,
            "and": self.with_and,
        }  # fmt: skip
        return makers[self.weighted(kinds)](rich=rich)


LATER = ("go", "fall.asleep", "come.back", "eat", "work")
EARLIER = (
    "read write cook sing play drink wash feed tidy.up close open call talk.to eat bake".split()
)


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


def is_clear(clause: Clause) -> bool:
    """Whether each pronoun has one noun before it that it can stand for, and no noun comes twice."""
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


def origin(phrase: Phrase) -> Phrase:
    """What a pronoun stands for in the end."""
    return origin(phrase.antecedent) if phrase.antecedent else phrase


def clauses(seed: int, rich: float = 1.0) -> Iterator[Clause]:
    """Sensible sentences without end, as abstract syntax."""
    author = SentenceAuthor(seed)
    while True:
        try:
            clause = author.sentence(rich)
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
    grammar makes longer sentences, and `words` limits the vocabulary of both sides.
    Raises ValueError where there are no sentences of such a length.
    """
    if not 3 <= shortest <= longest <= 25:
        raise ValueError(f"sentences have 3 to 25 words, not {shortest} to {longest}")
    found: dict[tuple[str, ...], Pair] = {}
    for clause in clauses(seed, rich):
        if len(found) >= count:
            break
        if bool(combinations(clause) & HELD_OUT) == unseen:
            pair = spell(clause)
            fits = shortest <= pair.length <= longest
            if fits and (words is None or all(w in words for w in pair.source + pair.target)):
                found.setdefault(pair.source, pair)
    return list(found.values())


def splits(
    seed: int = 1,
    train: int = 20_000,
    validation: int = 500,
    test: int = 500,
    test_longer: int = 300,
    test_unseen: int = 300,
) -> dict[str, list[Pair]]:
    """The data sets, by name; no English sentence is in two of them.

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
