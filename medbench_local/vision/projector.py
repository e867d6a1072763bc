"""LLaVA's projector: from what the tower says of a picture to rows in place of tokens."""

from __future__ import annotations

from pathlib import Path

from medbench_local.errors import InputError
from medbench_local.vision.arithmetic import Floats, gelu, one_thread
from medbench_local.vision.parts import VisionFile, VisionParts


class Projector:
    """A projector, ready.

    Attributes:
        parts: of the model that it belongs to.
    """

    def __init__(self, file: VisionFile) -> None:
        self.parts: VisionParts = file.parts
        self._file = file
        names = ("projector.0",) if file.parts.projector == "linear" else ("projector.0", "projector.2")
        self._layers = [(file.tensor(f"{name}.weight"), file.tensor(f"{name}.bias")) for name in names]

    @classmethod
    def open(cls, path: Path) -> Projector:
        """Open the ``vision.safetensors`` of a model of kind "llava".

        Raises:
            InputError: as `VisionFile.open`; or the model is of another kind.
        """
        return cls(VisionFile.of_kind(path, "llava", "projector"))

    def rows(self, features: Floats) -> Floats:
        """The rows of a picture, the same bits whenever they are asked for.

        Args:
            features: [rows, tower width], as `read_features` gives them.

        Returns:
            [rows, width].

        Raises:
            InputError: features of another tower.
        """
        check_features(self._file, features)
        with one_thread():
            x = features
            for number, (weight, bias) in enumerate(self._layers):
                x = (gelu(x) if number else x) @ weight.T + bias
        return x


def check_features(file: VisionFile, features: Floats) -> None:
    """Hold features of a picture to what the model was made for.

    Raises:
        InputError: they have another shape.
    """
    wanted = (file.parts.rows, file.sizes["tower"])
    if features.shape != wanted:
        problem = f"made for {wanted[0]} rows of {wanted[1]} numbers, not for features of {features.shape}"
        raise InputError(file.path, "", problem, advice="They come from another tower.")
