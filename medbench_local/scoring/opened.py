"""One model by its name, loaded, for the commands that need just that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from medbench_local.acquire.checkpoint_files import refuse_unused_base
from medbench_local.acquire.prepare import PreparedModel, prepare_model
from medbench_local.acquire.source import resolve_model
from medbench_local.catalog.quantisation import load_quant
from medbench_local.engine.base import Engine, EngineOptions
from medbench_local.engine.memory import refuse_what_does_not_fit
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.progress import Progress
from medbench_local.scoring.session import StartEngine
from medbench_local.settings import read_settings


@dataclass(frozen=True)
class OpenedModel:
    """A loaded model and the files it was loaded from."""

    engine: Engine
    prepared: PreparedModel


@contextmanager
def open_model(
    model: str,
    start: StartEngine,
    *,
    quant: str | Path,
    options: EngineOptions,
    adapter_base: str | None = None,
    offline: bool,
    force: bool,
    progress: Progress,
) -> Iterator[OpenedModel]:
    """Prepare ``model`` at precision ``quant`` and load it with ``start``; closed at the end.

    Raises:
        MedbenchError: it cannot be had, does not fit into memory, or cannot be loaded.
    """
    settings = read_settings()
    prepared = prepare_model(
        resolve_model(model, adapter_base),
        quant=load_quant(quant),
        home=settings.home,
        offline=offline or settings.offline,
        progress=progress,
    )
    refuse_unused_base(adapter_base, prepared.base)
    for warning in prepared.warnings:
        progress.note(f"warning: {warning}")
    path = prepared.quantised.path
    fitted = replace(options, n_ctx=read_gguf_header(path).context)
    refuse_what_does_not_fit([(prepared.name, path)], fitted, force=force)
    engine = start(path, fitted)
    try:
        yield OpenedModel(engine, prepared)
    finally:
        engine.close()
