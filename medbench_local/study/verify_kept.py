"""What a run keeps of its questions, prompts and scores, held against its samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from medbench_local.errors import InputError, StoreError
from medbench_local.results.asked import KeptQuestion, has_questions, read_prompts, read_questions
from medbench_local.results.evidence_reading import hold_together
from medbench_local.results.folder import RunFolder
from medbench_local.results.record import Role
from medbench_local.results.schema import Comparison
from medbench_local.scoring.rules import RULES
from medbench_local.store.kept import kept_scores
from medbench_local.store.scores import StoredScore
from medbench_local.study.run_checks import RunChecks, label_of
from medbench_local.study.sampled_answers import SampledSide
from medbench_local.tasks.question import Question


def check_questions(run: RunChecks) -> None:
    """The questions that were kept, against the samples; generated answers, against the questions."""
    if not has_questions(run.folder):
        run.add("questions", "not checked", "the folder has none")
        if any(RULES[c.scoring].generates for c in run.results.comparisons):
            run.add(
                "generated answers",
                "not checked",
                "which option a text names follows from the question's options",
            )
        return
    read: dict[str, tuple[KeptQuestion, ...] | str] = {}
    for index, sides in run.sides.items():
        comparison = run.results.comparisons[index]
        task = comparison.task
        if task not in read:
            try:
                read[task] = read_questions(run.folder, task)
            except InputError as error:
                read[task] = error.message
        questions = read[task]
        what = f"questions of {label_of(comparison)}"
        if isinstance(questions, str):
            run.add(what, "does not hold", questions)
            continue
        run.judge(
            what,
            _unlike_samples(questions, comparison, sides),
            f"{len(questions):,} questions have the hashes and answers of the samples",
        )
        if RULES[comparison.scoring].generates:
            run.judge(
                f"generated answers of {label_of(comparison)}",
                _unlike_texts(run.folder, questions, comparison, sides),
                "every prediction is the option that its text names",
            )


def _unlike_samples(
    questions: tuple[KeptQuestion, ...], comparison: Comparison, sides: Mapping[Role, SampledSide]
) -> Iterator[str]:
    if len(questions) != comparison.n:
        yield f"expected {comparison.n:,} questions, found {len(questions):,}"
    for question, sample in zip(questions, sides["medical"].reported, strict=False):
        try:
            hold_together(question, sample)
        except InputError as error:
            yield error.message


def _unlike_texts(
    folder: RunFolder,
    questions: tuple[KeptQuestion, ...],
    comparison: Comparison,
    sides: Mapping[Role, SampledSide],
) -> Iterator[str]:
    protocol, rule = folder.protocol(), RULES[comparison.scoring]
    by_id = {one.id: Question(one.id, one.text, one.options, one.answer) for one in questions}
    for side in sides.values():
        for sample in (*side.reported, *side.other):
            if sample.text is None or sample.id not in by_id:
                continue
            choice = rule.choose(by_id[sample.id], (), StoredScore((), None, sample.text, 0), protocol)
            if choice.prediction != sample.prediction:
                yield sample.row.error(
                    f"question {sample.id}: the text names {choice.prediction}, found {sample.prediction}",
                    name="prediction",
                ).message


def check_prompts(run: RunChecks) -> None:
    """The chosen prompts, against the first prompts of the samples."""
    if not run.folder.prompts_file.is_file():
        run.add("chosen prompts", "not checked", "the folder has none")
        return
    try:
        prompts = read_prompts(run.folder)
    except InputError as error:
        run.add("chosen prompts", "does not hold", error.message)
        return
    sent = {
        (role, c.task, c.shots, c.thinkers): side.reported[0].prompt_sha256
        for index, sides in run.sides.items()
        for role, side in sides.items()
        if (c := run.results.comparisons[index]) and side.reported
    }
    kept = {(one.role, one.task, one.shots, one.thinkers): one for one in prompts}
    defects = (
        f"{task}, {shots}-shot, {role}: "
        + (
            "prompts.jsonl has none"
            if one is None
            else f"the prompt of {one.where} is not the first that was sent"
        )
        for (role, task, shots, who), sha256 in sent.items()
        if (one := kept.get((role, task, shots, who))) is None or one.sha256 != sha256
    )
    run.judge("chosen prompts", defects, f"{len(prompts)} prompts have the hashes of the first samples")


def check_store(run: RunChecks) -> None:
    """Every answer must be one that was computed; which prompt it belongs to, only the model's tokens would tell."""
    what = "scores.sqlite"
    try:
        kept = kept_scores(run.folder.scores_file)
    except StoreError as error:
        run.add(what, "not checked", error.message)
        return

    def strange() -> Iterator[str]:
        for sides in run.sides.values():
            for side in sides.values():
                for sample in (*side.reported, *side.other):
                    if sample.logprobs and sample.logprobs not in kept.logprobs:
                        problem = f"question {sample.id}: no such log-probabilities were computed"
                        yield sample.row.error(problem, name="logprobs").message
                    if sample.text is not None and sample.text not in kept.texts:
                        problem = f"question {sample.id}: no such text was generated"
                        yield sample.row.error(problem, name="text").message

    if run.sides:
        run.judge(what, strange(), "every answer of the samples is among the scores")
    else:
        run.add(what, "not checked", "there are no samples to hold against it")
