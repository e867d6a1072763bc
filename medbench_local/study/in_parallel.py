"""All comparisons at one precision on a cluster: each model's cells by themselves, in threads that mostly wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol

from medbench_local.errors import CancelledError, MedbenchError
from medbench_local.progress import Progress
from medbench_local.results.record import ROLES, Role
from medbench_local.study.plan import CellKey

_LOOK = 0.5
"""Seconds between two looks at whether somebody wants to interrupt."""


class Parts(Protocol):
    """What is done with cells of one task that share their answers."""

    def answer(self, role: Role, cells: Sequence[CellKey]) -> None:
        """One model chooses its prompts and takes the test."""

    def finish(self, cells: Sequence[CellKey]) -> None:
        """The verdicts, and their check; both models have answered."""


def take_all(
    parts: Parts,
    groups: Sequence[tuple[CellKey, ...]],
    longest: Mapping[tuple[Role, tuple[CellKey, ...]], float],
    *,
    stop: Callable[[], None],
    progress: Progress,
) -> None:
    """Answer, judge and check all groups; what goes wrong in one does not end the others.

    Args:
        parts: does it.
        groups: of cells, each of one task.
        longest: how much each model has to do in each group, about.
        stop: ends all work; called when this is interrupted.
        progress: hears of what goes wrong.

    Raises:
        MedbenchError: the first that went wrong, once everything else is done.
    """
    order = sorted(longest, key=lambda one: -longest[one])
    open_roles = {group: len(ROLES) for group in groups}
    failed: list[BaseException] = []
    with (
        progress.step("comparisons", total=len(groups), unit="comparisons") as advance,
        ThreadPoolExecutor(max_workers=max(len(order), 1)) as threads,
    ):
        waiting: dict[Future[None], tuple[tuple[CellKey, ...], bool]] = {
            threads.submit(parts.answer, role, group): (group, False) for role, group in order
        }
        try:
            while waiting:
                done, _ = wait(waiting, timeout=_LOOK, return_when=FIRST_COMPLETED)
                for future in done:
                    group, finished = waiting.pop(future)
                    error = future.exception()
                    if error is not None:
                        failed.append(error)
                        _tell(error, group, progress)
                    elif finished:
                        advance(1)
                    else:
                        open_roles[group] -= 1
                        if not open_roles[group]:
                            waiting[threads.submit(parts.finish, group)] = group, True
        except BaseException:
            stop()
            raise
    if failed:
        raise next((error for error in failed if not isinstance(error, CancelledError)), failed[0])


def _tell(error: BaseException, group: tuple[CellKey, ...], progress: Progress) -> None:
    if isinstance(error, MedbenchError) and not isinstance(error, CancelledError):
        task, shots, *_ = group[0]
        progress.note(f"warning: {task}, {shots}-shot: {error.message} The other comparisons go on.")
