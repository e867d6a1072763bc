"""Every option is one field: flags, keywords, docstrings, the manifest's record and a run's identity come from it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from importlib import metadata
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import typer

import medbench_local
from medbench_local import Protocol, UsageError, load_protocol
from medbench_local.cli import commands
from medbench_local.cli.main import app
from medbench_local.progress import Silent
from medbench_local.results import folder
from medbench_local.study import manifest
from medbench_local.study.options import (
    CheckOptions,
    CompareOptions,
    SweepOptions,
    about,
    described_fields,
    record,
    resolve,
    types_of,
    without_none,
)
from medbench_local.study.planner import Planner

FUNCTIONS: dict[str, type[CompareOptions]] = {
    "compare": CompareOptions,
    "plan": CompareOptions,
    "sweep": SweepOptions,
    "plan_sweep": SweepOptions,
    "check": CheckOptions,
}
COMMANDS = {"compare": CompareOptions, "sweep": SweepOptions, "check": CheckOptions}
OPTIONS = list(described_fields(CompareOptions))


def by_name(one: Field[Any]) -> str:
    return one.name


def of_functions() -> list[Any]:
    return [
        pytest.param(function, one, id=f"{function} {one.name}")
        for function, kind in FUNCTIONS.items()
        for one in described_fields(kind)
    ]


def command(name: str) -> Any:
    if not app.registered_commands:
        commands.register(app)
    group: Any = typer.main.get_command(app)
    return group.commands[name]


@pytest.mark.parametrize("one", OPTIONS, ids=by_name)
def test_an_option_says_what_it_is_for(one: Field[Any]) -> None:
    known = about(one)
    assert known.help.endswith(".")
    assert known.help[0].isupper()
    if one.default is None and one.name != "system_prompt":
        assert known.unset, "what holds where it is None"
    assert (known.decides == "nothing") == (known.example is None)


@pytest.mark.parametrize(("function", "one"), of_functions())
def test_an_option_is_a_keyword_with_its_default_its_type_and_its_text(
    function: str, one: Field[Any]
) -> None:
    call: Callable[..., Any] = getattr(medbench_local, function)
    parameter = inspect.signature(call).parameters[one.name]
    assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
    assert parameter.default == (inspect.Parameter.empty if one.default is MISSING else one.default)
    assert parameter.annotation == types_of(FUNCTIONS[function], Protocol=Protocol)[one.name]
    assert call.__annotations__[one.name] == parameter.annotation
    text = " ".join((call.__doc__ or "").split())
    assert re.search(rf"\b{one.name} \([^)]+\): {re.escape(about(one).help.rstrip('.'))}", text)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_is_a_parameter_of_the_command_with_the_same_default(name: str) -> None:
    found = {parameter.name: parameter for parameter in command(name).params}
    for one in described_fields(COMMANDS[name]):
        parameter = found[one.name]
        assert f"--{one.name.replace('_', '-')}" in parameter.opts
        assert parameter.required == (one.name == "quant" and name == "check")
        if not parameter.required:
            default = parameter.default
            assert getattr(default, "value", default) == one.default
        assert about(one).help.rstrip(".") in parameter.help


def test_what_a_function_does_not_have_is_refused_here_and_by_the_type_checker() -> None:
    """mypy reads this file: an ignored error that it did not find would be an error."""
    compare, check = medbench_local.compare, medbench_local.check
    with pytest.raises(TypeError, match=r"check\(\).*'ablation'"):
        check("demo-med", quant="q8_0", ablation=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"check\(\) missing.*'quant'"):
        check("demo-med")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"compare\(\).*'quantt'"):
        compare(medical="demo-med", base="demo-base", quantt="q8_0")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"compare\(\)"):
        compare("demo-med", "demo-base", ["medqa"])  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="`check=` must be one of sample, full, not 'none'"):
        check("demo-med", quant="q8_0", check="none")  # type: ignore[arg-type]


def identity(home: Path, **options: Any) -> str:
    planner = Planner("demo-med", "demo-base", resolve(CompareOptions(**options)), Silent())
    return manifest.identity_of(planner.plan(planner.quants[0]), planner.quants)


@pytest.fixture
def home(demo_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MEDBENCH_DATA", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MEDBENCH_HOME", str(demo_home))
    return demo_home


_OF_OTHER_MODELS = ("adapter_base", "mmproj")  # see test_adapters.py and test_projectors.py
OF_EVERY_MODEL = [one for one in OPTIONS if one.name not in _OF_OTHER_MODELS]


@pytest.mark.parametrize("one", OF_EVERY_MODEL, ids=by_name)
def test_what_decides_the_result_changes_the_identity_and_nothing_else_does(
    one: Field[Any], home: Path, tmp_path: Path
) -> None:
    few: dict[str, Any] = {"tasks": ("demo-pharmacology",), "shots": (0,), "quant": "q6_k"}
    if one.name in ("engines", "cpus_per_engine", "gpus_per_engine"):
        few["cluster"] = "ray"  # of which they are said
    known = about(one)
    other = known.example
    if known.decides == "nothing":
        type_ = without_none(get_type_hints(CompareOptions)[one.name])
        other = {bool: not one.default, int: 2, Path: tmp_path, str: "ray"}[type_]
    assert other != one.default
    changed = identity(home, **{**few, one.name: other})
    assert (changed != identity(home, **few)) == (known.decides != "nothing")


@pytest.mark.parametrize("name", ["engines", "cpus_per_engine", "gpus_per_engine"])
def test_the_size_of_a_cluster_is_not_said_without_one(name: str) -> None:
    with pytest.raises(UsageError, match=f"`{name}=` is said of a cluster, and none is named"):
        resolve(CompareOptions(**{name: 1}))  # type: ignore[arg-type]


@pytest.mark.parametrize("one", [one for one in OPTIONS if about(one).decides == "as given"], ids=by_name)
def test_an_option_that_decides_by_its_value_is_in_the_record(one: Field[Any]) -> None:
    given = resolve(CompareOptions(**{one.name: about(one).example}))
    assert record(given)[one.name] == about(one).example


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "92d6ffa8"),
        ({"tasks": ["demo-anatomy"], "shots": [0]}, "25c82907"),
        ({"tasks": ["demo"], "shots": [0, 3], "protocol": "demo"}, "2062b30e"),
        ({"scoring": "greedy", "tasks": ["demo-anatomy"]}, "ad031863"),
        ({"quant": "auto", "tasks": ["demo-anatomy"]}, "a4ad6870"),
        ({"quant": "none", "tasks": ["demo-anatomy"], "limit": 40}, "30d8071f"),
        ({"quant": "full", "tasks": ["demo-anatomy"], "limit": 40}, "30d8071f"),
        ({"mode": "fast", "tasks": ["demo-anatomy"], "ablation": True}, "39537ea0"),
        (
            {"check": "full", "check_precision": "q8_0", "quant": "q4_k_m", "tasks": ["demo-anatomy"]},
            "a887066a",
        ),
        (
            {
                "system_prompt": "Be brief.",
                "check": "none",
                "scoring": "label",
                "tasks": ["demo-anatomy"],
                "protocol": "emnlp2024",
            },
            "f21d907c",
        ),
        (
            {
                "ablation": False,
                "threads": 1,
                "force": True,
                "retries": 2,
                "gpu_layers": 0,
                "tasks": ["demo-anatomy"],
            },
            "03ecf209",
        ),
    ],
)
def test_runs_of_the_first_release_are_found_by_the_same_options(
    home: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], expected: str
) -> None:
    """The hashes were computed with release 0.1.0, whose mode was exact, schema 2 and llama-cpp-python 0.3.36.

    It searched otherwise, which is all that tells its runs from today's: the number of the search, and the limits in
    laptop.
    """
    monkeypatch.setattr(manifest, "SCHEMA", 2)
    hashed = folder.identity
    monkeypatch.setattr(
        manifest, "identity", lambda all_of_it: hashed({k: v for k, v in all_of_it.items() if k != "search"})
    )
    laptop = load_protocol("laptop")
    first = laptop.selection.model_copy(update={"max_prompts": 5400, "min_gain": None})
    options = {"protocol": laptop.model_copy(update={"selection": first}), **options}
    monkeypatch.setattr(metadata, "version", lambda name: {"llama-cpp-python": "0.3.36"}[name])
    assert identity(home, **{"mode": "exact", **options}) == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limit": 0}, "`limit=` must be at least 1, not 0"),
        ({"limit": 2.5}, "`limit=` must be a whole number"),
        ({"retries": -1}, "`retries=` must be at least 0"),
        ({"threads": 0}, "`threads=` must be from 1 to 512, not 0"),
        ({"gpu_layers": -2}, "`gpu_layers=` must be at least -1"),
        ({"shots": []}, "`shots=` must be a list of at least one value"),
        ({"shots": [-1]}, "`shots=` must be at least 0"),
        ({"tasks": ","}, "`tasks=` must be a list of at least one value"),
        ({"tasks": [Path("own")]}, "`tasks=` must be text"),
        ({"shots": 3}, "`shots=` must be a list"),
        ({"limit": True}, "`limit=` must be a whole number, not True"),
        ({"ablation": "no"}, "`ablation=` must be True or False, not 'no'"),
        ({"offline": "no"}, "`offline=` must be True or False"),
        ({"force": "no"}, "`force=` must be True or False"),
        ({"system_prompt": 3}, "`system_prompt=` must be text, not 3"),
        ({"mode": "slow"}, "`mode=` must be one of exact, reproducible, fast"),
        ({"scoring": "best"}, "`scoring=` must be one of"),
        ({"check": "most"}, "`check=` must be one of none, sample, full"),
        ({"system_prompt": "\ud800"}, "`system_prompt=` is not UTF-8 text"),
        ({"protocol": "laptpo"}, "did you mean 'laptop'"),
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        resolve(CompareOptions(**options))
    assert said in str(refused.value)


def test_numbers_of_arrays_are_numbers(home: Path) -> None:
    arrays: dict[str, Any] = {"shots": np.array([0, 3]), "limit": np.int64(5), "threads": np.int32(2)}
    found = resolve(CompareOptions(tasks=["demo-anatomy"], **arrays))
    assert (found.shots, found.limit, found.threads) == ((0, 3), 5, 2)
    assert {type(number) for number in (*(found.shots or ()), found.limit, found.threads)} == {int}


def test_the_environment_fills_in_what_is_not_given(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = resolve(CompareOptions())
    assert (found.home, found.data_dir, found.offline) == (home, None, False)
    assert found.protocol == load_protocol("laptop")
    assert resolve(CompareOptions(), protocol="demo").protocol == load_protocol("demo")
    assert resolve(CompareOptions(protocol="emnlp2024"), protocol="demo").protocol == load_protocol(
        "emnlp2024"
    )
    assert found.ablation == load_protocol("laptop").ablation
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path))
    assert resolve(CompareOptions()).data_dir == tmp_path
    assert resolve(CompareOptions(data_dir=home)).data_dir == home


@pytest.mark.parametrize(
    ("variable", "given", "offline"),
    [
        ("", None, False),
        ("", False, False),
        ("", True, True),
        ("1", None, True),
        ("1", False, True),
        ("1", True, True),
    ],
)
def test_offline_is_what_is_asked_for_or_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, variable: str, given: bool | None, offline: bool
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", variable)
    assert resolve(CompareOptions(offline=given)).offline is offline


def test_full_precision_has_two_spellings_and_one_name() -> None:
    assert resolve(CompareOptions(check_precision="none")).check_precision == "full"
    assert medbench_local.load_quant("none") == medbench_local.load_quant("full")


def test_the_subclasses_hold_the_same_options() -> None:
    names = [one.name for one in fields(CompareOptions)]
    for kind, more in ((SweepOptions, ["partner"]), (CheckOptions, [])):
        assert [one.name for one in fields(kind)] == names + more
