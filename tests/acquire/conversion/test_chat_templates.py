"""Which chat template a converted file carries, and which special tokens it can name: as transformers has them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medbench_local.acquire.conversion.convert import convert_checkpoint
from medbench_local.acquire.layout import choose_files
from medbench_local.acquire.quantise import quantise
from medbench_local.catalog.quantisation import load_quant
from medbench_local.errors import InputError
from medbench_local.files.gguf_header import GgufHeader, read_gguf_header
from medbench_local.files.gguf_special_tokens import NAMED_TOKENS, named_tokens
from medbench_local.progress import Silent
from medbench_local.prompts.chat import Turn
from medbench_local.prompts.chat_template import TemplateChat
from tests.acquire.checkpoints import edit_json, write_checkpoint

FILE, CONFIG = "FILE {{ messages[0].content }}", "CONFIG {{ messages[0].content }}"
NAMED = [{"name": "default", "template": CONFIG}, {"name": "rag", "template": "OLD"}]


def _checkpoint(folder: Path, *, config: Any = None, tokenizer: str = "spm", **files: str) -> Path:
    """A checkpoint with a chat template in its configuration and in files, whose names lack ".jinja"."""
    write_checkpoint(folder, tokenizer=tokenizer)
    if config is not None:
        edit_json(folder / "tokenizer_config.json", chat_template=config)
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".jinja")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def _converted(folder: Path) -> tuple[GgufHeader, tuple[str, ...]]:
    output = folder.with_suffix(".gguf")
    warnings = convert_checkpoint(folder, output).warnings
    return read_gguf_header(output), warnings


def _tokenizer(folder: Path) -> Any:
    transformers = pytest.importorskip("transformers", reason="needs transformers to compare with")
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("config", "files", "differ"),
    [
        (CONFIG, {"chat_template": FILE}, True),
        (NAMED, {"chat_template": FILE}, True),
        (CONFIG, {"chat_template": CONFIG + "\n"}, False),
        (None, {"chat_template": FILE}, False),
        (CONFIG, {}, False),
        (NAMED, {}, False),
        (CONFIG, {"chat_template": FILE, "additional_chat_templates__rag": "NEW"}, True),
        (NAMED, {"chat_template": CONFIG, "additional_chat_templates__tool_use": "TOOLS"}, False),
    ],
)
def test_the_template_is_the_one_of_transformers(
    tmp_path: Path, config: Any, files: dict[str, str], differ: bool
) -> None:
    folder = _checkpoint(tmp_path / "m", config=config, **files)
    header, warnings = _converted(folder)
    theirs = _tokenizer(folder).chat_template
    named = theirs if isinstance(theirs, dict) else {"default": theirs}
    assert header.chat_template == named.pop("default")
    ours = {
        key.removeprefix("tokenizer.chat_template."): value
        for key, value in header.metadata.items()
        if key.startswith("tokenizer.chat_template.")
    }
    assert ours == named
    said = [warning for warning in warnings if "different chat templates" in warning]
    assert len(said) == differ


def test_a_default_template_of_the_configuration_stays_beside_files_with_others(tmp_path: Path) -> None:
    """There transformers has no default and refuses to write conversations."""
    header, warnings = _converted(
        _checkpoint(tmp_path / "m", config=CONFIG, additional_chat_templates__rag="NEW")
    )
    assert header.chat_template == CONFIG
    assert not [warning for warning in warnings if "chat template" in warning]


def test_templates_without_a_default_one_are_told(tmp_path: Path) -> None:
    header, warnings = _converted(_checkpoint(tmp_path / "m", additional_chat_templates__rag="NEW"))
    assert header.chat_template is None
    assert any("None of the chat templates (rag) is the default one" in warning for warning in warnings)


def test_a_template_that_is_no_text_is_named(tmp_path: Path) -> None:
    folder = _checkpoint(tmp_path / "m", chat_template=FILE)
    (folder / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"chat_template\.jinja, byte 0: not UTF-8"):
        _converted(folder)


def test_other_templates_are_files_of_the_checkpoint() -> None:
    names = [
        "config.json",
        "model.safetensors",
        "chat_template.jinja",
        "additional_chat_templates/rag.jinja",
        "additional_chat_templates/notes.txt",
        "additional_chat_templates/old/rag.jinja",
        "other/rag.jinja",
    ]
    chosen = choose_files(names, lambda name: Path(name), place="owner/name")
    assert chosen.files == (
        "config.json",
        "chat_template.jinja",
        "additional_chat_templates/rag.jinja",
        "model.safetensors",
    )


ALL_NAMES = ["bos", "eos", "unk", "sep", "pad", "cls", "mask", "image", "audio"]
WRITES_ALL = (
    "".join(f"|{{{{ {name}_token is defined }}}} {{{{ {name}_token }}}}" for name in ALL_NAMES)
    + "{% for m in messages %}{{ '[' + m.role + ']' + m.content }}{% endfor %}"
    + "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.mark.parametrize("tokenizer", ["spm", "bpe"])
@pytest.mark.parametrize(
    ("changes", "map_file"),
    [
        ({}, None),
        ({"unk_token": None, "pad_token": "the"}, None),
        (
            {
                "pad_token": "</s>",
                "sep_token": {"content": "<sep>", "__type": "AddedToken"},
                "cls_token": "<c>",
            },
            None,
        ),
        (
            {"image_token": "<img>", "extra_special_tokens": {"audio_token": "<snd>"}, "mask_token": "<m>"},
            None,
        ),
        ({"bos_token": None}, None),
        ({"pad_token": "<pad>"}, {"pad_token": "<older>", "unk_token": {"content": "<u>", "lstrip": False}}),
        ({"pad_token": "<pad>", "added_tokens_decoder": {}}, {"pad_token": "<older>"}),
    ],
)
def test_every_special_token_is_known_by_its_name(
    tmp_path: Path, tokenizer: str, changes: dict[str, Any], map_file: dict[str, Any] | None
) -> None:
    folder = _checkpoint(tmp_path / "m", config=WRITES_ALL, tokenizer=tokenizer)
    edit_json(folder / "tokenizer_config.json", **changes)
    if map_file is not None:
        (folder / "special_tokens_map.json").write_text(json.dumps(map_file), encoding="utf-8")
    header, _ = _converted(folder)
    chat = TemplateChat(WRITES_ALL, named_tokens(header, WRITES_ALL), origin="x")
    talk = [{"role": "user", "content": "Which?"}]
    expected = _tokenizer(folder).apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    assert chat.write([Turn("user", "Which?"), Turn("assistant", "")]) == expected


def test_a_file_says_names_only_where_its_ids_do_not(tmp_path: Path) -> None:
    """What could be converted before has the same bytes."""
    usual = "{{ bos_token }}{% for m in messages %}{{ m.content + eos_token + unk_token }}{% endfor %}"
    folder = _checkpoint(tmp_path / "usual", config=usual)
    edit_json(folder / "tokenizer_config.json", pad_token="<pad>", image_token="<img>")
    header, _ = _converted(folder)
    assert NAMED_TOKENS not in header.metadata
    assert named_tokens(header, usual) == {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    assert named_tokens(header, "nothing") == {}


@pytest.mark.parametrize("value", ["[" * 100_000, "[]", '{"x_token": 1}', "{"])
def test_a_list_of_names_that_is_none_is_an_error(tmp_path: Path, value: str) -> None:
    header, _ = _converted(_checkpoint(tmp_path / "m", config="{{ messages }}"))
    hostile = replace(header, metadata={**header.metadata, NAMED_TOKENS: value})
    with pytest.raises(InputError, match="expected a JSON object of names and texts"):
        named_tokens(hostile, "{{ x_token }}")


def test_names_survive_quantisation(tmp_path: Path) -> None:
    template = "{% for m in messages %}{{ m.content }}{{ image_token }}{% endfor %}"
    folder = _checkpoint(tmp_path / "m", config=template)
    edit_json(folder / "tokenizer_config.json", image_token="<img>")
    header, _ = _converted(folder)
    assert json.loads(str(header.metadata[NAMED_TOKENS])) == {"image_token": "<img>"}
    small = tmp_path / "small.gguf"
    quantise(header.path, load_quant("q8_0"), small, threads=1, progress=Silent())
    assert named_tokens(read_gguf_header(small), template) == {"image_token": "<img>"}
