"""``models list|show|fetch|rm``: what the catalog knows and what is on this machine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from medbench_local.cli import complete
from medbench_local.cli.asking import agreed
from medbench_local.cli.options import MODEL_HELP, takes
from medbench_local.cli.output import Listing, err, out, print_json, warn
from medbench_local.cli.progress import amount, progress
from medbench_local.study.options import CompareOptions
from medbench_local.text import plain

if TYPE_CHECKING:
    from medbench_local.acquire.inventory import BaseDownload
    from medbench_local.catalog.model import ModelEntry, VisionSource

app = typer.Typer(name="models", help="Models: known by name, or your own.", no_args_is_help=True)
_CHOSEN = "Left out: the one that compare takes here."
Json = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]

_SMALL = 0.75
"""Bytes a weight at q4_k_m, with its cache and what computing takes."""

_ROUNDED = 1.1
"""A model "of 8 billion weights" may have 8.2."""


@app.command("list")
def list_command(
    pair: Annotated[bool, typer.Option("--pair", help="Pairs: what is compared with what.")] = False,
    up_to: Annotated[
        float | None, typer.Option(help="Only models of at most so many billion weights.", min=0)
    ] = None,
    fits: Annotated[
        bool, typer.Option("--fits", help="Only models that fit this machine's free memory at q4_k_m.")
    ] = False,
    json: Json = False,
) -> None:
    """List the catalog's models or pairs, and what is here of each.

    Example: medbench-local models list --pair --up-to 8 --fits
    """
    from medbench_local.acquire.inventory import list_models
    from medbench_local.settings import read_settings

    wanted = _wanted(up_to, fits)
    if pair:
        _list_pairs(wanted, json=json)
        return
    found = [status for status in list_models(read_settings().home) if status.entry.name in wanted]
    if json:
        print_json(
            [
                status.entry.model_dump(mode="json")
                | {"checkpoint": status.checkpoint, "ggufs": [str(built.path) for built in status.ggufs]}
                for status in found
            ]
        )
        return
    rows = []
    for status in found:
        entry = status.entry
        rows.append(
            (
                entry.name,
                entry.role,
                "with mmproj" if entry.takes_projector else "text" if entry.vision is None else "pictures",
                entry.repository or "embedded",
                entry.gate,
                amount(entry.fetched, "B"),
                amount(status.size, "B") if status.ggufs else status.checkpoint,
            )
        )
    names = ("model", "role", "reads", "repository", "gate", "size", "here")
    out().print(Listing(names, rows, whole=("repository",), right=("size", "here")))


def _wanted(up_to: float | None, fits: bool) -> Mapping[str, ModelEntry]:
    """The models of the catalog that pass both filters."""
    from medbench_local.catalog.model import models

    most = math.inf
    if fits:
        from medbench_local.engine.memory import memory_available

        most = memory_available() / _SMALL
    if up_to is not None:
        most = min(most, up_to * 1e9 * _ROUNDED)
    return {name: entry for name, entry in models().items() if entry.parameters <= most}


def _list_pairs(wanted: Mapping[str, ModelEntry], *, json: bool) -> None:
    from medbench_local.catalog.model import PARTNER_WORDS, pairs

    found = [pair for pair in pairs() if pair.medical in wanted and pair.base in wanted]
    if json:
        print_json([pair.model_dump(mode="json") for pair in found])
        return
    rows = []
    for pair in found:
        medical, base = wanted[pair.medical], wanted[pair.base]
        relation = PARTNER_WORDS[pair.partner] + (" (unconfirmed)" if pair.unconfirmed else "")
        rows.append(
            (
                pair.medical,
                pair.base,
                f"{medical.parameters / 1e9:.1f} billion",
                pair.modality,
                " / ".join(dict.fromkeys([medical.gate, base.gate])),
                relation,
            )
        )
    names = ("medical", "base", "weights", "asked about", "gates", "the base is")
    out().print(Listing(names, rows, whole=("base",), right=("weights",)))


@app.command()
@takes(CompareOptions, "adapter_base", "offline")
def show(
    model: Annotated[str, typer.Argument(help=MODEL_HELP, autocompletion=complete.models)],
    asked: CompareOptions,
    quant: Annotated[
        str | None,
        typer.Option(
            help=f"A quantisation config or its file, or full. {_CHOSEN}", autocompletion=complete.quants
        ),
    ] = None,
    context: Annotated[int, typer.Option(help="Context in tokens, for the memory needed.")] = 2048,
    json: Json = False,
) -> None:
    """Show a model: whether it can be converted, sizes, what is cached, memory needed, whether it fits this machine.

    Example: medbench-local models show meditron-7b --quant q4_k_m
    """
    facts = _facts(model, quant, context, asked)
    if json:
        print_json(facts)
        return
    for name, value in facts.items():
        out().print(Text.assemble((f"{name:<22} ", "bold"), plain(str(value))))


@app.command()
@takes(CompareOptions, "adapter_base", "offline")
def fetch(
    model: Annotated[str, typer.Argument(help=MODEL_HELP, autocompletion=complete.models)],
    asked: CompareOptions,
    quant: Annotated[
        str | None,
        typer.Option(
            help=f"The precision to prepare: a quantisation config or its file, or full. {_CHOSEN}",
            autocompletion=complete.quants,
        ),
    ] = None,
) -> None:
    """Fetch, convert and quantise a model now, so that comparing needs no network later.

    Example: medbench-local models fetch meditron-7b --quant q4_k_m
    """
    from medbench_local import api

    prepared = api.fetch_model(
        model, quant=quant, adapter_base=asked.adapter_base, offline=asked.offline, progress=progress()
    )
    for warning in prepared.warnings:
        warn(warning)
    for file in dict.fromkeys([prepared.full, prepared.quantised]):
        if file is not None:
            out().print(
                f"{file.path} ({file.file_type}, {amount(file.size, 'B')})", markup=False, soft_wrap=True
            )
    if prepared.vision is not None:
        for path, _ in prepared.vision.files.values():
            out().print(f"{path} ({amount(path.stat().st_size, 'B')})", markup=False, soft_wrap=True)


@app.command("rm")
def remove_command(
    model: Annotated[
        str, typer.Argument(help="The name of a model, as `cache` lists it.", autocompletion=complete.made)
    ],
    quant: Annotated[
        str | None,
        typer.Option(
            help="Only the file of this precision.  \\[default: all]", autocompletion=complete.quants
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove what was made of a model: its GGUF files, and the tower of its pictures unless others need it.

    Its download in the hub's cache stays: that is the hub client's (`hf cache`).

    Example: medbench-local models rm demo-med --quant q8_0
    """
    from medbench_local.acquire.removal import of_model, of_precision, remove, staying
    from medbench_local.settings import read_settings

    home = read_settings().home
    found = of_model(model, home) if quant is None else of_precision(model, quant, home)
    for one in found:
        what = "; the tower of its pictures" if one.kind == "towers" else ""
        err().print(f"{one.path} ({amount(one.size, 'B')}{what})", markup=False, soft_wrap=True)
    for path, names in staying(found, home):
        err().print(f"{path} stays: {' and '.join(names)} look through it, too", markup=False, soft_wrap=True)
    freed = amount(sum(one.size for one in found), "B")
    agreed(f"Remove what was made of {model}{f' at {quant}' if quant else ''}, {freed}?", yes=yes)
    for one in found:
        remove(one, home)
    err().print(f"removed {freed}", markup=False)


