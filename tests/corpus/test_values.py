"""Values on the command line that make no sense, and options that contradict each other."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.corpus.command_line import files_below, refusal

PAIR = "compare demo-med demo-base --tasks demo-anatomy --output run"
SHOW = "prompts show --model demo-med --task demo-anatomy"
EXPORT = "prompts export --model demo-med --task demo-anatomy --output rows.jsonl"

# The command, then what the line must say.
VALUES: dict[str, str] = {
    "compare": "Missing argument",
    "compare llama-2-7b": "could fairly be compared with",
    "compare demo-med demo-base more": "unexpected extra argument",
    "nosuch": "No such command 'nosuch'",
    "models nosuch": "No such command 'nosuch'",
    f"{PAIR} --wrong": "No such option",
    "compare nosuch demo-base": "'nosuch'",
    "compare '' demo-base": "No model",
    "compare ./nosuch.gguf demo-base": "There is no file nosuch.gguf",
    "compare hf:bad demo-base": "'hf:bad' does not name a repository",
    "compare hf:a/b@../../x demo-base": "not a branch, tag or commit",
    "compare hf:../b demo-base": "does not name a repository",
    "compare gguf:a/b demo-base": "gguf:",
    "compare gguf:a/b/../../c.gguf demo-base": "not the name of a GGUF file",
    "compare ~nosuchuser/x demo-base": "~nosuchuser",
    f"compare {'a' * 300} demo-base": "aaaa",
    "compare demo-med demo-base --tasks ''": "names nothing",
    "compare demo-med demo-base --tasks ,": "names nothing",
    "compare demo-med demo-base --tasks nosuch": "no task 'nosuch'",
    "compare demo-med demo-base --tasks ./nowhere": "no folder",
    "compare demo-med demo-base --tasks medqa --data-dir nowhere": "nowhere: no such folder",
    f"{PAIR} --shots x": "--shots needs whole numbers",
    f"{PAIR} --shots -1": "--shots needs whole numbers",
    f"{PAIR} --shots 0,,3": "--shots needs whole numbers",
    f"{PAIR} --shots 1.5": "--shots needs whole numbers",
    f"{PAIR} --shots 99": "fewer than the 99 shots",
    f"{PAIR} --shots 9999999999": "--shots needs whole numbers",
    f"{PAIR} --limit 0": "--limit must be at least 1",
    f"{PAIR} --limit -5": "--limit must be at least 1",
    f"{PAIR} --limit many": "--limit",
    f"{PAIR} --quant q99": "no quantisation config 'q99'",
    f"{PAIR} --quant missing.yaml": "missing.yaml: no such file",
    f"{PAIR} --protocol nosuch": "no protocol is called 'nosuch'",
    f"{PAIR} --protocol missing.yaml": "missing.yaml: no such file",
    f"{PAIR} --protocol ~nosuchuser/x.yaml": "~nosuchuser",
    f"{PAIR} --scoring weird": "--scoring",
    f"{PAIR} --mode weird": "--mode",
    f"{PAIR} --threads 0": "--threads must be",
    f"{PAIR} --threads -3": "--threads must be",
    f"{PAIR} --threads 100000": "--threads must be",
    f"{PAIR} --gpu-layers -7": "--gpu-layers must be",
    f"{PAIR} --retries -1": "--retries must be",
    f"{PAIR} --check-precision nosuch": "'nosuch'",
    f"{PAIR} --check most": "--check",
    "score demo-med nosuch.jsonl": "nosuch.jsonl: no such file",
    "score demo-med .": "cannot be read",
    "score nosuch /dev/null": "is a device, not a file",
    "check nosuch --quant q8_0": "'nosuch'",
    "check demo-med --quant nosuch": "no quantisation config 'nosuch'",
    "validate nosuch --reference x": "No run is called 'nosuch'",
    "verdict nosuch.jsonl nosuch.jsonl": "nosuch.jsonl: no such file",
    "verdict . .": "cannot be read",
    "verdict /dev/null /dev/null --confidence 1": "--confidence",
    "verdict /dev/null /dev/null --confidence nan": "--confidence",
    "models show nosuch": "'nosuch'",
    "models show demo-med --context -1": "--context",
    "models show demo-med --context 0": "--context",
    "models fetch nosuch": "'nosuch'",
    "models fetch demo-med --quant nosuch": "'nosuch'",
    "tasks show nosuch": "no task 'nosuch'",
    "tasks show demo-anatomy --item 99999": "0 to 299",
    "tasks show demo-anatomy --item -1": "0 to 299",
    "quants show nosuch": "no quantisation config 'nosuch'",
    f"quants show {'q' * 300}": "qqqq",
    "quants show ../x.yaml": "../x.yaml: no such file",
    f"{SHOW} --item 99999": "no item 99999",
    f"{SHOW} --item -1": "item",
    f"{SHOW} --format x": "--format needs",
    f"{SHOW} --shots 65": "65 demonstrations",
    f"{SHOW} --shots -1": "--shots must be",
    f"{SHOW} --demonstrations x": "--demonstrations needs",
    f"{SHOW} --split nosuch": "--split",
    f"{EXPORT} --items 5:2": "--items",
    f"{EXPORT} --items x": "--items",
    f"{EXPORT} --items 99999": "no item 99999",
    f"{EXPORT} --items -1": "--items",
    "convert nosuch --output x.gguf": "'nosuch'",
    "convert . --output x.gguf": "no config.json",
    "convert demo-med --output x.gguf --type q8": "--type",
    "quantize nosuch.gguf --quant q8_0 --output x.gguf": "nosuch.gguf: cannot be read",
    "quantize . --quant q8_0 --output x.gguf": "cannot be read",
    "sweep": "No pair",
    "sweep nosuch": "'nosuch' is not a pair",
    "sweep a=b=c": "'a'",
}


@pytest.mark.parametrize("command", VALUES)
def test_values(command: str, home: Path) -> None:
    line = refusal(*shlex.split(command))
    assert VALUES[command] in line
    assert files_below(home.parent) == {}
