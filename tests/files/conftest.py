"""The small models of the engine's tests, for the headers that they have."""

from __future__ import annotations

from tests.engine.conftest import models as models