def _facts(model: str, quant: str | None, context: int, asked: CompareOptions) -> dict[str, Any]:
    from medbench_local import api
    from medbench_local.acquire.calibration import known_speeds
    from medbench_local.acquire.inventory import plan_model
    from medbench_local.acquire.source import LocalGguf, PictureModel, resolve_model
    from medbench_local.acquire.suitability import convertible, scorable
    from medbench_local.catalog.model import PARTNER_WORDS, partners
    from medbench_local.catalog.quantisation import FULL, load_quant
    from medbench_local.engine.memory import memory_available
    from medbench_local.errors import UnsupportedArchitectureError, UsageError
    from medbench_local.study.options import resolve

    if context < 1:
        raise UsageError(f"--context must be at least 1 token, not {context}.")
    options = resolve(asked)
    source = resolve_model(model, options.adapter_base)
    choice = None
    if not quant:
        with suppress(UnsupportedArchitectureError):  # "can be scored" says so
            choice = api.usual_precision(
                model, measure=False, adapter_base=options.adapter_base, offline=options.offline
            )
    config = choice.quant if choice else load_quant(quant or FULL)
    plan = plan_model(source, config, home=options.home, offline=options.offline, progress=progress())
    facts: dict[str, Any] = {"model": plan.name}
    can = {"can be converted": convertible(source, options.home), "can be scored": scorable(source)}
    facts |= {question: answer for question, answer in can.items() if answer}
    if choice:
        facts["precision"] = f"{choice.quant.name}: {choice.reason}"
    if source.entry is not None:
        entry = source.entry
        facts |= {
            "title": entry.title,
            "role": entry.role,
            "reads": entry.reads,
            "gate, licence": f"{entry.gate}, {entry.licence}",
            "trained context": f"{entry.context:,} tokens",
            "weights": f"{entry.parameters / 1e9:.2f} billion, {entry.dtype}",
            "architecture": entry.architecture,
            "compared with": ", ".join(
                f"{pair.base} ({PARTNER_WORDS[pair.partner]}{', unconfirmed' if pair.unconfirmed else ''})"
                for pair in partners(entry.name)
            )
            or "nothing in the catalog",
            "thinks first": entry.thinking or "no",
        }
        if entry.unconfirmed:
            facts["unconfirmed"] = ", ".join(entry.unconfirmed)
        if entry.notes:
            facts["notes"] = entry.notes
    weights = source.entry.parameters if source.entry is not None else plan.full_size // 2
    free = memory_available()
    cache = _cache_bytes(plan.quantised_size, config.bits_per_weight, context)
    need = plan.quantised_size + cache + plan.vision_size - plan.tower_size  # pictures are looked at before
    if plan.base is not None:
        into = (
            "stands in" if isinstance(source, PictureModel) and source.kind == "flamingo" else "merged into"
        )
        facts[into] = _part(plan.base)
    if plan.tower is not None:
        facts["tower"] = _part(plan.tower)
    if source.entry is not None and source.entry.vision is not None:
        facts |= _of_parts(source.entry.vision)
    if plan.vision_size or (isinstance(source, LocalGguf) and source.vision is not None):
        here = " (here)" if plan.vision_here else ""
        facts["for pictures"] = (
            f"{amount(plan.vision_size, 'B')}{here}" if plan.vision_size else "in the folder"
        )
    facts |= {
        "repository": f"{plan.repository or 'local'}" + (f" at {plan.commit}" if plan.commit else ""),
        "still to download": amount(plan.download, "B") + (", about, from the catalog" if plan.about else ""),
        "full GGUF": f"{amount(plan.full_size, 'B')}" + (" (here)" if plan.full_here else ""),
        f"{plan.precision} GGUF": f"{amount(plan.quantised_size, 'B')}"
        + (" (here)" if plan.quantised_here else ""),
        "bits per weight": f"{config.bits_per_weight:.2f}",
        "disk still needed": amount(plan.room, "B"),
        "memory needed": f"about {amount(need, 'B')} at a context of {context:,} tokens",
        "memory free": amount(free, "B"),
        "fits this machine": "yes" if need <= free else "no: choose a smaller precision",
        "speed here": _speed(known_speeds(options.home, options.engine_of_quantised), weights),
    }
    return facts


