"""Templates that would hang or fill the memory end with one clear error, and the next one is rendered as ever."""

from __future__ import annotations

import os
import signal
import sys

import psutil
import pytest

from medbench_local.errors import InputError
from medbench_local.prompts.chat import Turn
from medbench_local.prompts.chat_template import TemplateChat
from medbench_local.prompts.template_process import TemplateFailure, TemplateProcess, templates

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


@pytest.mark.parametrize("source", COSTLY.values(), ids=COSTLY)
def test_a_template_that_takes_too_much_is_an_error(source: str) -> None:
    with pytest.raises(InputError, match=r"evil\.gguf, chat template") as caught:
        TemplateChat(source + "{{ messages[0].content }}", {}, origin="evil.gguf")
    assert caught.value.advice
    good = TemplateChat("{% for m in messages %}<{{ m.content }}>{% endfor %}", {}, origin="good.gguf")
    assert good.write([Turn("user", "Which?"), Turn("assistant", "It is")]) == "<Which?><It is"


def test_templates_that_are_a_little_slow_are_stopped_after_a_while() -> None:
    slow = TemplateProcess()

    def render_often() -> None:
        for _ in range(1000):
            slow.text(BIG + "{% for i in range(50) %}{% set _ = t[::-1] %}{% endfor %}", {})

    try:
        with pytest.raises(TemplateFailure, match="renderings take too long"):
            render_often()
    finally:
        slow.close()


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_a_process_that_was_killed_is_started_anew() -> None:
    assert templates.text("{{ 1 + 1 }}", {}) == "2"
    children = [
        one
        for one in psutil.Process().children()
        if "medbench_local.prompts.template_worker" in one.cmdline()
    ]
    assert len(children) == 1
    os.kill(children[0].pid, signal.SIGKILL)
    children[0].wait(10)
    assert templates.text("{{ 1 + 1 }}", {}) == "2"


def test_the_process_is_told_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    own = TemplateProcess()
    assert own.text("{{ 1 }}", {}) == "1"
    given = [
        one.environ()
        for one in psutil.Process().children()
        if "medbench_local.prompts.template_worker" in one.cmdline()
    ]
    own.close()
    assert given
    assert "HF_TOKEN" not in given[-1]


def test_texts_cross_as_they_are() -> None:
    odd = "\ud800 \u2028 \x00 ä 😀\n"
    assert templates.text("{{ t }}", {"t": odd}) == odd
