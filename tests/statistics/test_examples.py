"""The examples in the docstrings of the statistics say what the functions give."""

from __future__ import annotations

import doctest
from importlib import import_module
from inspect import getmembers, isfunction, unwrap
from pkgutil import iter_modules

import pytest

from medbench_local import statistics

MODULES = [
    import_module(f"{statistics.__name__}.{found.name}") for found in iter_modules(statistics.__path__)
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rsplit(".")[-1])
def test_examples(module: object) -> None:
    failed, _ = doctest.testmod(module)  # type: ignore[arg-type]
    assert not failed


def test_what_a_reader_of_a_report_meets_has_an_example() -> None:
    shown = {
        name
        for module in MODULES
        for name, function in getmembers(module, lambda member: isfunction(unwrap(member)))
        if function.__module__ == module.__name__ and ">>>" in (function.__doc__ or "")
    }
    assert shown >= {
        "bootstrap_bounds",
        "equivalence",
        "holm",
        "mcnemar_exact",
        "minimum_detectable_difference",
        "paired_bootstrap",
        "verdict",
        "verdict_rates",
        "wilson",
    }
