"""Chat templates in the manner of today's families, and what they are made of: the text is transformers' own."""

# ruff: noqa: E501 templates have long lines

from __future__ import annotations

import datetime
import locale
from collections.abc import Sequence
from typing import Any

import pytest
from jinja2 import TemplateError

from medbench_local.errors import InputError
from medbench_local.prompts.chat import Turn
from medbench_local.prompts.chat_template import TemplateChat
from medbench_local.prompts.day import written_day
from medbench_local.prompts.sandbox import ChatEnvironment
from tests.prompts.families_today import FAMILIES, QWEN_3, Written

transformers = pytest.importorskip("transformers", reason="needs transformers to compare with")


@pytest.fixture(autouse=True)
def _that_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """For transformers it is the day that prompts are told."""
    from transformers.utils import chat_template_utils

    class Then(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Then:
            return cls(2024, 7, 26)

    monkeypatch.setattr(chat_template_utils, "datetime", Then)


def theirs(source: str, messages: Sequence[dict[str, Any]], tokens: dict[str, str], **more: Any) -> str:
    """What transformers makes of a conversation."""
    from tokenizers import Tokenizer, models

    words = {text: number for number, text in enumerate(dict.fromkeys(["?", *tokens.values()]))}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="?")), **tokens
    )
    text = tokenizer.apply_chat_template(list(messages), chat_template=source, tokenize=False, **more)
    assert isinstance(text, str)
    return text


def said(*contents: str, system: str | None = None) -> list[Turn]:
    turns = [Turn("user" if i % 2 == 0 else "assistant", content) for i, content in enumerate(contents)]
    return turns if system is None else [Turn("system", system), *turns]


def messages(turns: Sequence[Turn], *, parts: bool = False) -> list[dict[str, Any]]:
    return [
        {"role": role, "content": [{"type": "text", "text": content}] if parts else content}
        for role, content in turns
    ]


by_family = pytest.mark.parametrize("family", FAMILIES)


def chat_of(family: str) -> tuple[Written, TemplateChat, bool]:
    """The family's template, how conversations are written with it, and whether it wants typed parts."""
    known = FAMILIES[family]
    return known, TemplateChat(known.source, known.tokens, origin=family), family == "typed parts only"


@by_family
@pytest.mark.parametrize("shots", [0, 1, 3])
@pytest.mark.parametrize("prefill", ["Answer:", "ANSWER --\n(", "The answer is"])
def test_an_answer_that_has_begun_goes_on_where_transformers_goes_on(
    family: str, shots: int, prefill: str
) -> None:
    known, chat, parts = chat_of(family)
    shown = [text for i in range(shots) for text in (f"Which of {i}?\n(A) é\n(B) b", f"({i}) <b> ü")]
    for system in (None, "Reply with one of A to D."):
        if system is not None and not known.system:
            continue
        turns = said(*shown, "And\n\nthis one? {{ 1 }}", prefill, system=system)
        expected = theirs(
            known.source, messages(turns, parts=parts), known.tokens, continue_final_message=True
        )
        assert chat.write(turns) == expected
        assert expected.endswith(known.opening + prefill)


@by_family
@pytest.mark.parametrize("prefill", ["", "Answer: ", "ANSWER -- "])
def test_blanks_at_the_end_are_what_the_template_leaves_of_them(family: str, prefill: str) -> None:
    known, chat, parts = chat_of(family)
    turns = said("Which?", "(A) this", "And this?", prefill)
    whole = theirs(known.source, messages(turns, parts=parts), known.tokens)
    assert whole.endswith(known.end)
    assert chat.write(turns) == whole.removesuffix(known.end)


@by_family
def test_a_system_prompt_goes_where_the_template_has_a_place_for_it(family: str) -> None:
    known, chat, _ = chat_of(family)
    assert chat.system_place == ("system turn" if known.system else "first user turn")


