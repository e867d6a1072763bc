"""Protocol files: the built-in ones, and what is refused in one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from medbench_local.catalog import protocol as module
from medbench_local.catalog.load import StrictModel
from medbench_local.catalog.protocol import FOLDER, Protocol, default_protocol, load_protocol, protocol_names
from medbench_local.errors import InputError, UsageError
from medbench_local.results.folder import identity

HEAD = "name: mine\nsummary: My own.\n"


def own(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    return path


def test_both_studies_are_built_in() -> None:
    assert protocol_names() == ("demo", "emnlp2024", "laptop")
    for name in protocol_names():
        assert load_protocol(name).name == name


def test_emnlp2024_is_the_study() -> None:
    study = load_protocol("emnlp2024")
    assert study.shots == (0, 3)
    assert study.scoring == "constrained"
    assert study.selection.method == "exhaustive"
    assert study.selection.validation_questions == 500
    assert study.selection.formats == study.selection.demonstration_seeds == tuple(range(10))
    assert study.bootstrap.confidence == 0.95
    assert (study.chat_bos, study.too_long, study.multiple_letters) == ("twice", "count-as-wrong", "first")
    assert study.greedy.max_tokens == 64
    assert study.demonstration_seed == 42
    assert study.test_questions is None


def test_laptop_differs_where_it_says() -> None:
    study, laptop = load_protocol("emnlp2024"), load_protocol("laptop")
    changed = {key for key in Protocol.model_fields if getattr(study, key) != getattr(laptop, key)}
    pictures = {"shot_images", "vision_ln_post"}
    assert changed == {"name", "summary", "shots", "selection", "too_long", "chat_bos", "ablation"} | pictures
    assert {getattr(study, key) for key in pictures} == {"paper"}
    assert (laptop.shot_images, laptop.vision_ln_post) == ("all", "original")
    assert laptop.selection.method == "racing"
    assert laptop.selection.max_fraction is not None
    assert laptop.selection.max_fraction <= 1 / 3


def test_emnlp2024_shows_every_key() -> None:
    given = yaml.safe_load((FOLDER / "emnlp2024.yaml").read_text(encoding="utf-8"))
    assert list(given) == list(Protocol.model_fields)
    for key, value in given.items():
        section = Protocol.model_fields[key].annotation
        if isinstance(section, type) and issubclass(section, StrictModel):
            assert list(value) == list(section.model_fields), key


def test_keys_of_older_files_are_accepted_with_a_note(tmp_path: Path) -> None:
    old = load_protocol(own(tmp_path, "bootstrap: {resamples: 10000, confidence: 0.9, seed: 42}\n"))
    assert old.bootstrap.confidence == 0.9
    assert [note.split(": ")[1] for note in old.notes] == [
        "bootstrap key 'resamples' is ignored",
        "bootstrap key 'seed' is ignored",
    ]
    assert "resamples" not in old.model_dump()["bootstrap"]
    assert load_protocol("emnlp2024").notes == ()


def test_the_embedded_pair_has_a_protocol_of_its_own() -> None:
    assert default_protocol("demo-med", "demo-base") == "demo"
    assert default_protocol("demo-med", "llama-2-7b") == "laptop"
    assert default_protocol("./demo-med", "demo-base") == "laptop"


def test_every_key_is_documented() -> None:
    settings = [
        entry for entry in vars(module).values() if isinstance(entry, type) and issubclass(entry, StrictModel)
    ]
    for model in settings:
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


def test_a_short_file_takes_the_defaults(tmp_path: Path) -> None:
    mine = load_protocol(own(tmp_path, "shots: [5]\nselection: {method: none}\n"))
    assert mine.shots == (5,)
    assert mine.selection.method == "none"
    assert mine.bootstrap == load_protocol("emnlp2024").bootstrap


def test_the_old_name_of_a_key(tmp_path: Path) -> None:
    old = load_protocol(own(tmp_path, "reference: {near_tie: 0.125}\n"))
    new = load_protocol(own(tmp_path, "reference: {prediction_tolerance: 0.125}\n"))
    assert old == new
    assert old.reference.prediction_tolerance == 0.125
    written = old.model_dump(mode="json")
    assert "near_tie" not in written["reference"]
    assert Protocol.model_validate(written) == old, "as a run's manifest keeps it"


def test_old_names_of_what_happens_to_long_prompts_and_several_letters(tmp_path: Path) -> None:
    old = load_protocol(own(tmp_path, "overlong: wrong\nletters: none\n"))
    assert (old.too_long, old.multiple_letters) == ("count-as-wrong", "none")
    assert old == load_protocol(own(tmp_path, "too_long: count-as-wrong\nmultiple_letters: none\n"))
    assert old == load_protocol(own(tmp_path, "too_long: wrong\nmultiple_letters: none\n"))
    kept = load_protocol(own(tmp_path, "overlong: drop-demonstrations\n"))
    assert kept == load_protocol(own(tmp_path, ""))
    stored = json.loads(json.dumps(old.in_first_names()))
    assert {"overlong": "wrong", "letters": "none"}.items() <= stored.items()
    assert Protocol.model_validate(stored) == old, "as a run of the first release keeps it"
    assert Protocol.model_validate(old.model_dump(mode="json")) == old, "as a run keeps it now"


@pytest.mark.parametrize(("name", "expected"), [("demo", "df2e4745"), ("emnlp2024", "c0b05b33")])
def test_runs_are_found_by_what_the_first_release_made_of_a_protocol(name: str, expected: str) -> None:
    """Hashes computed by that release: whoever changes one, or a value behind it, loses every finished run."""
    assert identity({"p": load_protocol(name).in_first_names()}) == expected


def test_a_laptop_that_searches_as_the_first_release_s_is_hashed_as_that_one() -> None:
    laptop = load_protocol("laptop")
    first = laptop.selection.model_copy(update={"max_prompts": 5400, "min_gain": None})
    as_then = laptop.model_copy(update={"selection": first}).in_first_names()
    assert identity({"p": as_then}) == "7e1e8ce0"
    assert identity({"p": laptop.in_first_names()}) != "7e1e8ce0", "today's search is another one"


def test_keys_about_pictures_name_runs_of_models_that_read_pictures_only(tmp_path: Path) -> None:
    """The hash of the first release, which had no such keys."""
    mine = load_protocol(
        own(tmp_path, "overlong: wrong\nletters: none\nshot_images: paper\nvision_ln_post: paper\n")
    )
    assert identity({"p": mine.in_first_names()}) == "b00bec25"
    kept = mine.in_first_names(pictures=True)
    assert (kept["shot_images"], kept["vision_ln_post"]) == ("paper", "paper")
    others = [
        mine.model_copy(update={key: value})
        for key, value in (("shot_images", "all"), ("vision_ln_post", "original"))
    ]
    assert len({identity({"p": one.in_first_names(pictures=True)}) for one in (mine, *others)}) == 3


@pytest.mark.parametrize(
    "text",
    ["overlong: wrong\nletters: none\n", "too_long: count-as-wrong\nmultiple_letters: none\n"],
)
def test_runs_by_a_protocol_of_ones_own_are_found_whatever_its_keys_are_called(
    tmp_path: Path, text: str
) -> None:
    assert identity({"p": load_protocol(own(tmp_path, text)).in_first_names()}) == "b00bec25"


def test_path_may_be_a_string(tmp_path: Path) -> None:
    assert load_protocol(str(own(tmp_path, ""))).name == "mine"


def test_own_system_prompts(tmp_path: Path) -> None:
    mine = load_protocol(own(tmp_path, "prompts:\n  m:\n    all: Answer.\n    pubmedqa: Yes or no.\n"))
    assert mine.prompts.text("m", "medqa") == "Answer."
    assert mine.prompts.text("m", "pubmedqa") == "Yes or no."
    assert mine.prompts.text("other", "pubmedqa") is None


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("shot: [3]\n", 3, "unknown key"),
        ("shots: []\n", 3, "at least 1"),
        ("shots: [3, 3]\n", 3, "twice"),
        ("shots: [-1]\n", 3, "greater than or equal to 0"),
        ("shots: 3\n", 3, "a list"),
        ("shots: [true]\n", 3, "a whole number"),
        ("shots: [3.0]\n", 3, "a whole number"),
        ("scoring: letters\n", 3, "'constrained'"),
        ("selection:\n  method: random\n", 4, "'racing'"),
        ("selection:\n  method: racing\n  budget: 4\n", 5, "unknown key"),
        ("selection:\n  error_rate: 0\n", 4, "greater than 0"),
        ("selection:\n  error_rate: 1.0\n", 4, "less than 1"),
        ("selection:\n  error_rate: .nan\n", 4, "less than 1"),
        ("selection:\n  max_fraction: 1.5\n", 4, "less than or equal to 1"),
        ("selection:\n  max_fraction: '0.5'\n", 4, "number"),
        ("selection:\n  validation_questions: 0\n", 4, "greater than or equal to 1"),
        ("selection:\n  demonstration_seeds: []\n", 4, "at least 1"),
        ("selection:\n  formats: [0, 0]\n", 4, "twice"),
        ("selection: none\n", 3, "a mapping"),
        ("bootstrap:\n  confidence: 1\n", 4, "less than 1"),
        ("bootstrap:\n  confidence: 95\n", 4, "less than 1"),
        ("test_questions: 0\n", 3, "greater than or equal to 1"),
        ("context: yes\n", 3, "a whole number"),
        ("too_long: cut\n", 3, "'count-as-wrong'"),
        ("overlong: cut\n", 3, "'drop-demonstrations'"),
        ("too_long: 3\n", 3, "'drop-demonstrations'"),
        ("too_long: count-as-wrong\noverlong: wrong\n", 4, "'overlong': this is the old name of 'too_long'"),
        ("letters: first\nmultiple_letters: first\n", 3, "old name of 'multiple_letters'"),
        ("chat_bos: 2\n", 3, "'twice'"),
        ("letters: last\n", 3, "'first'"),
        ("multiple_letters: last\n", 3, "'first'"),
        ("greedy:\n  max_tokens: 0\n", 4, "greater than or equal to 1"),
        ("check:\n  margin: 2\n", 4, "less than or equal to 1"),
        ("check:\n  questions: some\n", 4, ""),
        ("reference:\n  prediction_tolerance: -1\n", 4, "greater than or equal to 0"),
        ("reference:\n  prediction_tolerance: .inf\n", 4, "finite"),
        ("reference:\n  same_verdicts: true\n  near_tie: -1\n", 5, "greater than or equal to 0"),
        ("reference:\n  prediction_tolerance: 0.1\n  near_tie: 0.1\n", 5, "old name"),
        ("reference:\n  same_verdicts: 1\n", 4, "true or false"),
        ("prompts:\n  m: Answer.\n", 4, "a mapping"),
        ("prompts:\n  m:\n    medqa: ' '\n", 5, "empty"),
        ("prompts:\n  m:\n    medqa: 5\n", 5, "a text"),
        ("shots: [3]\nshots: [0]\n", 4, "already given on line 3"),
        ("shots: [3\n", 4, "YAML"),
    ],
)
def test_refusals_name_the_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    with pytest.raises(InputError) as caught:
        load_protocol(own(tmp_path, text))
    assert f"line {line}" in caught.value.where, caught.value
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["", "UPPER", "a/b", "../x", "a b"])
def test_impossible_names(tmp_path: Path, name: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(f"name: '{name}'\nsummary: s\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 1"):
        load_protocol(path)


def test_missing_keys(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("name: x\n", encoding="utf-8")
    with pytest.raises(InputError, match="'summary': this key is required"):
        load_protocol(path)


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"did you mean 'laptop'.*emnlp2024, laptop"):
        load_protocol("labtop")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_protocol(tmp_path / "none.yaml")
