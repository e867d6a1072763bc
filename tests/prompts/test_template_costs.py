"""Templates that would hang or fill the memory end with one clear error, and the next one is rendered as ever."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from medbench_local.engine import process
from medbench_local.prompts import chat_template, template_process
from medbench_local.prompts.chat import Turn
from medbench_local.prompts.chat_template import TemplateChat
from medbench_local.prompts.template_limits import TemplateLimits
from medbench_local.prompts.template_process import TemplateFailure, TemplateProcess
from tests.corpus.command_line import refusal

QUICK = TemplateLimits(memory=400 << 20, credit=0.3)
"""Enough of both to see that what a template takes is noticed, whatever takes it."""

BIG = "{% set t = 'x' * 5000000 %}"
MANY = "{% for i in range(100000) %}"
COSTLY = {
    "tabs": "{% set t = '\t' * 1000000 %}{{ t.expandtabs(10000000) | length }}",
    "indent": "{% set t = 'a\n' * 1000000 %}{{ t | indent(9000000) | length }}",
    "replace": BIG + "{{ t.replace('x', t) | length }}",
    "replace filter": BIG + "{{ t | replace('x', t) | length }}",
    "join": BIG + "{{ t.join(['a'] * 1000000) | length }}",
    "join filter": BIG + "{{ (['a'] * 1000000) | join(t) | length }}",
    "wordwrap": "{% set t = 'a' * 5000000 %}{{ t | wordwrap(1, wrapstring='b' * 10000) | length }}",
    "tojson": "{% set n = namespace(l=[1]) %}{% for i in range(900) %}{% set n.l = [n.l, n.l] %}{% endfor %}"
    "{{ n.l | tojson(indent=1000000) | length }}",
    "centre": "{{ 'a'.center(9000000).center(9000000) | length }}"
    + MANY
    + "{% set _ = 'a'.center(9000000) %}{% endfor %}",
    "set blocks": "{% set n = namespace(all=[]) %}"
    + MANY
    + "{% set b %}{{ 'x' * 1000000 }}{{ i }}{% endset %}{% set n.all = n.all + [b] %}{% endfor %}",
    "macros": "{% macro m(i) %}{{ 'x' * 1000000 }}{{ i }}{% endmacro %}{% set n = namespace(all=[]) %}"
    + MANY
    + "{% set n.all = n.all + [m(i)] %}{% endfor %}",
    "live values": "{% set n = namespace(all=[]) %}"
    + MANY
    + "{% set n.all = n.all + ['x' * 9000000 ~ i] %}{% endfor %}",
    "slices": BIG + MANY + "{% set _ = t[::-1] %}{% endfor %}",
    "in": "{% set t = 'ab' * 2000000 %}{% set s = 'ab' * 900000 ~ 'c' %}" + MANY + "{{ s in t }}{% endfor %}",
    "equality": BIG
    + "{% set s = 'x' * 4999999 ~ 'x' %}"
    + MANY
    + MANY
    + "{{ s == t }}{% endfor %}{% endfor %}",
    "nested lists": "{% set n = namespace(l=['x']) %}{% for i in range(60) %}{% set n.l = [n.l, n.l] %}{% endfor %}"
    "{{ n.l | string | length }}",
    "constants": "{{ ('x' * 9999999) * 9999999 }}",
    "numbers": "{{ 9 ** 9 ** 9 }}",
    "deep source": "{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}",
}


@pytest.fixture
def templates() -> Iterator[TemplateProcess]:
    made = TemplateProcess(QUICK)
    yield made
    made.close()


def _costs(source: str, templates: TemplateProcess, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the command line says of a template."""
    monkeypatch.setattr(chat_template, "templates", templates)
    (folder / "evil.jinja").write_text(source + "{{ messages[0].content }}", encoding="utf-8")
    model = ("--model", "demo-med", "--task", "demo-anatomy", "--chat-template", folder / "evil.jinja")
    return refusal("prompts", "show", *model)


