"""The exact prompts of a cell as rows, to be run on any engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from medbench_local.errors import UsageError
from medbench_local.prompts.demonstrations import demonstration_rows
from medbench_local.prompts.prompt import Prompt
from medbench_local.prompts.prompt_style import PromptStyle
from medbench_local.prompts.rendering import render
from medbench_local.tasks.picture import Picture
from medbench_local.tasks.question import Question, SplitName, Task


@dataclass(frozen=True)
class ExportedThinking:
    """How a model thinks about a prompt before its options are scored.

    Behind the prompt the model writes greedily. The trace ends with the token that completes one of ``close``, before a
    token that ends generation, or after ``budget`` tokens. Unless it is closed, the tokens of ``forced`` follow; then
    those of ``lead``, and the options are compared there. Each of these texts has the tokens that it has behind a
    letter, and control-token text in it stands for control tokens.

    Attributes:
        close: texts that end the thinking.
        forced: closes it where the model has not.
        budget: most tokens of thinking, at least 1.
        reading: "constrained": each of ``endings`` is one token, by itself; "label": lead and ending are tokenised as
            one text, and the tokens behind those that all of them begin with count.
        lead: what begins the answer.
        endings: how each option goes on.
    """

    close: tuple[str, ...]
    forced: str
    budget: int
    reading: str
    lead: str
    endings: tuple[str, ...]


AtPlace = str | tuple[str, ...] | None
"""What stands for the pictures of a place: of one, of several, of none."""

_ONLY_SOME = ("scoring", "gap", "text_sha256", "think", "images", "image_sha256")
"""What not every row has."""


@dataclass(frozen=True)
class ExportedPrompt:
    """One row of an export.

    Attributes:
        model: name of the model that is prompted.
        task, split: where the question is from.
        item: the question's row in its split, from 0.
        id: the question's id.
        shots: how many demonstrations are shown.
        format: "default", or the seed of a sampled format.
        demonstrations: seed of the demonstration set, or None for zero-shot.
        prompt: the text; trailing blanks count. "<image>" stands for each place of pictures.
        special: whether control-token text in it stands for control tokens, as in chat prompts.
        options: the options' labels as an answer writes them, or the options' texts where the prompt shows none.
        answer: index of the correct option.
        scoring: how a run scored the options; None where nothing was scored.
        gap: what stands between the prompt and an option's text; None where labels are scored.
        text_sha256: hash of the question's text and options, as a run's samples have it; or None.
        images: what is shown at each place: the picture's name as its data set has it; None where the place is written
            and nothing is shown; several names where the text behind looks at several pictures alike. None for a prompt
            that has no such place.
        image_sha256: hashes of these pictures' files, in the same form.
        think: how the model thinks first; None where it answers at once.
    """

    model: str
    task: str
    split: SplitName
    item: int
    id: str
    shots: int
    format: str | int
    demonstrations: int | None
    prompt: str
    special: bool
    options: tuple[str, ...]
    answer: int
    scoring: str | None = None
    gap: str | None = None
    text_sha256: str | None = None
    think: ExportedThinking | None = None
    images: tuple[AtPlace, ...] | None = None
    image_sha256: tuple[AtPlace, ...] | None = None

    def as_row(self) -> dict[str, object]:
        """The row as JSON has it; what only a run knows is left out where there is none."""
        row = asdict(self) | {"options": list(self.options)}
        for name in ("images", "image_sha256"):
            places = getattr(self, name) or ()
            row[name] = [list(one) if isinstance(one, tuple) else one for one in places] or None
        if self.think is not None:
            row["think"] = {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in asdict(self.think).items()
            }
        return {name: value for name, value in row.items() if value is not None or name not in _ONLY_SOME}


Write = Callable[[PromptStyle, str, Question, Sequence[Question], int | None], Prompt]
"""Writes a prompt, as `medbench_local.prompts.prompt_style.render` does."""

Complete = Callable[[ExportedPrompt, Prompt, Question], ExportedPrompt]
"""Adds to a row what a scoring needs."""


def exported_prompts(
    prompt_style: PromptStyle,
    task: Task,
    split: SplitName,
    shots: int,
    *,
    formats: Iterable[int | None],
    demonstration_seeds: Sequence[int],
    items: Iterable[int] | None = None,
    write: Write = render,
    complete: Complete = lambda row, _prompt, _question: row,
) -> Iterator[ExportedPrompt]:
    """The prompts of the chosen questions: by format, then demonstration set, then question.

    Args:
        prompt_style: of the model; a system prompt of one's own is in it.
        task: the task.
        split: whose questions are asked; demonstrations always come from the task's own pool.
        shots: demonstrations shown.
        formats: seeds of sampled formats; None for the model's default template.
        demonstration_seeds: seeds of demonstration sets; not used for zero-shot.
        items: rows of the split, or None for all.
        write: makes the prompts.
        complete: adds to each row what a scoring needs.

    Raises:
        UsageError: an item is not in the split, the pool has too few questions, or the model cannot be asked them.
    """
    questions = task.questions(split)
    rows = list(range(len(questions)) if items is None else items)
    if absent := [row for row in rows if not 0 <= row < len(questions)]:
        raise UsageError(
            f"{task.id} has no item {absent[0]} in its {split} split.",
            advice=f"Its items are 0 to {len(questions) - 1}.",
        )
    pool = task.questions("demonstrations")
    seeds: Sequence[int | None] = demonstration_seeds if shots else [None]
    shown = {
        seed: [pool[row] for row in demonstration_rows(seed, len(pool), shots)] if seed is not None else []
        for seed in seeds
    }
    for format in formats:
        for seed in seeds:
            for row in rows:
                question = questions[row]
                prompt = write(prompt_style, task.id, question, shown[seed], format)
                exported = exported_prompt(
                    prompt_style.name,
                    task.id,
                    split,
                    row,
                    question,
                    prompt,
                    shots=shots,
                    format=format,
                    demonstrations=seed,
                )
                yield complete(exported, prompt, question)


def exported_prompt(
    model: str,
    task: str,
    split: SplitName,
    item: int,
    question: Question,
    prompt: Prompt,
    *,
    shots: int,
    format: int | None,
    demonstrations: int | None,
) -> ExportedPrompt:
    """One row; arguments as the attributes of `ExportedPrompt`, ``format`` None for the default one."""
    return ExportedPrompt(
        model=model,
        task=task,
        split=split,
        item=item,
        id=question.id,
        shots=shots,
        format="default" if format is None else format,
        demonstrations=demonstrations,
        prompt=str(prompt),
        special=prompt.special,
        options=prompt.labels,
        answer=question.answer,
        images=_at_places(prompt, lambda picture: picture.name),
        image_sha256=_at_places(prompt, lambda picture: picture.sha256),
    )


def _at_places(prompt: Prompt, written: Callable[[Picture], str]) -> tuple[AtPlace, ...] | None:
    found: list[AtPlace] = []
    for place in prompt.places:
        texts = tuple(map(written, place.pictures))
        found.append(texts if len(texts) > 1 else next(iter(texts), None))
    return tuple(found) or None
