"""Which command lives where."""

from __future__ import annotations

import typer

from medbench_local.cli import (
    cache,
    check,
    compare,
    convert,
    doctor,
    importing,
    models,
    prompts,
    quants,
    report,
    runs,
    score,
    sweep,
    tasks,
    validate,
    verdict,
    verify,
)
from medbench_local.cli.help import WholeHelp


def register(app: typer.Typer) -> None:
    """Add every command to ``app``, in the order in which help lists them."""
    app.command()(compare.compare)
    app.command("import")(importing.import_)
    app.command()(sweep.sweep)
    app.command()(check.check)
    app.command()(validate.validate)
    app.command()(verify.verify)
    app.command()(verdict.verdict)
    app.command()(score.score)
    app.add_typer(prompts.app)
    app.add_typer(models.app)
    app.add_typer(tasks.app)
    app.add_typer(quants.app)
    app.command()(convert.convert)
    app.command()(convert.quantize)
    app.add_typer(runs.app)
    app.command()(report.report)
    app.add_typer(validate.reference_app)
    app.command()(cache.cache)
    app.command()(doctor.doctor)
    for several in (app, *(group.typer_instance for group in app.registered_groups)):
        assert several is not None
        for one in several.registered_commands:
            one.cls = WholeHelp
