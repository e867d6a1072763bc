"""The list of rules, what holds for each of them, and that a new one is its file and its name in the list."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import medbench_local
from medbench_local.catalog.protocol import Scoring, load_protocol
from medbench_local.engine.base import ScoreRequest
from medbench_local.engine.fake import FakeEngine
from medbench_local.errors import UsageError
from medbench_local.prompts.prompt import Prompt, Shown
from medbench_local.reference.requests import SCORES_TEXTS
from medbench_local.scoring import rules
from medbench_local.scoring.rule import AskedPrompt, LogprobRule
from medbench_local.scoring.rules import RULES
from medbench_local.store.scores import StoredScore
from medbench_local.tasks.picture import Picture
from tests.study.material import questions, settings

PACKAGE = Path(medbench_local.__file__).parent


def test_the_list_and_the_files_agree() -> None:
    files = {path.stem for path in Path(rules.__file__).parent.glob("*.py")} - {"__init__"}
    assert set(RULES) == set(get_args(Scoring)) == files
    assert all(rule.name == name and rule.title for name, rule in RULES.items())
    assert len({rule.title for rule in RULES.values()}) == len(RULES)


def test_nothing_else_asks_which_rule_it_is() -> None:
    names = "|".join(get_args(Scoring))
    asks = re.compile(
        rf"[=!]=\s*[\"'](?:{names})[\"']|[\"'](?:{names})[\"']\s*[=!]=|\bcase [\"'](?:{names})[\"']"
    )
    found = [
        f"{path.relative_to(PACKAGE)}: {match[0]}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for match in asks.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if isinstance(rule, LogprobRule)])
def test_the_key_of_scores_is_that_of_every_release(name: Scoring) -> None:
    request = ScoreRequest((1, 2), ((3,), (4, 5)))
    assert RULES[name].key_parts(request) == ("score", (1, 2), (3,), (4, 5))
    assert RULES[name].room(request) == 3
    assert RULES[name].fits(StoredScore((-1.0, -2.0), 0.5, None, 2), request)
    assert not RULES[name].fits(StoredScore((-1.0,), 0.5, None, 2), request)


def test_requests_are_found_again_whatever_a_protocol_says_of_pictures() -> None:
    """Which are shown is in the prompt and its hash."""
    paper, all_shown = (
        settings(shot_images=mode, vision_ln_post=ln)
        for mode, ln in (("paper", "paper"), ("all", "original"))
    )
    assert paper.identity == all_shown.identity
    assert "shot_images" not in paper.identity
    assert settings(chat_bos="twice").identity != paper.identity


@pytest.mark.parametrize("name", get_args(Scoring))
def test_a_picture_is_refused_and_never_dropped(name: Scoring) -> None:
    (question,) = questions("test", 1)
    parts = ("Look: ", Shown((Picture("0" * 64),)), "What is it? ")
    prompt = Prompt(parts, special=False, labels=("(A)", "(B)", "(C)", "(D)"), stop=())
    with pytest.raises(UsageError, match="shows 1 picture"):
        RULES[name].requests(FakeEngine(), [AskedPrompt("made-up", question, prompt)], settings(name))


def test_only_what_is_generated_costs_tokens_of_its_own() -> None:
    study = load_protocol("emnlp2024")
    assert {name: rule.answer_tokens(study) for name, rule in RULES.items()} == {
        "constrained": 0,
        "label": 0,
        "cloze": 0,
        "thinking": 4096,
        "greedy": 64,
    }


def test_the_reference_knows_what_is_scored_without_using_this_code() -> None:
    assert SCORES_TEXTS
    for name, texts in SCORES_TEXTS.items():
        assert RULES[name].scores_option_texts == texts  # type: ignore[index]


TOY = '''
from medbench_local.engine.base import ScoreRequest
from medbench_local.scoring.rule import BuiltRequest, LogprobRule


class Toy(LogprobRule):
    """The least likely of the bytes 0, 1, 2 and so on is the answer."""

    name = "toy"
    title = "toy scoring"

    def requests(self, engine, asked, settings):
        texts = settings.tokenize(engine, [one.prompt.text for one in asked], special=asked[0].prompt.special)
        digits = tuple((engine.token_of(digit),) for digit in "0123456789")
        return [
            BuiltRequest(ScoreRequest(tokens, digits[: len(one.question.options)]))
            for tokens, one in zip(texts, asked, strict=True)
        ]

    def compared(self, logprobs, sizes):
        return tuple(-value for value in logprobs)


RULE = Toy()
'''

COMPARED = """
import json, sys
from pathlib import Path
from medbench_local import compare
run = compare("demo-med", "demo-base", tasks=["demo-anatomy"], shots=[0], scoring="toy", limit=12, quant="full",
              protocol=sys.argv[1], output=Path(sys.argv[2]))
print(json.dumps(run.results.to_dict()["comparisons"][0]["scoring"]))
"""


def test_a_new_rule_is_one_file_and_its_name_in_the_list(tmp_path: Path) -> None:
    """With a copy of the package: a whole comparison by a rule that was not there, its report included."""
    copy = tmp_path / "package" / "medbench_local"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    if not (copy / "quant_configs").is_dir():  # they lie beside the package in the repository
        shutil.copytree(PACKAGE.parent / "quant_configs", copy.parent / "quant_configs")
    (copy / "scoring" / "rules" / "toy.py").write_text(TOY, encoding="utf-8")
    listed = copy / "catalog" / "names.py"
    text = listed.read_text(encoding="utf-8")
    assert text.count('"greedy"]') == 1
    listed.write_text(text.replace('"greedy"]', '"greedy", "toy"]'), encoding="utf-8")
    protocol = tmp_path / "toy.yaml"
    protocol.write_text("name: toys\nsummary: By a toy.\nselection: {method: none}\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", COMPARED, str(protocol), str(tmp_path / "run")],
        env=os.environ | {"PYTHONPATH": str(copy.parent), "MEDBENCH_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == '"toy"'
    assert "toy scoring" in (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    samples = sorted((tmp_path / "run" / "samples").rglob("*.jsonl"))
    assert len(samples) == 2
    assert all('"scoring": "toy"' in path.read_text(encoding="utf-8") for path in samples)