@pytest.mark.parametrize("source", COSTLY.values(), ids=COSTLY)
def test_a_template_that_takes_too_much_is_an_error(
    source: str, templates: TemplateProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "chat template" in _costs(source, templates, tmp_path, monkeypatch)
    good = TemplateChat("{% for m in messages %}<{{ m.content }}>{% endfor %}", {}, origin="good.gguf")
    assert good.write([Turn("user", "Which?"), Turn("assistant", "It is")]) == "<Which?><It is"


@pytest.mark.parametrize(("kind", "what"), [("in", "too long"), ("indent", "too much memory")])
def test_the_limits_of_every_day_hold(
    kind: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordinary = TemplateProcess()
    try:
        assert what in _costs(COSTLY[kind], ordinary, tmp_path, monkeypatch)
    finally:
        ordinary.close()


@pytest.mark.parametrize(("kind", "what"), [("in", "too long"), ("live values", "too much memory")])
def test_where_the_system_holds_no_process_to_a_limit_its_parent_does(kind: str, what: str) -> None:
    watched = TemplateProcess(TemplateLimits(memory=2**40, credit=60))
    watched._running()
    watched._limits = TemplateLimits(memory=200 << 20, credit=0.3 if what == "too long" else 20)
    try:
        with pytest.raises(TemplateFailure, match=what):
            watched.text(COSTLY[kind], {})
    finally:
        watched.close()


def test_templates_that_are_a_little_slow_are_stopped_after_a_while(templates: TemplateProcess) -> None:
    def render_often() -> None:
        for _ in range(1000):
            templates.text(BIG + "{% for i in range(40) %}{% set _ = t[::-1] %}{% endfor %}", {})

    with pytest.raises(TemplateFailure, match="renderings take too long"):
        render_often()


def _children() -> list[psutil.Process]:
    return [
        one
        for one in psutil.Process().children()
        if "medbench_local.prompts.template_worker" in one.cmdline()
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_a_process_that_was_killed_is_started_anew(templates: TemplateProcess) -> None:
    before = _children()
    assert templates.text("{{ 1 + 1 }}", {}) == "2"
    (child,) = (one for one in _children() if one not in before)
    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    assert templates.text("{{ 1 + 1 }}", {}) == "2"


def test_the_process_is_told_no_secret(templates: TemplateProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    before = _children()
    assert templates.text("{{ 1 }}", {}) == "1"
    (child,) = (one for one in _children() if one not in before)
    assert "HF_TOKEN" not in child.environ()
    templates.close()
    assert not child.is_running()


def test_the_process_takes_no_module_from_the_working_folder(
    templates: TemplateProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "jinja2", "queue"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(3)", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert templates.text("{{ 1 }}", {}) == "1"


def test_texts_cross_as_they_are(templates: TemplateProcess) -> None:
    odd = "\ud800 \u2028 \x00 ä 😀\n"
    assert templates.text("{{ t }}", {"t": odd}) == odd


def test_many_threads_get_their_own_answers(templates: TemplateProcess) -> None:
    found: dict[int, str] = {}

    def render(number: int) -> None:
        for _ in range(20):
            found[number] = templates.text("{{ n }}" + "!" * (number % 3), {"n": number})

    threads = [threading.Thread(target=render, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == {number: f"{number}" + "!" * (number % 3) for number in range(8)}


@pytest.mark.parametrize(
    "answer",
    [
        "b'no JSON\\n'", "b'[' * 10**6 + b'\\n'", "b'{}\\n'", "b'7\\n'", "b'[]\\n'", "b'{\"error\": 1}\\n'",
        "b'x' * 10**7", "b'half a line'", "b'\\xff\\n'", "b''",
    ],
)  # fmt: skip
def test_what_the_process_says_is_not_believed(
    answer: str, templates: TemplateProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template that got out of the sandbox says what it likes."""
    liar = f"import sys\nfor n in 1, 2: sys.stdin.readline()\nsys.stdout.buffer.write({answer})"
    monkeypatch.setattr(process, "_START", liar)
    monkeypatch.setattr(template_process, "LONGEST", 10**6 + 10)
    with pytest.raises(TemplateFailure, match="the process that rendered it") as caught:
        templates.text("{{ 1 }}", {})
    assert caught.value.costly
    monkeypatch.undo()
    assert templates.text("{{ 1 }}", {}) == "1"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_copy_of_this_process_has_a_process_of_its_own(templates: TemplateProcess) -> None:
    assert templates.text("{{ 1 }}", {}) == "1"
    kept = templates._process
    templates.leave()  # as the system calls it in the copy
    assert templates.text("{{ 2 }}", {}) == "2"
    assert kept is not None
    assert kept.poll() is None
    process.end_process(kept)