def test_thinking_is_neither_switched_on_nor_off_and_an_answer_that_has_begun_has_been_thought_about() -> (
    None
):
    """An answer is scored at its first words: Qwen3's own template writes an empty thought before them."""
    chat = TemplateChat(QWEN_3.source, QWEN_3.tokens, origin="x")
    text = chat.write(said("One?", "(A)", "Two?", ""))
    assert text == (
        "<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n(A)<|im_end|>\n"
        "<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    assert chat.write(said("One?", "<think>\nhm\n</think>\n\n(A)", "Two?", "")) == text, "earlier thoughts go"


ENDS_WITH_THE_USER = (
    "{%- if messages[-1].role != 'user' -%}{{ raise_exception('the user has the last word') }}{%- endif -%}"
    "{%- for m in messages -%}{{ '<|' + m.role + '|>' + m.content }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"
)


@pytest.mark.parametrize("prefill", ["", "Answer: "])
def test_a_template_that_lets_nobody_begin_an_answer_opens_it_itself(prefill: str) -> None:
    chat = TemplateChat(ENDS_WITH_THE_USER, {}, origin="x")
    assert chat.system_place == "system turn"
    turns = said("One?", "(A)", "Two?", prefill, system="Be brief.")
    opened = theirs(ENDS_WITH_THE_USER, messages(turns[:-1]), {}, add_generation_prompt=True)
    assert chat.write(turns) == opened + prefill


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{% for m in messages %}{{ m.role }}{% endfor %}", "what the user says is not written"),
        ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", "what the user says is not written"),
        ('{"chat_template": "a configuration"}', "what the user says is not written"),
        (
            "{{ messages[0].content }}{{ messages[-1].content }}",
            "a turn of the assistant is not written as it is",
        ),
    ],
)
def test_a_template_that_swallows_words_is_refused(source: str, problem: str) -> None:
    """The model would answer another question, and nobody would know."""
    with pytest.raises(InputError, match=problem) as caught:
        TemplateChat(source, {}, origin="x").write(said("One?", "(A)", "Two?", ""))
    assert "chat_template=" in caught.value.advice


TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "  Be brief.\n"},
    {"role": "user", "content": "Which? <b> & 'é'\n(A) one"},
    {"role": "assistant", "content": "(A) one"},
    {
        "role": "user",
        "content": [{"type": "text", "text": "And "}, {"type": "image"}, {"type": "text", "text": "this?"}],
    },
]
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "image_token": "<img>"}
LOOP = "{% for m in messages %}"
FEATURES = {
    "namespace": "{% set ns = namespace(n=0, last='') %}"
    + LOOP
    + "{% set ns.n = ns.n + 1 %}{% set ns.last = m.role %}"
    "{% endfor %}{{ ns.n }} {{ ns.last }}",
    "a variable set in a loop stays in it": "{% set x = 1 %}"
    + LOOP
    + "{% set x = x + 1 %}{% endfor %}{{ x }}",
    "macros": "{% macro turn(m, end='|', loud=false) %}{{ m.role | upper if loud else m.role }}{{ end }}{% endmacro %}"
    + LOOP
    + "{{ turn(m) }}{{ turn(m, loud=true, end='!') }}{% endfor %}{{ turn.name }}{{ turn.arguments }}",
    "a macro that calls itself": "{% macro down(n) %}{{ n }}{% if n %}{{ down(n - 1) }}{% endif %}{% endmacro %}{{ down(5) }}",
    "call blocks": "{% macro box(kind) %}<{{ kind }}>{{ caller() }}</{{ kind }}>{% endmacro %}"
    "{% call box('b') %}{{ messages[0].content }}{% endcall %}",
    "generation blocks": LOOP
    + "{% generation %}{% set r = m.role %}{{ r }}{{ loop.index }}{% endgeneration %}{% endfor %}"
    "{{ r is defined }}",
    "tojson": "{{ messages | tojson }}{{ messages[1] | tojson(indent=2) }}{{ {'b': 1, 'a': 'é<'} | tojson(sort_keys=true) }}"
    "{{ 'é' | tojson(ensure_ascii=true) }}{{ [1, 2.5, none, true] | tojson(separators=(',', ':')) }}",
    "the day": "{{ strftime_now('%Y-%m-%d') }} {{ strftime_now('%d %B %Y, %A') }} {{ strftime_now('%-d %b; %j %U %H:%M %p') }}",
    "refusing": "{% if messages | length > 9 %}{{ raise_exception('too many') }}{% endif %}fine",
    "neighbours": LOOP + "{{ loop.previtem.role if loop.previtem is defined else '^' }}<{{ m.role }}>"
    "{{ loop.nextitem.role if not loop.last else '$' }}{{ loop.first }}{{ loop.last }}{{ loop.index0 }}{{ loop.revindex }}"
    "{{ loop.length }}{{ loop.cycle('a', 'b') }}{{ loop.changed(m.role) }}{{ loop.depth }}{% endfor %}",
    "slices": "{{ messages[1:] | length }}{{ messages[::-1][0].role }}{{ messages[-1].role }}{{ 'abcdef'[1:-1:2] }}"
    "{{ messages[9:] }}{{ 'abc'[::-1] }}{% for m in messages[:-1] %}{{ m.role }}{% endfor %}",
    "blanks around blocks": "a\n  {% if true %}\n  b\n  {% endif %}\nc {%- if true %}\n d\n{%- endif -%}\n e\n"
    "{#- a comment -#}\n f\n   {{- ' g' -}}   \n h\n{% raw %}{{ no }}{% endraw %}\n",
    "break and continue": LOOP + "{% if m.role == 'system' %}{% continue %}{% endif %}{{ m.role }}"
    "{% if m.role == 'assistant' %}{% break %}{% endif %}{% else %}none{% endfor %}",
    "filtered loops": "{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ loop.last }}{% else %}none{% endfor %}"
    "{% for m in [] %}x{% else %}none{% endfor %}{% for a, b in [(1, 2), (3, 4)] %}{{ a + b }}{% endfor %}",
    "tests": "{{ messages is iterable }}{{ messages is sequence }}{{ messages[0] is mapping }}{{ messages[0].content is string }}"
    "{{ none is none }}{{ 1 is number }}{{ true is boolean }}{{ x is defined }}{{ x is undefined }}{{ messages is not none }}"
    "{{ 4 is divisibleby 2 }}{{ 'a' is in 'abc' }}{{ 1 is eq 1 }}{{ false is false }}{{ 3 is odd }}{{ 'a' is equalto 'b' }}",
    "what is not given": "{{ tools is none }}{{ tools is defined }}{{ tools is not none }}{{ documents is none }}"
    "{% if not tools %}no tools{% endif %}{{ enable_thinking is defined }}{{ thinking }}{{ date_string is defined }}"
    "{{ custom_tools is defined }}{{ builtin_tools }}{{ add_generation_prompt }}{{ continue_final_message is defined }}"
    "{{ (enable_thinking | default(true)) }}",
    "special tokens": "{{ bos_token }}{{ eos_token }}{{ unk_token }}{{ image_token }}{{ pad_token is defined }}{{ pad_token }}"
    "{{ cls_token is defined }}{{ bos_token + '!' }}",
    "methods of texts": "{% set t = messages[1].content %}{{ t.split('\\n')[0] }}{{ t.strip() }}{{ t.startswith('Which') }}"
    "{{ t.replace('(', '[') }}{{ t.upper() }}{{ t.find('A') }}{{ t.splitlines() }}{{ 'a-b'.split('-') | join('+') }}"
    "{{ ' x '.lstrip() }}|{{ 'xx'.rstrip('x') }}|{{ 'abc'.endswith(('c', 'd')) }}{{ 'a,b'.partition(',') }}{{ 'ab'.title() }}"
    "{{ ','.join(['a', 'b']) }}{{ 'é'.encode('utf-8') | length }}{{ 'x'.isdigit() }}{{ '<a>b'.split('<a>')[-1].count('b') }}",
    "methods of lists and mappings": "{% set d = messages[0] %}{{ d.items() | list }}{{ d.keys() | list }}{{ d.get('no') }}"
    "{{ d.get('no', 'else') }}{{ d.values() | list }}{{ 'role' in d }}{{ [1, 2, 1].count(1) }}{{ ['a'].index('a') }}"
    "{% for k, v in d.items() %}{{ k }}={{ v }}{% endfor %}{% for k in d %}{{ k }}{% endfor %}{{ d.copy() }}",
    "filters": "{{ messages | map(attribute='role') | join(', ') }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}"
    "{{ messages | rejectattr('role', 'in', ['user']) | list | length }}{{ (messages | first).role }}{{ (messages | last).role }}"
    "{{ ' x ' | trim }}{{ 'x' | default('y') }}{{ nothing | default('y', true) }}{{ [3, 1, 2] | sort }}{{ [1, 1] | unique | list }}"
    "{{ '3' | int + 1 }}{{ 2.567 | round(1) }}{{ {'b': 1, 'a': 2} | dictsort }}{{ {'a': 1} | items | list }}{{ 'a\\nb' | indent(2) }}"
    "{{ [1, 2, 3] | reverse | list }}{{ 'abc' | length }}{{ [1, 2] | sum }}{{ 'ab' | list }}{{ 'A' | lower }}{{ 5 | string + '!' }}"
    "{{ [[1, 2], [3]] | map('length') | list }}{{ messages | groupby('role') | map('first') | list }}{{ 'x' | replace('x', 'y') }}"
    "{{ ['a', 'b'] | batch(1) | list }}{{ 'a b' | title }}{{ '<' | escape }}{{ -1 | abs }}{{ [1, 2] | max }}",
    "typed parts": LOOP
    + "{% if m.content is string %}{{ m.content | trim }}{% else %}{% for part in m['content'] %}"
    "{% if part['type'] == 'image' or 'image' in part %}{{ image_token }}{% elif 'text' in part %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}{{ eos_token }}{% endfor %}"
    "{{ messages[3].content | selectattr('type', 'equalto', 'text') | map(attribute='text') | join }}",
    "operators": "{{ 1 + 2 * 3 ** 2 // 4 % 5 - 1 }}{{ 'a' ~ 1 ~ none }}{{ 7 / 2 }}{{ 'ab' * 2 }}{{ [1] + [2] }}{{ not true and false or 1 }}"
    "{{ 1 if false }}{{ 'x' if true else 'y' }}{{ 1 < 2 <= 2 }}{{ -3 }}{{ (1, 2)[1] }}{{ 'a' in messages[0] }}",
    "helpers": "{% set sep = joiner(', ') %}{% for x in range(1, 7, 2) %}{{ sep() }}{{ x }}{% endfor %}"
    "{% set c = cycler('odd', 'even') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ dict(a=1, b=2) }}"
    "{{ dict(messages[0]).role }}{{ dict.fromkeys(['a'], 1) }}{{ namespace(a=1).a }}",
    "blocks": "{% set text %}in {{ messages | length }}{% endset %}{{ text | upper }}{% filter trim | upper %}  x  {% endfilter %}"
    "{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{% block inner %}y{% endblock %}{{ self.inner() }}"
    "{% set a, b = 1, 2 %}{{ b }}",
    "names of its own": "{% set messages = messages[1:] %}{{ messages[0].role }}{% set add_generation_prompt = 3 %}{{ add_generation_prompt }}",
}


