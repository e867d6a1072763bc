"""A prompt is parts: texts as they are, and pictures by their hash."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.errors import UsageError
from medbench_local.prompts.prompt import Prompt, Shown
from medbench_local.tasks.picture import Picture

ONE, OTHER = Picture("0123456789abcdef" * 4), Picture("f" * 64)


def shown(*parts: str | Picture | Shown) -> Prompt:
    placed = tuple(Shown((part,)) if isinstance(part, Picture) else part for part in parts)
    return Prompt(placed, special=False, labels=("A", "B"), stop=())


@given(st.text())
def test_the_hash_of_a_text_is_that_of_its_utf_8(text: str) -> None:
    prompt = Prompt((text,), special=False, labels=(), stop=())
    assert prompt.parts == (text,)
    assert prompt.text == str(prompt) == text
    assert prompt.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_the_hash_of_a_text_is_what_samples_have_always_had() -> None:
    assert shown("Is it?\n(A) yes \u00e9 ").sha256 == (
        "4ab15078546c2431e537fbb29f469f69e377157d8e9e4e6607106ac91efbd566"
    )


def test_a_picture_changes_the_hash_and_so_do_another_one_and_its_place() -> None:
    prompts = [
        shown("Look: ", "What is it?"),
        shown("Look: ", ONE, "What is it?"),
        shown("Look: ", OTHER, "What is it?"),
        shown("Look: What", ONE, " is it?"),
        shown("Look: ", ONE, OTHER, "What is it?"),
        shown("Look: ", OTHER, ONE, "What is it?"),
        shown("Look: ", ONE, ONE, "What is it?"),
        shown("Look: ", Shown((ONE, OTHER)), "What is it?"),
        shown("Look: ", Shown(()), "What is it?"),
        shown("Look: " + ONE.sha256 + "What is it?"),
        shown(str(shown("Look: ", ONE, "What is it?"))),
    ]
    assert len({prompt.sha256 for prompt in prompts}) == len(prompts)
    assert shown("Look: ", "What ", "is it?").sha256 == prompts[0].sha256, "how a text is cut is nothing seen"


def test_a_picture_is_refused_where_only_text_is_read() -> None:
    with pytest.raises(UsageError, match="shows 2 picture"):
        _ = shown("Look: ", ONE, OTHER).text
    assert shown("Look: ", ONE, OTHER, ONE).pictures == (ONE, OTHER)
    with pytest.raises(UsageError, match="shows 1 picture"):
        _ = shown("Look: ", Shown(())).text


def test_people_see_where_a_picture_is() -> None:
    assert str(shown("Look: ", ONE, " well?")) == "Look: <image> well?"


@pytest.mark.parametrize("sha256", ["", "0" * 63, "G" * 64, "F" * 64, "0" * 64 + "\n", "0" * 65])
def test_a_picture_has_a_hash(sha256: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        Picture(sha256)
