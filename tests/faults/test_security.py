"""What is promised in SECURITY.md and not already held to by the tests of one room."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

import medbench_local
from medbench_local.errors import MedbenchError
from medbench_local.prompts.chat import Turn
from medbench_local.prompts.chat_template import TemplateChat
from tests.acquire.conftest import hub
from tests.corpus.command_line import files_below, run
from tests.hub_server import Fault, HubServer
from tests.tasks.data import lines, write_own

__all__ = ["hub"]

PACKAGE = Path(medbench_local.__file__).parent
FORBIDDEN = {
    "eval", "exec", "__import__", "os.system", "os.popen", "pickle.load", "pickle.loads", "pickle.Unpickler",
    "torch.load", "marshal.loads", "shelve.open", "yaml.load", "yaml.unsafe_load", "yaml.full_load",
    "yaml.load_all", "joblib.load", "numpy.load", "np.load", "tarfile.open", "tempfile.mktemp",
}  # fmt: skip
LOCAL_TOOLS = {"demo/train.py", "demo/learning.py"}
"""Make the embedded pair, from nothing that is read from outside; not used at run time."""


SECRET = "hf_SecretSecretSecretSecretSecret"


def _name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_is_called_that_executes_data(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            assert not names & {"pickle", "marshal", "shelve", "dill", "cloudpickle"}
        if not isinstance(node, ast.Call):
            continue
        name = _name(node.func)
        if path.relative_to(PACKAGE).as_posix() not in LOCAL_TOOLS:
            restricted = name == "torch.load" and any(one.arg == "weights_only" for one in node.keywords)
            assert restricted or name not in FORBIDDEN
        for keyword in node.keywords:
            value = keyword.value
            true = isinstance(value, ast.Constant) and value.value is True
            assert not (keyword.arg == "shell" and true)
            assert not (keyword.arg == "trust_remote_code" and true)
            assert not (keyword.arg == "weights_only" and not true)
        assert name.rpartition(".")[2] not in (
            "Environment",
            "NativeEnvironment",
        )  # Jinja's without a sandbox


@pytest.mark.parametrize(
    "source",
    [
        "{% include '{secret}' %}",
        "{% import '{secret}' as m %}{{ m }}",
        "{% extends '{secret}' %}",
        "{{ open('{secret}').read() }}",
        "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.popen('cat {secret}').read() }}",
        "{{ lipsum.__globals__['os'].environ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ raise_exception.__globals__ }}",
        "{{ strftime_now.__globals__ }}",
        "{{ '%s' | attr('__class__') }}",
        "{{ '{0.__class__.__mro__}'.format(messages) }}",
        "{{ config }}{{ request }}",
    ],
)
def test_templates_reach_nothing(tmp_path: Path, source: str) -> None:
    (tmp_path / "secret").write_text(SECRET, encoding="utf-8")
    source = source.replace("{secret}", str(tmp_path / "secret"))
    asked = [Turn("user", "Which?"), Turn("assistant", "Answer:")]
    try:
        said = TemplateChat(source + "{{ messages[0].content }}", {"bos_token": "<s>"}, origin="t").write(
            asked
        )
    except MedbenchError as error:
        said = str(error)
    assert SECRET not in said
    assert "<class" not in said
    assert "environ(" not in said


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_token_reaches_no_error_and_no_file(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setenv("MEDBENCH_DEBUG", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "config.json").write_text("{}", encoding="utf-8")
    hub.add("owner/name", tmp_path / "repository")
    hub.fail(Fault("owner/name", status=status, times=99))
    ended = run("models", "fetch", "hf:owner/name")
    assert ended.code == 2
    assert SECRET not in ended.out + ended.err
    assert not any(SECRET.encode() in data for data in files_below(tmp_path).values())


@pytest.mark.parametrize("id", ["../../x", "/etc/x", "a/../../b", "C:\\x", "x\x1b[2J"])
def test_ids_of_questions_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, id: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    rows = [{"id": id, "question": f"Which {n}?", "options": ["a", "b"], "answer": 0} for n in range(1)]
    write_own(tmp_path / "mine", test=lines(*rows))
    run(
        *("compare", "demo-med", "demo-base", "--tasks", "./mine", "--shots", "0", "--quant", "none"),
        *("--output", tmp_path / "runs" / "run"),
    )
    names = [name for name in files_below(tmp_path) if not name.startswith(("home", "mine", "runs"))]
    assert names == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "mine", "runs"]


def test_no_environment_variable_is_kept_in_a_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_TOKEN", SECRET)
    ended = run(
        *("compare", "demo-med", "demo-base", "--tasks", "demo-anatomy", "--shots", "0", "--limit", "2"),
        *("--quant", "none", "--output", tmp_path / "run"),
    )
    assert ended.code == 0
    assert json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert SECRET not in ended.out + ended.err
    assert not any(SECRET.encode() in data for data in files_below(tmp_path).values())