@pytest.mark.parametrize("feature", FEATURES)
def test_every_feature_gives_the_text_of_transformers(feature: str) -> None:
    source = FEATURES[feature]
    environment = ChatEnvironment()
    names = {**TOKENS, "messages": TALK, "tools": None, "documents": None, "add_generation_prompt": True}
    text = environment.text(environment.template(source), names)
    assert text == theirs(source, TALK, TOKENS, add_generation_prompt=True)
    assert text.strip()


REFUSED_BY_BOTH = [
    "{{ messages.append(1) }}",
    "{{ messages[0].update({'role': 'x'}) }}",
    "{{ dict.update(messages[0], {'role': 'x'}) }}",
    "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{{ namespace(__html__=1) }}",
    "{{ pad_token + '!' }}",
    "{{ messages[0].content.nothing.at_all }}",
    "{{ raise_exception('no') }}",
    "{{ undefined_function() }}",
    "{% for a, b in [1] %}{% endfor %}",
]


@pytest.mark.parametrize("source", REFUSED_BY_BOTH)
def test_what_transformers_refuses_is_refused(source: str) -> None:
    environment = ChatEnvironment()
    names = {**TOKENS, "messages": TALK, "tools": None, "documents": None, "add_generation_prompt": False}
    with pytest.raises((TemplateError, TypeError)) as ours:
        environment.text(environment.template(source), names)
    with pytest.raises(type(ours.value)):
        theirs(source, TALK, TOKENS)


def test_the_day_is_that_of_the_c_library_in_english() -> None:
    """In whatever language the machine is; flags of the C library are glibc's."""
    then = datetime.datetime(2024, 7, 26)
    before = locale.setlocale(locale.LC_TIME)
    try:
        locale.setlocale(locale.LC_TIME, "C")
        for directive in "aAbBcdHIjmMpSUwWxXyYfzZ%":
            assert written_day(f"<%{directive}>") == then.strftime(f"<%{directive}>")
    finally:
        locale.setlocale(locale.LC_TIME, before)
    assert written_day("%F %T %D %e %G-W%V %u %-j %k|%l|%-m|%_d|%^a %#p 100%%") == (
        "2024-07-26 00:00:00 07/26/24 26 2024-W30 5 208  0|12|7|26|FRI am 100%"
    )
    assert written_day("%Q %") == "%Q %", "what nobody knows stays"
