"""How each model is prompted decides the result, stands in the run, and is tried before anything is computed."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from medbench_local.demo import checkpoint
from medbench_local.errors import InputError, UsageError
from medbench_local.progress import Silent
from medbench_local.prompts.chat import Turn
from medbench_local.prompts.prompting import OWN_WAY
from medbench_local.scoring.prompt_styles import prompt_style_of
from medbench_local.study import manifest
from medbench_local.study.options import CompareOptions, resolve
from medbench_local.study.planner import Planner
from tests.study.conftest import Fakes, knowing, model_of

FEW: dict[str, Any] = {"tasks": ["./made-up"], "shots": [0, 2], "quant": "full", "limit": 4, "check": "none"}
DAYS = (
    "{{ bos_token }}{{ strftime_now('%Y-%m-%d') }}{% for m in messages %}{{ '<' + m.role + '>' + m.content }}"
    "{{ eos_token }}{% endfor %}"
)
NO_DEMONSTRATIONS = (
    DAYS + "{% if messages | length > 3 %}{{ raise_exception('only one question') }}{% endif %}"
)
NAMES_A_TOKEN = DAYS.replace("{{ eos_token }}", "{{ turn_token }}")


def own(folder: Path, template: str, model: str = "demo-base", **config: Any) -> Path:
    """The embedded model as somebody's checkpoint with a chat template."""
    source = Path(checkpoint.__file__).parent / "checkpoints" / model
    shutil.copytree(source, folder)
    (folder / "special_tokens_map.json").unlink()
    path = folder / "tokenizer_config.json"
    said = json.loads(path.read_text(encoding="utf-8")) | {"chat_template": template} | config
    path.write_text(json.dumps(said), encoding="utf-8")
    return folder


def identity(medical: str = "demo-med", base: str = "demo-base", **options: Any) -> str:
    planner = Planner(medical, base, resolve(CompareOptions(**(FEW | options))), Silent())
    return manifest.identity_of(planner.plan(planner.quants[0]), planner.quants)


@pytest.fixture
def likewise(fakes: Fakes) -> Fakes:
    """Engines of the embedded pair for checkpoints of any name."""
    fakes.make = lambda path: knowing(model_of(path), 0.7)
    return fakes


def test_the_identity_holds_contents_and_whom_they_are_for(fakes: Fakes, tmp_path: Path) -> None:
    first, again = tmp_path / "a.jinja", tmp_path / "b.jinja"
    for path in (first, again):
        path.write_text(DAYS, encoding="utf-8")
    (tmp_path / "sys.txt").write_text("Be brief.\n", encoding="utf-8")
    found = {
        "nothing": identity(),
        "template": identity(chat_template=first),
        "template, medical": identity(chat_template={"medical": first}),
        "template, base": identity(chat_template={"base": str(first)}),
        "plain": identity(chat_template="none"),
        "system": identity(system_prompt="Be brief."),
        "system, base": identity(system_prompt={"base": "Be brief."}),
        "no system": identity(system_prompt=""),
        "each its own": identity(system_prompt={"medical": "Be brief.", "base": "Be kind."}),
    }
    assert len(set(found.values())) == len(found)
    assert identity(chat_template=again) == found["template"]
    assert identity(chat_template={"medical": first, "base": again}) == found["template"]
    assert identity(system_prompt="@sys.txt") == found["system"]
    assert identity(system_prompt={"base": "@sys.txt", "medical": "Be brief."}) == found["system"]


