"""Quantisation by llama.cpp: same bytes every time, sizes known beforehand, importance matrices that fit."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.acquire.quantise import planned_size, quantise
from medbench_local.catalog.quantisation import QuantConfig, load_quant
from medbench_local.engine.importance import read_importance
from medbench_local.errors import AcquireError, InputError, UsageError
from medbench_local.files.gguf_header import read_gguf_header
from tests.acquire.checkpoints import config, write_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("full")
    values = config(hidden_size=256, intermediate_size=512, num_hidden_layers=2)
    folder = write_checkpoint(root / "model", values, dtype=torch.bfloat16)
    convert_checkpoint(folder, root / "model.gguf")
    return root / "model.gguf"


def own(**changes: Any) -> QuantConfig:
    values = load_quant("q4_k_m").model_dump()
    return QuantConfig.model_validate({**values, "name": "own", "next": None, **changes})


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["q8_0", "q4_k_m", "iq4_xs"])
def test_bytes_do_not_depend_on_threads_and_size_is_planned(model: Path, tmp_path: Path, name: str) -> None:
    planned = planned_size(model, load_quant(name))
    made = [quantise(model, load_quant(name), tmp_path / f"{n}.gguf", threads=n) for n in (1, 2)]
    assert sha256(tmp_path / "1.gguf") == sha256(tmp_path / "2.gguf")
    assert planned.nbytes == (tmp_path / "1.gguf").stat().st_size
    assert made[0].file_type == name
    assert made[0].warnings == ()
    assert {path.name for path in tmp_path.iterdir()} == {"1.gguf", "2.gguf"}


def test_q8_0_holds_the_numbers_the_reference_rule_gives(model: Path, tmp_path: Path) -> None:
    quantise(model, load_quant("q8_0"), tmp_path / "q.gguf")
    full = {t.name: t for t in gguf.GGUFReader(model).tensors}
    for tensor in gguf.GGUFReader(tmp_path / "q.gguf").tensors:
        source = gguf.quants.dequantize(full[tensor.name].data, full[tensor.name].tensor_type)
        if tensor.tensor_type == gguf.GGMLQuantizationType.Q8_0:
            expected = gguf.quants.quantize(source, gguf.GGMLQuantizationType.Q8_0)
            assert np.array_equal(tensor.data, expected), tensor.name
        else:
            assert np.array_equal(tensor.data, source), tensor.name


def test_single_tensors_get_the_type_asked_for(model: Path, tmp_path: Path) -> None:
    types = {r"attn_v": "q8_0", r"blk\.0\.ffn_(up|gate)": "f16"}
    quantise(model, own(tensor_types=types), tmp_path / "q.gguf")
    found = {t.name: t.type for t in read_gguf_header(tmp_path / "q.gguf").tensors}
    assert found["blk.0.attn_v.weight"] == found["blk.1.attn_v.weight"] == "q8_0"
    assert found["blk.0.ffn_up.weight"] == found["blk.0.ffn_gate.weight"] == "f16"
    assert found["blk.1.ffn_up.weight"] == "q4_k"


def test_rows_that_do_not_fit_are_warned_of(tmp_path: Path) -> None:
    source = tmp_path / "model.gguf"
    convert_checkpoint(write_checkpoint(tmp_path / "model"), source)
    made = quantise(source, load_quant("q4_k_m"), tmp_path / "q.gguf")
    assert any("higher precision" in warning for warning in made.warnings)
    assert (tmp_path / "q.gguf").stat().st_size == planned_size(source, load_quant("q4_k_m")).nbytes


def test_what_cannot_be_quantised_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="changes nothing"):
        quantise(model, load_quant("full"), tmp_path / "q.gguf")
    quantise(model, load_quant("q8_0"), tmp_path / "q8.gguf")
    with pytest.raises(UsageError, match="quantised already"):
        quantise(tmp_path / "q8.gguf", load_quant("q4_0"), tmp_path / "q.gguf")
    (tmp_path / "bad.gguf").write_bytes(model.read_bytes()[:2000])
    with pytest.raises(InputError):
        quantise(tmp_path / "bad.gguf", load_quant("q4_0"), tmp_path / "q.gguf")
    assert not (tmp_path / "q.gguf").exists()


def test_what_llama_cpp_refuses_is_an_error_in_its_words(model: Path, tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "foreign.gguf", "no-such-architecture")
    writer.add_tensor("output.weight", np.ones((4, 256), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(AcquireError, match="no-such-architecture"):
        quantise(tmp_path / "foreign.gguf", load_quant("q4_0"), tmp_path / "q.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["foreign.gguf"]


def matrices(model: Path) -> dict[str, int]:
    return {t.name: t.shape[0] for t in read_gguf_header(model).tensors if len(t.shape) == 2}


def write_imatrix(
    path: Path, columns: dict[str, int], *, kind: str = "imatrix", bad: float | None = None
) -> Path:
    """As llama-imatrix writes: sums of squares over 50 inputs."""
    writer = gguf.GGUFWriter(path, "none")
    writer.kv_data[0].clear()
    writer.add_type(kind)
    generator = np.random.default_rng(0)
    for name, count in columns.items():
        sums = generator.uniform(1, 100, (1, count)).astype(np.float32)
        if bad is not None:
            sums[0, 0] = bad
        writer.add_tensor(f"{name}.in_sum2", sums)
        writer.add_tensor(f"{name}.counts", np.full((1, 1), 50, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_dat(path: Path, source: Path) -> Path:
    """The older format of the same matrix: means times the number of chunks."""
    values = read_importance(source)
    data = struct.pack("<i", len(values))
    for name, means in values.items():
        data += struct.pack(f"<i{len(name)}sii", len(name), name.encode(), 7, means.size)
        data += (means * np.float32(7)).astype("<f4").tobytes()
    path.write_bytes(data + struct.pack("<i", 7))
    return path


def test_importance_decides_and_both_formats_say_the_same(model: Path, tmp_path: Path) -> None:
    columns = matrices(model)
    new = write_imatrix(tmp_path / "imatrix.gguf", columns)
    old = write_dat(tmp_path / "imatrix.dat", new)
    for name, values in read_importance(old).items():
        np.testing.assert_allclose(values, read_importance(new)[name], rtol=1e-6)
    quantise(model, own(), tmp_path / "without.gguf")
    quantise(model, own(imatrix=new), tmp_path / "with.gguf")
    quantise(model, own(imatrix=new), tmp_path / "again.gguf", threads=1)
    without, made, again = (sha256(tmp_path / f"{name}.gguf") for name in ("without", "with", "again"))
    assert made != without
    assert made == again


def test_the_smallest_need_an_importance_matrix(model: Path, tmp_path: Path) -> None:
    smallest = own(file_type="iq2_xxs")
    with pytest.raises(UsageError, match="importance matrix"):
        quantise(model, smallest, tmp_path / "q.gguf")
    imatrix = write_imatrix(tmp_path / "imatrix.gguf", matrices(model))
    made = quantise(model, own(file_type="iq2_xxs", imatrix=imatrix), tmp_path / "q.gguf")
    assert made.file_type == "iq2_xxs"


def test_wrong_importance_matrices_are_refused(model: Path, tmp_path: Path) -> None:
    columns, path = matrices(model), tmp_path / "imatrix.gguf"
    cases: list[tuple[str, Path]] = [
        (
            "columns, the model has",
            write_imatrix(tmp_path / "a", {name: n // 2 for name, n in columns.items()}),
        ),
        ("covers no matrix", write_imatrix(tmp_path / "b", {"blk.9.attn_q.weight": 256})),
        ("not finite", write_imatrix(tmp_path / "c", columns, bad=float("nan"))),
        ("something else", write_imatrix(tmp_path / "d", columns, kind="model")),
        ("something else", model),
    ]
    for data in (b"", b"abc", b"\xff" * 40, struct.pack("<iii", 1, 1 << 30, 0), struct.pack("<i", 0)):
        path = tmp_path / f"damaged-{len(cases)}"
        path.write_bytes(data)
        cases.append(("not an importance matrix", path))
    for says, file in cases:
        with pytest.raises(InputError, match=says):
            quantise(model, own(imatrix=file), tmp_path / "q.gguf")
    assert not (tmp_path / "q.gguf").exists()


def test_matrices_it_says_nothing_about_are_warned_of(model: Path, tmp_path: Path) -> None:
    columns = {name: n for name, n in matrices(model).items() if "attn_q" not in name}
    made = quantise(model, own(imatrix=write_imatrix(tmp_path / "i.gguf", columns)), tmp_path / "q.gguf")
    assert any("2 matrices" in warning for warning in made.warnings)