def _part(part: BaseDownload) -> str:
    """A repository or folder that a model is put together from, with what is still to be fetched of it."""
    at = f" at {part.commit}" if part.commit else ""
    return f"{part.repository or part.name}{at}"


def _of_parts(vision: VisionSource) -> dict[str, str]:
    """What the catalog says of the repositories that a model is put together from, beside its own."""
    named = {"tower": vision.tower} | ({"language model": vision.base} if vision.base else {})
    return {
        f"{role}: gate, licence": f"{part.gate}, {part.licence}, {amount(part.size, 'B')}"
        + (f" (unconfirmed: {', '.join(part.unconfirmed)})" if part.unconfirmed else "")
        for role, part in named.items()
    }


def _speed(speeds: Mapping[str, float], weights: int) -> str:
    """Of each precision that was measured on this machine."""
    if not speeds:
        return "not measured yet: comparing large models does, or --dry-run"
    from medbench_local.acquire.calibration import tokens_a_second

    return f"{tokens_a_second(speeds, weights)} tokens a second, about"


def _cache_bytes(size: int, bits: float, context: int) -> int:
    """A rough upper bound of the F32 cache from the model's size: 1 MiB a token for 7 billion weights."""
    weights = size * 8 / bits
    return int(context * 2**20 * min((weights / 6.74e9) ** 0.5, 1.0))
