"""PyTorch checkpoints: against torch itself, and hostile ones, none of which may run anything."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medbench_local.acquire.conversion.torch_reader import read_torch
from medbench_local.errors import InputError
from medbench_local.files.pickle_data import PickleError, load_pickle
from tests.acquire.checkpoints import config, numbers, tensors


def save(path: Path, state: Any) -> Path:
    torch.save(state, path)
    return path


def saved_pickle(state: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with zipfile.ZipFile(buffer) as archive:
        return archive.read("archive/data.pkl")


def repack(source: Path, target: Path, change: Callable[[str, bytes], bytes | None], **options: Any) -> Path:
    """The archive with members changed, or left out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", **options) as new:
        for info in old.infolist():
            if (data := change(info.filename, old.read(info))) is not None:
                new.writestr(info.filename, data)
    return target


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_reads_what_torch_wrote(tmp_path: Path, dtype: torch.dtype) -> None:
    state = tensors(config(), dtype)
    found = {t.name: t for t in read_torch(save(tmp_path / "m.bin", state))}
    assert found.keys() == state.keys()
    for name, tensor in found.items():
        assert tensor.shape == tuple(state[name].shape)
        assert numbers(tensor).tobytes() == state[name].view(torch.uint8).numpy().tobytes()


def test_reads_what_a_module_saves(tmp_path: Path) -> None:
    module = torch.nn.Linear(3, 2)
    found = {t.name: t for t in read_torch(save(tmp_path / "m.bin", module.state_dict()))}
    assert numbers(found["weight"]).tolist() == module.weight.tolist()
    parameters = {"weight": module.weight}
    (parameter,) = read_torch(save(tmp_path / "p.bin", parameters))
    assert numbers(parameter).tolist() == module.weight.tolist()


def test_reads_views_and_shared_storages(tmp_path: Path) -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    state = {
        "base": base,
        "transposed": base.T,
        "part": base[1:3, 2:5],
        "strided": base[::2, ::3],
        "row": base[2],
    }
    state["empty"] = torch.zeros(0, 3)
    for tensor in read_torch(save(tmp_path / "m.bin", state)):
        expected = state[tensor.name].tolist()
        assert numbers(tensor).tolist() == expected, tensor.name
        for begin in range(len(expected)):
            assert tensor.rows(begin, len(expected)).tolist() == expected[begin:], tensor.name


