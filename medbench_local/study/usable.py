"""What can be asked at all: pictures of models that read them, and prompts that the study's code could ask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from medbench_local.acquire.source import HubGguf, LocalCheckpoint, LocalGguf, ModelSource
from medbench_local.errors import TooFewPicturesError
from medbench_local.prompts.demonstrations import demonstration_rows
from medbench_local.prompts.families import FAMILIES
from medbench_local.prompts.prompt import Candidate
from medbench_local.prompts.prompt_style import PromptStyle
from medbench_local.prompts.rendering import blind, lacking_pictures
from medbench_local.tasks.question import Question, Task


def refuse_unread_pictures(source: ModelSource, tasks: Sequence[Task]) -> None:
    """Refuse tasks with pictures for a model that is known to read text only, before any file of it is fetched or made.

    Of a repository on the hub its files say what it reads: see `medbench_local.study.model_prompts.refuse_prompts`.

    Raises:
        UsageError: there is one.
    """
    if not _reads_text_only(source):
        return
    for task in tasks:
        if any(question.pictures for split in task.splits.values() for question in split.questions):
            raise blind(source.name, task.id)


def _reads_text_only(source: ModelSource) -> bool:
    entry = source.entry
    if entry is not None:
        return not entry.own_template and FAMILIES[entry.family].layout is None
    if isinstance(source, LocalGguf) and source.vision is not None:
        return False
    return isinstance(source, LocalGguf | LocalCheckpoint | HubGguf) and source.projector is None


def usable_candidates(
    prompt_style: PromptStyle, task: Task, shots: int, candidates: Sequence[Candidate], *, drops: bool
) -> tuple[Candidate, ...]:
    """Those that can ask every question of the validation and the test split.

    A prompt may have more places for pictures than the study's code handed over, which then failed: with demonstrations
    that have several. That depends on the numbers of pictures only, and not on the format.

    Args:
        prompt_style: of the model.
        task: its questions.
        shots: demonstrations in a prompt.
        candidates: in the order of evaluation.
        drops: whether demonstrations are left out of prompts that are too long.

    Raises:
        TooFewPicturesError: none can.
    """
    left_out = set(
        unusable_sets(prompt_style, task, shots, (one.demonstrations for one in candidates), drops=drops)
    )
    found = tuple(one for one in candidates if one.demonstrations not in left_out)
    if not found:
        whichever = (
            ", whichever demonstrations are shown"
            if shots
            else ": a question's text names one more than once"
        )
        raise TooFewPicturesError(
            f"{task.id}, {shots}-shot: the study's code hands {prompt_style.name} fewer pictures than its prompts have "
            f"places{whichever}.",
            advice="Name a protocol with `shot_images: all`, or leave the task out with `tasks=`.",
        )
    return found


def unusable_sets(
    prompt_style: PromptStyle, task: Task, shots: int, seeds: Iterable[int | None], *, drops: bool
) -> tuple[int | None, ...]:
    """The demonstration sets that cannot be shown; arguments as of `usable_candidates`, None for no demonstrations."""
    if not prompt_style.layout.shows_pictures or prompt_style.shot_images == "all":
        return ()
    questions = [*task.questions("validation"), *task.questions("test")]

    def fails(seed: int | None) -> bool:
        shown = _demonstrations(task, shots, seed)
        sets = [shown[dropped:] for dropped in range(len(shown) + 1 if drops else 1)]
        return any(lacking_pictures(prompt_style, question, rest) for rest in sets for question in questions)

    return tuple(seed for seed in dict.fromkeys(seeds) if fails(seed))


def _demonstrations(task: Task, shots: int, seed: int | None) -> tuple[Question, ...]:
    if seed is None:
        return ()
    pool = task.questions("demonstrations")
    return tuple(pool[row] for row in demonstration_rows(seed, len(pool), shots))
