"""The study's pairs with pictures, from tiny models in the real layouts on a hub to verdicts and reports."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import close_session, constants
from PIL import Image

from medbench_local import Protocol, check, compare, plan, read_results, sweep, verdict, verify
from medbench_local.errors import UsageError
from medbench_local.progress import Advance, Silent
from medbench_local.results.evidence_reading import read_evidence
from medbench_local.results.folder import Run
from medbench_local.vision.features import FeatureCache
from tests.cli.command import Command
from tests.hub_server import HubServer
from tests.study.picture_pair import (
    PAIRS,
    SHARED,
    SIZES,
    SUBJECT,
    few_prompts,
    write_seen,
    write_subject,
    write_text,
)
from tests.vision_toys import REPOSITORIES, base_state, pieces, serve, write_base, write_toys

SHOTS = (0, 2)
TASKS = ("./seen", SUBJECT)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """A hub with the toys; the current folder holds questions, and nothing was fetched yet."""
    root = tmp_path_factory.mktemp("pictures")
    toys = write_toys(root / "toys")
    write_seen(root / "seen")
    write_text(root / "text")
    write_subject(root / "data")
    with pytest.MonkeyPatch.context() as patch, HubServer() as server:
        serve(server, toys)
        for name in ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HUGGING_FACE_HUB_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setattr(constants, "HF_TOKEN_PATH", str(root / "no-token"))
        patch.setenv("HF_HOME", str(root / "hf"))
        patch.setenv("HF_ENDPOINT", server.endpoint)
        patch.setenv("MEDBENCH_HOME", str(root / "home"))
        patch.setenv("MEDBENCH_DATA", str(root / "data"))
        patch.chdir(root)
        yield server
        close_session()


def run_of(medical: str, base: str = "", protocol: Protocol | str = "laptop", **options: Any) -> Run:
    given: dict[str, Any] = {
        "tasks": TASKS,
        "shots": SHOTS,
        "protocol": few_prompts(protocol) if isinstance(protocol, str) else protocol,
        "quant": "q8_0",
        "check": "full",
        "threads": 1,
    }
    return compare(medical, base or PAIRS[medical], **(given | options))


@pytest.fixture(scope="module")
def runs(hub: HubServer) -> Mapping[str, Run]:
    """Each pair compared for the first time, by the name of its medical model."""
    found = {medical: run_of(medical) for medical in PAIRS}
    features = FeatureCache(Path(os.environ["MEDBENCH_HOME"])).folder
    ENCODED.update({path.name: len(list(path.glob("*.npy"))) for path in features.glob("*/*")})
    return found


ENCODED: dict[str, int] = {}
"""How many pictures were encoded in which way once both pairs were compared."""


def lines(run: Run) -> dict[str, list[dict[str, Any]]]:
    """The samples of a run, by the names of their files."""
    folder = run.folder.path / "samples"
    return {
        path.relative_to(folder).as_posix(): [
            json.loads(line) for line in path.read_text("utf-8").splitlines()
        ]
        for path in sorted(folder.rglob("*.jsonl"))
    }


@pytest.fixture(params=PAIRS)
def medical(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_both_pairs_go_from_the_hub_to_verified_verdicts(runs: Mapping[str, Run], medical: str) -> None:
    run = runs[medical]
    found = {(one.task, one.shots): one for one in run.results.comparisons}
    assert set(found) == {(task, shots) for task in ("seen", SUBJECT) for shots in SHOTS}
    for one in found.values():
        assert one.verified
        assert one.check.checked == one.n
    assert run.results.precision == "q8_0"
    assert (run.folder.path / "report.md").is_file()
    assert (run.folder.path / "report.html").is_file()


def test_pictures_matter(runs: Mapping[str, Run], medical: str) -> None:
    """Two questions whose texts are alike but for a number have other scores by far more than a number makes."""
    rows = lines(runs[medical])["medical.seen.0-shot.jsonl"]
    assert len({tuple(row["logprobs"]) for row in rows}) == SIZES["test"]
    assert len({tuple(row["images"]) for row in rows}) == SIZES["test"] // SHARED


def test_samples_name_the_pictures_that_were_shown(runs: Mapping[str, Run], medical: str) -> None:
    for row in lines(runs[medical])["base.seen.2-shot.jsonl"]:
        number = int(row["id"].removeprefix("test-"))
        content = Path(f"seen/test-{number // SHARED}.png").read_bytes()
        assert row["images"] == [hashlib.sha256(content).hexdigest()]


def test_the_manifest_names_every_part(hub: HubServer, runs: Mapping[str, Run], medical: str) -> None:
    said = runs[medical].folder.manifest()["models"]
    towers: set[str] = set()
    for role in ("medical", "base"):
        own = said[role]
        assert own["origin"].startswith(f"{own['checkpoint']['repository']}@")
        assert f"{REPOSITORIES['base']}@" in own["origin"]
        assert f"pictures through {REPOSITORIES['tower']}@" in own["origin"]
        seen_with = json.dumps(own["vision"])
        files = re.findall(r'"([^"]*\.safetensors)"', seen_with)
        assert len(files) == 2
        for file in files:
            assert hashlib.sha256(Path(file).read_bytes()).hexdigest() in seen_with
        towers.update(file for file in files if Path(file).name == "tower.safetensors")
    assert len(towers) == 1, "both models of a pair see through the same tower"


def test_what_both_pairs_have_in_common_is_fetched_once(hub: HubServer, runs: Mapping[str, Run]) -> None:
    asked = [
        request.path
        for request in hub.requests
        if request.method == "GET" and request.origin == "cdn" and request.path.endswith("model.safetensors")
    ]
    assert len(asked) == len(set(asked))


def test_pictures_are_encoded_once_for_both_models(runs: Mapping[str, Run]) -> None:
    """What is cut alike is kept once; a Flamingo's code cuts and colours otherwise than a LLaVA's."""
    seen, subject = sum(-(-count // SHARED) for count in SIZES.values()), 4 + 8 + 1
    assert sorted(ENCODED.values()) == sorted([seen + subject, seen, subject])


def test_the_same_command_finds_its_run_and_a_model_alone_its_partner(
    runs: Mapping[str, Run], medical: str
) -> None:
    again = run_of(medical)
    assert not again.computed
    assert again.results == runs[medical].results
    listener = Listener()
    given: dict[str, Any] = {
        "protocol": few_prompts("laptop"),
        "tasks": TASKS,
        "shots": SHOTS,
        "quant": "q8_0",
        "check": "full",
    }
    alone = compare(medical, **given, progress=listener)
    assert not alone.computed
    assert alone.folder == runs[medical].folder
    assert any(f"{medical} is compared with {PAIRS[medical]}" in note for note in listener.notes)


SIMPLE: dict[str, Any] = {"tasks": ["./seen"], "shots": [0], "check": "none"}
"""Options of a run that asks each test question about pictures once."""


def test_the_studys_own_way(runs: Mapping[str, Run], medical: str) -> None:
    """LLaVA's prompts without demonstrations are the same; a Flamingo's pictures pass another LayerNorm."""
    laptop, paper = (
        run_of(medical, **SIMPLE, ablation=False, protocol=few_prompts(way, search=False))
        for way in ("laptop", "emnlp2024")
    )
    assert laptop.folder != paper.folder
    own, study = (
        [row["logprobs"] for row in lines(run)["medical.seen.0-shot.jsonl"]] for run in (laptop, paper)
    )
    if medical == "llava-med-7b":
        assert paper.results.timing.prompts_scored == 0
        assert study == own
    else:
        assert paper.results.timing.prompts_scored == 2 * SIZES["test"]
        assert all(one != other for one, other in zip(own, study, strict=True))


def test_prompts_of_the_study_show_a_llava_no_picture_of_a_demonstration(hub: HubServer) -> None:
    """The demonstrations' pictures are not even encoded: their places are all that the study's code wrote."""
    home = Path(os.environ["MEDBENCH_HOME"])
    shutil.rmtree(FeatureCache(home).folder, ignore_errors=True)
    protocol = few_prompts("emnlp2024", search=False)
    run_of(
        "llava-med-7b",
        protocol=protocol,
        tasks=["./seen"],
        shots=[2],
        check="none",
        output=Path("other/paper"),
    )
    kept = {path.stem for path in FeatureCache(home).folder.glob("*/*/*.npy")}
    assert kept == {hashlib.sha256(path.read_bytes()).hexdigest() for path in Path("seen").glob("test-*.png")}


class Listener(Silent):
    """Hears notes; presses Ctrl-C when the work of one kind has got so far."""

    def __init__(self, unit: str = "", after: float = 0.0) -> None:
        self.notes: list[str] = []
        self.units: list[str] = []
        self._unit, self._left = unit, after

    @contextmanager
    def step(self, label: str, *, total: float | None, unit: str) -> Iterator[Advance]:
        self.units.append(unit)

        def advance(amount: float, *, known: bool = False) -> None:
            if unit == self._unit and not known:
                self._left -= amount
                if self._left <= 0:
                    raise KeyboardInterrupt

        yield advance

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_an_interrupted_run_goes_on_to_the_same_bytes(runs: Mapping[str, Run], medical: str) -> None:
    some: dict[str, Any] = {"tasks": ["./seen"], "shots": [2], "check": "none"}
    whole = run_of(medical, **some)
    assert whole.results.timing.prompts_scored == 0, (
        "the first comparison, which nobody interrupted, scored all of it"
    )
    home, output = Path(os.environ["MEDBENCH_HOME"]), Path("interrupted") / medical / "run"
    shutil.rmtree(FeatureCache(home).folder)
    for unit, after in (("pictures", 3), ("prompts", 5)):
        with pytest.raises(KeyboardInterrupt):
            run_of(medical, **some, output=output, progress=Listener(unit, after))
        if unit == "pictures":
            assert FeatureCache(home).size()[0] == after
    listener = Listener()
    run = run_of(medical, **some, output=output, progress=listener)
    assert "pictures" not in listener.units, "all were encoded before"
    assert run.results.timing.prompts_reused > 0
    assert run.results.timing.prompts_scored > 0
    without_time = [
        json.loads(one.folder.results_file.read_bytes()) | {"timing": None} for one in (run, whole)
    ]
    assert json.dumps(without_time[0]) == json.dumps(without_time[1])
    files = [path.relative_to(output) for path in sorted(output.rglob("*.jsonl"))]
    assert files == [
        path.relative_to(whole.folder.path) for path in sorted(whole.folder.path.rglob("*.jsonl"))
    ]
    for path in files:
        assert (output / path).read_bytes() == (whole.folder.path / path).read_bytes(), path


def test_a_picture_that_changes_by_one_pixel(runs: Mapping[str, Run], medical: str) -> None:
    simple = SIMPLE | {"protocol": few_prompts("laptop", search=False)}
    before = run_of(medical, **simple)
    folder = Path("changed") / medical / "seen"
    shutil.copytree("seen", folder)
    with Image.open(folder / "test-1.png") as image:
        pixels = np.array(image)
    pixels[pixels.shape[0] // 2, pixels.shape[1] // 2] ^= 255
    Image.fromarray(pixels).save(folder / "test-1.png")
    after = run_of(medical, **(simple | {"tasks": [f"./{folder}"]}))
    assert after.computed
    assert after.folder != before.folder
    assert after.results.timing.prompts_scored == 2 * SHARED, (
        "the questions about this picture, of both models"
    )
    rows = [[row["logprobs"] for row in lines(run)["medical.seen.0-shot.jsonl"]] for run in (before, after)]
    assert [i for i in range(SIZES["test"]) if rows[0][i] != rows[1][i]] == [SHARED, SHARED + 1]


def test_scores_are_found_whatever_ids_stood_for_the_pictures(runs: Mapping[str, Run], medical: str) -> None:
    """Ids are given out in the order in which pictures are shown. Here it is another one, and prompts that were
    tokenised before are not recognised, because the protocol has another name."""
    run = run_of(
        medical, tasks=TASKS[::-1], shots=SHOTS[::-1], protocol=few_prompts("laptop", called="other")
    )
    assert run.computed
    assert run.results.timing.prompts_scored == 0
    assert run.results.timing.prompts_reused > 0
    assert lines(run) == lines(runs[medical])


def test_models_with_pictures_are_asked_about_text_alone(hub: HubServer, medical: str) -> None:
    listener = Listener()
    run = run_of(
        medical,
        tasks=["./text"],
        shots=[0],
        protocol=few_prompts("laptop", search=False),
        check="none",
        progress=listener,
    )
    assert run.results.comparisons[0].n == SIZES["test"]
    assert "pictures" not in listener.units
    assert not any("images" in row for rows in lines(run).values() for row in rows)


def test_text_after_demonstrations_with_pictures(hub: HubServer) -> None:
    """In the study's way the last place of a LLaVA's prompt shows a picture all the same, here a demonstration's."""
    mixed = Path("mixed/both")
    shutil.copytree("seen", mixed)
    shutil.copy("text/test.jsonl", mixed)
    protocol = few_prompts("emnlp2024", search=False)
    run = run_of(
        "llava-med-7b",
        tasks=[f"./{mixed}", "./text"],
        shots=[2],
        protocol=protocol,
        quant="full",
        ablation=False,
    )
    assert [one.n for one in run.results.comparisons] == [SIZES["test"]] * 2


