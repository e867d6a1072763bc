"""llama.cpp's own converter and vocabularies, from the source distribution of the pinned llama-cpp-python."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import llama_cpp
import platformdirs
import pytest

_WANTED = ("convert_hf_to_gguf.py", "conversion/", "gguf-py/", "models/ggml-vocab-")

_TEMPLATES = "models/templates/"

_RUN_ALL = """
import sys
import convert_hf_to_gguf
from conversion.base import TextModel

known = TextModel.get_vocab_base_pre


def pre(self, tokenizer):
    # it knows whole vocabularies by their hash, and so none of the small ones, which are split as Llama 3's
    try:
        return known(self, tokenizer)
    except NotImplementedError:
        return "llama-bpe"


TextModel.get_vocab_base_pre = pre
for job in sys.argv[1:]:
    folder, output, kind, *flags = job.split("|")
    sys.argv = ["convert", folder, "--outfile", output, "--outtype", kind, *flags]
    convert_hf_to_gguf.main()
"""


def converter_folder() -> Path:
    """The folder with convert_hf_to_gguf.py and models/; fetched once and kept, else the test skips."""
    version = llama_cpp.__version__
    folder = (
        Path(platformdirs.user_cache_dir("medbench-local-tests")) / f"llama-cpp-python-{version}-vocabularies"
    )
    if not (folder / "convert_hf_to_gguf.py").is_file():
        with tempfile.TemporaryDirectory() as scratch:
            _download(version, Path(scratch), folder)
    return folder


def templates_folder() -> Path:
    """The folder of the chat templates of real models that llama.cpp's tests read; fetched and kept likewise."""
    version = llama_cpp.__version__
    folder = (
        Path(platformdirs.user_cache_dir("medbench-local-tests")) / f"llama-cpp-python-{version}-templates"
    )
    if not folder.is_dir():
        with tempfile.TemporaryDirectory() as scratch:
            _download(version, Path(scratch), folder, (_TEMPLATES,))
    return folder / _TEMPLATES


def _download(version: str, scratch: Path, folder: Path, parts: tuple[str, ...] = _WANTED) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch)]
    command += ["--no-binary", "llama-cpp-python", f"llama-cpp-python=={version}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=240, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"needs the source distribution of llama-cpp-python {version}: {error}")
    archives = list(scratch.glob("llama_cpp_python-*.tar.gz"))
    if done.returncode != 0 or not archives:
        pytest.skip(
            f"needs the source distribution of llama-cpp-python {version}: {done.stderr.strip()[-200:]}"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as unpacked, tarfile.open(archives[0]) as archive:
        root = f"llama_cpp_python-{version}/vendor/llama.cpp/"
        members = []
        for member in archive:
            if member.name.startswith(tuple(root + wanted for wanted in parts)):
                member.name = member.name.removeprefix(root)
                members.append(member)
        archive.extractall(Path(unpacked) / "new", members=members, filter="data")
        if not folder.exists():
            (Path(unpacked) / "new").rename(folder)


def convert_officially(jobs: list[tuple[Path, Path, str]], *flags: str) -> None:
    """Convert checkpoints: (folder, output, type as --outtype takes it); one process for all, it starts slowly.

    Args:
        jobs: what is converted.
        flags: of the converter, for each of them.
    """
    arguments = ["|".join([str(folder), str(output), kind, *flags]) for folder, output, kind in jobs]
    done = subprocess.run(
        [sys.executable, "-c", _RUN_ALL, *arguments],
        cwd=converter_folder(),
        env={**os.environ, "PYTHONPATH": str(converter_folder())},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
