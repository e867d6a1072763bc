"""The fake engines of the study's tests."""

from __future__ import annotations

from tests.study.conftest import fakes as fakes
