"""What this machine offers to llama.cpp."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from typing import Any

from llama_cpp._ggml import libggml, libggml_base_path

import medbench_local.engine.bindings  # noqa: F401  (silences llama.cpp)

_KINDS = ("CPU", "GPU", "integrated GPU", "accelerator", "meta")
_GPU_KINDS = _KINDS[1:3]


@dataclass(frozen=True)
class Device:
    """A device that llama.cpp can compute on.

    Attributes:
        kind: "CPU", "GPU", "integrated GPU", "accelerator" or "meta".
        backend: "CPU", "CUDA", "MTL" (Metal), "Vulkan" …
        description: for people ("NVIDIA H200").
        free: bytes of free memory, 0 if not reported.
    """

    kind: str
    backend: str
    description: str
    free: int


def devices() -> list[Device]:
    """Every device, in llama.cpp's order."""
    registry, base = libraries()
    found = []
    for index in range(registry.ggml_backend_dev_count()):
        device = registry.ggml_backend_dev_get(index)
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        base.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
        kind = base.ggml_backend_dev_type(device)
        found.append(
            Device(
                kind=_KINDS[kind] if 0 <= kind < len(_KINDS) else f"kind {kind}",
                backend=_text(base.ggml_backend_reg_name(base.ggml_backend_dev_backend_reg(device))),
                description=_text(base.ggml_backend_dev_description(device)),
                free=free.value,
            )
        )
    return found


def gpus() -> list[Device]:
    """The devices that layers can be put on."""
    return [device for device in devices() if device.kind in _GPU_KINDS]


def has_gpu() -> bool:
    """Whether this build of llama.cpp finds a GPU."""
    return bool(gpus())


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace").strip()


def libraries() -> tuple[Any, Any]:
    """ggml's libraries of the device registry and of the devices, with the functions' signatures set."""
    registry: Any = libggml
    base: Any = registry
    if sys.platform == "win32":  # symbols are not found through a library's dependencies there
        base = ctypes.CDLL(str(libggml_base_path / "ggml-base.dll"))
    pointer, size = ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t)
    declare(registry, "ggml_backend_dev_count", ctypes.c_size_t)
    declare(registry, "ggml_backend_dev_get", pointer, ctypes.c_size_t)
    declare(base, "ggml_backend_dev_backend_reg", pointer, pointer)
    declare(base, "ggml_backend_reg_name", ctypes.c_char_p, pointer)
    declare(base, "ggml_backend_dev_description", ctypes.c_char_p, pointer)
    declare(base, "ggml_backend_dev_type", ctypes.c_int, pointer)
    declare(base, "ggml_backend_dev_memory", None, pointer, size, size)
    return registry, base


def declare(library: Any, name: str, result: Any, *arguments: Any) -> None:
    """Set the signature of a function of a library."""
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
