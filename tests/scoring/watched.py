"""Fake engines that keep what they were asked."""

from __future__ import annotations

from medbench_local.engine.base import GenerateRequest, OptionScores, Pack
from medbench_local.engine.fake import FakeEngine
from medbench_local.prompts.prompt import Candidate

ZERO = Candidate(None, None)


class Watched(FakeEngine):
    """Keeps the packs it was given to score, and the requests it was given to answer."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self.given: list[Pack] = []
        self.asked: list[GenerateRequest] = []

    def score(self, pack: Pack) -> list[OptionScores]:
        self.given.append(pack)
        return super().score(pack)

    def generate(self, pack: Pack) -> list[str]:
        self.asked.extend(pack.requests)  # type: ignore[arg-type]
        return super().generate(pack)
