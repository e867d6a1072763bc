"""A request to stop, which llama.cpp looks at between the operations of a decode."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

_Callback = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p)


class Stop:
    """Set by one thread while another one decodes.

    llama.cpp asks a C function of one pointer after every operation. A Python function would swallow a Ctrl-C that
    arrives while it runs; ``strlen`` is in every C library, and of one byte in memory says whether it is zero.
    """

    def __init__(self) -> None:
        self._flag = ctypes.create_string_buffer(2)
        library = ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)
        self._strlen = library.strlen

    @property
    def callback(self) -> Any:
        """For ``abort_callback``; goes with `data`."""
        return ctypes.cast(self._strlen, _Callback)

    @property
    def data(self) -> Any:
        """For ``abort_callback_data``."""
        return ctypes.cast(self._flag, ctypes.c_void_p)

    @property
    def wanted(self) -> bool:
        """Whether the work is to be stopped."""
        return self._flag[0] != b"\0"

    def ask(self) -> None:
        """Let the decode that is going on, and those that follow, end with nothing."""
        self._flag[0] = b"\1"

    def clear(self) -> None:
        """Forget it, before the next piece of work."""
        self._flag[0] = b"\0"


STOP = Stop()
"""Of this process."""
