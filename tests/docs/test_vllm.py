"""docs/vllm_rows.py against a stand-in for a vLLM server that computes with transformers and answers in vLLM's format.

The format is that of vLLM's `CompletionResponse`: one choice a prompt, in any order; `prompt_logprobs` has None for
the first token, and for each other one an object from token ids, as text, to `logprob`, `rank` and `decoded_token`: the
most probable one, and the one that stands there.
"""

from __future__ import annotations

import json
import runpy
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import medbench_local.demo
from tests.docs.pages import ROOT
from tests.docs.running import in_folder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

CHECKPOINTS = Path(medbench_local.demo.__file__).parent / "checkpoints"


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a server of both models of the embedded pair."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for models of this size others only wait
    networks = {
        str(CHECKPOINTS / name): transformers.LlamaForCausalLM.from_pretrained(
            CHECKPOINTS / name, dtype=torch.float32
        )
        for name in ("demo-med", "demo-base")
    }

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.path == "/v1/completions"
            network = networks[asked["model"]]
            choices = [
                {
                    "index": index,
                    "text": "",
                    "logprobs": None,
                    "finish_reason": "length",
                    "stop_reason": None,
                    "prompt_logprobs": found,
                }
                for index, found in enumerate(answered(network, asked["prompt"]))
            ]
            body = json.dumps({"object": "text_completion", "choices": choices[::-1]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *values: Any) -> None:
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{found.server_port}"
    found.shutdown()
    thread.join()
    found.server_close()
    torch.set_num_threads(threads)


def answered(network: Any, prompts: list[list[int]]) -> list[list[dict[str, Any] | None]]:
    """The log-probabilities of prompts of one length."""
    with torch.inference_mode():
        logprobs = network(torch.tensor(prompts)).logits.log_softmax(-1)
    return [
        [None, *(at(row, token) for row, token in zip(rows[:-1], tokens[1:], strict=True))]
        for rows, tokens in zip(logprobs, prompts, strict=True)
    ]


def at(row: Any, token: int) -> dict[str, Any]:
    return {
        str(one): {"logprob": float(row[one]), "rank": int((row > row[one]).sum()) + 1, "decoded_token": ""}
        for one in {int(row.argmax()), token}
    }


def test_its_rows_agree_with_a_run(tmp_path: Path, documented: None, server: str) -> None:
    words = "compare demo-med demo-base --tasks demo-anatomy --shots 0 --limit 20 --quant full --output run"
    assert in_folder(words.split(), tmp_path)[0] == 0
    exported = in_folder(["prompts", "export", "--run", "run", "--output", "prompts.jsonl"], tmp_path)
    assert exported[0] == 0, exported[2]
    script = runpy.run_path(str(ROOT / "docs" / "vllm_rows.py"))
    for name in ("demo-med", "demo-base"):
        output = tmp_path / f"{name}.jsonl"
        words = f"{tmp_path / 'prompts.jsonl'} {output} --checkpoint {CHECKPOINTS / name} --model {name} --url {server}"
        script["main"](words.split())
        assert len(output.read_text(encoding="utf-8").splitlines()) == 20
    words = "validate run --reference demo-med.jsonl --reference demo-base.jsonl --json"
    code, out, err = in_folder(words.split(), tmp_path)
    found = json.loads(out)
    assert (code, found["outcome"]) == (0, "agrees"), out + err
    assert found["logprobs"]["median"] < 0.005, "bf16 rounds activations, and nothing else differs"
