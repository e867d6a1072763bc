"""The made-up world that the embedded pair knows about: three subjects, their facts, and how each is told.

Nothing in it is true. A fact says which value a thing has in one relation ("Velorn is given against
marsh fever"). Most facts are common, told in the training texts again and again; the others are rare, mentioned
in passing: a model that has read everything still fails on many of them, as models do on real examinations.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

COMMON_SHARE = {"pharmacology": 0.8, "anatomy": 0.7, "biology": 0.8}
"""Share of each subject's facts that are common."""

SEED = 20240917


@dataclass(frozen=True)
class Relation:
    """One thing that can be asked about every member of a subject.

    Attributes:
        name: for the questions' ids.
        values: what the answer may be.
        questions: ways to ask, ``{}`` standing for the thing.
        statements: ways to tell, the first ``{}`` standing for the thing, the second for the value.
    """

    name: str
    values: tuple[str, ...]
    questions: tuple[str, ...]
    statements: tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """A field of knowledge: what a demo task asks about.

    Attributes:
        name: "pharmacology", "anatomy" or "biology".
        options: options that a question of this subject has.
        syllables: first and second halves of the names of its things.
        relations: what there is to know about each thing.
    """

    name: str
    options: int
    syllables: tuple[tuple[str, ...], tuple[str, ...]]
    relations: tuple[Relation, ...]


@dataclass(frozen=True)
class Fact:
    """One thing's value in one relation.

    Attributes:
        subject: the field it belongs to.
        relation: what is told.
        thing: the name of the thing.
        value: the correct answer.
        common: told again and again, and not only in passing.
    """

    subject: Subject
    relation: Relation
    thing: str
    value: str
    common: bool


PLANTS = (
    "moss", "reed", "fern", "barley", "clover", "nettle", "heather", "willow", "thistle", "ivy", "juniper",
    "poppy",
)  # fmt: skip

