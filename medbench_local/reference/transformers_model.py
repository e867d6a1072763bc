"""A checkpoint in transformers: log-probabilities of tokens after prompts, and of texts that continue them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeVar

from medbench_local.errors import AcquireError, EngineError, UsageError
from medbench_local.reference.tokens import Tokens

Result = TypeVar("Result")

DType = Literal["checkpoint", "float32", "bfloat16", "float16"]


def libraries() -> tuple[Any, Any]:
    """torch and transformers, which are an extra.

    Raises:
        UsageError: one of them is not installed.
    """
    try:
        return import_module("torch"), import_module("transformers")
    except ImportError as error:
        raise UsageError(
            f"The reference needs torch and transformers ({error}).",
            advice="Install them with: pip install 'medbench-local[reference]'",
        ) from error


def choose_device(torch: Any, device: str | None) -> str:
    """``device``, or CUDA where there is one, else the CPU.

    Raises:
        UsageError: it cannot be used.
    """
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"The device {name!r} cannot be used: {reason}", advice='Try `device="cpu"`.'
        ) from error
    return name


class TransformersModel:
    """A causal language model, loaded.

    Args:
        folder: of the checkpoint.
        dtype: precision of weights and arithmetic.
        device: where it is computed.
        load: loads it; None for what transformers makes of the folder.

    Attributes:
        rows: of its embedding matrix.
        context: longest sequence it was made for, in tokens, or None if it does not say.

    Raises:
        AcquireError: transformers cannot load it without executing code that comes with it.
    """

    def __init__(
        self, folder: Path, *, dtype: DType, device: str, load: Callable[[], Any] | None = None
    ) -> None:
        self._torch, transformers = libraries()
        self._torch.set_float32_matmul_precision("highest")
        self._device = device
        if load is None:
            self._model = loaded(transformers.AutoModelForCausalLM, folder, dtype).to(device).eval()
        else:
            self._model = load().to(device).eval()
        parameters = inspect.signature(self._model.forward).parameters
        self._few_rows = "logits_to_keep" in parameters
        self._memory = "cache" if "cache" in parameters else "past_key_values"  # the name of older releases
        config = self._model.config
        length = getattr(getattr(config, "text_config", config), "max_position_embeddings", None)
        self.context: int | None = length if isinstance(length, int) and length > 0 else None
        self.rows: int = self._model.get_input_embeddings().weight.shape[0]

    def logprobs(self, prompts: Sequence[Tokens], tokens: Tokens) -> list[list[float]]:
        """Natural log-probability of each of ``tokens`` at the first position after each prompt.

        The softmax runs over the whole vocabulary, in float64. Where memory does not suffice for all prompts
        at once, they are computed in halves.

        Raises:
            EngineError: out of memory with a single prompt, or the model computed something that is no number.
        """
        chosen = list(tokens)

        def compute(some: Sequence[Tokens]) -> list[list[float]]:
            rows = self._rows(some, [[len(prompt) - 1] for prompt in some])
            return [row[0, chosen].tolist() for row in rows]

        return self._in_parts(compute, prompts)

    def continuations(self, texts: Sequence[Tokens], starts: Sequence[int]) -> list[float]:
        """Joint natural log-probability of each text's tokens from its start on, given all tokens before them.

        Args:
            texts: whole texts.
            starts: for each, the index of the first token that counts, at least 1 and below the text's length.

        Softmax, memory and errors as for `logprobs`.
        """

        def compute(some: Sequence[tuple[Tokens, int]]) -> list[float]:
            positions = [range(start - 1, len(text) - 1) for text, start in some]
            rows = self._rows([text[:-1] for text, _ in some], positions)
            return [
                math.fsum(row[range(len(row)), list(text[start:])].tolist())
                for row, (text, start) in zip(rows, some, strict=True)
            ]

        return self._in_parts(compute, list(zip(texts, starts, strict=True)))

    def write(self, prompt: Tokens, ended: Callable[[int], bool]) -> None:
        """Write greedily behind a prompt: ``ended`` is told of each next token, until it says that this was the last.

        Args:
            prompt: its tokens.
            ended: hears of each token; True ends the writing.

        Raises:
            EngineError: out of memory, or the model computed something that is no number.
        """
        torch = self._torch
        ids = torch.tensor([list(prompt)], device=self._device)
        memory = None
        extra = {"logits_to_keep": 1} if self._few_rows else {}
        try:
            with torch.inference_mode():
                while True:
                    found = self._model(input_ids=ids, use_cache=True, **{self._memory: memory}, **extra)
                    row = found.logits[0, -1].float()
                    if torch.isnan(row).any():
                        raise EngineError(
                            "The model computed logits that are not numbers.", advice='Use `dtype="float32"`.'
                        )
                    token = int(row.argmax())
                    if ended(token):
                        return
                    memory = getattr(found, self._memory)
                    ids = torch.tensor([[token]], device=self._device)
        except torch.OutOfMemoryError as error:
            raise EngineError(
                f"Out of memory on {self._device} with a single prompt.",
                advice='Use a larger device, or `device="cpu"`.',
            ) from error

    def _seen(self, ids: Any) -> dict[str, Any]:
        """What the model is given for token ids (texts x tokens, on the CPU)."""
        return {"input_ids": ids.to(self._device)}

    def _in_parts(
        self, compute: Callable[[Sequence[Any]], list[Result]], items: Sequence[Any]
    ) -> list[Result]:
        """``compute(items)``, in halves where memory does not suffice."""
        try:
            return compute(items)
        except self._torch.OutOfMemoryError as error:
            if len(items) == 1:
                raise EngineError(
                    f"Out of memory on {self._device} with a single prompt.",
                    advice='Use a larger device, or `device="cpu"`.',
                ) from error
        # outside the handler, so that the failed attempt's memory is free
        self._torch.cuda.empty_cache()
        half = len(items) // 2
        return self._in_parts(compute, items[:half]) + self._in_parts(compute, items[half:])

    def _rows(self, texts: Sequence[Tokens], positions: Sequence[Sequence[int]]) -> list[Any]:
        """Log-probabilities (positions x vocabulary, float64 on the CPU) of what follows each text's positions."""
        rows = [self._torch.log_softmax(row, dim=-1) for row in self._logits(texts, positions)]
        if any(self._torch.isnan(row).any() for row in rows):
            raise EngineError(
                "The model computed logits that are not numbers.", advice='Use `dtype="float32"`.'
            )
        return rows

    def _logits(self, texts: Sequence[Tokens], positions: Sequence[Sequence[int]]) -> list[Any]:
        """Logits (positions x vocabulary, float64 on the CPU) at the given positions of each text.

        Shorter texts are filled up on the right: causal attention never looks there, so positions and results are
        those of each text alone.
        """
        torch = self._torch
        longest = max(map(len, texts))
        ids = torch.zeros((len(texts), longest), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, text in enumerate(texts):
            ids[i, : len(text)] = torch.tensor(text)
            mask[i, : len(text)] = 1
        kept = sorted(set().union(*positions)) if self._few_rows else list(range(longest))
        extra = {"logits_to_keep": torch.tensor(kept, device=self._device)} if self._few_rows else {}
        with torch.inference_mode():
            logits = self._model(
                **self._seen(ids), attention_mask=mask.to(self._device), use_cache=False, **extra
            ).logits
        at = {position: row for row, position in enumerate(kept)}
        return [
            logits[i, [at[position] for position in wanted]].float().cpu().double()
            for i, wanted in enumerate(positions)
        ]


def loaded(kind: Any, folder: Path, dtype: str, **given: Any) -> Any:
    """A model on the CPU, every tensor of which was in its files.

    Args:
        kind: a class of transformers.
        folder: the checkpoint.
        dtype: as `DType`.
        given: instead of the folder's files, ``config`` and ``state_dict``.

    Raises:
        AcquireError: transformers cannot load it, or would make tensors up.
    """
    torch, transformers = libraries()
    newer = tuple(int(part) for part in transformers.__version__.split(".")[:2]) >= (4, 56)
    wanted = "auto" if dtype == "checkpoint" else getattr(torch, dtype)
    transformers.utils.logging.disable_progress_bar()
    try:
        network, info = kind.from_pretrained(
            None if given else str(folder),
            local_files_only=True,
            output_loading_info=True,
            **given,
            **({} if given else {"trust_remote_code": False}),
            **{"dtype" if newer else "torch_dtype": wanted},
        )
    except Exception as error:  # transformers raises whatever its parts raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise AcquireError(
            f"transformers cannot load {folder}: {reason}",
            advice="Only complete checkpoints of architectures that transformers knows can be used.",
        ) from error
    if info["missing_keys"]:  # transformers would make them up
        names = ", ".join(sorted(info["missing_keys"])[:3])
        raise AcquireError(
            f"{folder} lacks {len(info['missing_keys'])} tensors of its architecture: {names}.",
            advice="Download the checkpoint again.",
        )
    return network
