"""The seam between everything else and whatever computes log-probabilities.

``Engine`` is implemented by the worker process around llama.cpp and by the fake that tests use; another
machine's engine (a Ray actor, say) would implement the same few methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, TypeVar

Tokens = tuple[int, ...]
Mode = Literal["exact", "reproducible", "fast"]
Bos = Literal["once", "twice"]

LEAST_ROWS: dict[Mode, int] = {"exact": 16, "reproducible": 64, "fast": 16}
"""Fewest rows of a decode; kernels were seen to change at 2 and at 8 rows, that of flash attention at 64."""

NEAR_TIE: dict[Mode, float] = {"exact": 0.01, "reproducible": 0.05, "fast": 0.05}
"""Gap of the two best options, in nats, up to which another machine may choose the other one: a near-tie.

The exact mode gives the same bits on one machine; other instruction sets and builds move log-probabilities of
quantised models by up to about 0.01. The float16 attention of the reproducible mode moves gaps in the embedded pair by
less than 0.05 in 95 of 100 cases (docs/modes.md); the fast mode moves them by about 0.05 with what else is in a batch.
Where log-probabilities are compared per byte, the gap is, too: more questions are then said to be near-ties than are.
"""

MOST_THREADS = 512
"""What ggml has room for; more end in a segmentation fault."""


TOKENS_PER_PACK = 4096
"""New tokens in a pack unless told otherwise: seconds of work on a laptop, so little is lost with it."""


@dataclass(frozen=True)
class EngineOptions:
    """How a model is loaded and decoded; all of it goes into the manifest.

    Attributes:
        mode: "exact" decodes one question at a time with an F32 cache, no flash attention and no weight
            repacking, so that results do not depend on threads, order, batch or context size; "reproducible" keeps
            that promise with flash attention, whose keys and values are rounded to 16 bits, and generates as "exact"
            does; "fast" decodes several questions at once.
        n_ctx: largest context in tokens; the longest prompt with its options, or with what is thought about it, must
            fit. Memory for the cache is taken as prompts need it; to think in "fast" mode, as much as ``parallel`` of
            them need if it is there.
        threads: CPU threads, or None for the number of physical cores.
        gpu_layers: layers on the GPU; -1 all, 0 none.
        batch_tokens: most tokens in one decode.
        parallel: texts continued at once in generation, and questions decoded at once in "fast" mode on a processor.
        questions: most questions decoded at once in "fast" mode; None for `parallel`, and on a GPU for as many as
            ``batch_tokens`` have room for.
        cache: type of the attention cache; "f16" takes half the memory. In "exact" mode it moves log-probabilities
            by up to about 0.07; in "reproducible" mode it changes no bit and is up to an eighth slower; the "fast" mode
            always has "f16", and so has thinking but for the "exact" mode (docs/thinking.md).
        repack: whether weights may be rearranged for the processor in "fast" mode; `start_engine` makes it False
            where a try shows that this ends the process, or does not pay.
        vision: path of the model's part that reads pictures (`medbench_local.vision.parts`), or "" for text only.
        vision_ln_post: whether features of pictures go through the tower's last LayerNorm, as in the study ("paper")
            or not, as in the time of its models ("original"); for models with gated blocks only.
        vocabulary_only: the weights are not loaded: such an engine tokenises and spells, and computes nothing.
    """

    mode: Mode = "exact"
    n_ctx: int = 4096
    threads: int | None = None
    gpu_layers: int = -1
    batch_tokens: int = 2048
    parallel: int = 8
    questions: int | None = None
    cache: Literal["f32", "f16"] = "f32"
    repack: bool = True
    vision: str = ""
    vision_ln_post: Literal["paper", "original"] = "paper"
    vocabulary_only: bool = False


@dataclass(frozen=True)
class EngineInfo:
    """What was loaded.

    Attributes:
        model: path of the GGUF file.
        description: llama.cpp's own one-line description ("llama 7B Q4_K - Medium").
        n_ctx_train: context the model was trained with, in tokens.
        bos_text: the BOS token's text ("<s>"), or "".
        eos_text: the end-of-sequence token's text ("</s>"), or "".
        device: for people ("CPU, AVX512; 2 threads").
        numerics: everything that decides the last bit (bindings and llama.cpp versions, CPU or GPU
            features, mode, cache type, flash attention); part of every score's key.
        threads: of the processor that compute.
        exact_up_to: tokens of a prompt with an option beyond which llama.cpp does not compute what the model was
            trained for; 0 if there are none.
        limited_by: why.
        thinking: what decides what is thought, beside ``numerics``; part of the key of every trace.
        vocabulary: number of tokens; larger ids stand for pictures.
        picture_tokens: ids that a picture takes in a token list; 0 for a model that reads text only.
        pack_tokens: new tokens that a pack should have: a few seconds of work.
    """

    model: str
    description: str
    n_ctx_train: int
    bos_text: str
    eos_text: str
    device: str
    numerics: dict[str, str]
    threads: int = 1
    exact_up_to: int = 0
    limited_by: str = ""
    thinking: str = ""
    vocabulary: int = 0
    picture_tokens: int = 0
    pack_tokens: int = TOKENS_PER_PACK


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """One prompt and the continuations whose log-probabilities are wanted.

    Attributes:
        context: all tokens before the first continuation token, BOS included; at least one.
        continuations: token sequences, none empty; each is scored as following ``context``.
    """

    context: Tokens
    continuations: tuple[Tokens, ...]


@dataclass(frozen=True)
class OptionScores:
    """What the model says of the continuations of one request.

    Attributes:
        logprobs: joint natural log-probability of each continuation given the context, in the request's
            order; the softmax runs over the whole vocabulary, in float64.
        mass: sum of the continuations' probabilities, 0 to 1 (above 1 only if one continues another).
    """

    logprobs: tuple[float, ...]
    mass: float


@dataclass(frozen=True)
class GenerateRequest:
    """One prompt to continue greedily.

    Attributes:
        context: the prompt's tokens.
        stop: strings at which the text is cut (the string itself excluded).
        max_tokens: most new tokens.
    """

    context: Tokens
    stop: tuple[str, ...]
    max_tokens: int = 64


@dataclass(frozen=True)
class ThinkRequest:
    """One prompt about which a model thinks before it answers.

    Attributes:
        context: the prompt's tokens.
        close: texts that close the thinking; control tokens count as their texts.
        max_tokens: the budget: most tokens of thinking, at least 1.
    """

    context: Tokens
    close: tuple[str, ...]
    max_tokens: int


TraceEnd = Literal["closed", "ended", "budget"]


@dataclass(frozen=True, slots=True)
class Trace:
    """What a model thought.

    Attributes:
        tokens: what it wrote, with the marker that closes it.
        end: "closed" by a marker; "ended" the whole text without one; "budget" used up.
    """

    tokens: Tokens
    end: TraceEnd


Heard = Callable[[int, int, Trace | None], None]
"""Told of thinking: the number of its request, how many tokens it has, and the trace once it is complete."""


@dataclass(frozen=True)
class PictureTokens:
    """What ids beyond the vocabulary stand for in token lists.

    Equal ids mean equal pictures wherever they stand, so that prompts share what they show as they share text.

    Attributes:
        first: the first of `EngineInfo.picture_tokens` ids, at least the vocabulary's size.
        features: files that hold the pictures' features (`medbench_local.vision.features`): one, or several that the
            text behind looks at alike.
    """

    first: int
    features: tuple[str, ...]


@dataclass(frozen=True)
class Pack:
    """The unit of commit: requests that share a prefix and are computed together.

    Attributes:
        prefix: tokens that every request's context begins with; may be empty. It is decoded once and kept
            for the following packs with the same prefix.
        requests: score requests, generate requests or think requests, never of two kinds.
        pictures: what the ids beyond the vocabulary in them stand for.
    """

    prefix: Tokens
    requests: tuple[ScoreRequest, ...] | tuple[GenerateRequest, ...] | tuple[ThinkRequest, ...]
    pictures: tuple[PictureTokens, ...] = ()


@dataclass(frozen=True)
class WorkDone:
    """What an engine has done since it was loaded, by its own count; all 0 for one that does not count.

    Attributes:
        tokens: that were decoded.
        seconds: of wall time that this took.
        cpu_seconds: of processor time of its process, all threads together.
    """

    tokens: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __add__(self, more: WorkDone) -> WorkDone:
        return WorkDone(
            self.tokens + more.tokens, self.seconds + more.seconds, self.cpu_seconds + more.cpu_seconds
        )

    def since(self, earlier: WorkDone) -> WorkDone:
        """What came after ``earlier``."""
        return self + WorkDone(-earlier.tokens, -earlier.seconds, -earlier.cpu_seconds)


Self = TypeVar("Self", bound="Closing")


class Closing(ABC):
    """Lets an engine be used in a ``with`` block, which closes it."""

    @abstractmethod
    def close(self) -> None:
        """Free what is held; safe to call twice."""

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Engine(Protocol):
    """Computes log-probabilities and continuations with one loaded model."""

    @property
    def info(self) -> EngineInfo:
        """What was loaded, with which settings, on which device."""

    @property
    def work(self) -> WorkDone:
        """What was done up to the end of the last call."""

    def tokenize(self, texts: Sequence[str], *, special: bool, bos: Bos = "once") -> list[Tokens]:
        """Token ids of each text, tokenised as a whole and exactly as written.

        Args:
            texts: the texts; trailing blanks count.
            special: whether the text of control tokens becomes control tokens (chat templates do, questions
                must not).
            bos: "once": exactly one BOS at the front, whether it stood in the text or not (none for models
                without one); "twice": one more before a text that already begins with it (the study's chat
                prompts).
        """

    def tokenize_parts(
        self, prompts: Sequence[Sequence[str | int | None]], *, special: bool, bos: Bos = "once"
    ) -> list[Tokens]:
        """Token ids of prompts with pictures, each tokenised as a whole.

        Args:
            prompts: the parts of each, in order: texts; for a picture the first id that stands for it
                (`PictureTokens.first`); None for a place where nothing is shown.
            special: whether the text of control tokens becomes control tokens, as for `tokenize`.
            bos: as for `tokenize`.

        Raises:
            EngineError: the model reads text only; or control-token text stands where it must not become one.
        """

    def token_of(self, piece: str) -> int | None:
        """The id of the one token whose vocabulary entry is exactly ``piece``, or None."""

    def text_sizes(self, token_lists: Sequence[Tokens]) -> list[int]:
        """Bytes of UTF-8 text that each list of tokens spells; control tokens spell none."""

    def score(self, pack: Pack) -> list[OptionScores]:
        """Scores of the pack's score requests, in their order.

        Raises:
            EngineError: a prompt does not fit the context, a NaN came back, or the worker died.
        """

    def generate(self, pack: Pack) -> list[str]:
        """Greedy continuations of the pack's generate requests, in their order, stop strings cut off."""

    def think(self, pack: Pack, heard: Heard) -> list[Trace]:
        """What the model thinks of the pack's think requests, in their order.

        Args:
            pack: the requests.
            heard: told of each trace as soon as it is complete, in any order, and how far the others are.

        Raises:
            EngineError: as `score`; what was heard of is complete.
        """

    def spell(self, token_lists: Sequence[Tokens]) -> list[str]:
        """The text of each list of tokens, control tokens with their own texts."""

    def close(self) -> None:
        """Free the model; safe to call twice."""


