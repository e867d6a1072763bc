"""What a measurement of speed holds for: this machine and this build of llama.cpp; kept below MEDBENCH_HOME."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from medbench_local.engine.threads import default_threads
from medbench_local.errors import StoreError
from medbench_local.files.hashes import content_key, read_record, write_record


@dataclass(frozen=True)
class MachineNotes:
    """What was found out about this machine and this build; loads neither llama.cpp nor a model.

    ::

        MEDBENCH_HOME/speed/<16 hex>.json    the hex is a hash of processor, threads, build and use of the GPU

    Args:
        home: MEDBENCH_HOME.
        gpu_layers: as in `EngineOptions`: with and without the GPU are two machines.
    """

    home: Path
    gpu_layers: int = -1

    @property
    def path(self) -> Path:
        """The file; it need not exist."""
        return self.home / "speed" / f"{content_key(*self._described().items())[:16]}.json"

    @property
    def numerics(self) -> str:
        """12 hexadecimal digits for what may decide the last bit: processor, build and use of the GPU."""
        described = self._described()
        del described["threads"]
        return content_key(*described.items())[:12]

    def read(self, topic: str) -> dict[str, Any]:
        """What was noted under ``topic``; empty if nothing was."""
        found = read_record(self.path).get(topic)
        return found if isinstance(found, dict) else {}

    def note(self, topic: str, name: str, value: Any) -> None:
        """Keep a JSON value; where nothing can be written, it is found out again the next time."""
        record = read_record(self.path)
        record["machine"] = self._described()
        record[topic] = self.read(topic) | {name: value}
        with suppress(StoreError):
            write_record(self.path, record)

    def _described(self) -> dict[str, Any]:
        return {
            "system": f"{platform.system()} {platform.machine()}",
            "processor": _processor(),
            "threads": default_threads(),
            "bindings": metadata.version("llama-cpp-python"),
            "libraries": dict(_libraries()),
            "may use a GPU": self.gpu_layers != 0,
        }


def processor_name() -> str:
    """What the processor is called, for people; "" where the system does not tell."""
    known = _processor_fields()
    return platform.processor() if known is None else known[0]


def _processor() -> str:
    """Its name and, where the system tells, its instruction sets."""
    known = _processor_fields()
    return platform.processor() if known is None else f"{known[0]} {content_key(*known[1:])[:8]}"


def _processor_fields() -> list[str] | None:
    """Its name and two lists of instruction sets, as Linux has them; None elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    fields = dict(line.split("\t", 1) for line in lines if "\t" in line)
    return [fields.get(name, "").lstrip("\t: ") for name in ("model name", "flags", "Features")]


def _libraries() -> Iterator[tuple[str, int]]:
    """Sizes of the libraries that compute: builds with other options have others."""
    package = find_spec("llama_cpp")
    folder = Path(package.origin or "").parent / "lib" if package else Path()
    folder = Path(os.environ.get("LLAMA_CPP_LIB_PATH") or folder)
    for path in sorted(folder.glob("*ggml*")):
        if path.suffix in (".so", ".dylib", ".dll"):  # not its other names, which end in a version
            yield path.name, path.stat().st_size
