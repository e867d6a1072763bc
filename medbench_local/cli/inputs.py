"""The files that a command reads where they are the user's own: what its --output must not take the place of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medbench_local.paths import user_path
from medbench_local.prompts.prompting import PLAIN_TEXT

if TYPE_CHECKING:
    from medbench_local.results.folder import RunFolder
    from medbench_local.results.sweep_folder import SweepFolder


def model_files(model: str, base: str | None = None, tower: str | None = None) -> list[Path]:
    """What MODEL is read from where that is the user's own: a checkpoint folder, or the parts of a GGUF.

    Args:
        model: as the user named it.
        base, tower: parts of it, likewise.

    Raises:
        UsageError: there is no such model.
    """
    from medbench_local.acquire.picture_source import resolve_with_parts
    from medbench_local.acquire.source import LocalCheckpoint, LocalGguf, PictureModel

    meant = resolve_with_parts(model, base, tower)
    if isinstance(meant, PictureModel):
        parts = (meant.own, meant.base, meant.tower)
        return [part.folder for part in parts if isinstance(part, LocalCheckpoint)]
    if isinstance(meant, LocalCheckpoint):
        return [meant.folder]
    if isinstance(meant, LocalGguf):
        return gguf_files(meant.path)
    return []


def quant_files(quant: str) -> list[Path]:
    """What a quantisation config is read from where that is the user's own: its file and importance matrix.

    Raises:
        UsageError: there is no such config.
        InputError: it is malformed.
    """
    from medbench_local.catalog.quantisation import load_quant, quant_names

    matrix = load_quant(quant).imatrix
    own = [] if quant in quant_names() else [Path(quant)]
    return own if matrix is None else [*own, matrix]


def prompting_files(chat_template: object, system_prompt: object) -> list[Path]:
    """What the options of those names are read from; values of two models are not looked at."""
    found = [chat_template] if isinstance(chat_template, str) and chat_template != PLAIN_TEXT else []
    if isinstance(system_prompt, str) and system_prompt.startswith("@"):
        found.append(system_prompt[1:])
    return [user_path(name) for name in found]


def gguf_files(path: Path) -> list[Path]:
    """All files of the GGUF whose first, or only, one is ``path``."""
    from medbench_local.files.gguf_header import gguf_parts

    return [path.with_name(name) for name in gguf_parts(path.name)]


def run_files(run: RunFolder) -> list[Path]:
    """What a run consists of and nothing can make again without computing; its reports are not among it."""
    return [
        run.manifest_file,
        run.results_file,
        run.partial_file,
        run.scores_file,
        run.path / "samples",
        run.questions_folder,
        run.prompts_file,
        run.thumbnails_folder,
    ]


def report_files(place: RunFolder | SweepFolder) -> list[Path]:
    """What a report of a run or a sweep is made from."""
    from medbench_local.results.sweep_folder import SweepFolder

    if not isinstance(place, SweepFolder):
        return run_files(place)
    runs = [place.run_of(pair) for pair in place.record().pairs if pair.run is not None]
    return [place.file, *(path for run in runs for path in run_files(run))]


def question_files(task: str, protocol: str) -> list[Path]:
    """What a task and a protocol are read from where that is the user's own."""
    from medbench_local.catalog.protocol import protocol_names
    from medbench_local.catalog.task import is_own

    found = [user_path(task)] if is_own(task) else []
    return found if protocol in protocol_names() else [*found, user_path(protocol)]
