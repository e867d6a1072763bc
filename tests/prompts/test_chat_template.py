"""Chat templates of models outside the catalog: as transformers renders them, and unable to do harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medbench_local.errors import InputError
from medbench_local.prompts.chat import LLAMA_2, LLAMA_3, MISTRAL, ChatStyle, Turn
from medbench_local.prompts.chat_template import TemplateChat

# Templates of our own in the manner of those that models carry.
CHATML = """{%- for message in messages %}
    {%- if loop.first and message.role != 'system' %}
<|im_start|>system
Help.<|im_end|>
    {%- endif %}
<|im_start|>{{ message['role'] + '\n' + message['content'] + '<|im_end|>' }}
{% endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""
SQUARE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% elif m.role == 'assistant' %} {{ m.content | trim }} {{ eos_token }}"
    "{% else %}{{ raise_exception('no system turn') }}{% endif %}{% endfor %}"
)
HEADERS = (
    "{{- bos_token }}{% if not date is defined %}{% set date = '1 May 2024' %}{% endif %}"
    "{%- macro header(role) %}<|{{ role }}|>\n{% endmacro %}"
    "{%- set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
    "{%- if m.role not in ['system', 'user', 'assistant'] %}{% continue %}{% endif %}"
    "{{ header(m.role) }}{{ m.content | trim }}<|end|>{{ '\\n' }}{% endfor %}"
    "{{ {'turns': ns.n, 'é': '<'} | tojson }}"
)
ONLY_QUESTIONS = (
    "{% if messages[-1].role != 'user' %}{{ raise_exception('ends with the user') }}{% endif %}"
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<model>{% endif %}"
)
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
words = st.text(st.characters(blacklist_categories=["Cs"]), max_size=30)


def conversation(*said: str, system: str | None = None) -> list[Turn]:
    turns = [Turn("user" if i % 2 == 0 else "assistant", content) for i, content in enumerate(said)]
    return turns if system is None else [Turn("system", system), *turns]