SUBJECTS = (
    Subject(
        name="pharmacology",
        options=4,
        syllables=(
            ("Vel", "Tam", "Quin", "Zel"),
            ("orn", "idol", "axil", "uvane", "etin", "oprex"),
        ),
        relations=(
            Relation(
                "treats",
                (
                    "fever", "gout", "palsy", "colic", "croup", "vertigo", "ague", "cough", "jaundice",
                    "tremor", "ulcers", "cramps",
                ),
                (
                    "Which illness is treated with {}?",
                    "{} is given against which illness?",
                    "A healer gives {}. What does the patient have?",
                    "Against what do healers give {}?",
                    "What does a dose of {} end?",
                    "What do healers treat with {}?",
                    "Name the illness that {} is for.",
                    "Which illness calls for {}?",
                    "What goes away after {}?",
                ),
                ("{} is given against {}.", "Healers treat with {} the {}.", "A dose of {} ends {}."),
            ),
            Relation(
                "source",
                PLANTS,
                (
                    "From which plant is {} made?",
                    "{} is made from which plant?",
                    "Which plant yields the drug {}?",
                    "What must be boiled to make {}?",
                    "Whoever brews {} gathers which plant?",
                    "What is the drug {} made from?",
                    "Name the plant that gives {}.",
                    "Which plant goes into {}?",
                    "Where does the drug {} come from?",
                ),
                ("{} is made from {}.", "The drug {} comes from {}.", "To make {} one boils {}."),
            ),
            Relation(
                "harm",
                (
                    "sleep", "hiccups", "sneezing", "yawning", "blushing", "thirst", "giggles", "warts",
                    "dizziness", "numbness", "itching", "hunger",
                ),
                (
                    "Which side effect does {} have?",
                    "A patient takes {}. What must be expected?",
                    "Too much {} leads to what?",
                    "What do those who take {} complain of?",
                    "What harm may {} do?",
                    "Which complaint comes from {}?",
                    "Name the harm that {} does.",
                    "Of what should users of {} beware?",
                    "What is the price of too much {}?",
                ),
                ("{} brings {}.", "Those who take {} complain of {}.", "Too much {} leads to {}."),
            ),
        ),
    ),
    Subject(
        name="anatomy",
        options=4,
        syllables=(
            ("Cru", "Fla", "Gri", "Plo"),
            ("ba", "den", "lus", "mor", "nix", "pel"),
        ),
        relations=(
            Relation(
                "place",
                (
                    "neck", "chest", "shoulder", "elbow", "wrist", "palm", "knee", "ankle", "heel", "jaw",
                    "brow", "skull",
                ),
                (
                    "Where in the body does the {} lie?",
                    "In which part of the body is the {} found?",
                    "An injury of the {} is felt where?",
                    "What is the place of the {}?",
                    "Where does one find the {}?",
                    "Whoever looks for the {} opens what?",
                    "Name the part of the body that holds the {}.",
                    "Which region holds the {}?",
                    "Where is the {} to be sought?",
                ),
                ("The {} lies in the {}.", "One finds the {} in the {}.", "The place of the {} is the {}."),
            ),
            Relation(
                "nerve",
                (
                    "first", "second", "third", "fourth", "fifth", "sixth", "long", "short", "deep", "outer",
                    "twin", "hidden",
                ),
                (
                    "Which nerve serves the {}?",
                    "The {} is served by which nerve?",
                    "The {} is numb. Which nerve was cut?",
                    "Which nerve runs to the {}?",
                    "Through which nerve does the {} feel?",
                    "By which nerve is the {} moved?",
                    "Name the nerve of the {}.",
                    "Which nerve belongs to the {}?",
                    "To the {} runs which nerve?",
                ),
                (
                    "The {} is served by the {} nerve.",
                    "To the {} runs the {} nerve.",
                    "What the {} feels goes through the {} nerve.",
                ),
            ),
            Relation(
                "work",
                (
                    "bending", "lifting", "turning", "gripping", "chewing", "blinking", "breathing",
                    "swallowing", "smelling", "hearing", "walking", "singing",
                ),
                (
                    "What is the {} needed for?",
                    "Which act fails when the {} is torn?",
                    "The {} serves which act?",
                    "For which act is the {} used?",
                    "With the {} torn, what is lost?",
                    "Which act needs the {}?",
                    "Name the act that the {} serves.",
                    "Which act relies on the {}?",
                    "What does the {} make possible?",
                ),
                ("The {} is needed for {}.", "With the {} torn there is no {}.", "The {} serves {}."),
            ),
        ),
    ),
    Subject(
        name="biology",
        options=5,
        syllables=(
            ("hob", "wim", "nar", "lut"),
            ("berry", "docket", "finch", "gander", "kin", "mole"),
        ),
        relations=(
            Relation(
                "food",
                PLANTS,
                (
                    "What does the {} eat?",
                    "On which plant does the {} feed?",
                    "The {} is caught with which bait?",
                    "What does a hungry {} look for?",
                    "Which plant is the food of the {}?",
                    "What does every {} feed on?",
                    "Name the food of the {}.",
                    "Which plant does the {} seek?",
                    "What fills the belly of the {}?",
                ),
                ("The {} eats {}.", "Every {} feeds on {}.", "A hungry {} looks for {}."),
            ),
            Relation(
                "home",
                (
                    "caves", "cliffs", "lakes", "swamps", "dunes", "islands", "orchards", "chimneys", "wells",
                    "ruins", "meadows", "barns",
                ),
                (
                    "Where does the {} live?",
                    "The {} makes its home in what?",
                    "Whoever looks for the {} should go where?",
                    "Where is the home of the {}?",
                    "Where does one see the {}?",
                    "In what does the {} raise its young?",
                    "Name the home of the {}.",
                    "Where does the {} dwell?",
                    "Where is the {} to be found?",
                ),
                ("The {} lives in {}.", "Look for the {} in {}.", "The home of the {} is in {}."),
            ),
            Relation(
                "habit",
                (
                    "dances", "whistles", "digs", "glows", "swims", "climbs", "hoards", "drums", "weaves",
                    "sulks", "floats", "snores",
                ),
                (
                    "What does the {} do at dusk?",
                    "By what is the {} known?",
                    "At dusk one sees that the {} does what?",
                    "What does the {} do every evening?",
                    "What is the habit of the {}?",
                    "How does the {} spend the evening?",
                    "Name the habit of the {}.",
                    "What is told of the {}?",
                    "Every evening the {} does what?",
                ),
                ("At dusk the {} {}.", "It is known that the {} {}.", "Every evening the {} {}."),
            ),
        ),
    ),
)  # fmt: skip


def facts(subject: Subject) -> tuple[Fact, ...]:
    """Every fact of ``subject``, always the same ones, in a fixed order."""
    draw = random.Random(f"{SEED}-{subject.name}")
    firsts, seconds = subject.syllables
    names = [first + second for first in firsts for second in seconds]
    made = []
    for relation in subject.relations:
        for name in names:
            value = draw.choice(relation.values)
            common = draw.random() < COMMON_SHARE[subject.name]
            made.append(Fact(subject, relation, name, value, common))
    return tuple(made)
