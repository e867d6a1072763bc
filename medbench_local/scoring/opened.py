"""One model by its name, loaded, for the commands that need just that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from medbench_local.acquire.checkpoint_files import refuse_unused_base
from medbench_local.acquire.prepare import PreparedModel, prepare_model
from medbench_local.acquire.source import resolve_model
from medbench_local.catalog.quantisation import load_quant
from medbench_local.engine.base import Engine, EngineOptions
from medbench_local.engine.memory import refuse_what_does_not_fit
from medbench_local.errors import UsageError
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.progress import Progress
from medbench_local.scoring.encoded import encoded
from medbench_local.scoring.own_prompts import ShownPictures
from medbench_local.scoring.pictures import PictureBook
from medbench_local.scoring.session import StartEngine
from medbench_local.settings import read_settings
from medbench_local.tasks.picture import Picture


@dataclass(frozen=True)
class OpenedModel:
    """A loaded model.

    Attributes:
        engine: the model.
        prepared: the files it was loaded from.
        shown: the pictures that it is shown; None if there are none.
    """

    engine: Engine
    prepared: PreparedModel
    shown: ShownPictures | None = None


@contextmanager
def open_model(
    model: str,
    start: StartEngine,
    *,
    quant: str | Path,
    options: EngineOptions,
    adapter_base: str | None = None,
    projector: str | None = None,
    offline: bool,
    force: bool,
    progress: Progress,
    pictures: Mapping[Path, Picture] | None = None,
    free: int | None = None,
) -> Iterator[OpenedModel]:
    """Prepare ``model`` at precision ``quant`` and load it with ``start``; closed at the end.

    Pictures that it is to be shown, by their paths, are encoded before it is loaded, so that what looks at them and the
    language model are never in memory at once. It may take ``free`` bytes, or what is free on this machine.

    Raises:
        UsageError: there are pictures, and the model reads text only.
        MedbenchError: it cannot be had, does not fit into memory, or cannot be loaded; or a picture cannot be shown.
    """
    settings = read_settings()
    prepared = prepare_model(
        resolve_model(model, adapter_base, projector=projector),
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
    features: Mapping[Picture, Path] = {}
    if pictures:
        if prepared.vision is None:
            raise UsageError(
                f"{prepared.name} reads text only, and there are pictures to show it.",
                advice="Name a model with pictures; `convert()` makes one of its parts.",
            )
        features = encoded(prepared, pictures.values(), settings.home, options, progress)
        fitted = replace(fitted, vision=str(prepared.vision.vision))
    refuse_what_does_not_fit([(prepared.name, path)], fitted, force=force, free=free)
    engine = start(path, fitted)
    try:
        shown = ShownPictures(pictures, PictureBook(engine.info, features)) if pictures else None
        yield OpenedModel(engine, prepared, shown)
    finally:
        engine.close()
