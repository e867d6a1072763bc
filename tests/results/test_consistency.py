"""A results.json whose numbers contradict each other is refused, with the place; what this release writes never is."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from medbench_local import InputError, read_results
from medbench_local.statistics.bootstrap import bootstrap_bounds
from tests.report.examples import CASES
from tests.study.conftest import Fakes, write_task

Data = dict[str, Any]
RUNS = (
    {"check": "none", "quant": "full"},
    {"check": "full", "check_precision": "q6_k", "quant": "q4_0"},
    {"quant": "auto"},
    {"scoring": "greedy"},
)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, demo_home: Path) -> Iterator[str]:
    """What a run found that was checked on every question, at two numbers of shots."""
    folder = tmp_path_factory.mktemp("real")
    write_task(folder / "made-up")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDBENCH_HOME", str(demo_home))
        patch.delenv("MEDBENCH_DATA", raising=False)
        patch.chdir(folder)
        run = Fakes().compare(tasks=["./made-up"], shots=[0, 3], check="full", ablation=True)
        yield (folder / run.folder.results_file).read_text()


@pytest.fixture
def real(once: str) -> Data:
    found: Data = json.loads(once)
    return found


def _read(data: Data, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(data))
    read_results(path)


@pytest.mark.parametrize("options", RUNS, ids=str)
def test_what_runs_write_is_read(fakes: Fakes, options: dict[str, Any]) -> None:
    run = fakes.compare(tasks=["./made-up"], shots=[0, 3], **options)
    assert read_results(run.folder.results_file) == run.results


@pytest.mark.parametrize("name", CASES)
def test_the_examples_of_the_reports_are_sound(name: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(CASES[name].to_json(), encoding="utf-8")
    twice = len({(c.task, c.shots) for c in CASES[name].comparisons}) < len(CASES[name].comparisons)
    assert not twice
    read_results(path)


@dataclass(frozen=True)
class Mutation:
    """A change of a results.json after which two of its numbers contradict each other.

    Attributes:
        key: in which place the first comparison is changed; from the top of the file if it begins with "/".
        change: from the value there to another one.
        place: the key that the refusal names; `key` if empty.
        problem: a part of what it says.
    """

    key: str
    change: Callable[[Any], Any]
    problem: str
    place: str = ""


def _set(value: object) -> Callable[[Any], Any]:
    return lambda _: value


MUTATIONS = [
    Mutation("difference", lambda x: x + 0.01, "expected .* / 60"),
    Mutation("accuracy.medical", lambda x: x + 0.001, "a whole number of 60 questions"),
    Mutation("accuracy.medical", lambda x: x - 1 / 60, "by key 'discordant'", place="accuracy"),
    Mutation("accuracy", _set({"medical": 0.0, "base": 0.0}), "0 of 60 are right", place="accuracy.medical"),
    Mutation("discordant.medical_only", lambda x: x + 1, "by key 'discordant'", place="accuracy"),
    Mutation("discordant.base_only", _set(61), "at most 60", place="discordant"),
    Mutation("ci", lambda x: [x[0] - 1 / 60, x[1]], "the 95% interval"),
    Mutation("ci", lambda x: [x[0], x[1] + 1 / 60], "the 95% interval"),
    Mutation("ci", lambda x: [x[0] + 0.001, x[1]], "the 95% interval"),
    Mutation("mcnemar_p", lambda x: x * 1.001 + 1e-9, "by key 'discordant'"),
    Mutation("holm_p", lambda x: min(1.0, x * 1.001 + 1e-3), "Holm's adjustment"),
    Mutation("minimum_detectable_difference", lambda x: x + 1e-6, "by keys 'n' and 'discordant'"),
    Mutation("minimum_detectable_difference", _set(None), "found None"),
    Mutation("check.of", _set(61), "the 60 questions|all are checked"),
    Mutation("check.confidence", _set(0.95), "'full' has 1"),
    Mutation("check.confidence", _set(None), "'full' has 1"),
    Mutation("check.confidence", _set(1.5), "less than or equal to 1"),
    Mutation("check.changes.medical.n", _set(61), "at most the 60"),
    Mutation("check.changes.medical.flips", _set(61), "at most 60"),
    Mutation("check.changes.base.correct_to_wrong", _set(60), "at least the 60", "check.changes.base.flips"),
    Mutation("counts.medical.near_ties", _set(61), "at most 60"),
    Mutation("counts.base.overlong", _set(61), "at most 60"),
    Mutation("quantised.difference", lambda x: x - 0.1, "expected .* / 60"),
    Mutation("quantised.accuracy.base", lambda x: x + 0.003, "a whole number"),
    Mutation("quantised.ci", lambda x: [x[0], x[1] + 1 / 60], "the 95% interval"),
    Mutation(
        "equivalence.medical.accuracy_full",
        lambda x: x - 1 / 60,
        "expected",
        "equivalence.medical.accuracy_quantised",
    ),
    Mutation("equivalence.medical.difference", _set(0.05), "expected"),
    Mutation("equivalence.base.flips", _set(59), "Wilson", "equivalence.base.flip_ci"),
    Mutation("equivalence.base.n", _set(90), "at most the 60"),
    Mutation("equivalence.verified", _set(False), "expected true"),
    Mutation("ablation.raw", _set("tie"), "gives '(win|loss)'"),
    Mutation("ablation.shared_prompt_accuracy", _set(0.123), "a whole number"),
    Mutation("/confidence", _set(0.9), "the 90% interval", "comparisons.0.ci"),
    Mutation("/confidence", _set(1.0), "between 0 and 1", "confidence"),
    Mutation("/confidence", _set(0.0), "between 0 and 1", "confidence"),
    Mutation("/mode", _set("quick"), "'exact', 'reproducible' or 'fast'", "mode"),
    Mutation("/check_mode", _set(""), "'exact', 'reproducible' or 'fast'", "check_mode"),
    Mutation("/comparisons", lambda x: [*x, x[0]], r"comparisons\.0 has the same task", "comparisons.2"),
]


OF_CLUSTERS = [
    Mutation("clusters.n", lambda x: x + 1, "found 895 by key 'kinds'"),
    Mutation("clusters.ci", lambda x: [x[0] - 0.001, x[1]], "the 95% interval of key 'kinds'"),
    Mutation("clusters.ci", lambda x: [x[0], x[1] + 0.001], "the 95% interval of key 'kinds'"),
    Mutation("clusters.verdict", _set("win"), "gives 'tie'"),
    Mutation("clusters.by", _set("pixel"), "'picture'"),
    Mutation("clusters.kinds", _set([]), "a picture with several questions"),
    Mutation("clusters.kinds", lambda x: [*x, x[0]], "stand there twice"),
    Mutation("clusters.kinds.0.clusters", lambda x: x + 1, "by key 'kinds'", "clusters.n"),
    Mutation("clusters.kinds.0.clusters", _set(0), "greater than or equal to 1"),
    Mutation("clusters.kinds.0.questions", lambda x: x + 1, "expected 1273 questions", "clusters.kinds"),
    Mutation("clusters.kinds.2.difference", lambda x: x - 1, "by key 'discordant'", "clusters.kinds"),
    Mutation("clusters.kinds.0.difference", _set(2), "at most 1 questions"),
    Mutation("clusters.kinds.1.difference", _set(2**60), "less than or equal to"),
    Mutation("clusters.kinds.1.difference", _set(-20), "at most 19 questions"),
]


@pytest.mark.parametrize("mutation", OF_CLUSTERS, ids=lambda mutation: mutation.key)
def test_one_number_of_the_clusters_that_does_not_go_with_the_others(
    tmp_path: Path, mutation: Mutation
) -> None:
    _refused(json.loads(CASES["pictures"].to_json()), tmp_path, mutation)


def test_clusters_of_other_questions_are_refused(tmp_path: Path) -> None:
    data = json.loads(CASES["pictures"].to_json())
    one, other = data["comparisons"][:2]
    other["clusters"] = one["clusters"]
    with pytest.raises(InputError, match=r"comparisons\.1\.clusters\.kinds.*discordant"):
        _read(data, tmp_path)
    # As many questions and the same sum, but more discordant ones than there are.
    first = one["clusters"]["kinds"][0]
    assert (first["questions"], first["difference"]) == (1, 0)
    first["clusters"] -= 400
    one["clusters"]["kinds"] += [
        {"questions": 1, "difference": difference, "clusters": 200} for difference in (-1, 1)
    ]
    data["comparisons"] = [one]
    with pytest.raises(InputError, match="at most the 399 discordant"):
        _read(data, tmp_path)


def test_clusters_of_one_question_each_are_none(tmp_path: Path) -> None:
    data = json.loads(CASES["pictures"].to_json())
    one = data["comparisons"][0]
    only = one["discordant"]
    rest = one["n"] - only["medical_only"] - only["base_only"]
    one["clusters"] = {
        "by": "picture",
        "n": one["n"],
        "ci": one["ci"],
        "verdict": one["verdict"],
        "kinds": [
            {"questions": 1, "difference": difference, "clusters": count}
            for difference, count in ((-1, only["base_only"]), (0, rest), (1, only["medical_only"]))
        ],
    }
    with pytest.raises(InputError, match="a picture with several questions"):
        _read(data, tmp_path)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.key)
def test_one_number_that_does_not_go_with_the_others(real: Data, tmp_path: Path, mutation: Mutation) -> None:
    _refused(real, tmp_path, mutation)


def _refused(real: Data, tmp_path: Path, mutation: Mutation) -> None:
    _read(real, tmp_path)
    *way, last = mutation.key.strip("/").split(".")
    part: Any = real if mutation.key.startswith("/") else real["comparisons"][0]
    for key in way:
        part = part[int(key)] if isinstance(part, list) else part[key]
    part[last] = mutation.change(deepcopy(part[last]))
    place = mutation.place or f"comparisons.0.{mutation.key}"
    place = (
        place if mutation.key.startswith("/") or place.startswith("comparisons") else f"comparisons.0.{place}"
    )
    with pytest.raises(InputError, match=rf"results\.json, key '{place}': .*({mutation.problem})") as caught:
        _read(real, tmp_path)
    assert "\n" not in caught.value.message


def test_numbers_that_went_through_other_programs_are_taken_for_the_same(real: Data, tmp_path: Path) -> None:
    """Twelve digits are what many programs write of a float."""

    def rounded(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: rounded(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [rounded(inner) for inner in value]
        return float(f"{value:.12g}") if isinstance(value, float) else value

    assert rounded(real) != real
    _read(rounded(real), tmp_path)


def _of_version_0_1(data: Data) -> Data:
    """What that version, which drew resamples, wrote of the same questions; it did not say that it did."""
    return data | {"version": None}


@pytest.mark.parametrize("shift", [-1, 1])
def test_an_interval_that_was_drawn_may_be_a_question_off(real: Data, tmp_path: Path, shift: int) -> None:
    old = _of_version_0_1(real)
    (first, _) = old["comparisons"]
    for numbers in (first, first["quantised"]):
        numbers["ci"] = [bound + shift / 60 for bound in numbers["ci"]]
    _read(old, tmp_path)
    for numbers in (first, first["quantised"]):
        numbers["ci"] = [bound + 4 * shift / 60 for bound in numbers["ci"]]
    with pytest.raises(InputError, match="the 95% interval"):
        _read(old, tmp_path)


def test_what_is_reported_is_what_was_scored_unless_full_precision_replaced_it(
    fakes: Fakes, tmp_path: Path
) -> None:
    run = fakes.compare(tasks=["./made-up"], shots=[0], check="none", quant="q8_0")
    data = json.loads(run.folder.results_file.read_text())
    _read(data, tmp_path)
    scored = data["comparisons"][0]["quantised"]
    plus, minus = scored["discordant"]["medical_only"] - 1, scored["discordant"]["base_only"]
    low, high = bootstrap_bounds(60, plus, minus, 0.95)
    scored |= {
        "accuracy": {**scored["accuracy"], "medical": scored["accuracy"]["medical"] - 1 / 60},
        "discordant": {"medical_only": plus, "base_only": minus},
        "difference": (plus - minus) / 60,
        "ci": [low / 60, high / 60],
    }
    with pytest.raises(InputError, match=r"quantised\.accuracy'.*full precision is not what is reported"):
        _read(data, tmp_path)
