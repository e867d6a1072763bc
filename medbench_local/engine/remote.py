"""The engine as others use it: llama.cpp in a worker process, its death turned into an error."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from medbench_local.engine import wire
from medbench_local.engine.base import (
    Bos,
    Closing,
    EngineInfo,
    EngineOptions,
    Heard,
    OptionScores,
    Pack,
    ThinkRequest,
    Tokens,
    Trace,
    WorkDone,
)
from medbench_local.engine.channel import STOP_LINE
from medbench_local.engine.memory import (
    PROCESS,
    MemoryEstimate,
    gigabytes,
    memory_available,
    memory_needed,
)
from medbench_local.engine.process import end_process, signal_of, start_process
from medbench_local.engine.repacking import repacking_pays
from medbench_local.engine.support import refuse_unsupported
from medbench_local.errors import CancelledError, EngineError, WorkerDied
from medbench_local.files.gguf_header import read_gguf_header
from medbench_local.files.gguf_sense import refuse_nonsense
from medbench_local.settings import read_settings

_SMALLER = (
    "Use a smaller precision (`quant=`), a smaller context or fewer GPU layers, or close other programs; "
    "then run the same command again."
)
_REPORT = (
    "Run the same command again; if it ends here again, the file or this build of llama.cpp is at fault."
)
_WITHOUT_FLASH = (
    'With `mode="exact"` llama.cpp uses no flash attention, which may be at fault here: run it so.'
)
_WITHOUT_REPACKING = (
    "Rearranged weights or flash attention may be at fault here: run it without the former "
    '(`mode="reproducible"`), or without both (`mode="exact"`).'
)
_MEANINGS = {
    "SIGILL": "signal SIGILL: an instruction that this processor, or this build of llama.cpp, gets wrong"
}


_EVENT = b'{"event": '
"""How a line begins that is not the reply yet."""

PATIENCE = 2.0
"""Seconds that an interrupted worker has to give up its pack, and a closed one to end, before it is killed."""


class WorkerEngine(Closing):
    """Implements `Engine` by a worker process; use `start_engine`, and only from one thread at a time.

    An interrupt (Ctrl-C) while the worker computes makes it give up the pack; it stays ready for others. One that
    does not answer within `PATIENCE` is killed, and further calls raise `CancelledError`.

    Attributes:
        pid: of the worker process.
    """

    def __init__(self, path: Path, options: EngineOptions) -> None:
        self._path = path
        self._options = options
        self._interrupted = False
        self._work = WorkDone()
        self._tokens_of: dict[str, int | None] = {}  # asked for at every visit of a candidate
        header = read_gguf_header(path)
        refuse_nonsense(header)
        if not options.vocabulary_only:
            refuse_unsupported(header)
        self._generating = False
        self._thinking = 0
        self._needed = {
            generates: memory_needed(path, options, generates=generates)
            for generates in (False, True)
            if not options.vocabulary_only
        }
        self._available = memory_available()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = start_process("engine.worker", self._errors)
        self.pid = self._process.pid
        try:
            arguments = {"path": str(path), "options": wire.options_to_json(options)}
            self._info = wire.info_from_json(self._call("load", f"loading {path.name}", arguments))
        except BaseException:
            self._end()
            raise

    @property
    def exit_code(self) -> int | None:
        """What the worker ended with, below 0 a signal's number; None while it runs."""
        return self._process.poll()

    @property
    def info(self) -> EngineInfo:
        """See `Engine.info`."""
        return self._info

    @property
    def work(self) -> WorkDone:
        """See `Engine.work`."""
        return self._work

    def tokenize(self, texts: Sequence[str], *, special: bool, bos: Bos = "once") -> list[Tokens]:
        """See `Engine.tokenize`."""
        arguments = {"texts": list(texts), "special": special, "bos": bos}
        found = self._call("tokenize", f"tokenising {len(texts)} texts", arguments)
        return wire.token_lists_from_json(found)

    def tokenize_parts(
        self, prompts: Sequence[Sequence[str | int | None]], *, special: bool, bos: Bos = "once"
    ) -> list[Tokens]:
        """See `Engine.tokenize_parts`."""
        arguments = {"prompts": list(map(list, prompts)), "special": special, "bos": bos}
        found = self._call("tokenize_parts", f"tokenising {len(prompts)} prompts with pictures", arguments)
        return wire.token_lists_from_json(found)

    def token_of(self, piece: str) -> int | None:
        """See `Engine.token_of`."""
        if piece not in self._tokens_of:
            self._tokens_of[piece] = self._call("token_of", "looking up a token", {"piece": piece})
        return self._tokens_of[piece]

    def text_sizes(self, token_lists: Sequence[Tokens]) -> list[int]:
        """See `Engine.text_sizes`."""
        doing = f"measuring the text of {len(token_lists)} token lists"
        found: list[int] = self._call("text_sizes", doing, {"token_lists": list(token_lists)})
        return found

    def score(self, pack: Pack) -> list[OptionScores]:
        """See `Engine.score`."""
        self._generating, self._thinking = False, 0
        doing = f"scoring {_summary(pack)}"
        return wire.scores_from_json(self._call("score", doing, {"pack": wire.pack_to_json(pack)}))

    def generate(self, pack: Pack) -> list[str]:
        """See `Engine.generate`."""
        self._generating, self._thinking = True, 0
        doing = f"continuing {_summary(pack)}"
        texts: list[str] = self._call("generate", doing, {"pack": wire.pack_to_json(pack)})
        return texts

    def think(self, pack: Pack, heard: Heard) -> list[Trace]:
        """See `Engine.think`."""

        def told(number: int, written: int, trace: list[Any] | None) -> None:
            heard(number, written, None if trace is None else wire.trace_from_json(trace))

        rooms = [len(one.context) + one.max_tokens for one in pack.requests if isinstance(one, ThinkRequest)]
        self._generating, self._thinking = True, max(rooms, default=0)
        doing = f"thinking about {_summary(pack)}"
        traces = self._call("think", doing, {"pack": wire.pack_to_json(pack)}, told)
        return [wire.trace_from_json(trace) for trace in traces]

    def spell(self, token_lists: Sequence[Tokens]) -> list[str]:
        """See `Engine.spell`."""
        arguments = {"token_lists": list(token_lists)}
        texts: list[str] = self._call("spell", f"spelling {len(token_lists)} token lists", arguments)
        return texts

    def _call(
        self, name: str, doing: str, arguments: dict[str, Any], told: Callable[..., None] | None = None
    ) -> Any:
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        if self._interrupted:
            raise CancelledError(
                f"The work with {self._path} was interrupted, which ended its worker.",
                advice="Start the engine again; what was finished is kept.",
            )
        if pipe_in.closed:
            raise EngineError(f"The engine of {self._path} is closed.")
        line = json.dumps({"call": name, "arguments": arguments}).encode("ascii") + b"\n"
        asked = False
        try:
            try:
                pipe_in.write(line)
                pipe_in.flush()
                asked = True
                while (answer := pipe_out.readline()).startswith(_EVENT):
                    if told is not None and answer.endswith(b"\n"):
                        told(*json.loads(answer)["event"])
            except OSError:  # a broken pipe
                answer = b""
        except BaseException:  # an interrupt: the reply would be taken for the next one's
            if not (asked and self._stopped()):
                self._interrupted = True
                self._end()
            raise
        if not answer.endswith(b"\n"):
            raise self._died(doing)
        reply = json.loads(answer)
        if "error" in reply:
            raise wire.error_from_json(reply["error"])
        self._work = WorkDone(**reply["work"])
        return reply["result"]

    def _stopped(self) -> bool:
        """Ask the worker to give up what it does; whether it did, and its reply is out of the way."""
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        too_long = threading.Timer(PATIENCE, self._process.kill)
        too_long.start()
        try:
            pipe_in.write(STOP_LINE)
            pipe_in.flush()
            while (answer := pipe_out.readline()).startswith(_EVENT):
                pass
            json.loads(answer)  # whole, if nothing of it was lost when the interrupt came
        except (OSError, ValueError, KeyboardInterrupt):
            return False
        finally:
            too_long.cancel()
        return True

    def _died(self, doing: str) -> WorkerDied:
        available = memory_available()
        code = self._process.wait()
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - 4000))
        said = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        self._end()
        last = " ".join(line.strip() for line in said[-3:])[-600:]
        what = f"The worker of {self._path} ended while {doing}"
        ended_by = signal_of(code)
        if ended_by == "SIGKILL":
            return WorkerDied(
                f"{what}: it was killed (signal SIGKILL), probably because memory ran out. It needs about "
                f"{self._needs()}; {gigabytes(self._available)} were free before loading, "
                f"{gigabytes(available)} just after it ended.",
                advice=_SMALLER,
                signal=ended_by,
            )
        ending = _MEANINGS.get(ended_by) or (ended_by and f"signal {ended_by}") or f"exit code {code}"
        return WorkerDied(
            f"{what} ({ending})" + (f"; its last words: {last}" if last else "."),
            advice=_other_mode(self._options, generating=self._generating) or _REPORT,
            signal=ended_by,
        )

    def _needs(self) -> MemoryEstimate:
        """What the last call needs at least."""
        if self._options.vocabulary_only:
            return MemoryEstimate(0, 0, PROCESS)
        if not self._thinking:
            return self._needed[self._generating]
        # The context is as large as what is thought about, whatever the model was trained with.
        return memory_needed(self._path, replace(self._options, n_ctx=self._thinking), thinks=True)

    def _end(self, patience: float = 0) -> None:
        end_process(self._process, patience=patience)
        self._errors.close()

    def close(self) -> None:
        """See `Engine.close`."""
        self._end(PATIENCE)


