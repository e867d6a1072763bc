"""What several models take together, where what they share is fetched and made once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from medbench_local.acquire.inventory import ModelPlan, downloads
from medbench_local.catalog.quantisation import FULL


@dataclass(frozen=True)
class Together:
    """What is still needed for several models.

    Attributes:
        models: how many there are, each counted once.
        download: bytes to fetch.
        disk: bytes of disk, for the downloads and for what is made of them.
    """

    models: int
    download: int
    disk: int


def together(plans: Iterable[ModelPlan]) -> Together:
    """The sum over models that may be named several times, be wanted at several precisions, or have parts in common."""
    fetched: dict[Hashable, int] = {}
    made: dict[Hashable, int] = {}
    named: set[Hashable] = set()
    for plan in plans:
        model = (plan.name, plan.repository, plan.commit, plan.full_size)
        named.add(model)
        for place, size in downloads(plan).items():
            key = (model, place) if place[0] is None else place
            fetched[key] = max(size, fetched.get(key, 0))
        if not plan.full_here and not plan.quantised_here:
            made[model, FULL] = plan.full_size
        if not plan.quantised_here and plan.precision != FULL:
            made[model, plan.precision] = plan.quantised_size
        if not plan.vision_here:
            made[model, "seeing"] = plan.vision_size - plan.tower_size
            tower = model if plan.tower is None else (plan.tower.repository, plan.tower.commit)
            made["tower", tower] = plan.tower_size
    download = sum(fetched.values())
    return Together(len(named), download, download + sum(made.values()))