def test_what_comes_with_a_model_is_in_the_identity_by_the_rules_it_is_written_by(
    fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was finished with other prompts is not found; models of the catalog are prompted as before."""
    mine = str(own(tmp_path / "mine", DAYS))
    before, catalog, plain = (
        identity(base=mine),
        identity(),
        identity(base=mine, chat_template={"base": "none"}),
    )
    monkeypatch.setattr(manifest, "TEMPLATES", 1000)
    assert identity(base=mine) != before
    assert identity() == catalog
    assert identity(base=mine, chat_template={"base": "none"}) == plain


def test_the_run_says_what_wrote_its_prompts_and_which_day_it_told(likewise: Fakes, tmp_path: Path) -> None:
    run = likewise.compare(base=str(own(tmp_path / "mine", DAYS)), **(FEW | {"shots": [0]}))
    found = run.results.chat_templates
    assert found is not None
    assert (found["medical"].source, found["medical"].sha256, found["medical"].day) == ("study", None, None)
    digest = hashlib.sha256(DAYS.encode()).hexdigest()
    assert (found["base"].source, found["base"].sha256, found["base"].day) == ("model", digest, "2024-07-26")
    models = run.folder.manifest()["models"]
    assert models["base"]["chat_template"] == {
        "source": "model",
        "sha256": digest,
        "day": "2024-07-26",
        "text": DAYS,
    }


@pytest.mark.parametrize(("thought", "open"), [("<think>\n", True), ("<think>\n\n</think>\n\n", False)])
def test_a_thought_that_is_left_open_is_told(
    likewise: Fakes, tmp_path: Path, thought: str, open: bool
) -> None:
    """A letter there is no answer: the model is asked what it thinks first."""
    begins = "{{ '<' + m.role + '>' + (T if m.role == 'assistant' else '') + m.content }}"
    source = "{% for m in messages %}" + begins.replace("T", repr(thought)) + "{{ eos_token }}{% endfor %}"
    run = likewise.compare(base=str(own(tmp_path / "mine", source)), **(FEW | {"shots": [0]}))
    told = "The chat template of mine opens a thought (<think>) and does not close it"
    assert any(told in warning for warning in run.results.warnings) is open
    assert any(told in warning for warning in run.folder.manifest()["warnings"]) is open


@pytest.mark.parametrize("asked", [False, True])
def test_a_template_that_fails_is_noticed_before_anything_is_loaded(
    likewise: Fakes, tmp_path: Path, asked: bool
) -> None:
    given = tmp_path / "t.jinja"
    given.write_text(NO_DEMONSTRATIONS, encoding="utf-8")
    base = str(own(tmp_path / "mine", DAYS if asked else NO_DEMONSTRATIONS))
    options = FEW | ({"chat_template": {"base": given}} if asked else {})
    with pytest.raises(InputError, match="only one question") as caught:
        likewise.compare(base=base, **options)
    assert ("mine" in str(caught.value.path)) is not asked
    assert likewise.started == []
    likewise.compare(base=base, **(options | {"shots": [0]}))


def test_the_base_model_prompted_like_its_medical_partner_writes_its_own_tokens(
    fakes: Fakes, tmp_path: Path
) -> None:
    """But for those that only the medical model has a name for."""
    medical = own(tmp_path / "mine", NAMES_A_TOKEN, "demo-med", turn_token="<|turn|>", bos_token="<m>")
    base = own(tmp_path / "theirs", DAYS)
    planner = Planner(str(medical), str(base), resolve(CompareOptions(**FEW)), Silent())
    plan = planner.plan(planner.quants[0])

    def beginning(file: Path | None) -> str:
        style = prompt_style_of(
            plan.medical, OWN_WAY, overrides=plan.protocol.prompts, shot_images="all", file=file
        )
        assert style.chat is not None
        return style.chat.write([Turn("user", "Which?"), Turn("assistant", "")])

    assert beginning(None) == "<m>2024-07-26<user>Which?<|turn|><assistant>"
    assert beginning(plan.base.quantised.path) == "<s>2024-07-26<user>Which?<|turn|><assistant>"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"system_prompt": {"third": "x"}}, "`system_prompt=` must be for medical or base, not third"),
        ({"system_prompt": {}}, "`system_prompt=` must be for medical or base, not nobody"),
        ({"system_prompt": {"base": 3}}, "`system_prompt=` must be text, not 3"),
        ({"system_prompt": Path("x")}, "`system_prompt=` must be text, not "),
        ({"system_prompt": {"medical": "\ud800"}}, "`system_prompt=` is not UTF-8 text"),
        ({"chat_template": 3}, "`chat_template=` must be text, not 3"),
        ({"chat_template": ["a"]}, "`chat_template=` must be text, not "),
    ],
)
def test_values_for_nobody_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        resolve(CompareOptions(**options))
    assert said in str(refused.value)
