"""The models and pairs that the catalog knows by name."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from medbench_local.catalog.load import DATA, StrictModel, read_built_in

FamilyName = Literal[
    "generic",
    "meditron",
    "biomistral",
    "biomedgpt",
    "med42-v1",
    "llama-2-chat",
    "llama-3-chat",
    "llama-3-8b-instruct",
    "openbiollm",
    "med42-v2",
    "mistral-instruct",
]
"""The ways in which models are prompted; `prompts.families` says what each means."""

Gate = Literal["none", "click", "form", "unsure"]
Study = Literal["P1", "P2"]
"""P1: Jeong et al., EMNLP 2024. P2: its extended version, arXiv 2411.08870."""


class ModelEntry(StrictModel):
    """One model of the catalog.

    Attributes:
        name: the catalog's name, lower case.
        title: for people.
        repository: "owner/name" on the hub, or None for models that come with the package.
        revision: commit or branch on the hub, or None for its main branch.
        family: how it is prompted by default.
        role: whether it was adapted to medicine.
        context: trained context length in tokens.
        dtype: number type of the published weights.
        parameters: number of weights.
        size: bytes of one set of weight files, approximate.
        gate: what the hub asks before a download: nothing, a click, a form that a person decides on.
        licence: short name.
        fixed_template: prompted with its default template only; no other format is tried.
        notes: what a user should know before fetching it, or "".
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    title: str
    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")] | None
    revision: str | None = None
    family: FamilyName
    role: Literal["medical", "base"]
    context: Annotated[int, Field(gt=0)]
    dtype: Literal["float32", "float16", "bfloat16"]
    parameters: Annotated[int, Field(gt=0)]
    size: Annotated[int, Field(gt=0)]
    gate: Gate
    licence: str
    fixed_template: bool = False
    notes: str = ""

    @property
    def embedded(self) -> bool:
        """Whether the model comes with the package."""
        return self.repository is None


class PairEntry(StrictModel):
    """A medical model and the model it was built from.

    Attributes:
        medical: catalog name.
        base: catalog name.
        studies: the studies that compared them; empty for the demo pair.
    """

    medical: str
    base: str
    studies: tuple[Study, ...] = ()

    @property
    def name(self) -> str:
        """The pair as one word, "medical-vs-base"."""
        return f"{self.medical}-vs-{self.base}"


class VisionPairEntry(StrictModel):
    """A pair of vision-language models: known, not runnable.

    Attributes:
        medical, base: names.
        reason: why it cannot be run.
    """

    medical: str
    base: str
    reason: str


class _ModelFile(StrictModel):
    models: tuple[ModelEntry, ...]
    pairs: tuple[PairEntry, ...]
    vision_pairs: tuple[VisionPairEntry, ...]

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        roles: dict[str, str] = {}
        for model in self.models:
            if model.name in roles:
                raise ValueError(f"two models are called {model.name!r}")
            roles[model.name] = model.role
        for pair in self.pairs:
            if roles.get(pair.medical) != "medical" or roles.get(pair.base) != "base":
                raise ValueError(f"the pair {pair.name} needs a medical and a base model of this file")
        return self


@cache
def _read() -> _ModelFile:
    return read_built_in(DATA / "models.yaml", _ModelFile)


def models() -> dict[str, ModelEntry]:
    """All models by name, in the catalog's order."""
    return {model.name: model for model in _read().models}


def model_names() -> tuple[str, ...]:
    """The names of the models that can be compared."""
    return tuple(models())


def pairs() -> tuple[PairEntry, ...]:
    """The study's ten pairs of language models in its order, then the demo pair."""
    return _read().pairs


def vision_pairs() -> tuple[VisionPairEntry, ...]:
    """The study's pairs of vision-language models, which cannot be run yet."""
    return _read().vision_pairs
