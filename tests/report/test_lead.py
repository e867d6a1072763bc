from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from medbench_local.report import citation
from medbench_local.report.lead import choice_mattered, how_chosen, lead
from medbench_local.results.record import Discordant, Thinkers
from medbench_local.results.schema import Comparison, Results
from medbench_local.statistics.bootstrap import bootstrap_bounds
from medbench_local.statistics.paired import verdict as verdict_of
from medbench_local.statistics.significance import mcnemar_exact, minimum_detectable_difference
from tests.report.examples import CASES, checked, comparison, results


def counted(n: int, medical_only: int, base_only: int) -> Comparison:
    """A comparison with these counts, checked in full."""
    low, high = (bound / n for bound in bootstrap_bounds(n, medical_only, base_only, 0.95))
    found = verdict_of(low, high)
    return comparison(verdict=found, check=checked("full", found, n=n)).model_copy(
        update={
            "n": n,
            "difference": (medical_only - base_only) / n,
            "ci": (low, high),
            "discordant": Discordant(medical_only=medical_only, base_only=base_only),
            "mcnemar_p": mcnemar_exact(medical_only, base_only),
            "minimum_detectable_difference": minimum_detectable_difference(n, (medical_only + base_only) / n)
            if medical_only + base_only
            else None,
        }
    )


def thinking(who: Thinkers, verdict: str) -> Comparison:
    return comparison(verdict=verdict).model_copy(update={"thinkers": who})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Case:
    comparisons: list[Comparison]
    said: str


SENTENCES = {
    "nothing": Case([], "No comparison was made."),
    "a tie": Case(
        [comparison()],
        "No difference shown on 1,273 questions; anything under 4.4 points could have been missed.",
    ),
    "a win": Case(
        [comparison(verdict="win")],
        "The medical model is better by 6.2 points on 1,273 questions (95 % interval +3.1 to +9.3).",
    ),
    "a loss": Case(
        [comparison(verdict="loss")],
        "The base model is better by 10.0 points on 1,273 questions (95 % interval -12.7 to -7.2).",
    ),
    "alike": Case(
        [counted(100, 0, 0)], "No difference shown on 100 questions; both got the same questions right."
    ),
    "too few": Case(
        [counted(5, 5, 0)], "Nothing can be shown on 5 questions: no outcome of so few would be a result."
    ),
    "doubtful": Case(
        [counted(40, 4, 0)],
        "The medical model looks better by 10.0 points on 40 questions (95 % interval +2.5 to +20.0), but an exact "
        "test does not support it: treat it as no verdict.",
    ),
    "not checked": Case(
        [comparison(check=checked("none"))],
        "No difference shown on 1,273 questions; anything under 4.4 points could have been missed (scored at q8_0, "
        "not checked against full precision).",
    ),
    "not verified": Case(
        [comparison(verdict="win", check=checked("unsettled", "tie", "win"))],
        "The medical model is better by 6.2 points on 1,273 questions (95 % interval +3.1 to +9.3) (scored at q8_0, "
        "not verified at full precision).",
    ),
    "all ties": Case(
        [comparison(), counted(100, 10, 10)],
        "No difference shown in any of 2 comparisons; anything under 4.4 to 12.5 points could have been missed.",
    ),
    "wins and losses": Case(
        [comparison("a", "win"), comparison("b", "win"), comparison("c", "loss"), counted(40, 4, 0)],
        "Of 4 comparisons, the medical model is better in 2, worse in 1 and without a sound result in 1.",
    ),
    "one not verified": Case(
        [comparison("a", "win"), comparison("b", check=checked("unsettled", "tie", "win"))],
        "Of 2 comparisons, the medical model is better in 1 and not shown to differ in 1; in a tie anything under 4.4 "
        "points could have been missed (1 of these scored at q8_0 and not verified at full precision).",
    ),
    "thinking": Case(
        [thinking("both", "win"), thinking("medical", "tie"), thinking("none", "loss")],
        "With both models thinking, the medical model is better by 6.2 points on 1,273 questions (95 % interval +3.1 "
        "to +9.3).",
    ),
}


@pytest.mark.parametrize("case", SENTENCES)
def test_a_run_in_one_sentence(case: str) -> None:
    assert lead(results(SENTENCES[case].comparisons)) == SENTENCES[case].said


def test_every_example_has_its_sentence() -> None:
    for found in CASES.values():
        said = lead(found)
        assert said.endswith(".")
        assert "  " not in said


def test_how_much_the_choice_of_prompts_mattered() -> None:
    said = choice_mattered(CASES["every kind"])
    assert said[0].startswith(
        "A chosen prompt is expected to beat the default one by +3.1 points (median of 8 choices"
    )
    assert said[1] == (
        "With the medical model's prompt for both models, 2 of 4 verdicts would have been another one "
        "(medmcqa, 0-shot; mmlu-professional-medicine, 3-shot)"
    )
    assert choice_mattered(CASES["no candidates"]) == []


def test_what_is_to_be_cited_is_what_the_citation_file_says() -> None:
    said = yaml.safe_load((Path(__file__).parents[2] / "CITATION.cff").read_text(encoding="utf-8"))
    study = said["references"][0]
    assert study["title"] in citation.STUDY
    assert study["url"] in citation.STUDY
    assert study["collection-title"] in citation.STUDY
    for author in study["authors"]:
        assert f"{author['given-names']} {author['family-names']}" in citation.STUDY
    run: Results = CASES["one comparison"].model_copy(update={"version": said["version"]})
    assert said["abstract"] in citation.tool(run)
    assert f"{said['title']}, version {said['version']}" in citation.tool(run)


def test_how_the_prompts_were_chosen_is_said() -> None:
    (said,) = how_chosen(CASES["every kind"])
    assert said.startswith(
        "Each model has its own prompt in each comparison, the best on validation questions"
    )
    choices = [one for c in CASES["every kind"].comparisons for one in (c.prompt.medical, c.prompt.base)]
    assert str(max(len(one.candidates) for one in choices)) in said
    assert all(f"{one.method} search" in said for one in choices if one.candidates)
    assert how_chosen(CASES["no candidates"]) == ["No prompt was chosen: every model got the default one"]
    assert how_chosen(results([])) == []