def test_who_reads_text_only_is_refused_before_anything_is_fetched(hub: HubServer, tmp_path: Path) -> None:
    asked = len(hub.requests)
    text_only = write_base(tmp_path / "text-only", base_state(pieces(None)))
    for medical, base, blind in (
        ("meditron-7b", "llama-2-7b", "meditron-7b"),
        ("llava-med-7b", "llama-2-7b", "llama-2-7b"),
        (str(text_only), "open-flamingo-9b", "text-only"),
        ("llava-med-7b", "gguf:owner/name/model.gguf", "model"),
    ):
        with pytest.raises(UsageError) as caught:
            run_of(medical, base)
        assert (
            caught.value.message == f"The questions of seen come with pictures, and {blind} reads text only."
        )
    assert len(hub.requests) == asked
    assert not list((Path(os.environ["MEDBENCH_HOME"]) / "models").glob("text-only*"))


def test_the_plan_counts_pictures(
    runs: Mapping[str, Run], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("medbench_local.study.cost.TINY", 10**12)  # no speed is measured
    given: dict[str, Any] = {"tasks": ["./seen"], "shots": [2], "quant": "q8_0", "check": "none"}
    cost = plan("llava-med-7b", "llava-v0-7b", protocol=few_prompts("laptop"), **given)
    seen = {split: -(-count // SHARED) for split, count in SIZES.items()}
    assert cost.pictures == sum(seen.values())
    cell = cost.medical.cells[0]
    paper = plan("llava-med-7b", "llava-v0-7b", protocol=few_prompts("emnlp2024"), **given)
    assert paper.pictures == seen["validation"] + seen["test"]
    # every question shows a picture of its own, whatever it is cut into
    assert cell.all_phases.tokens > (cell.search.prompts + cell.test.prompts) * 16
    words = ("compare", "llava-med-7b", "--dry-run", "--tasks", "./seen", "--quant", "q8_0")
    assert f"{cost.pictures} pictures, each encoded once" in Command(capsys)(*words).out


def test_a_check_of_one_model_and_a_sweep_find_what_was_scored(runs: Mapping[str, Run], medical: str) -> None:
    given: dict[str, Any] = {
        "tasks": ["./seen"],
        "shots": [2],
        "threads": 1,
        "protocol": few_prompts("laptop"),
    }
    found = check(medical, quant="q8_0", **given)
    assert found.overall.n == SIZES["test"]
    swept = sweep(
        [medical],
        tasks=TASKS,
        shots=SHOTS,
        protocol=few_prompts("laptop"),
        quant="q8_0",
        check="full",
        ablation=False,
    )
    assert [run.folder for run in swept.runs] == [runs[medical].folder]
    assert not swept.runs[0].computed


def test_a_run_is_reported_and_read_again(
    runs: Mapping[str, Run], medical: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command, folder = Command(capsys), runs[medical].folder.path
    assert f"{medical}" in command("report", folder, "--format", "md").out
    assert read_results(folder / "results.json") == runs[medical].results


def test_questions_about_one_picture_are_counted_together_beside(
    runs: Mapping[str, Run], medical: str
) -> None:
    seen = next(one for one in runs[medical].results.comparisons if one.task == "seen")
    assert seen.clusters is not None
    assert (seen.clusters.by, seen.clusters.n) == ("picture", SIZES["test"] // SHARED)
    folder = runs[medical].folder
    again = [row.clusters for row in verdict(folder.path, folder.path).rows if row.clusters is not None]
    assert (again[0].by, again[0].n) == (seen.clusters.by, seen.clusters.n)


@pytest.fixture(scope="module")
def vqa_rad(hub: HubServer, tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """The first closed questions of both sides of the real VQA-RAD with their pictures."""
    folder = tmp_path_factory.mktemp("vqa-rad")
    (folder / "vqa_rad").mkdir()
    (folder / "vqa_rad/images").symlink_to(shared_data / "vqa_rad/images")
    for name, count in (("trainset", 30), ("testset", 10)):
        rows = [
            row
            for row in json.loads(_content(shared_data / f"vqa_rad/{name}.json"))
            if row["answer_type"].strip() == "CLOSED" and row["phrase_type"] != "frame"
        ]
        (folder / f"vqa_rad/{name}.json").write_text(json.dumps(rows[:count]), encoding="utf-8")
    return folder


def _content(path: Path) -> bytes:
    zipped = path.with_name(f"{path.name}.gz")
    return gzip.decompress(zipped.read_bytes()) if zipped.is_file() else path.read_bytes()


@pytest.mark.parametrize("protocol", ["laptop", "emnlp2024"])
def test_real_questions_about_real_pictures(vqa_rad: Path, medical: str, protocol: str) -> None:
    rules = few_prompts(protocol, search=False)
    run = run_of(medical, protocol=rules, tasks=["vqa-rad"], data_dir=vqa_rad, ablation=False)
    assert [(one.task, one.shots) for one in run.results.comparisons] == [
        ("vqa-rad", shots) for shots in SHOTS
    ]
    for one in run.results.comparisons:
        assert one.verified
        assert one.n == 10
    rows = lines(run)["medical.vqa-rad.2-shot.jsonl"]
    pictures = vqa_rad / "vqa_rad/images"
    hashes = {hashlib.sha256(path.read_bytes()).hexdigest() for path in pictures.iterdir()}
    assert all(set(row["images"]) < hashes and len(row["images"]) == 1 for row in rows)
    assert all(abs(sum(np.exp(row["logprobs"])) - row["mass"]) < 1e-6 for row in rows)


def test_the_folder_has_small_copies_of_the_pictures(runs: Mapping[str, Run]) -> None:
    """Each once, whichever questions share it; questions, prompts and samples name them by their hashes."""
    run = runs["llava-med-7b"]
    found = read_evidence(run.folder, run.results)
    shown = {sha256 for question in found.questions for sha256 in question.pictures}
    assert set(found.thumbnails) == shown
    assert len(shown) < len({question.id for question in found.questions}) * len(TASKS)
    for data in found.thumbnails.values():
        assert Image.open(io.BytesIO(data)).format == "JPEG"
    assert all("<image>" in prompt.text for prompt in found.prompts)
    assert read_evidence(run.folder, run.results, pictures=False).thumbnails == {}
    assert verify(run).outcome == "holds", str(verify(run))
