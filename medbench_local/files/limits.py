"""How much is read from one file: limits that no file of questions or results comes near, so that none fills memory."""

from __future__ import annotations

MAX_LINE = 16 << 20
"""Longest line of a JSON Lines or csv file and longest value of a JSON mapping or list, in bytes or characters."""

MAX_TEXT = 1 << 20
"""Longest single text, such as a question or a prompt, in characters."""

MAX_ROWS = 1_000_000
"""Rows of a file; the largest of these data sets has 212,000."""

MAX_BLANK = 100_000
"""Lines of a file in which nothing stands."""

MAX_KEYS = 1_000
"""Keys of one mapping of a row, and columns of a table."""

MAX_CELLS = 4_000_000
"""Cells of a table that is held as a whole, and items of the lists and mappings in them."""

MAX_VALUES = 5_000_000
"""Values of a JSON file that is held as a whole; the largest tokenizer.json in use has two million."""

_FREE, _TIMES = 64 << 20, 16


def most_unpacked(packed: int) -> int:
    """Most bytes that a compressed file of ``packed`` bytes may hold; text is packed to a third, rows alike to a tenth.

    What is larger can be unpacked beforehand: then its size on the disk says what it costs.
    """
    return _FREE + _TIMES * packed


def too_large(most: int) -> str:
    """What is said of a file that holds more than `most_unpacked`."""
    return f"unpacked it holds more than {most >> 20} MiB, too much for a file so small"
