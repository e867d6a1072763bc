"""Reference rows from a vLLM server: `python docs/vllm_rows.py prompts.jsonl gpu.jsonl --checkpoint DIR --model NAME`.

Reads rows of `medbench-local prompts export` with the scoring `constrained`, asks a server (`vllm serve DIR`) for the
log-probability of each option's letter right behind the prompt, and writes rows that `medbench-local validate` reads.

A server returns only the most probable next tokens, and an option's letter need not be among them. So each letter is
sent as the last token of the prompt, and `prompt_logprobs` says how probable it was there: the token that stands in a
prompt is always in the answer, however improbable. The price is that a prompt is read once for each option.
Needs transformers, for the tokenizer.
"""

from __future__ import annotations

import argparse
import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def tokens_of(tokenizer: Any, row: dict[str, Any]) -> list[int]:
    """The prompt as token ids: as a whole, one BOS, text of control tokens as text unless the row says otherwise."""
    ids = tokenizer(
        row["prompt"], add_special_tokens=False, split_special_tokens=not row["special"]
    ).input_ids
    first = (
        []
        if tokenizer.bos_token_id is None or ids[:1] == [tokenizer.bos_token_id]
        else [tokenizer.bos_token_id]
    )
    return [*first, *ids]


def request(
    row: dict[str, Any], tokens: Sequence[int], letters: Sequence[int], served: str
) -> dict[str, Any]:
    """The body for `/v1/completions`: a prompt for each option, with its letter at the end."""
    return {
        "model": served,
        "prompt": [[*tokens, letter] for letter in letters[: len(row["options"])]],
        "max_tokens": 1,
        "temperature": 0,
        "prompt_logprobs": 1,
    }


def result(row: dict[str, Any], letters: Sequence[int], answer: dict[str, Any]) -> dict[str, Any]:
    """The row with `logprobs`, from the server's answer."""
    choices = sorted(answer["choices"], key=lambda choice: choice["index"])
    logprobs = [
        choice["prompt_logprobs"][-1][str(letter)]["logprob"]
        for choice, letter in zip(choices, letters, strict=False)
    ]
    return {**row, "logprobs": logprobs, "prediction": logprobs.index(max(logprobs))}


def ask(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """What the server answers."""
    sent = urllib.request.Request(
        f"{url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(sent) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Ask for every row of the file that names the model."""
    parser = argparse.ArgumentParser(description="Reference rows from a vLLM server.")
    parser.add_argument("prompts", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--checkpoint", required=True, help="the folder that is served, for its tokenizer")
    parser.add_argument("--model", required=True, help="the rows' model")
    parser.add_argument(
        "--served", help="what the server calls it; the folder, unless it was told another name"
    )
    parser.add_argument("--url", default="http://localhost:8000")
    asked = parser.parse_args(argv)

    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(asked.checkpoint)
    letters = tokenizer.convert_tokens_to_ids(list("ABCDEFGHIJ"))
    with asked.prompts.open(encoding="utf-8") as file, asked.output.open("w", encoding="utf-8") as written:
        for line in file:
            row = json.loads(line)
            if row["model"] != asked.model:
                continue
            if row.get("scoring", "constrained") != "constrained":
                raise SystemExit(
                    f"{row['id']}: this script asks for letters, not for the scoring {row['scoring']}"
                )
            body = request(row, tokens_of(tokenizer, row), letters, asked.served or asked.checkpoint)
            written.write(json.dumps(result(row, letters, ask(asked.url, body)), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
