"""llama.cpp through ctypes: it is started here, once a process, and its structures are filled by one checked helper.

Whatever touches llama.cpp takes ``llama_cpp`` from this module, so that its messages never reach the terminal and an
abort starts no debugger.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO

os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # an abort would start a debugger otherwise

import llama_cpp as llama_cpp

from medbench_local.errors import EngineError

_WARNING, _ERROR, _CONTINUED = 3, 4, 5  # as in ggml.h; a comment in llama_cpp has them wrong


class Log:
    """What llama.cpp last said; without it, llama.cpp would write to the terminal."""

    def __init__(self, lines: int = 200) -> None:
        self._lines: deque[tuple[int, str]] = deque(maxlen=lines)
        self._stream: TextIO | None = None
        self._budget = 1000
        self._listener: Callable[[str], None] | None = None
        self._line = ""
        self._callback = llama_cpp.llama_log_callback(self._take)
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))

    def share(self, setter: Callable[[Any, Any], None]) -> None:
        """Take over what another of llama.cpp's libraries says, by its function that sets who listens."""
        setter(self._callback, ctypes.c_void_p(0))

    def _take(self, level: int, text: bytes, _data: object) -> None:
        decoded = text.decode("utf-8", "replace")
        if self._listener:
            *lines, self._line = (self._line + decoded).split("\n")
            for line in lines:
                self._listener(line)
        if level == _CONTINUED and self._lines:
            before, start = self._lines.pop()
            self._lines.append((before, start + decoded))
        else:
            self._lines.append((level, decoded))
            if self._stream and level in (_WARNING, _ERROR) and self._budget:
                self._budget -= 1
                self._stream.write(decoded)
                self._stream.flush()

    def echo(self, stream: TextIO) -> None:
        """Write warnings and errors to ``stream`` as well, a thousand of them at most."""
        self._stream = stream

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call ``listener`` with every line, of any level, once it is complete."""
        self._listener = listener

    def clear(self) -> None:
        """Forget everything."""
        self._lines.clear()

    def lines(self) -> list[str]:
        """The last lines of any level."""
        return [text.strip() for _, text in self._lines if text.strip(" .\n")]

    def problem(self) -> str:
        """Errors, or else warnings, in llama.cpp's own words, on one line; empty if there were none."""
        for wanted in (_ERROR, _WARNING):
            said = [text.strip() for level, text in self._lines if level == wanted and text.strip()]
            if said:
                return " ".join(said)[-600:].rstrip(".")
        return ""


LOG = Log()
llama_cpp.llama_backend_init()


def set_fields(structure: Any, **values: object) -> None:
    """Set fields of a ctypes structure, which would itself accept a misspelt name silently.

    Raises:
        EngineError: the installed llama-cpp-python has no such field.
    """
    known = {field[0] for field in structure._fields_}
    for name, value in values.items():
        if name not in known:
            raise EngineError(
                f"llama-cpp-python {llama_cpp.__version__} has no setting {name!r}.",
                advice="Install the version that this package asks for.",
            )
        setattr(structure, name, value)


def versions() -> dict[str, str]:
    """Versions of the bindings and of llama.cpp, and the processor features it was compiled for."""
    return {
        "llama-cpp-python": llama_cpp.__version__,
        "llama.cpp": text_of(llama_cpp.llama_version()),
        "system": " ".join(text_of(llama_cpp.llama_print_system_info()).split()),
    }


def text_of(value: bytes | None) -> str:
    """A text that llama.cpp gave; what is not UTF-8 in it is replaced."""
    return (value or b"").decode("utf-8", "replace")