class Caller:
    """Pickles as a call of something."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


CALLS = {
    "os.system": (os.system, "touch {marker}"),
    "subprocess.Popen": (subprocess.Popen, ["touch", "{marker}"]),
    "builtins.eval": (eval, "open('{marker}', 'w')"),
    "builtins.getattr": (getattr, "x", "upper"),
    "posix": (os.mkdir, "{marker}"),
    "torch.load": (torch.load, "{marker}"),
}


@pytest.mark.parametrize(("function", "arguments"), [(c[0], c[1:]) for c in CALLS.values()], ids=CALLS)
@pytest.mark.parametrize("protocol", [2, 4])
def test_executes_nothing(tmp_path: Path, function: Any, arguments: Any, protocol: int) -> None:
    marker = tmp_path / "executed"

    def filled(value: Any) -> Any:
        return [filled(v) for v in value] if isinstance(value, list) else value.format(marker=marker)

    caller = Caller(function, *map(filled, arguments))
    path = tmp_path / "m.bin"
    torch.save({"a": torch.zeros(2), "b": caller}, path, pickle_protocol=protocol)
    with pytest.raises(InputError, match=r"refers to .* nothing in it was executed"):
        read_torch(path)
    assert not marker.exists()


def test_a_class_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'torch.nn.modules.linear.Linear'"):
        read_torch(save(tmp_path / "m.bin", torch.nn.Linear(2, 2)))


@pytest.mark.parametrize(
    "state",
    [[torch.zeros(2)], {"model": {"a": torch.zeros(2)}}, {"step": 3}, {1: torch.zeros(2)}, torch.zeros(2)],
    ids=["list", "nested", "number", "numbered", "bare tensor"],
)
def test_refuses_what_is_no_flat_dictionary(tmp_path: Path, state: Any) -> None:
    with pytest.raises(InputError, match="dictionary of tensors"):
        read_torch(save(tmp_path / "m.bin", state))


def _archive(tmp_path: Path) -> Path:
    return save(tmp_path / "m.bin", OrderedDict(a=torch.arange(6.0).reshape(2, 3), b=torch.ones(4)))


def test_refuses_damaged_archives(tmp_path: Path) -> None:
    good = _archive(tmp_path)
    whole = good.read_bytes()
    bad = tmp_path / "bad.bin"
    for size in (0, 10, len(whole) // 2, len(whole) - 1):
        bad.write_bytes(whole[:size])
        with pytest.raises(InputError):
            read_torch(bad)
    bad.write_bytes(whole[:60] + whole[80:])
    with pytest.raises(InputError):
        read_torch(bad)


def test_refuses_compressed_big_endian_and_missing_members(tmp_path: Path) -> None:
    good, bad = _archive(tmp_path), tmp_path / "bad.bin"
    with pytest.raises(InputError, match="compressed"):
        read_torch(repack(good, bad, lambda _, data: data, compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(InputError, match="only little"):
        read_torch(repack(good, bad, lambda name, data: b"big" if name.endswith("byteorder") else data))
    with pytest.raises(InputError, match="storage '0' is missing"):
        read_torch(repack(good, bad, lambda name, data: None if name.endswith("data/0") else data))
    with pytest.raises(InputError, match="too few"):
        read_torch(repack(good, bad, lambda name, data: data[:-1] if name.endswith("data/0") else data))
    with pytest.raises(InputError, match=r"no single data\.pkl"):
        read_torch(repack(good, bad, lambda name, data: None if name.endswith("data.pkl") else data))


def test_refuses_tensors_outside_their_storage(tmp_path: Path) -> None:
    good, bad = _archive(tmp_path), tmp_path / "bad.bin"
    # (2, 3) becomes (2, 9), and with stride 1 in both dimensions (5, 5) would repeat elements
    for before, after in ((b"K\x02K\x03\x86", b"K\x02K\x09\x86"), (b"K\x03K\x01\x86", b"K\xf0K\x01\x86")):

        def change(name: str, data: bytes, old: bytes = before, new: bytes = after) -> bytes:
            assert not name.endswith("data.pkl") or old in data
            return data.replace(old, new, 1)

        with pytest.raises(InputError, match="beyond its storage"):
            read_torch(repack(good, bad, change))


def test_refuses_legacy_format(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2)}, tmp_path / "m.bin", _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match=r"older than 1\.6"):
        read_torch(tmp_path / "m.bin")


NAMES = {"collections.OrderedDict": dict, "torch.FloatStorage": None}


def load(data: bytes) -> Any:
    return load_pickle(data, calls=NAMES, persistent=lambda key: ("storage", key))


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 40), 1 << 40)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(PLAIN, st.sampled_from([2, 3, 4, 5]))
def test_plain_data_come_back_as_pickle_wrote_them(value: Any, protocol: int) -> None:
    assert load(pickle.dumps(value, protocol)) == value


HOSTILE_PICKLES = {
    "endless": b"\x80\x02}",
    "nothing": b"",
    "empty stack": b"\x80\x02.",
    "mark as value": b"\x80\x02(.",
    "no mark": b"\x80\x02K\x01K\x02t.",
    "unknown memory": b"\x80\x02j\xff\xff\xff\xff.",
    "set on a number": b"\x80\x02K\x01K\x01K\x01s.",
    "odd items": b"\x80\x02}(K\x01u.",
    "call of a number": b"\x80\x02K\x01)R.",
    "call with no tuple": b"\x80\x02ccollections\nOrderedDict\nK\x01R.",
    "call of what may be named": b"\x80\x02ctorch\nFloatStorage\n)R.",
    "wrong arguments": b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.",
    "deep key": b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s.",
    "extension registry": b"\x80\x02\x82\x01.",
    "new object": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "instance": b"(icollections\nOrderedDict\n.",
    "state of a name": b"\x80\x02ccollections\nOrderedDict\n}b.",
    "truncated text": b"\x80\x02X\xff\xff\xff\x7fabc.",
}


@pytest.mark.parametrize("data", HOSTILE_PICKLES.values(), ids=HOSTILE_PICKLES)
def test_refuses_hostile_pickles(data: bytes) -> None:
    with pytest.raises(PickleError):
        load(data)


GOOD = saved_pickle(OrderedDict(a=torch.zeros(2, 3), b=torch.ones(4, dtype=torch.bfloat16)))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_mutated_pickles_are_read_or_refused(changes: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD)
    for at, value in changes:
        data[at] = value
    try:
        load(bytes(data))
    except PickleError:
        return
