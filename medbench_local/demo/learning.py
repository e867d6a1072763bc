"""Documents into tokens and batches, and the loop that learns from them."""

from __future__ import annotations

import bisect
import itertools
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sentencepiece
import torch
from torch import Tensor
from torch.nn import functional

from medbench_local.demo.llama import Attention, Llama
from medbench_local.demo.text import Diet, Document, write

POOL = 64
"""Documents that are sorted by length together, so that a batch pads little."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn.

    Attributes:
        steps: updates.
        batch_tokens: most tokens in one batch, padding included.
        rate: highest learning rate.
        final: share of it that is left at the end; it falls along a cosine.
        guidance: weight of the loss that shows heads where to attend; 0 for none.
        warmup: steps in which the rate rises.
        weight_decay: of the matrices.
    """

    steps: int
    batch_tokens: int
    rate: float
    final: float
    guidance: float = 0.0
    warmup: int = 50
    weight_decay: float = 0.05


Link = tuple[int, int]
"""A position, and an earlier one that it should attend to."""


@dataclass(frozen=True)
class Example:
    """A document as tokens.

    Attributes:
        tokens: BOS first.
        targets: positions in ``tokens`` whose token is learned from those before it.
        answers: those of them that are an answer's letter.
        bindings: from each option's last token to its letter.
        pointers: from the token before an answer's letter to the correct option's last token.
    """

    tokens: tuple[int, ...]
    targets: tuple[int, ...]
    answers: tuple[int, ...]
    bindings: tuple[Link, ...]
    pointers: tuple[Link, ...]


def encode(document: Document, tokenizer: sentencepiece.SentencePieceProcessor) -> Example:
    """The document's tokens: its text as a whole, then its reply as the bare token."""
    pieces = tokenizer.encode(document.text, out_type=str)
    tokens = [tokenizer.bos_id(), *tokenizer.piece_to_id(pieces)]
    lengths = [1 if piece.startswith("<0x") else len(piece) for piece in pieces]
    begins = list(itertools.accumulate(lengths, initial=-1))[:-1]  # a blank is put before the text

    def token_at(character: int) -> int:
        return bisect.bisect_right(begins, character)  # one more than the index of the piece: BOS is first

    targets = [
        token
        for start, end in document.learned
        for token in range(max(2, token_at(start)), token_at(end - 1) + 1)
    ]
    if document.reply:
        targets.append(len(tokens))
        tokens.append(tokenizer.piece_to_id(document.reply))
    if document.reply or (document.learned and document.learned[-1][1] == len(document.text)):
        targets.append(len(tokens))
        tokens.append(tokenizer.eos_id())
    answers, bindings, pointers = [], [], []
    for asked in document.asked:
        ends = [token_at(end) for end in asked.ends]
        bindings += [(end, token_at(place)) for end, place in zip(ends, asked.letters, strict=True)]
        reply = token_at(asked.reply) if asked.reply < len(document.text) else len(pieces) + 1
        answers.append(reply)
        pointers.append((reply - 1, ends[asked.answer]))
    return Example(tuple(tokens), tuple(targets), tuple(answers), tuple(bindings), tuple(pointers))


def batches(
    diet: Diet, tokenizer: sentencepiece.SentencePieceProcessor, budget: int, draw: random.Random
) -> Iterator[list[Example]]:
    """Batches without end, each of documents of similar length, at most ``budget`` tokens with padding."""
    while True:
        pool = [encode(write(diet, draw), tokenizer) for _ in range(POOL)]
        pool.sort(key=lambda example: len(example.tokens))
        cut: list[list[Example]] = [[]]
        for example in pool:
            if len(example.tokens) * (len(cut[-1]) + 1) > budget:
                cut.append([])
            cut[-1].append(example)
        draw.shuffle(cut)
        yield from cut


def loss_of(model: Llama, batch: list[Example], guidance: float = 0.0) -> tuple[Tensor, Tensor]:
    """Mean negative log-likelihood (nats) of the batch's learned tokens, and that plus ``guidance`` of the heads."""
    width = max(len(example.tokens) for example in batch)
    tokens = torch.zeros(len(batch), width, dtype=torch.long)
    for row, example in enumerate(batch):
        tokens[row, : len(example.tokens)] = torch.tensor(example.tokens)
    rows = torch.tensor([row for row, example in enumerate(batch) for _ in example.targets])
    places = torch.tensor([place for example in batch for place in example.targets])
    hidden = model.hidden(tokens)[rows, places - 1]
    each = functional.cross_entropy(model.logits(hidden), tokens[rows, places], reduction="none")
    answer = torch.tensor([place in example.answers for example in batch for place in example.targets])
    loss = each.sum() * 0
    for kind, weight in ((answer, 1.0), (~answer, 0.3)):
        if kind.any():
            loss = loss + weight * each[kind].mean()
    if not guidance:
        return loss, loss
    layers = model.model.layers
    bound = [(row, *link) for row, example in enumerate(batch) for link in example.bindings]
    pointed = [(row, *link) for row, example in enumerate(batch) for link in example.pointers]
    total = loss + guidance * (_astray(layers[0].self_attn, bound) + _astray(layers[-1].self_attn, pointed))
    return loss, total


GUIDED = 4
"""Heads of the first and of the last layer that are guided."""


def _astray(attention: Attention, links: list[tuple[int, int, int]]) -> Tensor:
    """Mean negative log of the attention (nats) that guided heads give to where each link leads."""
    if not links or attention.seen is None:
        return torch.zeros(())
    queries, keys = attention.seen
    row, place, goal = torch.tensor(links).T
    q = queries[:, :GUIDED].transpose(1, 2)[row, place]
    scores = torch.einsum("nhd,nhld->nhl", q, keys[:, :GUIDED][row]) / q.shape[-1] ** 0.5
    later = torch.arange(scores.shape[-1]) > place[:, None]
    scores = scores.masked_fill(later[:, None], float("-inf"))
    return functional.cross_entropy(scores.flatten(0, 1), goal.repeat_interleave(GUIDED))


def learn(
    model: Llama,
    examples: Iterator[list[Example]],
    schedule: Schedule,
    heard: Callable[[int, float], None],
) -> None:
    """Train ``model`` in place; ``heard`` is told step and loss (nats) after each update."""
    matrices = [p for p in model.parameters() if p.dim() == 2]
    scales = [p for p in model.parameters() if p.dim() == 1]
    groups = [
        {"params": matrices, "weight_decay": schedule.weight_decay},
        {"params": scales, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=schedule.rate, betas=(0.9, 0.98))
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, schedule))
    model.train()
    for step in range(1, schedule.steps + 1):
        loss, total = loss_of(model, next(examples), schedule.guidance)
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rates.step()
        optimizer.zero_grad()
        heard(step, loss.item())


def _rate(step: int, schedule: Schedule) -> float:
    if step < schedule.warmup:
        return (step + 1) / schedule.warmup
    progress = (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
    return schedule.final + (1 - schedule.final) * 0.5 * (1 + math.cos(progress * math.pi))
