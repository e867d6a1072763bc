"""Option log-probabilities of exported prompts with transformers, on a GPU or CPU: the reference to validate by."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_uppercase
from typing import IO

from medbench_local.errors import InputError, UsageError
from medbench_local.progress import Progress, Silent
from medbench_local.reference.cloze import Cloze, cloze
from medbench_local.reference.opened import OpenedReference, open_reference, refuse_other_models
from medbench_local.reference.requests import PromptRequest, keep_finished, read_requests
from medbench_local.reference.thinking import Behind, Thought, behind, ending_tokens, think
from medbench_local.reference.tokens import Bos, Tokenizer, Tokens
from medbench_local.reference.transformers_model import DType, TransformersModel, choose_device, libraries

_HEAD = 1 << 20
_WEIGHTS = (".safetensors", ".bin", ".json", ".model")


@dataclass(frozen=True)
class ReferenceRun:
    """What a run did.

    Attributes:
        output: the file of results.
        computed: prompts computed now.
        kept: prompts that an earlier run had computed.
        overlong: of those computed, prompts longer than the model's context: without a prediction.
        device: where it ran.
        dtype: precision of the weights.
    """

    output: Path
    computed: int
    kept: int
    overlong: int
    device: str
    dtype: str


def run_reference(
    checkpoint: Path,
    prompts: Path,
    output: Path,
    *,
    device: str | None = None,
    dtype: DType = "checkpoint",
    batch_size: int = 8,
    bos: Bos = "once",
    model: str | None = None,
    images: Path | None = None,
    base: Path | None = None,
    vision_tower: Path | None = None,
    progress: Progress | None = None,
) -> ReferenceRun:
    """Compute the log-probabilities of the options of exported prompts.

    A row's ``scoring`` decides: ``constrained`` (also where the row names none) is the natural logarithm of the
    softmax over the whole vocabulary for the bare letter tokens at the first position after the prompt; ``cloze``
    is defined in `medbench_local.reference.cloze`; ``thinking``, for which the row says in ``think`` how, in
    `medbench_local.reference.thinking`: one sequence is written at a time. Results are appended to ``output`` as the
    prompts' rows with ``logprobs`` (for cloze, in nats a byte, and ``bytes``), ``mass``, ``thinking`` (what was thought
    before, where something was), ``prediction``, ``correct``, ``tokens``, ``prompt_sha256``, ``scoring`` and
    ``made_by``; started again with the same arguments, an interrupted run resumes where it stopped. Nothing from the
    checkpoint is executed: only architectures that transformers itself knows, only safetensors or weights-only loading.

    Args:
        checkpoint: a folder in Hugging Face layout; of a LLaVA, its own layout or a difference to ``base`` too.
        prompts: JSON Lines from ``prompts export``.
        output: JSON Lines to write.
        device: "cpu", "cuda", "cuda:1", "mps"; None for CUDA where there is one, else the CPU.
        dtype: precision of weights and arithmetic; "checkpoint" keeps what the weights are stored in.
        batch_size: prompts (of cloze, options) computed at once; halved by itself where memory does not suffice.
        bos: BOS tokens before a prompt that begins with one of its own.
        model: only the rows that name this model.
        images: a folder with the pictures of the prompts, by their names in the export, or by their hashes.
        base: the folder of the language model to which a LLaVA is a difference.
        vision_tower: the folder of the CLIP model of a LLaVA that does not hold it.
        progress: told of every prompt.

    Raises:
        UnsupportedArchitectureError: transformers has no such model, or pictures are not shown to it here.
        UsageError: prompts show pictures and the model reads text only, or no folder is named; torch or transformers
            is not installed, an option makes no sense, ``output`` holds results that were made differently.
        InputError: a malformed prompt row or checkpoint file.
        AcquireError: transformers cannot load the checkpoint without executing its code.
        EngineError: out of memory with a single prompt, or the model computed something that is not a number.
    """
    torch, transformers = libraries()
    if batch_size < 1:
        raise UsageError("The batch size must be at least 1.")
    listener = progress or Silent()
    refuse_other_models(checkpoint)
    requests = read_requests(prompts, model=model)
    place = choose_device(torch, device)
    made_by = _made_by(checkpoint, dtype, place, bos, torch.__version__, transformers.__version__)
    made_by |= {
        name: _fingerprint(folder)
        for name, folder in (("base", base), ("vision_tower", vision_tower))
        if folder is not None
    }
    finished = keep_finished(output, made_by)
    waiting = [request for request in requests if request.key not in finished]
    kept = len(requests) - len(waiting)
    if kept:
        listener.note(f"{kept} of {len(requests)} prompts were computed before.")
    if not waiting:
        return ReferenceRun(output, 0, kept, 0, place, dtype)
    opened = open_reference(checkpoint, waiting, images, base, vision_tower, dtype=dtype, device=place)
    network, tokenizer = opened.network, opened.tokenizer
    ends = ending_tokens(checkpoint, tokenizer.ends)
    _need_letters(checkpoint, tokenizer, waiting)
    fitting, overlong = _tokenised(waiting, prompts, opened, bos)
    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        output.open("a", encoding="utf-8", newline="\n") as file,
        listener.step(f"reference on {place}", total=len(waiting), unit="prompts") as advance,
    ):
        for item in overlong:
            _write(file, item, None, made_by)
        advance(len(overlong), known=True)
        for batch in _batches(fitting, batch_size):
            batch = [_thought_about(item, network, tokenizer, ends) for item in batch]
            for item, logprobs in zip(batch, _scores(network, tokenizer, batch, batch_size), strict=True):
                _write(file, item, logprobs, made_by)
            file.flush()
            advance(len(batch))
    if overlong:
        listener.note(f"{len(overlong)} prompts are longer than the context and have no prediction.")
    return ReferenceRun(output, len(waiting), kept, len(overlong), place, dtype)


def _made_by(
    checkpoint: Path, dtype: str, device: str, bos: str, torch_version: str, transformers_version: str
) -> dict[str, str]:
    return {
        "checkpoint": _fingerprint(checkpoint),
        "dtype": dtype,
        "device": device.split(":")[0],
        "bos": bos,
        "torch": torch_version,
        "transformers": transformers_version,
    }


def _fingerprint(folder: Path) -> str:
    """Hash of the names, sizes and first MiB of the checkpoint's files: weights of 140 GB are not read twice."""
    if not (folder / "config.json").is_file():
        raise InputError(folder, "", "no config.json", advice="Give the folder of a checkpoint.")
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.is_file() and p.suffix in _WEIGHTS):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(_HEAD))
    return digest.hexdigest()


