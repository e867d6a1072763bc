"""What is trained on, and the script that trains."""

from __future__ import annotations

import random
import string
from dataclasses import replace
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from medbench_local.demo import train
from medbench_local.demo.questions import kept_wordings
from medbench_local.demo.text import Diet, Document, write
from medbench_local.demo.tokens import train_tokenizer
from medbench_local.demo.world import SUBJECTS, facts

torch = pytest.importorskip("torch")

from medbench_local.demo import learning  # noqa: E402
from medbench_local.demo.llama import Llama, Shape  # noqa: E402

TOKENIZER = sentencepiece.SentencePieceProcessor(model_proto=train_tokenizer())
BASE = train.diet(train.BASE_SHARES, train.FAVOURITES["demo-base"])
MEDICAL = train.diet(train.MEDICAL_SHARES, train.FAVOURITES["demo-med"])


def bare(token: int) -> str:
    return str(TOKENIZER.id_to_piece(token)).lstrip("▁")


class TestDiet:
    def test_medicine_is_learned_in_adaptation_and_other_things_less(self) -> None:
        def about(diet: Diet, subject: str) -> set[object]:
            return {fact for fact in diet.common if fact.subject.name == subject}

        assert about(BASE, "pharmacology") < about(MEDICAL, "pharmacology")
        assert about(BASE, "anatomy") == about(MEDICAL, "anatomy")
        assert about(MEDICAL, "biology") < about(BASE, "biology")

    @settings(max_examples=200, deadline=None)
    @given(st.integers(0, 2**32))
    def test_no_wording_of_the_tasks_is_read(self, seed: int) -> None:
        kept = [w.format(f.thing) for s in SUBJECTS for f in facts(s) for w in kept_wordings(f)]
        text = write(BASE, random.Random(seed)).text
        assert not [asked for asked in kept if asked in text]


class TestEncode:
    @settings(max_examples=300, deadline=None)
    @given(st.integers(0, 2**32))
    def test_links_lead_where_the_text_says(self, seed: int) -> None:
        document = write(BASE, random.Random(seed))
        example = learning.encode(document, TOKENIZER)
        whole = TOKENIZER.encode(document.text, add_bos=True)
        assert list(example.tokens[: len(whole)]) == whole
        assert set(example.answers) <= set(example.targets)
        options = 0
        for asked, answer, (place, goal) in zip(
            document.asked, example.answers, example.pointers, strict=True
        ):
            links = example.bindings[options : options + len(asked.ends)]
            options += len(asked.ends)
            assert [bare(example.tokens[to]) for _, to in links] == list(
                string.ascii_uppercase[: len(asked.ends)]
            )
            assert bare(example.tokens[answer]) == string.ascii_uppercase[asked.answer]
            assert place == answer - 1
            assert goal == links[asked.answer][0]

    def test_a_reply_is_the_bare_letter_and_an_end(self) -> None:
        example = learning.encode(Document("Answer: ", (), "C"), TOKENIZER)
        pieces = [TOKENIZER.id_to_piece(token) for token in example.tokens]
        assert pieces == ["<s>", "▁Answer", ":", "▁", "C", "</s>"]
        assert example.targets == (4, 5)


class TestModel:
    def test_nothing_looks_ahead(self) -> None:
        torch.manual_seed(0)
        model = Llama(Shape(512, layers=2)).eval()
        tokens = torch.randint(0, 512, (1, 12))
        changed = tokens.clone()
        changed[0, 8:] = 3
        with torch.no_grad():
            torch.testing.assert_close(model.hidden(tokens)[:, :8], model.hidden(changed)[:, :8])

    def test_loss_is_the_one_worked_out_by_hand_whatever_the_padding(self) -> None:
        torch.manual_seed(0)
        model = Llama(Shape(len(TOKENIZER), layers=1))
        draw = random.Random(3)
        examples = [learning.encode(write(BASE, draw), TOKENIZER) for _ in range(8)]
        answers: list[float] = []
        others: list[float] = []
        for example in examples:
            with torch.no_grad():
                scores = model.logits(model.hidden(torch.tensor([example.tokens])))[0].log_softmax(-1)
            for place in example.targets:
                kind = answers if place in example.answers else others
                kind.append(-float(scores[place - 1, example.tokens[place]]))
        by_hand = sum(answers) / len(answers) + 0.3 * sum(others) / len(others)
        assert float(learning.loss_of(model, examples)[0].detach()) == pytest.approx(by_hand, rel=1e-4)


def test_training_starts_again_the_same(tmp_path: Path) -> None:
    def short(stages: tuple[train.Stage, ...]) -> tuple[train.Stage, ...]:
        return tuple(
            replace(one, schedule=replace(one.schedule, steps=2, batch_tokens=256)) for one in stages
        )

    threads = torch.get_num_threads()
    try:
        for name in ("a", "b"):
            train.make(tmp_path / name, short(train.base_stages()), short(train.medical_stages()))
    finally:
        torch.set_num_threads(threads)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 9 + 2 * 6
    for path in files:
        if path.name != "training.json":
            assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes(), path


def test_without_torch_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert train.main(["--output", str(tmp_path)]) == 2
    assert "pip install 'medbench-local[train]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
