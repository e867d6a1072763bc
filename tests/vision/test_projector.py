"""The projector is torch's linear layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from medbench_local.errors import InputError
from medbench_local.vision.projector import Projector
from tests.vision.models import flamingo, llava, llava_tensors, saved_vision

FEATURES = np.random.default_rng(3).normal(0, 2, (16, 48)).astype("f4")


@pytest.mark.parametrize("kind", ["linear", "mlp2x_gelu"])
def test_rows_are_those_of_torch(tmp_path: Path, kind: str) -> None:
    parts = llava(projector=kind)
    tensors = {name: torch.from_numpy(value).double() for name, value in llava_tensors(parts).items()}
    first = torch.nn.Linear(48, 64, dtype=torch.float64)
    layers = [first]
    if kind == "mlp2x_gelu":
        layers += [torch.nn.GELU(), torch.nn.Linear(64, 64, dtype=torch.float64)]
    model = torch.nn.Sequential(*layers)
    model.load_state_dict({name.removeprefix("projector."): value for name, value in tensors.items()})
    with torch.no_grad():
        expected = model(torch.from_numpy(FEATURES).double()).numpy()
    rows = Projector.open(saved_vision(tmp_path, parts)).rows(FEATURES)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, expected, rtol=0, atol=2e-5)


def test_bits_do_not_depend_on_threads(tmp_path: Path) -> None:
    projector = Projector.open(saved_vision(tmp_path, llava(projector="mlp2x_gelu")))
    made = []
    for threads in (1, 2, 3):
        with threadpool_limits(threads):
            made.append(projector.rows(FEATURES).tobytes())
    assert len(set(made)) == 1


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    projector = Projector.open(saved_vision(tmp_path, llava()))
    for shape in ((17, 48), (16, 47)):
        with pytest.raises(InputError, match="made for 16 rows of 48 numbers"):
            projector.rows(np.zeros(shape, "f4"))
    with pytest.raises(InputError, match="kind 'flamingo', which has no projector"):
        Projector.open(saved_vision(tmp_path, flamingo()))
