"""The hub on loopback, as the room that fetches has it."""

from tests.acquire.conftest import hub

__all__ = ["hub"]
