"""``doctor``: what this machine has, and what is missing."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from medbench_local.cli.output import out, print_json
from medbench_local.cli.progress import amount
from medbench_local.report.screen import Prose
from medbench_local.text import plain

_PATHS = ("models", "pictures", "hub cache", "data")


def doctor(json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False) -> None:
    """Show devices, memory, threads, versions and caches, and say what is missing.

    Example: medbench-local doctor
    """
    found = examine()
    if json:
        print_json(found)
        return
    for name, value in found.items():
        for line in value if isinstance(value, list) else [value]:
            text = Text.assemble((f"{name:<12} ", "bold"), plain(str(line)))
            out().print(Prose(text, whole=name in _PATHS))


def examine() -> dict[str, Any]:
    """Everything `doctor` says, by topic."""
    import psutil
    from huggingface_hub import constants, get_token

    from medbench_local._version import __version__
    from medbench_local.engine.bindings import versions
    from medbench_local.engine.devices import devices, has_gpu
    from medbench_local.engine.memory import memory_available
    from medbench_local.engine.threads import default_threads
    from medbench_local.paths import existing
    from medbench_local.settings import read_settings

    settings = read_settings()
    engine = versions()
    free = shutil.disk_usage(existing(settings.home)).free
    found: dict[str, Any] = {
        "version": f"medbench-local {__version__}, Python {platform.python_version()}, {platform.platform()}",
        "engine": f"llama.cpp {engine['llama.cpp']} through llama-cpp-python {engine['llama-cpp-python']}",
        "features": engine["system"],
        "devices": [
            f"{d.kind}: {d.backend} {d.description}" + (f", {amount(d.free, 'B')} free" if d.free else "")
            for d in devices()
        ],
        "threads": f"{default_threads()} used, {psutil.cpu_count() or '?'} logical processors",
        "speed": _speed(settings.home),
        "memory": f"{amount(memory_available(), 'B')} available",
        "models": f"{settings.home} ({amount(free, 'B')} free on its disk)",
        "pictures": _pictures(settings.home),
        "hub cache": str(constants.HF_HUB_CACHE),
        "hub": "offline" if settings.offline else ("token found" if get_token() else "no token"),
        "data": str(settings.data_dir or "from the hub"),
    }
    missing = []
    if not has_gpu():
        missing.append(
            "no GPU build of llama.cpp: see the README for Metal and CUDA (the processor works too)"
        )
    if not get_token():
        missing.append("no hub token: gated models (Llama, MediTron) need `hf auth login` or HF_TOKEN")
    found["missing"] = missing or ["nothing"]
    return found


def _pictures(home: Path) -> list[str]:
    """What was computed of pictures, and the pictures themselves that were taken out of tables and archives."""
    from medbench_local.tasks.picture_store import PictureStore
    from medbench_local.vision.features import FeatureCache

    features, store = FeatureCache(home), PictureStore(home)
    (encoded, encoded_size), (stored, stored_size) = features.size(), store.size()
    return [
        f"{encoded:,} encoded: {features.folder} ({amount(encoded_size, 'B')})",
        f"{stored:,} taken out of tables and archives: {store.folder} ({amount(stored_size, 'B')})",
    ]


def _speed(home: Path) -> str:
    """What was measured of this machine, for the commonest size of model."""
    from medbench_local.acquire.calibration import known_speeds, tokens_a_second
    from medbench_local.study.options import CompareOptions

    speeds = known_speeds(home, CompareOptions().engine_of_quantised)
    if not speeds:
        return "not measured yet: the first comparison of large models does, or its --dry-run"
    return f"{tokens_a_second(speeds, 7 * 10**9)} tokens a second with 7 billion weights, about"
