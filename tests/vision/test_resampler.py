"""The resampler is that of the paper, as a few lines of torch have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from medbench_local.errors import InputError
from medbench_local.vision.resampler import Resampler
from tests.vision.models import flamingo, flamingo_tensors, llava, saved_vision
from tests.vision.reference import resampled

FEATURES = np.random.default_rng(4).normal(0, 2, (16, 48)).astype("f4")


@pytest.mark.parametrize("ln_post", ["paper", "original"])
def test_latents_are_those_of_torch(tmp_path: Path, ln_post: Any) -> None:
    tensors = flamingo_tensors(flamingo(), layers=3)
    resampler = Resampler.open(saved_vision(tmp_path, flamingo(), tensors))
    latents = resampler.latents(FEATURES, ln_post)
    assert latents.dtype == np.float32
    expected = resampled(FEATURES, tensors, 3, ln_post=ln_post == "paper")
    np.testing.assert_allclose(latents, expected, rtol=0, atol=2e-5)
    other = resampled(FEATURES, tensors, 3, ln_post=ln_post != "paper")
    assert np.abs(expected - other).max() > 0.1, "the two ways are alike: the test could not fail"


@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_narrow_weights_are_read_as_they_are(tmp_path: Path, kind: str) -> None:
    tensors = flamingo_tensors(flamingo())
    if kind == "F16":
        stored: dict[str, Any] = {name: value.astype("f2") for name, value in tensors.items()}
        known = {name: value.astype("f4") for name, value in stored.items()}
    else:
        stored = {name: (value.view("u4") >> 16).astype("u2") for name, value in tensors.items()}
        known = {name: (value.view("u4") & 0xFFFF0000).view("f4") for name, value in tensors.items()}
    latents = Resampler.open(saved_vision(tmp_path, flamingo(), stored)).latents(FEATURES, "paper")
    np.testing.assert_allclose(latents, resampled(FEATURES, known, 2, ln_post=True), rtol=0, atol=2e-5)


def test_bits_do_not_depend_on_threads(tmp_path: Path) -> None:
    resampler = Resampler.open(saved_vision(tmp_path, flamingo()))
    made = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads):
            made.append(resampler.latents(FEATURES, "paper").tobytes())
    assert len(set(made)) == 1


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    resampler = Resampler.open(saved_vision(tmp_path, flamingo()))
    with pytest.raises(InputError, match="made for 16 rows of 48 numbers"):
        resampler.latents(np.zeros((15, 48), "f4"), "paper")
    with pytest.raises(InputError, match="kind 'llava', which has no resampler"):
        Resampler.open(saved_vision(tmp_path, llava()))
