"""Is a medical language model better than the model it was built from?

What `medbench_local.api` exports can be imported from here; it is loaded when it is first used, so that importing the
package is cheap.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from medbench_local._version import __version__ as __version__

if TYPE_CHECKING:
    from medbench_local.api import *  # noqa: F403


def __getattr__(name: str) -> Any:
    if name.startswith("__") and name != "__all__":  # asked for by tools; nothing of ours
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if find_spec(f"{__name__}.{name}") is not None:  # a module of the package, which needs no other one
        return import_module(f"{__name__}.{name}")
    api = import_module(f"{__name__}.api")
    if name == "__all__":
        return api.__all__
    if name not in api.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted([*__getattr__("__all__"), "__version__"])
