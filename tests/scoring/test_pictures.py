"""Ids of pictures in token lists, and what stands for them in keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from medbench_local.engine.base import PictureTokens
from medbench_local.engine.fake import VOCABULARY, FakeEngine
from medbench_local.errors import EngineError
from medbench_local.prompts.prompt import Shown
from medbench_local.scoring.pictures import PictureBook
from medbench_local.tasks.picture import Picture

EACH = 3
ONE, TWO, LOST = (Picture(f"{number:064x}", f"{number}.png") for number in (1, 2, 3))
FILES = {one: Path(f"/any/where/features/tower/rule/{one.sha256}.npy") for one in (ONE, TWO)}


def a_book(home: str = "/any/where") -> PictureBook:
    files = {one: Path(home) / path.relative_to("/any/where") for one, path in FILES.items()}
    return PictureBook(FakeEngine(picture_tokens=EACH).info, files)


def test_ids_are_given_out_as_pictures_are_first_shown() -> None:
    book = a_book()
    first, second = VOCABULARY, VOCABULARY + EACH
    assert book.parts(("a", Shown((TWO,)), "b", Shown((ONE,)))) == ("a", first, "b", second)
    assert book.parts((Shown((ONE,)), Shown(()), Shown((TWO,)))) == (second, None, first)
    same_content = Picture(ONE.sha256, "another name", Path("elsewhere.png"))
    assert book.parts((Shown((same_content,)),)) == (second,)
    assert book.parts((Shown((ONE, TWO)),)) == (VOCABULARY + 2 * EACH,), (
        "several at one place are something else"
    )


def test_a_pack_says_what_its_ids_stand_for_and_no_others() -> None:
    book = a_book()
    for shown in ((ONE,), (TWO,), (ONE, TWO)):
        book.parts((Shown(shown),))
    both = book.shown_in([(5, VOCABULARY + 2 * EACH + 1), (7, VOCABULARY, VOCABULARY + 1, VOCABULARY + 2)])
    assert both == (
        PictureTokens(VOCABULARY, (str(FILES[ONE]),)),
        PictureTokens(VOCABULARY + 2 * EACH, (str(FILES[ONE]), str(FILES[TWO]))),
    )
    assert book.shown_in([(5, 6)]) == ()


def test_a_key_names_what_is_shown_and_not_the_ids_nor_the_place_of_the_files() -> None:
    one, other = a_book(), a_book("/home/of/somebody")
    tokens = [
        (1, *range(part, part + EACH), 2)
        for book, order in ((one, (ONE, TWO)), (other, (TWO, ONE)))
        for part in [book.parts(tuple(Shown((picture,)) for picture in order))[order.index(ONE)]]
        if isinstance(part, int)
    ]
    assert tokens[0] != tokens[1]
    assert one.named(tokens[0]) == other.named(tokens[1])
    assert one.named(tokens[0]) != one.named(tokens[1]), "the other picture"
    assert one.named(tokens[0]) != one.named((*tokens[0][:-2], 2)), "a row less"
    assert one.named((1, 2)) == (1, 2), "text alone is what it was before there were pictures"


def test_a_text_cannot_be_named_like_a_picture() -> None:
    """The vocabulary of the fake engine is larger than that of any model: no id in a text is that of a picture."""
    book = a_book()
    assert book.named((VOCABULARY - 1,)) == (VOCABULARY - 1,)
    book.parts((Shown((ONE,)),))
    assert isinstance(book.named((VOCABULARY,)), str)


def test_a_picture_that_was_not_encoded_is_named() -> None:
    book = a_book()
    book.parts((Shown((LOST,)),))
    with pytest.raises(EngineError, match=r"picture 3\.png was not encoded"):
        book.shown_in([(VOCABULARY,)])
    with pytest.raises(EngineError, match=r"3\.png was not encoded"):
        book.named((VOCABULARY,))
