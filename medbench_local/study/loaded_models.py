"""The models of a comparison, each loaded when it is needed and kept loaded while there is room beside the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

from medbench_local.errors import WorkerDied
from medbench_local.results.record import Role
from medbench_local.scoring.session import ModelSession


@dataclass(frozen=True)
class Seat:
    """One model at one precision.

    Attributes:
        role: of the model.
        reference: whether it is the precision that is checked against.
    """

    role: Role
    reference: bool = False


@dataclass(frozen=True)
class Room:
    """How much memory loaded models may take together.

    Attributes:
        needs: bytes that each takes.
        free: bytes for all of them; 0 if never more than one may be loaded.
    """

    needs: Mapping[Seat, int]
    free: int

    def holds(self, *seats: Seat) -> bool:
        """Whether these can be loaded at once; one alone always can: what does not fit was refused before."""
        return len(set(seats)) < 2 or sum(self.needs[seat] for seat in set(seats)) <= self.free


class LoadedModels:
    """Sessions that stay open between visits; use as a context manager, which closes them all.

    A model that computes on a GPU stays loaded alone: how much memory that one has is not known here.

    Args:
        open_session: makes a session, not entered yet.
        room: which models may be loaded at once.

    Attributes:
        on_gpu: whether the model that was loaded last computes on a GPU.
    """

    def __init__(self, open_session: Callable[[Seat], ModelSession], room: Room) -> None:
        self._open_session = open_session
        self._room = room
        self._open: dict[Seat, ModelSession] = {}
        self._alone = False
        self.on_gpu = False

    def __enter__(self) -> LoadedModels:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def visit(self, seat: Seat) -> Iterator[ModelSession]:
        """The session of a model, loaded if it is not. What goes wrong in the block ends all sessions."""
        try:
            if seat not in self._open:
                self._make_room(seat)
                self._open[seat] = self._open_session(seat).__enter__()
            session = self._open.pop(seat)
            self._open[seat] = session  # the last in line: it is the last to make room for another
            self.on_gpu = "gpu_layers" in session.info.numerics
            yield session
        except BaseException as error:
            self._alone = self._alone or isinstance(error, WorkerDied)  # of memory that ran out, perhaps
            self.close()
            raise

    def stay(self, *seats: Seat) -> bool:
        """Whether these models stay loaded beside each other."""
        return not (self._alone or self.on_gpu) and self._room.holds(*seats)

    def close(self) -> None:
        """End all sessions."""
        while self._open:
            _, session = self._open.popitem()
            session.__exit__(None, None, None)

    def _make_room(self, seat: Seat) -> None:
        while self._open and not self.stay(seat, *self._open):
            first = next(iter(self._open))
            self._open.pop(first).__exit__(None, None, None)