def transformers_text(source: str, turns: list[Turn], bos: str, eos: str, *, prompt: bool = False) -> str:
    transformers = pytest.importorskip("transformers", reason="needs transformers to compare with")
    from tokenizers import Tokenizer, models

    words = Tokenizer(models.WordLevel({"?": 0, bos: 1, eos: 2}, unk_token="?"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, bos_token=bos, eos_token=eos)
    text = tokenizer.apply_chat_template(
        [turn._asdict() for turn in turns], chat_template=source, tokenize=False, add_generation_prompt=prompt
    )
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize(
    ("source", "end"),
    [(CHATML, "<|im_end|>\n"), (SQUARE, "</s>"), (HEADERS, '<|end|>\n{"turns": 4, "é": "<"}')],
)
@pytest.mark.parametrize("prefill", ["", "Answer:", "ANSWER -- "])
def test_conversations_are_those_of_transformers_up_to_the_end_of_the_turn(
    source: str, end: str, prefill: str
) -> None:
    chat = TemplateChat(source, TOKENS, origin="test")
    turns = conversation("Which?", "(A) this", "  And\nthen? {{ 1 }} ", prefill)
    whole = transformers_text(source, turns, "<s>", "</s>")
    assert whole.endswith(end)
    assert chat.write(turns) == whole.removesuffix(end)


@given(st.lists(words, min_size=1, max_size=3), words, words)
def test_any_words_give_what_transformers_gives(said: list[str], asked: str, system: str) -> None:
    flat = [text for one in said for text in (one, f"({one})")]
    turns = conversation(*flat, asked, "Answer: ", system=system)
    chat = TemplateChat(CHATML, {"eos_token": "<|im_end|>"}, origin="test")
    whole = transformers_text(CHATML, turns, "<s>", "<|im_end|>")
    assert chat.write(turns) == whole.removesuffix("<|im_end|>\n")


def test_a_template_that_ends_with_the_user_is_asked_for_its_generation_prompt() -> None:
    chat = TemplateChat(ONLY_QUESTIONS, {}, origin="test")
    turns = conversation("Which?", "this", "And?", "Answer: ")
    assert chat.write(turns) == "<user>Which?<assistant>this<user>And?<model>Answer: "
    assert (
        chat.write(turns)
        == transformers_text(ONLY_QUESTIONS, turns[:-1], "<s>", "</s>", prompt=True) + "Answer: "
    )


def test_a_refused_system_turn_is_noticed() -> None:
    assert TemplateChat(SQUARE, TOKENS, origin="test").system_place == "first user turn"
    assert TemplateChat(CHATML, {}, origin="test").system_place == "system turn"


def test_a_dropped_system_turn_is_noticed() -> None:
    source = "{% for m in messages if m.role != 'system' %}{{ m.role }}: {{ m.content }}</s>{% endfor %}"
    assert TemplateChat(source, {}, origin="test").system_place == "first user turn"


def test_a_template_without_an_end_marker_is_left_whole() -> None:
    chat = TemplateChat("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", {}, origin="x")
    assert chat.write(conversation("Which?", "Answer:")) == "user: Which?\nassistant: Answer:"


def test_the_date_is_the_same_every_day() -> None:
    source = "{{ strftime_now('%d %b %Y') }}{% for m in messages %}{{ m.content }}{% endfor %}"
    chat = TemplateChat(source, {}, origin="x")
    assert chat.write(conversation("?", "!")) == "26 Jul 2024?!"


@pytest.mark.parametrize("style", [LLAMA_2, LLAMA_3, MISTRAL])
def test_built_in_styles_write_one_more_exchange_for_each_demonstration(style: ChatStyle) -> None:
    longer = style.write(conversation("a", "b", "c", ""))
    shorter = style.write(conversation("a", "b"))
    assert longer.startswith(shorter.rstrip())


def test_built_in_styles_strip_as_their_models_templates_do() -> None:
    turns = conversation(" q ", " a ")
    assert (
        LLAMA_2.write([Turn("system", " s "), *turns]) == "<s>[INST] <<SYS>>\n s \n<</SYS>>\n\n q [/INST] a "
    )
    assert LLAMA_3.write(turns).endswith("<|end_header_id|>\n\na")
    assert MISTRAL.write(turns) == "<s>[INST]  q  [/INST]  a "


def test_a_models_own_token_texts_are_used() -> None:
    style = LLAMA_2.with_tokens("<B>", "<E>")
    assert style.write(conversation("q", "a", "r", "")) == "<B>[INST] q [/INST] a <E><B>[INST] r [/INST]  "
    assert LLAMA_2.with_tokens("", "") == LLAMA_2


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{% for %}", "TemplateSyntaxError"),
        ("{{ nothing() }}", "UndefinedError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ raise_exception('not today') }}", "not today"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ ''.__class__.__mro__ }}", "SecurityError|UndefinedError"),
        ("{{ messages.__class__.__base__.__subclasses__() }}", "SecurityError"),
        ("{{ raise_exception.__globals__['__builtins__'] }}", "SecurityError"),
        ("{{ self.__init__.__globals__ }}", "SecurityError"),
        ("{{ cycler.__init__.__globals__ }}", "SecurityError|UndefinedError"),
        ("{{ messages.append(1) }}", "SecurityError"),
        ("{{ messages.clear() }}", "SecurityError"),
        ("{{ '{0.__class__}'.format(1) }}", "SecurityError"),
        ("{{ '{:>99999999}'['format'](1) }}", "SecurityError"),
        ("{{ ('{:>99999999}' | attr('format'))(1) }}", "SecurityError"),
        ("{{ '{x}'.format_map({'x': 1}) }}", "SecurityError"),
        ("{{ '%1000000000d' % 1 }}", "SecurityError"),
        ("{{ 'a' * 10 ** 10 }}", "SecurityError"),
        ("{{ 9 ** 9 ** 9 }}", "SecurityError"),
        ("{{ 'a'.ljust(10 ** 7 * 2) }}", "SecurityError"),
        ("{{ 'a' | center(10 ** 7 * 2) }}", "SecurityError"),
        ("{% for a in range(10 ** 6) %}x{% endfor %}", "SecurityError"),
        ("{% for a in range(999) %}{% for b in range(999) %}{% endfor %}{% endfor %}", "SecurityError"),
        (
            "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
            "SecurityError",
        ),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError|SecurityError"),
        (
            "{% set ns = namespace(x='ab') %}{% for a in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
            "SecurityError",
        ),
        (
            "{% set ns = namespace(x='ab') %}{% for a in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
            "SecurityError",
        ),
        (
            "{% set ns = namespace(x='a') %}{% for a in range(60) %}"
            "{% set ns.x = ns.x | replace('a', 'aa') %}{% endfor %}",
            "SecurityError",
        ),
        ("{% for a in [[1]] recursive %}{{ loop(a) }}{% endfor %}", "SecurityError"),
        ("{% set t = 'x' * 100000 %}{% for a in range(1000) %}{{ t }}{% endfor %}", "SecurityError"),
    ],
)
def test_what_a_template_may_not_do(source: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        TemplateChat(source, TOKENS, origin="evil.gguf").write(conversation("q", "a"))
    assert caught.value.path == "evil.gguf"
    assert "chat template" in caught.value.where


def test_what_a_template_complains_of_is_no_page() -> None:
    with pytest.raises(InputError) as refused:
        TemplateChat("{{ raise_exception('x' * 100000) }}", {}, origin="t").write([Turn("user", "a")])
    assert len(str(refused.value)) < 600


def test_a_wrong_conversation_names_the_template() -> None:
    source = "{% for m in messages %}{{ m.content }}{% endfor %}{{ raise_exception('four') if messages[3] }}"
    chat = TemplateChat(source, {}, origin="own.gguf")
    assert chat.write(conversation("q", "a")) == "qa"
    with pytest.raises(InputError, match=r"own\.gguf, chat template: .*four"):
        chat.write(conversation("q", "a", "r", "b"))


def test_empty_turns_that_a_template_leaves_out_are_opened_by_its_generation_prompt() -> None:
    source = (
        "{% for m in messages %}{% if m.content %}<{{ m.role }}>{{ m.content }}</>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    chat = TemplateChat(source, {}, origin="x")
    assert chat.write(conversation("q", "")) == "<user>q</><assistant>"
    assert chat.write(conversation("q", "A: ")) == "<user>q</><assistant>A: "
