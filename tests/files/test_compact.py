"""What is kept in fewer bytes comes back as it was."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.files.compact import divided, doubles, floats, joined, kept_as


@given(st.lists(st.text(), max_size=4))
def test_texts_come_back_whatever_they_hold(texts: list[str]) -> None:
    assert divided(joined(texts)) == tuple(texts)


@pytest.mark.parametrize("texts", [(), ("",), ("", ""), ("a\0b",), ("a", "\0"), ("é", "\U0001f600", "")])
def test_texts_at_the_edges(texts: tuple[str, ...]) -> None:
    assert divided(joined(texts)) == texts


def test_the_same_texts_are_kept_once() -> None:
    assert joined(["yes", "no", "maybe"]) is joined(("yes", "no", "may" + "be"))


@given(st.lists(st.floats(allow_nan=False)))
def test_numbers_come_back_to_the_last_bit(values: list[float]) -> None:
    assert [value.hex() for value in floats(doubles(values))] == [value.hex() for value in values]


@kept_as("texts", joined, divided)
@dataclass(frozen=True)
class _Kept:
    name: str
    texts: tuple[str, ...]


def test_the_class_is_used_as_before() -> None:
    one = _Kept("a", ("x", "y"))
    assert one.texts == ("x", "y")
    assert one == _Kept(name="a", texts=("x", "y"))
    assert hash(one) == hash(_Kept("a", ("x", "y")))
    assert one != replace(one, texts=("x",))
    assert repr(one) == "_Kept(name='a', texts=('x', 'y'))"
    with pytest.raises(FrozenInstanceError):
        one.texts = ()  # type: ignore[misc]
