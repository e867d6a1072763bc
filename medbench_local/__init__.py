"""Is a medical language model better than the model it was built from?

The functions of `medbench_local.api` and what they take and return can be imported from here; they are loaded
when they are first used, so that importing the package is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from medbench_local._version import __version__ as __version__

if TYPE_CHECKING:
    from medbench_local.api import (
        check,
        compare,
        convert,
        export_prompts,
        plan,
        quantize,
        score_requests,
        sweep,
        validate,
        verdict,
    )
    from medbench_local.catalog.protocol import Protocol, load_protocol
    from medbench_local.errors import (
        AcquireError,
        CancelledError,
        DiskFullError,
        DoesNotFitError,
        EngineError,
        GatedError,
        InputError,
        MedbenchError,
        NotFoundError,
        OfflineError,
        StoreError,
        UnreachableError,
        UnsupportedArchitectureError,
        UsageError,
        WorkerDied,
    )
    from medbench_local.prompts.export import ExportedPrompt
    from medbench_local.reference.file_verdicts import FileVerdicts
    from medbench_local.reference.validation import Validation
    from medbench_local.results.reading import read_results
    from medbench_local.results.schema import Comparison, Results
    from medbench_local.scoring.own_prompts import UserRequest, read_requests
    from medbench_local.study.check_model import ModelCheck
    from medbench_local.study.compare import Run
    from medbench_local.study.cost import ComparisonCost
    from medbench_local.study.sweep import Sweep


__all__ = [
    "AcquireError",
    "CancelledError",
    "Comparison",
    "ComparisonCost",
    "DiskFullError",
    "DoesNotFitError",
    "EngineError",
    "ExportedPrompt",
    "FileVerdicts",
    "GatedError",
    "InputError",
    "MedbenchError",
    "ModelCheck",
    "NotFoundError",
    "OfflineError",
    "Protocol",
    "Results",
    "Run",
    "StoreError",
    "Sweep",
    "UnreachableError",
    "UnsupportedArchitectureError",
    "UsageError",
    "UserRequest",
    "Validation",
    "WorkerDied",
    "check",
    "compare",
    "convert",
    "export_prompts",
    "load_protocol",
    "plan",
    "quantize",
    "read_requests",
    "read_results",
    "score_requests",
    "sweep",
    "validate",
    "verdict",
]

_HOMES = {
    "api": ("check compare convert export_prompts plan quantize score_requests sweep validate verdict"),
    "catalog.protocol": "Protocol load_protocol",
    "errors": (
        "AcquireError CancelledError DiskFullError DoesNotFitError EngineError GatedError InputError MedbenchError "
        "NotFoundError OfflineError StoreError UnreachableError UnsupportedArchitectureError UsageError WorkerDied"
    ),
    "prompts.export": "ExportedPrompt",
    "reference.validation": "Validation",
    "study.check_model": "ModelCheck",
    "study.compare": "Run",
    "study.cost": "ComparisonCost",
    "reference.file_verdicts": "FileVerdicts",
    "scoring.own_prompts": "UserRequest read_requests",
    "results.schema": "Comparison Results",
    "results.reading": "read_results",
    "study.sweep": "Sweep",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
