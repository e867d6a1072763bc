"""``quants list|show``: the precisions a model can be scored at."""

from __future__ import annotations

from typing import Annotated

import typer

from medbench_local.cli import complete
from medbench_local.cli.output import Listing, out, print_json
from medbench_local.text import plain_lines

app = typer.Typer(name="quants", help="Quantisation configs.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="As JSON on stdout.")]


@app.command("list")
def list_command(json: Json = False) -> None:
    """List the built-in quantisation configs.

    Example: medbench-local quants list
    """
    from medbench_local.catalog.quantisation import load_quant, quant_names

    configs = [load_quant(name) for name in quant_names()]
    if json:
        print_json([config.model_dump(mode="json") for config in configs])
        return
    rows = [
        (
            config.name,
            f"{config.bits_per_weight:.2f}",
            f"{config.bits_per_weight * 6.74 / 8:.1f} GB",
            config.next or "",
            config.summary,
        )
        for config in configs
    ]
    numbers = ("bits per weight", "7B model")
    out().print(Listing(("name", *numbers, "next up", "summary"), rows, whole=("next up",), right=numbers))


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(help="A built-in name or a YAML file of your own.", autocompletion=complete.quants),
    ],
    json: Json = False,
) -> None:
    """Show a quantisation config; a file of your own is checked this way.

    Example: medbench-local quants show q4_k_m
    """
    import yaml

    from medbench_local.catalog.quantisation import load_quant

    data = load_quant(name).model_dump(mode="json")
    if json:
        print_json(data)
    else:
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
        out().print(plain_lines(text), markup=False, soft_wrap=True)
