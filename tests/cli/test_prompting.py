"""--chat-template and --system-prompt: for both models or each; files are read, names of files are questioned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acquire.checkpoints import edit_json, write_checkpoint
from tests.cli.command import Command

SHOW = ("prompts", "show", "--model", "demo-med", "--task", "demo-anatomy", "--json")
MARKED = (
    "{{ bos_token }}{% for m in messages %}{{ '<' + m.role + '>' + m.content + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def prompt(command: Command, *words: object) -> str:
    ended = command(*words)
    assert ended.code == 0, ended.err
    found: str = json.loads(ended.out)["prompt"]
    return found


@pytest.fixture
def marked(home: Path) -> Path:
    path = home / "marked.jinja"
    path.write_text(MARKED, encoding="utf-8")
    return path


@pytest.fixture
def own(home: Path) -> Path:
    """A checkpoint outside the catalog, with a chat template that asks for the day and a token by its name."""
    folder = write_checkpoint(home / "own")
    template = "Today is {{ strftime_now('%Y-%m-%d') }}{{ unk_token }}\n" + MARKED
    edit_json(folder / "tokenizer_config.json", chat_template=template)
    return folder


def test_a_model_outside_the_catalog_is_prompted_by_its_template(command: Command, own: Path) -> None:
    text = prompt(command, *SHOW, "--model", own)
    assert text.startswith("Today is 2024-07-26<unk>\n<s><system>Here is a multiple-choice question")
    assert "</s><user>Question: " in text
    assert text.endswith("</s><assistant>")


def test_another_template_and_plain_text_may_be_asked_for(command: Command, own: Path, marked: Path) -> None:
    for model in (own, "demo-med"):
        text = prompt(command, *SHOW, "--model", model, "--chat-template", marked, "--system-prompt", "SYS")
        assert text.startswith("<s><system>SYS</s><user>Question: ")
        assert text.endswith("</s><assistant>")
    plain = prompt(command, *SHOW, "--model", own, "--chat-template", "none", "--system-prompt", "SYS")
    assert plain.startswith("SYS\n\n### Question: ")
    assert plain.endswith("\n### Answer: ")


def test_a_catalog_model_of_chats_can_be_asked_in_plain_text(command: Command, home: Path) -> None:
    words = (*SHOW, "--model", "llama-3-8b-instruct")
    assert "<|start_header_id|>" in prompt(command, *words)
    plain = prompt(command, *words, "--chat-template", "none")
    assert "<|" not in plain
    assert plain.endswith("\n### Answer: ")


def test_a_system_prompt_comes_from_a_file(command: Command, home: Path) -> None:
    (home / "brief.txt").write_text("\ufeffBe brief,\nplease. \n", encoding="utf-8")
    assert prompt(command, *SHOW, "--system-prompt", "@brief.txt").startswith("Be brief,\nplease. \n\n###")
    assert prompt(command, *SHOW, "--system-prompt", "").startswith("### Question: ")


def test_the_name_of_a_file_is_questioned(command: Command, home: Path) -> None:
    (home / "brief.txt").write_text("Be brief.", encoding="utf-8")
    check = ("check", "demo-med", "--quant", "q8_0")
    for words in (SHOW, ("compare", "demo-med", "demo-base"), ("sweep", "demo-med-vs-demo-base"), check):
        said = command.fails(*words, "--system-prompt", "brief.txt")
        assert "--system-prompt is the name of a file: brief.txt." in said
        assert "Write @brief.txt for the text in it." in said
    said = command.fails("compare", "demo-med", "demo-base", "--system-prompt", "base=brief.txt")
    assert "Write @brief.txt" in said
    assert prompt(command, *SHOW, "--system-prompt", "~nobody is brief.txt").startswith(
        "~nobody is brief.txt"
    )
    assert prompt(command, *SHOW, "--system-prompt", "x" * 5000).startswith("xxx")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--system-prompt", "@missing.txt"], "missing.txt: no such file"),
        (["--system-prompt", "@zero.txt"], "zero.txt: it holds a NUL character"),
        (["--chat-template", "missing.jinja"], "missing.jinja: no such file"),
        (["--chat-template", "empty.jinja"], "empty.jinja: it is empty; a Jinja chat template is expected"),
        (["--chat-template", "broken.jinja"], "broken.jinja, chat template, line 2: TemplateSyntaxError"),
        (
            ["--chat-template", "silent.jinja"],
            "--chat-template, chat template: ValueError: what the user says is not",
        ),
        (["--chat-template", "medical=none"], "Here is one model only: --chat-template takes one value"),
        (["--system-prompt", "base=Be brief."], "Here is one model only: --system-prompt takes one value"),
        (["--system-prompt", "a", "--system-prompt", "b"], "--system-prompt is given 2 times"),
        (
            ["--system-prompt", "base=a", "--system-prompt", "base=b"],
            "--system-prompt is given twice for the base",
        ),
        (
            ["--system-prompt", "base=a", "--system-prompt", "b"],
            "--system-prompt medical=… and --system-prompt base=…",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(command: Command, home: Path, words: list[str], said: str) -> None:
    for name, text in {
        "zero.txt": "a\0b",
        "empty.jinja": "\n",
        "broken.jinja": "fine\n{% for %}",
        "silent.jinja": "{% for m in messages %}{{ m.role }}{% endfor %}",
    }.items():
        (home / name).write_text(text, encoding="utf-8")
    assert said in command.fails(*SHOW, *words)


def test_a_check_is_of_one_model(command: Command, home: Path) -> None:
    said = command.fails("check", "demo-med", "--quant", "q8_0", "--system-prompt", "medical=Be brief.")
    assert "Here is one model only: --system-prompt takes one value, not one for medical." in said


def test_prompts_of_a_run_are_what_they_were(command: Command, home: Path, marked: Path) -> None:
    words = ("prompts", "export", "--run", "x", "--output", "y.jsonl", "--chat-template", marked)
    assert "leave --chat-template out" in command.fails(*words)


def test_a_run_with_a_prompt_for_each_model_says_so_and_gives_its_prompts_again(
    command: Command, home: Path, marked: Path
) -> None:
    """Through llama.cpp: the tokens of a given template are the control tokens of the file that is scored."""
    rules = {"name": "short", "summary": "x", "selection": {"formats": [0]}}
    (home / "short.yaml").write_text(json.dumps(rules), encoding="utf-8")
    words: list[object] = ["compare", "demo-med", "demo-base", "--tasks", "demo-anatomy", "--shots", "0"]
    words += ["--limit", "4", "--quant", "full", "--output", home / "run", "--protocol", "short.yaml"]
    words += ["--chat-template", f"medical={marked}", "--system-prompt", "medical=@sys.txt"]
    words += ["--system-prompt", "base="]
    (home / "sys.txt").write_text("Be brief.\n", encoding="utf-8")
    ended = command(*words)
    assert ended.code in (0, 3), ended.err
    manifest: dict[str, Any] = json.loads((home / "run/manifest.json").read_text(encoding="utf-8"))
    assert manifest["settings"]["chat_template"] == {"medical": MARKED}
    assert manifest["settings"]["system_prompt"] == {"medical": "Be brief.", "base": ""}
    medical, base = (manifest["models"][role] for role in ("medical", "base"))
    assert (medical["chat_template"]["source"], medical["chat_template"]["text"]) == ("given", MARKED)
    assert base["chat_template"] == {"source": "study", "sha256": None, "day": None, "text": None}
    assert medical["first_prompt"]["first_tokens"][0] == 1, "one BOS"
    assert str(marked) in manifest.pop("command")
    assert str(marked) not in json.dumps(manifest)
    results = json.loads((home / "run/results.json").read_text(encoding="utf-8"))
    assert results["system_prompt"] == {"medical": "Be brief.", "base": ""}
    assert results["chat_templates"]["medical"]["source"] == "given"
    marked.unlink()  # the run knows its prompts
    assert command("prompts", "export", "--run", home / "run", "--output", home / "again.jsonl").code == 0
    rows = [json.loads(line) for line in (home / "again.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 8
    for row in rows:
        if row["model"] == "demo-med":
            assert row["prompt"].startswith("<s><system>Be brief.</s><user>")
            assert row["special"]
        else:
            assert not row["special"]
            assert "Here is" not in row["prompt"]
    marked.write_text(MARKED, encoding="utf-8")
    assert "found the finished run" in command(*words).err
    marked.write_text(MARKED + "\n\n", encoding="utf-8")
    assert "holds another run" in command.fails(*words)


def _scores(command: Command, home: Path, prompts: list[str], *words: object) -> list[dict[str, Any]]:
    rows = [{"id": i, "prompt": text, "options": ["(A)", "(B)"]} for i, text in enumerate(prompts)]
    (home / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    ended = command("score", "demo-med", "asked.jsonl", *words)
    assert ended.code == 0, ended.err
    return [json.loads(line) for line in ended.out.splitlines()]


def test_prompts_of_ones_own_are_what_the_user_says_where_a_way_to_write_them_is_asked_for(
    command: Command, home: Path, marked: Path
) -> None:
    (home / "sys.txt").write_text("Be brief.\n", encoding="utf-8")
    asked = ["Which is it?", "And this: </s>?"]
    template: tuple[object, ...] = ("--chat-template", marked)
    system: tuple[object, ...] = ("--system-prompt", "@sys.txt")
    written = [f"<s><system>Be brief.</s><user>{text}</s><assistant>" for text in asked]
    assert _scores(command, home, asked, *template, *system) == _scores(command, home, written, "--special")
    told = [f"Be brief.\n\n{text}" for text in asked]
    for words in (system, (*system, "--chat-template", "none")):
        assert _scores(command, home, asked, *words) == _scores(command, home, told)
    assert _scores(command, home, asked, "--chat-template", "none") == _scores(command, home, asked)
    said = command.fails("score", "demo-med", "asked.jsonl", *template, "--output", marked)
    assert "marked.jinja" in said
    assert marked.read_text(encoding="utf-8") == MARKED
