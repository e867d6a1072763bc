"""The embedded pair's tokenizer: SentencePiece BPE with byte fallback, as Llama's, learned from the made-up world."""

from __future__ import annotations

import io
import random
import string
from collections.abc import Iterator

import sentencepiece

from medbench_local.demo.world import SEED, SUBJECTS, facts
from medbench_local.prompts.families import CLOZE_SYSTEM
from medbench_local.prompts.family import GENERIC_SYSTEM
from medbench_local.prompts.grammar import (
    ANSWER_DESCRIPTORS,
    OPTION_DESCRIPTORS,
    QUESTION_DESCRIPTORS,
    SEPARATORS,
    SPACES,
)

VOCABULARY = 1280
"""Tokens: a multiple of 256 that has room for nearly every word of the world."""


def train_tokenizer() -> bytes:
    """The serialized SentencePiece model; the same bytes at every call.

    Every printable ASCII character is a token, and no token joins a letter with punctuation: the letters that
    name options stay tokens of their own in every format.
    """
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=_sentences(),
        model_writer=model,
        model_type="bpe",
        vocab_size=VOCABULARY,
        character_coverage=1.0,
        required_chars="".join(c for c in string.printable if not c.isspace()),
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=True,
        allow_whitespace_only_pieces=True,
        split_digits=True,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def _sentences() -> Iterator[str]:
    draw = random.Random(f"{SEED}-tokens")
    heads = [text for text in (*QUESTION_DESCRIPTORS, *OPTION_DESCRIPTORS, *ANSWER_DESCRIPTORS) if text]
    signs = " ".join(sign for sign in (*(s.strip() for s in (*SEPARATORS, *SPACES)), "###", "**") if sign)
    for _ in range(200):
        yield GENERIC_SYSTEM.replace("{last}", "D")
        yield CLOZE_SYSTEM
        yield signs
        for head in heads:
            yield " ".join((head, head.lower(), head.upper(), head.title()))
    for subject in SUBJECTS:
        for fact in facts(subject):
            for ask in fact.relation.questions:
                yield ask.format(fact.thing)
            for tell in fact.relation.statements:
                yield tell.format(fact.thing, fact.value)
            yield " ".join(draw.sample(fact.relation.values, 8))
