"""From the files of a model with pictures to the two that stand beside its GGUF: its own parts, and its tower."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from medbench_local.acquire.cache import make_once
from medbench_local.acquire.locations import VISION_FORMAT
from medbench_local.acquire.picture_folders import LANGUAGE, TOWER, VISION
from medbench_local.catalog.model import FamilyName, VisionKind
from medbench_local.errors import InputError, UsageError
from medbench_local.files.gguf_header import GgufHeader
from medbench_local.files.hashes import FileRecord, content_key, file_sha256, read_record
from medbench_local.progress import Progress

NOTE = "made-of.json"
"""What a folder that `convert()` makes was made of, and which of its files are complete."""

if TYPE_CHECKING:
    from medbench_local.acquire.conversion.checkpoint import Checkpoint
    from medbench_local.acquire.conversion.pictures.clip_tower import ClipTower
    from medbench_local.acquire.conversion.pictures.taken_apart import TakenApart
    from medbench_local.vision.parts import VisionParts
    from medbench_local.vision.projector_file import ProjectorFile


@dataclass(frozen=True)
class VisionFiles:
    """What a model has beside its GGUF so that it can be shown pictures.

    Attributes:
        vision: the file with its own parts (`medbench_local.vision.parts`).
        vision_sha256: of its content.
        tower: the file with the tower (`medbench_local.vision.tower`), which models may have in common.
        tower_sha256: of its content.
        parts: how the model is shown pictures.
        family: how it is prompted unless the catalog says otherwise.
        size: bytes of both files.
        warnings: what a person should know.
    """

    vision: Path
    vision_sha256: str
    tower: Path
    tower_sha256: str
    parts: VisionParts
    family: FamilyName
    size: int
    warnings: tuple[str, ...] = ()

    @property
    def files(self) -> Mapping[str, tuple[Path, str]]:
        """The files and the hashes of their content, by what they are."""
        return {"parts": (self.vision, self.vision_sha256), "tower": (self.tower, self.tower_sha256)}

    @property
    def stands_between(self) -> bool:
        """Whether it stands between the layers of the language model."""
        return self.parts.kind == "flamingo"


@dataclass(frozen=True)
class ProjectorFiles:
    """The file with which llama.cpp's own code looks at pictures for a model; see `VisionFiles`.

    Attributes:
        vision: the file.
        vision_sha256: of its content.
        projector: what it says of itself.
    """

    vision: Path
    vision_sha256: str
    projector: ProjectorFile

    family = None
    warnings = ()
    stands_between = False

    @property
    def size(self) -> int:
        """Bytes."""
        return self.projector.size

    @property
    def files(self) -> Mapping[str, tuple[Path, str]]:
        """See `VisionFiles.files`."""
        return {"projector": (self.vision, self.vision_sha256)}


def projector_files(path: Path, header: GgufHeader, home: Path, progress: Progress) -> ProjectorFiles:
    """A projector file, for a language model.

    Args:
        path: the projector file.
        header: of the language model.
        home: MEDBENCH_HOME.
        progress: told of files that take long to read.

    Raises:
        UsageError: it is of a kind that cannot be used.
        InputError: it is damaged, or belongs to another language model.
    """
    from medbench_local.vision.projector_file import read_projector  # slow to import

    projector = read_projector(path)
    width = header.metadata.get(f"{header.architecture}.embedding_length")
    if width != projector.width:
        raise InputError(
            path,
            "header",
            f"makes rows of {projector.width} numbers, {header.path.name} has {width}",
            advice="It belongs to another model; take the projector that came with this one.",
        )
    return ProjectorFiles(path, file_sha256(path, home, progress), projector)


def refuse_other_precision(
    medical: VisionFiles | ProjectorFiles | None, base: VisionFiles | ProjectorFiles | None
) -> None:
    """Refuse a pair of which one sees pictures with more exact numbers than the other.

    Raises:
        UsageError: it is such a pair.
    """
    if not isinstance(medical, ProjectorFiles) or not isinstance(base, ProjectorFiles):
        return
    one, other = medical.projector.precision, base.projector.precision
    if one != other:
        raise UsageError(
            f"The projectors are of two precisions: {medical.vision} is {one}, {base.vision} is {other}. A difference "
            "between the models might come from that alone.",
            advice="Take both in f16 or both in f32.",
        )


@dataclass(frozen=True)
class PartFiles:
    """A repository or folder that a model is put together from.

    Attributes:
        called: for people: of the hub "owner/name", else the folder.
        files: with sizes and hashes.
        folder: gives the folder they lie in; fetches what was removed since.
        file: the one that is meant where there is only one.
    """

    called: str
    files: tuple[FileRecord, ...]
    folder: Callable[[], Path]
    file: str = ""


@dataclass(frozen=True)
class PictureParts:
    """What a model with pictures is put together from.

    Attributes:
        name: of the model.
        kind: how it is published.
        own: the difference, the checkpoint, or the whole.
        base: the language model; None if it is in its own.
        tower: what looks at pictures; None if it is in its own.
        every: between how many layers a gated block is expected; 0 if nobody said.
    """

    name: str
    kind: VisionKind
    own: PartFiles
    base: PartFiles | None
    tower: PartFiles | None
    every: int = 0

    @property
    def language(self) -> Checkpoint:
        """The language model; for the converter.

        Raises:
            AcquireError: files that were removed cannot be had again; or something of another kind than is computed.
            InputError: a file is damaged, or the parts do not fit together.
        """
        return self.taken.language

    @cached_property
    def taken(self) -> TakenApart:
        """The model taken apart; only headers are read, and a few rows.

        Raises:
            AcquireError, InputError: as `language`.
        """
        from medbench_local.acquire.conversion.checkpoint import CheckpointFolder  # slow to import
        from medbench_local.acquire.conversion.pictures.flamingo import take_apart_flamingo
        from medbench_local.acquire.conversion.pictures.llava import take_apart_difference, take_apart_whole

        own = self.own.folder()
        if self.base is None:
            return take_apart_whole(CheckpointFolder(own))
        base = CheckpointFolder(self.base.folder())
        if self.kind == "flamingo":
            return take_apart_flamingo(own / self.own.file, base, self.every)
        return take_apart_difference(base, CheckpointFolder(own))

    @cached_property
    def clip(self) -> ClipTower:
        """The tower: the one in the model's own files, where they hold one.

        Raises:
            AcquireError, InputError: as `language`.
        """
        from medbench_local.acquire.conversion.pictures.clip_tower import (  # slow to import
            PREPROCESSOR,
            clip_tower,
            read_clip_folder,
        )
        from medbench_local.files.json_objects import read_json_object

        inside = self.taken.tower if self.kind == "llava" else {}
        if not inside:
            if self.tower is None:
                raise InputError(
                    self.own.called,
                    "",
                    "holds no tower that looks at pictures",
                    advice='Name one with `vision_tower=`, for example "hf:openai/clip-vit-large-patch14".',
                )
            return read_clip_folder(self.tower.folder())
        described = self.tower.folder() if self.tower else self.own.folder()
        config = described / "config.json"
        found = clip_tower(config, read_json_object(config), described / PREPROCESSOR, inside)
        return replace(found, origin=self.own.folder())

    @property
    def tower_files(self) -> tuple[FileRecord, ...]:
        """What decides the tower's file; the model's own files, too, where they may hold it."""
        seen = () if self.tower is None else self.tower.files
        return (*self.own.files, *seen) if self.kind == "llava" else seen

    def family(self) -> FamilyName:
        """How the model is prompted unless the catalog says otherwise; by the files, which must be here."""
        if self.kind == "flamingo":
            return "open-flamingo"
        if self.taken.parts.begin:
            return "llava-v0"
        names = self.taken.language.config.get("architectures")
        return "llava-mistral" if names == ["MistralForCausalLM"] else "llava-v1.5"

    def write_tower(self, path: Path) -> None:
        """Write the tower's file.

        Raises:
            AcquireError, InputError: as `language`.
            StoreError: it cannot be written.
        """
        from medbench_local.acquire.conversion.pictures.taken_apart import write_tower_file  # slow to import

        write_tower_file(path, self.clip)

    def write_vision(self, path: Path, tower_sha256: str) -> dict[str, Any]:
        """Write what belongs to the language model.

        Returns:
            What is to be noted of the file: warnings, and the family.

        Raises:
            AcquireError, InputError: as `language`.
            StoreError: it cannot be written.
        """
        from medbench_local.acquire.conversion.pictures.taken_apart import write_vision_file  # slow to import

        write_vision_file(path, self.taken, self.clip, tower_sha256)
        return {"warnings": [*self.taken.warnings, *self._other_tower()], "family": self.family()}

    def _other_tower(self) -> tuple[str, ...]:
        """A warning where the configuration names another tower than is taken; a folder may have any name."""
        if self.tower is None or self.taken.tower:
            return ()
        named, taken = (
            name.rstrip("/").rsplit("/", 1)[-1].lower()
            for name in (self.taken.named_tower, self.tower.called)
        )
        if not named or named == taken or "clip" not in taken:
            return ()
        return (f"{self.own.called} was trained with the tower {named[:120]}; taken is {self.tower.called}.",)

    def made(self, folder: Path, home: Path, progress: Progress) -> VisionFiles:
        """Both files in the cache, made unless they are there.

        Args:
            folder: that of the model's GGUF.
            home: MEDBENCH_HOME.
            progress: told of every step.

        Raises:
            AcquireError, InputError: as `language`; or they cannot be written.
        """
        from medbench_local.vision.parts import read_parts  # slow to import

        tower = make_once(
            tower_path(self.tower_files, home),
            self._stepping(progress, self._tower),
            home=home,
            progress=progress,
        )
        vision = make_once(
            vision_path(folder, self.every),
            self._stepping(progress, lambda path: self.write_vision(path, tower.sha256)),
            home=home,
            progress=progress,
        )
        return VisionFiles(
            vision=vision.path,
            vision_sha256=vision.sha256,
            tower=tower.path,
            tower_sha256=tower.sha256,
            parts=read_parts(vision.path),
            family=vision.notes.get("family", "llava-v0"),
            size=vision.size + tower.size,
            warnings=tuple(vision.notes.get("warnings", ())),
        )

    def _tower(self, path: Path) -> dict[str, Any]:
        self.write_tower(path)
        return {}

    def _stepping(
        self, progress: Progress, make: Callable[[Path], dict[str, Any]]
    ) -> Callable[[Path], dict[str, Any]]:
        def stepping(path: Path) -> dict[str, Any]:
            label = f"making {path.name.removeprefix('unfinished-')} of {self.name}"
            with progress.step(label, total=None, unit="B"):
                return make(path)

        return stepping


def tower_path(files: Sequence[FileRecord], home: Path) -> Path:
    """Where the tower made of such files lies, or would lie."""
    key = content_key(VISION_FORMAT, sorted((file.path, file.sha256) for file in files))
    return home / "towers" / key[:16] / "tower.safetensors"


def vision_path(folder: Path, every: int) -> Path:
    """Where the parts of a model lie, or would lie, beside its GGUF in ``folder``."""
    return folder / f"vision-{content_key(VISION_FORMAT, every)[:8]}.safetensors"


@dataclass(frozen=True)
class MadeOf:
    """What is noted in a folder that was made of a model with pictures.

    Attributes:
        key: a hash of everything that the files were made from.
        family: how the model is prompted; None if that is not noted.
        files: those of the folder that are complete, by name, with their hashes.
        family_given: somebody said so, or the catalog; else the files did, as far as they can.
        warnings: what was warned of when they were made.
    """

    key: str = ""
    family: FamilyName | None = None
    family_given: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def made_of(folder: Path) -> MadeOf:
    """What is noted in ``folder``; nothing where the note is absent or damaged."""
    noted = read_record(folder / NOTE)
    family, files = noted.get("family"), noted.get("files")
    return MadeOf(
        key=str(noted.get("key", "")),
        family=family if family in get_args(FamilyName) else None,
        family_given=noted.get("family_given") is True,
        files=files if isinstance(files, dict) else {},
        warnings=tuple(map(str, noted.get("warnings", ()))),
    )


def files_in_folder(folder: Path, name: str, home: Path, progress: Progress, *, made: MadeOf) -> VisionFiles:
    """The two files in a folder that was made of a model with pictures.

    Args:
        folder: that.
        name: of the model.
        home: MEDBENCH_HOME.
        progress: told of files that take long to read.
        made: what is noted there.

    Raises:
        InputError: one is missing or damaged, they do not belong together, or the parts are not those that were made
            there with the language model: those of another model of the same size would fit it and make noise.
    """
    from medbench_local.vision.parts import read_parts  # slow to import

    vision, tower = folder / VISION, folder / TOWER
    parts = read_parts(vision)
    if not tower.is_file():
        raise InputError(
            tower, "", "no such file", advice=f"It belongs to {vision}; convert the model again."
        )
    tower_sha256 = file_sha256(tower, home, progress)
    if tower_sha256 != parts.tower_sha256:
        raise InputError(
            tower,
            "",
            f"is not the tower that {VISION} of {name} belongs to",
            advice="Convert the model again.",
        )
    vision_sha256 = file_sha256(vision, home, progress)
    if made.files.get(VISION, vision_sha256) != vision_sha256:
        raise InputError(
            vision,
            "",
            f"is not the file that was made with {LANGUAGE} of {name}, as {NOTE} says",
            advice="Convert the model again.",
        )
    family = made.family or _family_by_parts(parts)
    guessed = guessed_family(name, family)
    return VisionFiles(
        vision=vision,
        vision_sha256=vision_sha256,
        tower=tower,
        tower_sha256=tower_sha256,
        parts=parts,
        family=family,
        size=vision.stat().st_size + tower.stat().st_size,
        warnings=made.warnings if made.family_given else (*made.warnings, *filter(None, [guessed])),
    )


def refuse_other_language(parts: VisionParts, folder: Path, header: GgufHeader) -> None:
    """Refuse a language model that the parts beside it do not fit.

    Raises:
        InputError: it is of another width, or has no layer where a gated block stands.
    """
    width = header.metadata.get(f"{header.architecture}.embedding_length")
    layers = header.metadata.get(f"{header.architecture}.block_count")
    problem = ""
    if width != parts.width:
        problem = f"has rows of {width} numbers, {VISION} beside it is for {parts.width}"
    elif parts.blocks and (type(layers) is not int or parts.blocks[-1] >= layers):
        problem = f"has {layers} layers, {VISION} beside it has a block before layer {parts.blocks[-1]}"
    if problem:
        raise InputError(header.path, "", problem, advice=f"Convert the model into {folder} again.")


_RELATED: tuple[tuple[FamilyName, FamilyName], ...] = (
    ("llava-v0", "llava-med"),
    ("open-flamingo", "med-flamingo"),
    ("llava-v1.5", "llava-mistral"),
)
"""Families whose models have files of one kind."""

_ALIKE = dict(_RELATED[:2])
"""What files are taken for that do not say which of two families they are of, and the other one."""


def guessed_family(name: str, family: FamilyName) -> str:
    """A warning where the files of a model cannot say which of two ways of prompting is its own; "" where they can."""
    if family not in _ALIKE:
        return ""
    return (
        f"{name} is prompted as {family} is, because its files do not say how; if it was trained as {_ALIKE[family]} "
        f'was, convert it with `family="{_ALIKE[family]}"`.'
    )


def refuse_other_family(family: FamilyName, parts: PictureParts) -> None:
    """Refuse a way of prompting that belongs to models of another kind.

    Raises:
        UsageError: it does.
    """
    own = next(related for related in _RELATED if parts.family() in related)
    if family not in own:
        raise UsageError(
            f"{parts.name} cannot be prompted as {family} is: its files are of another kind.",
            advice=f"Give `family=` {' or '.join(own)}, or nothing.",
        )


def _family_by_parts(parts: VisionParts) -> FamilyName:
    """How a model is prompted of which nothing else is known."""
    if parts.kind == "flamingo":
        return "open-flamingo"
    return "llava-v0" if parts.begin else "llava-v1.5"
