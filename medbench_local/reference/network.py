"""A checkpoint in transformers: the log-probabilities of a few tokens after each of several prompts."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from medbench_local.engine.base import Tokens
from medbench_local.errors import AcquireError, EngineError, UsageError

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
            f"The device {name!r} cannot be used: {reason}", advice="Try --device cpu."
        ) from error
    return name


class Network:
    """A causal language model, loaded.

    Attributes:
        rows: of its embedding matrix.
        context: longest sequence it was made for, in tokens, or None if it does not say.

    Raises:
        AcquireError: transformers cannot load it without executing code that comes with it.
    """

    def __init__(self, folder: Path, *, dtype: DType, device: str) -> None:
        self._torch, transformers = libraries()
        self._torch.set_float32_matmul_precision("highest")
        self._device = device
        self._model = _load(folder, dtype, device, self._torch, transformers)
        self._few_rows = "logits_to_keep" in inspect.signature(self._model.forward).parameters
        length = getattr(self._model.config, "max_position_embeddings", None)
        self.context: int | None = length if isinstance(length, int) and length > 0 else None
        self.rows: int = self._model.get_input_embeddings().weight.shape[0]

    def logprobs(self, prompts: Sequence[Tokens], tokens: Tokens) -> list[list[float]]:
        """Natural log-probability of each of ``tokens`` at the first position after each prompt.

        The softmax runs over the whole vocabulary, in float64. Where memory does not suffice for all prompts
        at once, they are computed in halves.

        Raises:
            EngineError: out of memory with a single prompt, or the model computed something that is no number.
        """
        try:
            rows = self._last_logits(prompts)
        except self._torch.OutOfMemoryError as error:
            if len(prompts) == 1:
                raise EngineError(
                    f"Out of memory on {self._device} with one prompt of {len(prompts[0])} tokens.",
                    advice="Use a larger device, or --device cpu.",
                ) from error
            rows = None
        if rows is None:  # outside the handler, so that the failed attempt's memory is free
            self._torch.cuda.empty_cache()
            half = len(prompts) // 2
            return self.logprobs(prompts[:half], tokens) + self.logprobs(prompts[half:], tokens)
        if self._torch.isnan(rows).any():
            raise EngineError("The model computed logits that are no numbers.", advice="Use --dtype float32.")
        chosen = self._torch.log_softmax(rows, dim=-1)[:, list(tokens)]
        result: list[list[float]] = chosen.tolist()
        return result

    def _last_logits(self, prompts: Sequence[Tokens]) -> Any:
        """Logits (prompts x vocabulary, float64 on the CPU) at each prompt's last token.

        Shorter prompts are filled up on the right: causal attention never looks there, so positions and
        results are those of each prompt alone.
        """
        torch = self._torch
        ends = [len(prompt) - 1 for prompt in prompts]
        ids = torch.zeros((len(prompts), max(ends) + 1), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, prompt in enumerate(prompts):
            ids[i, : len(prompt)] = torch.tensor(prompt)
            mask[i, : len(prompt)] = 1
        kept = sorted(set(ends)) if self._few_rows else list(range(max(ends) + 1))
        extra = {"logits_to_keep": torch.tensor(kept, device=self._device)} if self._few_rows else {}
        with torch.inference_mode():
            logits = self._model(
                input_ids=ids.to(self._device), attention_mask=mask.to(self._device), use_cache=False, **extra
            ).logits
        rows = logits[list(range(len(prompts))), [kept.index(end) for end in ends]]
        return rows.float().cpu().double()


def _load(folder: Path, dtype: str, device: str, torch: Any, transformers: Any) -> Any:
    newer = tuple(int(part) for part in transformers.__version__.split(".")[:2]) >= (4, 56)
    wanted = "auto" if dtype == "checkpoint" else getattr(torch, dtype)
    transformers.utils.logging.disable_progress_bar()
    try:
        network, info = transformers.AutoModelForCausalLM.from_pretrained(
            str(folder),
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
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
    return network.to(device).eval()