def _need_letters(checkpoint: Path, tokenizer: Tokenizer, requests: Sequence[PromptRequest]) -> None:
    options = max((len(r.options) for r in requests if not r.scores_texts and r.think is None), default=0)
    if len(tokenizer.letters) < options:
        raise InputError(
            checkpoint,
            "tokenizer",
            f"questions have up to {options} options, but only the letters "
            f"{ascii_uppercase[: len(tokenizer.letters)] or '(none)'} are tokens of their own",
        )


@dataclass(frozen=True)
class _Item:
    """A request, tokenised.

    Attributes:
        request: what is asked.
        context: tokens before the first one that is scored.
        longest: tokens that the model has to hold for it.
        options: its options with the prompt; None where letters are scored.
        behind: what follows the thinking, where the model thinks first.
        thought: what it thought, once it has.
    """

    request: PromptRequest
    context: Tokens
    longest: int
    options: Cloze | None
    behind: Behind | None = None
    thought: Thought | None = None

    @property
    def asks_letters(self) -> bool:
        """Whether options are single tokens at the first position behind the context."""
        return self.options is None and self.behind is None

    @property
    def texts(self) -> list[tuple[Tokens, int]]:
        """Whole texts of the options, and the index of the first token of each that counts; none for letters."""
        if self.options is not None:
            return [(text, self.options.start) for text in self.options.texts]
        if self.behind is None or self.thought is None:
            return []
        before = self.behind.text(self.context, self.thought)
        return [(before + ending, len(before)) for ending in self.behind.endings]


def _tokenised(
    requests: Sequence[PromptRequest], path: Path, opened: OpenedReference, bos: Bos
) -> tuple[list[_Item], list[_Item]]:
    """Requests with their tokens, shortest first; and those that do not fit the context."""
    fitting: list[_Item] = []
    overlong: list[_Item] = []
    context = opened.network.context
    for request in requests:
        tokenizer = opened.tokenizer_for(request, path)
        special = request.special
        if special is None:
            special = _plainly_not_special(request, path, tokenizer)
        item = _item(request, path, tokenizer, special, bos)
        (overlong if context is not None and item.longest > context else fitting).append(item)
    return sorted(fitting, key=lambda item: (not item.asks_letters, item.longest)), overlong