ROWS = 128
"""Most logits rows of one decode."""

SEQUENCES = 64
"""Most sequences of a context: a decoded prefix and 63 branches."""


@dataclass(frozen=True)
class Limits:
    """What is decoded at once.

    Attributes:
        micro_batch: most tokens computed together.
        rows: most logits rows of one decode, at least `ROWS`; what is longer than `ROWS` is cut all the same.
        sequences: most sequences.
        pack_tokens: new tokens that a pack should have. Between packs a device waits for what is kept and sent.
    """

    micro_batch: int
    rows: int = ROWS
    sequences: int = SEQUENCES
    pack_tokens: int = TOKENS_PER_PACK


def limits(mode: Mode, *, gpu: bool) -> Limits:
    """What is decoded at once in this mode, on a GPU or on the processor.

    More tokens would need more memory and are not faster on processors. A GPU is idle for the most part of a small
    decode; llama.cpp has room for 256 sequences.
    """
    if not gpu:
        return Limits(512)
    pack = 8 * TOKENS_PER_PACK
    if mode != "fast":
        return Limits(2048, pack_tokens=pack)
    return Limits(2048, rows=512, sequences=256, pack_tokens=pack)


def questions_together(options: EngineOptions, *, gpu: bool) -> int:
    """Most questions in one decode of the "fast" mode; its tokens may allow fewer."""
    if options.questions is not None:
        return options.questions
    return limits("fast", gpu=True).sequences - 1 if gpu else options.parallel


def states_needed(options: EngineOptions) -> int:
    """Sequences for which a model with a running state keeps one, used or not: to score three, to generate one more
    than is generated at once.
    """
    return max(3, 1 + options.parallel)
