"""``cache``: what the tool keeps on this machine, and how large it is."""

from __future__ import annotations

from typing import Annotated

import typer

from medbench_local.cli.output import Listing, out, print_json
from medbench_local.cli.progress import amount
from medbench_local.text import plain


def cache(json: Annotated[bool, typer.Option("--json", help="As JSON on stdout.")] = False) -> None:
    """Show what is kept on this machine: models that were made, pictures, downloads of the hub, and their sizes.

    `models rm` removes what was made of a model, `runs rm` a run; downloads are the hub client's (`hf cache`).

    Example: medbench-local cache
    """
    from huggingface_hub import constants

    from medbench_local.acquire.removal import Kept, folder_size, kept
    from medbench_local.paths import user_path
    from medbench_local.results.folder import RUNS
    from medbench_local.settings import read_settings

    hub = user_path(constants.HF_HUB_CACHE)
    found = [
        *kept(read_settings().home),
        Kept("hub", "downloads, also of other programs", hub, folder_size(hub)),
        Kept("runs", "below this folder", RUNS, folder_size(RUNS)),
    ]
    if json:
        print_json([one.__dict__ | {"path": str(one.path)} for one in found])
        return
    rows = [(plain(one.name), one.kind, amount(one.size, "B"), plain(str(one.path))) for one in found]
    out().print(Listing(("name", "kind", "size", "folder"), rows, whole=("folder",), right=("size",)))
