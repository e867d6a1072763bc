"""What a shell offers while a command is typed: names of models, tasks, precisions, protocols and runs.

A shell asks at every press of the key: nothing that computes is imported, and what cannot be read offers nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from medbench_local.errors import MedbenchError

Complete = Callable[[str], list[str]]


def _offers(names: Callable[[], Iterable[str]]) -> Complete:
    def complete(incomplete: str) -> list[str]:
        try:
            return [name for name in names() if name.startswith(incomplete)]
        except (MedbenchError, OSError):
            return []

    return complete


def _models() -> Iterable[str]:
    from medbench_local.catalog.model import model_names

    return model_names()


def _tasks() -> Iterable[str]:
    from medbench_local.catalog.task import task_groups, task_names

    return [*task_names(), *task_groups()]


def _quants() -> Iterable[str]:
    from medbench_local.catalog.quantisation import FULL, quant_names

    return [*quant_names(), FULL, "auto"]


def _protocols() -> Iterable[str]:
    from medbench_local.catalog.protocol import protocol_names

    return protocol_names()


def _medical() -> Iterable[str]:
    from medbench_local.catalog.model import pairs

    return dict.fromkeys(pair.medical for pair in pairs())


def _pairs() -> Iterable[str]:
    """What `sweep` takes; both names where a model may be compared with two."""
    from medbench_local.catalog.model import pairs

    return [*_medical(), *(f"{pair.medical}-vs-{pair.base}" for pair in pairs())]


def _formats() -> Iterable[str]:
    from medbench_local.report.files import FORMATS

    return FORMATS


def _runs() -> Iterable[str]:
    return _folders_with("manifest.json")


def _kept() -> Iterable[str]:
    return [name for file in ("manifest.json", "checks.json", "sweep.json") for name in _folders_with(file)]


def _folders_with(name: str) -> list[str]:
    """As medbench_local.results.folder, which takes longer to import, has them."""
    runs = Path("runs")
    found = (file.parent for depth in ("*", "*/*") for file in runs.glob(f"{depth}/{name}"))
    return sorted(folder.relative_to(runs).as_posix() for folder in found)


def _reports() -> Iterable[str]:
    sweeps = Path("runs").glob("*/sweep.json")
    return sorted([*_runs(), *(file.parent.name for file in sweeps)])


def _made() -> Iterable[str]:
    from medbench_local.acquire.removal import model_folders
    from medbench_local.settings import read_settings

    return sorted({name for name, _ in model_folders(read_settings().home)})


models = _offers(_models)
pairs = _offers(_pairs)
task = _offers(_tasks)
quants = _offers(_quants)
protocols = _offers(_protocols)
formats = _offers(_formats)
prompt_formats = _offers(lambda: ("default", "all"))
runs = _offers(_runs)
reports = _offers(_reports)
kept = _offers(_kept)
made = _offers(_made)


def medical(incomplete: str) -> list[str]:
    """The medical models; all models where none of them begins so."""
    return _offers(_medical)(incomplete) or models(incomplete)


def base(ctx: typer.Context, incomplete: str) -> list[str]:
    """The partners of the medical model that was named; all models where none of them begins so."""

    def partners() -> Iterable[str]:
        from medbench_local.catalog.model import partners

        return [pair.base for pair in partners(str(ctx.params.get("medical")))]

    return _offers(partners)(incomplete) or models(incomplete)


def tasks(incomplete: str) -> list[str]:
    """Names behind the last comma; those before it stay."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in task(last) if name not in before.split(",")]


OPTIONS: dict[str, Complete] = {
    "adapter_base": models,
    "check_precision": quants,
    "protocol": protocols,
    "quant": quants,
    "tasks": tasks,
}
"""Of the options of a comparison, by their names in Python."""
