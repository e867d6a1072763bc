"""The models and pairs that the catalog knows by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from medbench_local.catalog.load import DATA, StrictModel, read_built_in
from medbench_local.catalog.names import Partner

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
    "own-template",
    "llava-v0",
    "llava-med",
    "llava-v1.5",
    "llava-mistral",
    "open-flamingo",
    "med-flamingo",
]
"""The ways in which models are prompted; `prompts.families` says what each means."""

Gate = Literal["none", "click", "form", "unsure"]
Study = Literal["P1", "P2"]
"""P1: Jeong et al., EMNLP 2024. P2: its extended version, arXiv 2411.08870."""
Fact = Literal[
    "repository", "architecture", "context", "dtype", "parameters", "gate", "licence", "size", "file"
]
Modality = Literal["text", "pictures"]
"""What the questions are made of that a pair is compared on."""

VisionKind = Literal["llava-delta", "llava", "flamingo"]
"""How a model with pictures is published: as the difference to a language model, with a projector; whole, with a
projector; or as a resampler and gated blocks that stand between the layers of a language model."""

PARTNER_WORDS: Mapping[Partner, str] = {
    "origin": "what it was trained from",
    "alternative": "what its user would otherwise take",
}
"""What a partner is to its medical model, for people."""

ThinkingName = Literal["think-tags", "headings", "unused-tokens"]
"""Marks between which models think; `prompts.thinking_style` says what each means."""

_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_REPOSITORY = r"^[\w.-]+/[\w.-]+$"


class PartEntry(StrictModel):
    """A repository that a model is put together from, beside its own.

    Attributes:
        repository: "owner/name" on the hub.
        revision: commit or branch on the hub, or None for its main branch.
        size: bytes of what is fetched of it, approximate.
        gate: what the hub asks before a download.
        licence: short name.
        unconfirmed: facts that were not held against the hub.
    """

    repository: Annotated[str, Field(pattern=_REPOSITORY)]
    revision: str | None = None
    size: Annotated[int, Field(gt=0)]
    gate: Gate
    licence: str
    unconfirmed: tuple[Fact, ...] = ()


class VisionSource(StrictModel):
    """How a model reads pictures, and what it is put together from.

    Attributes:
        kind: how it is published.
        base: the language model that is not in the model's own repository; None if it is.
        tower: the repository of the tower that looks at pictures.
        checkpoint: the one file of the model's own repository that is meant; "" for a checkpoint in the usual layout.
        every: between how many layers a gated block stands, where there are such blocks; 0 where there are none.
    """

    kind: VisionKind
    base: PartEntry | None = None
    tower: PartEntry
    checkpoint: Annotated[str, Field(pattern=r"^([\w-]+\.\w+)?$")] = ""
    every: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        if (self.kind == "llava") != (self.base is None):
            raise ValueError(f"a model of the kind {self.kind} {'has no' if self.base else 'needs a'} base")
        if (self.kind == "flamingo") != bool(self.checkpoint) or bool(self.checkpoint) != bool(self.every):
            raise ValueError("a checkpoint and the distance of gated blocks belong to the kind flamingo")
        return self

    @property
    def parts(self) -> tuple[PartEntry, ...]:
        """The repositories that are fetched beside the model's own."""
        return (self.tower,) if self.base is None else (self.base, self.tower)


_WITH_PROJECTOR = ("Gemma3ForConditionalGeneration",)
"""Classes of models whose pictures llama.cpp is known to see as transformers does."""


