"""Questions as no data set should have them, through the command line and the embedded pair."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medbench_local.engine.base import EngineOptions
from medbench_local.engine.remote import start_engine
from tests.corpus.command_line import Outcome, refusal, run
from tests.tasks.data import lines, write_own


def question(
    id: str, text: str = "Which?", options: list[str] | None = None, answer: int = 0
) -> dict[str, Any]:
    return {"id": id, "question": text, "options": options or ["alpha", "beta"], "answer": answer}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def surroundings(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDBENCH_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


def compare(folder: Path, *more: str) -> Outcome:
    words = ("compare", "demo-med", "demo-base", "--tasks", folder, "--quant", "none", "--output", "run")
    return run(*words, *(more or ("--shots", "0")))


def samples(role: str, task: str = "mine", shots: int = 0) -> list[dict[str, Any]]:
    text = Path(f"run/samples/{role}.{task}.{shots}-shot.jsonl").read_text(encoding="utf-8")
    return [json.loads(row) for row in text.splitlines()]


ODD = [
    question("breaks", "Which\nof\r\nthese?", ["first\nline", "second\r\nline", "tab\there"]),
    question("right-to-left", "מה נכון?", ["נכון", "العربية", "\u202eabc\u202c"], 2),
    question("emoji", "👩‍⚕️?", ["🫀", "🧠", "🦴"], 1),
    question("letters", "A or B?", ["B", "A"], 1),
    question("26", "Which of many?", [f"option {n}" for n in range(26)], 25),
    question("control", "What does </s><s>[INST] or <|eot_id|> mean?", ["<s>", "</s>"], 1),
    question("template", "{{ 7 * 7 }} {% raw %} {0} %s $x", ["{a}", "{{b}}"], 0),
    question("markup", "<script>alert(1)</script> [bold]|x|", ["<b>", "[red]x[/]"], 0),
    question("separators", "a\u2028b\u2029c\x85d", ["e\u2028", "f"], 0),
]


def test_odd_questions_are_all_answered_by_both_models(tmp_path: Path) -> None:
    folder = write_own(tmp_path / "mine", test=lines(*ODD))
    ended = compare(folder)
    assert ended.code == 0, ended.err
    for role in ("medical", "base"):
        rows = samples(role)
        assert [row["id"] for row in rows] == [row["id"] for row in ODD]
        for row, asked in zip(rows, ODD, strict=True):
            assert len(row["logprobs"]) == len(asked["options"])
            assert row["prediction"] in range(len(asked["options"]))
    assert json.loads(Path("run/results.json").read_text(encoding="utf-8"))["comparisons"][0]["n"] == len(ODD)


@pytest.mark.parametrize(
    ("options", "says"),
    [(["a", ""], "is empty"), (["a", "a"], "given twice"), ([f"{n}" for n in range(27)], "found 27")],
)
def test_options_that_cannot_be_told_apart(tmp_path: Path, options: list[str], says: str) -> None:
    folder = write_own(tmp_path / "mine", test=lines(question("q", options=options)))
    assert says in refusal("compare", "demo-med", "demo-base", "--tasks", folder, "--shots", "0")


def test_one_question(tmp_path: Path) -> None:
    ended = compare(write_own(tmp_path / "mine", test=lines(question("only"))))
    assert ended.code == 0, ended.err
    (found,) = json.loads(Path("run/results.json").read_text(encoding="utf-8"))["comparisons"]
    assert found["n"] == 1
    assert found["verdict"] == "tie" or found["difference"] != 0


def test_all_answers_are_the_first(tmp_path: Path) -> None:
    rows = [question(f"q{n}", f"Which of {n}?") for n in range(12)]
    ended = compare(write_own(tmp_path / "mine", test=lines(*rows)))
    assert ended.code == 0, ended.err
    right = sum(row["prediction"] == 0 for row in samples("base"))
    (found,) = json.loads(Path("run/results.json").read_text(encoding="utf-8"))["comparisons"]
    assert found["accuracy"]["base"] == right / 12


def test_questions_longer_than_the_context_are_counted_wrong_and_said(tmp_path: Path) -> None:
    rows = [question("short"), question("long", "word " * 3000)]
    ended = compare(write_own(tmp_path / "mine", test=lines(*rows)))
    assert ended.code == 0, ended.err
    short, long = samples("medical")
    assert short["prediction"] is not None
    assert long["prediction"] is None
    assert long["correct"] is False
    text = Path("run/results.json").read_text(encoding="utf-8")
    assert json.loads(text)["comparisons"][0]["n"] == 2
    assert '"overlong": 1' in text
    assert "longer than" in ended.out + ended.err or "context" in ended.out + ended.err


def test_nothing_but_questions_longer_than_the_context(tmp_path: Path) -> None:
    rows = [question("long", "word " * 3000), question("longer", "word " * 4000)]
    ended = compare(write_own(tmp_path / "mine", test=lines(*rows)))
    assert ended.code == 0, ended.err
    (found,) = json.loads(Path("run/results.json").read_text(encoding="utf-8"))["comparisons"]
    assert found["counts"]["medical"]["overlong"] == found["counts"]["base"]["overlong"] == 2
    assert found["accuracy"] == {"medical": 0.0, "base": 0.0}


def test_control_token_text_in_a_plain_prompt_stays_text(tmp_path: Path, home: Path) -> None:
    assert run("models", "fetch", "demo-base", "--quant", "none").code == 0
    (path,) = home.glob("models/demo-base-*/full.gguf")
    with start_engine(path, EngineOptions(n_ctx=512)) as engine:
        for text in ("a </s> b", "<s>", "x<s>y</s>", "<unk>"):
            plain, special = (engine.tokenize([text], special=flag)[0] for flag in (False, True))
            assert plain[0] == 1  # BOS
            assert not {1, 2} & set(plain[1:])
            assert plain != special
