"""Models that are shown pictures, in transformers: rows of numbers stand in the place of tokens.

Token ids from the number of embedding rows on stand for pictures here: each picture takes as many as it has rows, in
the order in which pictures were named. Nothing of the package's own vision or engine is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medbench_local.errors import InputError
from medbench_local.reference.tokens import Tokenizer
from medbench_local.reference.transformers_model import DType, TransformersModel, libraries


@dataclass(frozen=True)
class Eye:
    """Makes numbers of a picture's file, as the processor of a checkpoint does.

    Attributes:
        processor: of transformers.
        pads: whether a picture is made square by a border of the mean colour first.
    """

    processor: Any
    pads: bool

    def __call__(self, path: Path) -> Any:
        """[3, side, side], float32.

        Raises:
            InputError: it is no picture.
        """
        from PIL import Image

        torch, _ = libraries()
        try:
            with Image.open(path) as file:
                image = file.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise InputError(path, "", f"no picture that can be read ({error})") from error
        width, height = image.size
        if self.pads and width != height:
            side = max(width, height)
            colour = tuple(int(255 * mean) for mean in self.processor.image_mean)
            square = Image.new("RGB", (side, side), colour)
            square.paste(image, ((side - width) // 2, (side - height) // 2))
            image = square
        return torch.from_numpy(self.processor(image, return_tensors="np")["pixel_values"][0]).float()


def processor_in(folder: Path, name: str = "CLIPImageProcessor") -> Any:
    """The processor that a folder's preprocessor_config.json describes, on Pillow, as these models had it.

    Args:
        folder: a checkpoint.
        name: of its class in transformers.

    Raises:
        InputError: there is none.
    """
    _, transformers = libraries()
    # Newer releases give the older name to one that resizes otherwise.
    kind = getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)
    if not (folder / "preprocessor_config.json").is_file():
        raise InputError(
            folder,
            "",
            "no preprocessor_config.json",
            advice="Download it: it says how pictures are prepared.",
        )
    return kind.from_pretrained(str(folder), local_files_only=True)


@dataclass(frozen=True)
class Seeing:
    """A loaded model that is shown pictures.

    Attributes:
        network: the model.
        tokenizer: its tokenizer.
        marks: texts that are written before a picture, at each of its rows, and behind it; "" where there are none. All
            are "" where the text is cut at a picture.
        bare_places: whether a place may be written at which nothing is shown.
    """

    network: PictureModel
    tokenizer: Tokenizer
    marks: tuple[str, str, str]
    bare_places: bool = True


class PictureModel(TransformersModel):
    """A model that is shown pictures; how, its subclasses say.

    Args:
        folder: of its checkpoint.
        dtype: of weights and arithmetic.
        device: where it is computed.
        load: makes the model.
        eye: makes numbers of pictures.
        each: rows of a picture.
    """

    def __init__(
        self, folder: Path, *, dtype: DType, device: str, load: Callable[[], Any], eye: Eye, each: int
    ) -> None:
        super().__init__(folder, dtype=dtype, device=device, load=load)
        self.each = each
        self._eye = eye
        self._paths: list[Path] = []
        self._numbers: dict[Path, int] = {}

    def first_of(self, path: Path) -> int:
        """The first of the `each` ids that stand for a picture."""
        if path not in self._numbers:
            self._numbers[path] = len(self._paths)
            self._paths.append(path)
        return self.rows + self.each * self._numbers[path]

    def _pixels(self, number: int) -> Any:
        return self._eye(self._paths[number])


class LlavaClass(PictureModel):
    """`LlavaForConditionalGeneration` of transformers, whose own code looks at pictures and puts them in place."""

    def _seen(self, ids: Any) -> dict[str, Any]:
        torch = self._torch
        beyond = ids >= self.rows
        if not beyond.any():
            return super()._seen(ids)
        # The class knows the place of a picture by a token; any will do that is in no text here.
        used = set(ids[~beyond].tolist())
        free = next(i for i in reversed(range(self.rows)) if i not in used)
        for name in ("image_token_index", "image_token_id"):
            if hasattr(self._model.config, name):
                setattr(self._model.config, name, free)
        starts = ids[beyond & ((ids - self.rows) % self.each == 0)].tolist()
        pixels = torch.stack([self._pixels((start - self.rows) // self.each) for start in starts])
        return {
            "input_ids": ids.masked_fill(beyond, free).to(self._device),
            "pixel_values": pixels.to(self._device, self._model.dtype),
        }


class Gemma3Class(PictureModel):
    """`Gemma3ForConditionalGeneration` of transformers, in which the rows of a picture see each other."""

    def _seen(self, ids: Any) -> dict[str, Any]:
        torch, config = self._torch, self._model.config
        beyond = ids >= self.rows
        if not beyond.any():
            return super()._seen(ids)
        starts = ids[beyond & ((ids - self.rows) % self.each == 0)].tolist()
        pixels = torch.stack([self._pixels((start - self.rows) // self.each) for start in starts])
        mark = getattr(config, "image_token_id", None) or config.image_token_index
        return {
            "input_ids": ids.masked_fill(beyond, mark).to(self._device),
            "pixel_values": pixels.to(self._device, self._model.dtype),
            "token_type_ids": beyond.long().to(self._device),
        }


@dataclass
class Sight:
    """What looks at pictures for `LlavaOfParts`.

    Attributes:
        tower: a `CLIPVisionModel`.
        layer: of its states; the first row, which stands for the whole, is left out.
        weight, bias: of the projector, one matrix.
    """

    tower: Any
    layer: int
    weight: Any
    bias: Any
    on: str = field(default="cpu")

    def __call__(self, pixels: Any, device: str) -> Any:
        """Rows of one picture: [rows, width of the language model]."""
        if self.on != device:
            self.tower, self.weight, self.bias = (
                one.to(device) for one in (self.tower.eval(), self.weight, self.bias)
            )
            self.on = device
        states = self.tower(
            pixels[None].to(device, self.tower.dtype), output_hidden_states=True
        ).hidden_states
        return states[self.layer][0, 1:].to(self.weight.dtype) @ self.weight.T + self.bias


class LlavaOfParts(PictureModel):
    """The first LLaVA, of which transformers has no class: its tower, one matrix, and its language model.

    Args:
        folder, dtype, device, load, eye, each: as of `PictureModel`; ``load`` makes the language model.
        sight: what looks at pictures.
    """

    def __init__(
        self,
        folder: Path,
        *,
        dtype: DType,
        device: str,
        load: Callable[[], Any],
        eye: Eye,
        each: int,
        sight: Sight,
    ) -> None:
        super().__init__(folder, dtype=dtype, device=device, load=load, eye=eye, each=each)
        self._sight = sight

    def _seen(self, ids: Any) -> dict[str, Any]:
        beyond = ids >= self.rows
        if not beyond.any():
            return super()._seen(ids)
        embedded = self._model.get_input_embeddings()(ids.masked_fill(beyond, 0).to(self._device))
        numbers = (ids - self.rows) // self.each
        for number in sorted(set(numbers[beyond].tolist())):
            rows = self._sight(self._pixels(number), self._device).to(embedded.dtype)
            here = beyond & (numbers == number)
            embedded[here.to(self._device)] = rows[(ids[here] - self.rows) % self.each]
        return {"inputs_embeds": embedded}