class ModelEntry(StrictModel):
    """One model of the catalog.

    Attributes:
        name: the catalog's name, lower case.
        title: for people.
        repository: "owner/name" on the hub, or None for models that come with the package.
        revision: commit or branch on the hub, or None for its main branch.
        family: how it is prompted by default.
        role: whether it was adapted to medicine.
        architecture: the class that its config.json names.
        context: trained context length in tokens.
        dtype: number type of the published weights.
        parameters: number of weights; of a model with pictures those of its language model.
        size: bytes of one set of weight files of ``repository``, approximate; by default what the weights take.
        gate: what the hub asks before a download: nothing, a click, a form that a person decides on.
        licence: short name.
        fixed_template: prompted with its default template only; no other format is tried.
        thinking: between which marks it thinks before it answers; None for a model that was not trained to.
        vision: how it reads pictures; None for a model that reads text only.
        unconfirmed: facts that were not held against the hub; what the hub and the files say counts.
        notes: what a user should know before fetching it, or "".
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    title: str
    repository: Annotated[str, Field(pattern=_REPOSITORY)] | None
    revision: str | None = None
    family: FamilyName
    role: Literal["medical", "base"]
    architecture: Annotated[str, Field(pattern=r"^[A-Z]\w+$")] = "LlamaForCausalLM"
    context: Annotated[int, Field(gt=0)]
    dtype: Literal["float32", "float16", "bfloat16"]
    parameters: Annotated[int, Field(gt=0)]
    size: Annotated[int, Field(gt=0)]
    gate: Gate
    licence: str
    fixed_template: bool = False
    thinking: ThinkingName | None = None
    vision: VisionSource | None = None
    unconfirmed: tuple[Fact, ...] = ()
    notes: str = ""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_size(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "size" in data:
            return data
        parameters, width = data.get("parameters"), _BYTES.get(str(data.get("dtype")))
        return data | {"size": parameters * width} if isinstance(parameters, int) and width else data

    @property
    def known_context(self) -> int | None:
        """The trained context where somebody held it against the hub."""
        return None if "context" in self.unconfirmed else self.context

    @property
    def own_template(self) -> bool:
        """Whether the model's own chat template writes its prompts, as for a model outside the catalog."""
        return self.family == "own-template"

    @property
    def embedded(self) -> bool:
        """Whether the model comes with the package."""
        return self.repository is None

    @property
    def reads(self) -> str:
        """What it is asked about, for people."""
        if self.takes_projector:
            return "text; pictures, too, with its projector (`mmproj=` names the file, or `own`)"
        return "text" if self.vision is None else "pictures and text"

    @property
    def takes_projector(self) -> bool:
        """Whether llama.cpp looks at pictures for it, once it is given the file of its projector."""
        return self.architecture in _WITH_PROJECTOR

    @property
    def fetched(self) -> int:
        """Bytes of everything that is fetched, approximate."""
        return self.size + sum(part.size for part in (self.vision.parts if self.vision else ()))


class PairEntry(StrictModel):
    """A medical model and a model that it is fairly compared with.

    Attributes:
        medical: catalog name.
        base: catalog name.
        studies: the studies that compared them; empty for pairs of other models.
        partner: what the base is to the medical model.
        modality: what the questions are made of that they are compared on.
        unconfirmed: nobody held it against the model's card.
    """

    medical: str
    base: str
    studies: tuple[Study, ...] = ()
    partner: Partner = "origin"
    modality: Modality = "text"
    unconfirmed: bool = False

    @property
    def name(self) -> str:
        """The pair as one word, "medical-vs-base"."""
        return f"{self.medical}-vs-{self.base}"


class _ModelFile(StrictModel):
    models: tuple[ModelEntry, ...]
    pairs: tuple[PairEntry, ...]

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        names: set[str] = set()
        for model in self.models:
            if model.name in names:
                raise ValueError(f"two models are called {model.name!r}")
            names.add(model.name)
        return self


def join(*files: _ModelFile) -> _ModelFile:
    """Several files as one.

    Raises:
        ValueError: two models of one name, or a pair of models that are not there or no two.
    """
    joined = _ModelFile(
        models=tuple(model for file in files for model in file.models),
        pairs=tuple(pair for file in files for pair in file.pairs),
    )
    known = {model.name: model for model in joined.models}
    for pair in joined.pairs:
        medical, base = known.get(pair.medical), known.get(pair.base)
        if medical is None or medical.role != "medical" or base is None or medical is base:
            raise ValueError(f"the pair {pair.name} needs a medical model and another one of the catalog")
        if pair.modality == "pictures" and (medical.vision is None or base.vision is None):
            raise ValueError(
                f"the pair {pair.name} is compared on pictures, which one of its models cannot read"
            )
    return joined


@cache
def _read() -> _ModelFile:
    return join(*(read_built_in(DATA / name, _ModelFile) for name in ("models.yaml", "current_models.yaml")))


def models() -> dict[str, ModelEntry]:
    """All models by name: those of the study, the demo's, then those of today."""
    return {model.name: model for model in _read().models}


def model_names() -> tuple[str, ...]:
    """The names of the models that can be compared."""
    return tuple(models())


def pairs() -> tuple[PairEntry, ...]:
    """The study's pairs in its order, ten of language models and two with pictures, the demo pair, then today's."""
    return _read().pairs


@cache
def known_sizes() -> Mapping[str, int]:
    """Bytes of what is fetched of each repository that the catalog names, about, by "owner/name"."""
    found: dict[str, int] = {}
    for entry in models().values():
        if entry.repository is not None:
            found[entry.repository] = entry.size
        for part in entry.vision.parts if entry.vision else ():
            found.setdefault(part.repository, part.size)
    return found


def partners(medical: str) -> tuple[PairEntry, ...]:
    """The pairs of a medical model: with what it was trained from first; empty if there is none."""
    return tuple(pair for pair in pairs() if pair.medical == medical)
