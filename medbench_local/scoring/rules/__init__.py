"""The scoring rules, one file each.

The list of rules is `medbench_local.catalog.names.Scoring`: a name in it is the module here whose ``RULE`` is the
rule. A new rule is its file and its name in that list.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, get_args

from medbench_local.catalog.protocol import Scoring
from medbench_local.scoring.rule import ScoringRule


def _rule(name: Scoring) -> ScoringRule[Any]:
    rule = import_module(f"{__name__}.{name}").RULE
    if not isinstance(rule, ScoringRule) or rule.name != name:
        raise TypeError(f"{__name__}.{name}.RULE is not the scoring rule {name}")
    return rule


RULES: Mapping[Scoring, ScoringRule[Any]] = MappingProxyType(
    {name: _rule(name) for name in get_args(Scoring)}
)
"""Every rule by its name, in the order of `Scoring`."""