def start_engine(path: Path, options: EngineOptions) -> WorkerEngine:
    """Load a model in a worker process.

    In the fast mode the first file of its type is loaded three times: see `repacking_pays`.

    Args:
        path: a GGUF file.
        options: how to load and decode.

    Returns:
        The engine, to be closed or used in a ``with`` statement.

    Raises:
        InputError: the file is missing or not a sound GGUF file.
        UnsupportedArchitectureError: llama.cpp does not know the model's architecture, or it cannot be scored.
        EngineError: llama.cpp cannot load the model or does not like an option.
        WorkerDied: the worker died while it was loading.
    """
    if options.mode == "fast" and options.repack and not options.vision and not options.vocabulary_only:
        pays = repacking_pays(path, options, read_settings().home, WorkerEngine)
        options = replace(options, repack=pays)
    return WorkerEngine(path, options)


def _other_mode(options: EngineOptions, *, generating: bool) -> str:
    """What llama.cpp may do without, and how; "" if it does without everything."""
    if options.mode == "fast":
        return _WITHOUT_REPACKING if options.repack else _WITHOUT_FLASH
    # The reproducible mode generates as the exact one does.
    return _WITHOUT_FLASH if options.mode == "reproducible" and not generating else ""


def _summary(pack: Pack) -> str:
    lengths = [len(request.context) for request in pack.requests]
    if not lengths:
        return "no prompts"
    span = f"{min(lengths)} to {max(lengths)}" if min(lengths) < max(lengths) else str(lengths[0])
    return f"{len(lengths)} prompt{'s' * (len(lengths) > 1)} of {span} tokens"