def _item(request: PromptRequest, path: Path, tokenizer: Tokenizer, special: bool, bos: Bos) -> _Item:
    if not request.scores_texts:
        tokens = tokenizer(request.prompt, special=special, bos=bos)
        if request.think is None:
            return _Item(request, tokens, len(tokens), None)
        try:
            follows = behind(tokenizer, request.think)
        except ValueError as error:
            raise InputError(path, f"{request.where}, key 'think'", str(error)) from error
        return _Item(request, tokens, len(tokens) + request.think.budget + follows.longest, None, follows)
    try:
        found = cloze(tokenizer, request.prompt + request.gap, request.options, special=special, bos=bos)
    except ValueError as error:
        raise InputError(path, request.where, str(error)) from error
    # the last token of a text is only predicted
    return _Item(request, found.texts[0][: found.start], max(map(len, found.texts)) - 1, found)


def _plainly_not_special(request: PromptRequest, path: Path, tokenizer: Tokenizer) -> bool:
    """False, where it makes no difference; guessing would give a wrong reference without a word."""
    texts = (request.prompt, *(request.options if request.scores_texts else ()))
    found = next((control for control in tokenizer.control if any(control in text for text in texts)), None)
    if found is None:
        return False
    raise InputError(
        path,
        f"{request.where}, key 'special'",
        f"the prompt holds {found!r}, and the row does not say whether that is the token or just text",
        advice='Add "special": true to the rows of chat prompts, "special": false to others.',
    )


def _scores(
    network: TransformersModel, tokenizer: Tokenizer, batch: Sequence[_Item], at_once: int
) -> Iterator[list[float]]:
    """Log-probabilities of each item's options; of whole texts, joint ones."""
    letters = [item.context for item in batch if item.asks_letters]
    of_letters = iter(network.logprobs(letters, tokenizer.letters) if letters else [])
    texts = [text for item in batch for text in item.texts]
    joint: list[float] = []
    for first in range(0, len(texts), at_once):
        some = texts[first : first + at_once]
        joint += network.continuations([text for text, _ in some], [start for _, start in some])
    of_texts = iter(joint)
    for item in batch:
        if item.asks_letters:
            yield next(of_letters)[: len(item.request.options)]
        else:
            yield [next(of_texts) for _ in item.texts]


def _batches(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    """What is computed together; what is thought about alone, so that none of it is lost when the next is."""
    at_once = [item for item in items if item.behind is None]
    yield from (at_once[start : start + size] for start in range(0, len(at_once), size))
    yield from ([item] for item in items if item.behind is not None)


def _thought_about(
    item: _Item, network: TransformersModel, tokenizer: Tokenizer, ends: frozenset[int]
) -> _Item:
    asked = item.request.think
    return (
        item
        if asked is None
        else replace(item, thought=think(network.write, item.context, asked, tokenizer, ends))
    )


def _thinking(thought: Thought | None) -> dict[str, object]:
    """As samples have it."""
    if thought is None:
        return {}
    return {"thinking": {"tokens": len(thought.tokens), "end": thought.end, "text": thought.text}}


def _write(file: IO[str], item: _Item, logprobs: Sequence[float] | None, made_by: Mapping[str, str]) -> None:
    request, mass, sizes = item.request, None, {}
    if logprobs is not None:
        mass = math.fsum(map(math.exp, logprobs))
        if item.options is not None:
            logprobs = [value / size for value, size in zip(logprobs, item.options.sizes, strict=True)]
            sizes = {"bytes": list(item.options.sizes)}
    prediction = logprobs.index(max(logprobs)) if logprobs else None
    row = {
        **request.row,
        "scoring": request.scoring,
        "prompt_sha256": request.sha256,
        "tokens": len(item.context),
        "overlong": logprobs is None,
        "logprobs": list(logprobs or ()),
        **sizes,
        "mass": mass,
        **_thinking(item.thought),
        "prediction": prediction,
        "correct": None if request.answer is None else prediction == request.answer,
        "made_by": dict(made_by),
    }
    file.write(json.dumps(row, ensure_ascii=False) + "\n")
