"""The examples of docs/cluster.md: the batch script with stand-ins for Slurm and Ray, and the RayCluster's fields."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "cluster.md"


def _block(language: str) -> str:
    (found,) = [block.text for block in blocks(PAGE) if block.language == language]
    return found


STAND_INS = {
    "scontrol": 'printf "n1\\nn2\\nn3\\n"',
    "srun": 'while [[ $1 == --* ]]; do host="${1#--nodelist=}"; shift; done; HOST=$host exec "$@"',
    "ray": 'echo "$HOST ray $* | $RAY_AUTH_MODE ${#RAY_AUTH_TOKEN} $MEDBENCH_HOME" >> "$LOG"; '
    '[[ $1 == start ]] || { [[ -e $LOG.up ]] || { touch "$LOG.up"; exit 1; }; }',
    "medbench-local": 'echo "$HOST medbench-local $* | $RAY_AUTH_MODE ${#RAY_AUTH_TOKEN}" >> "$LOG"',
    "sleep": "true",
}
"""Programs by name. The head is not up at the first look."""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_batch_script_starts_the_head_then_the_others_then_the_sweep(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in STAND_INS.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    script = tmp_path / "sweep.sbatch"
    script.write_text(_block("bash"), encoding="utf-8")
    environment = os.environ | {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "LOG": str(tmp_path / "log"),
        "MEDBENCH_HOME": "/shared/home",
        "SLURM_JOB_ID": "41234",
        "SLURM_JOB_NODELIST": "n[1-3]",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_CPUS_PER_TASK": "32",
    }
    done = subprocess.run(
        ["bash", str(script)], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    until = time.monotonic() + 20
    lines: list[str] = []
    while sum(" ray start " in line for line in lines) < 3 and time.monotonic() < until:
        lines = (tmp_path / "log").read_text(encoding="utf-8").splitlines()  # nodes start in the background
        time.sleep(0.01)
    said = [line.partition(" | ")[0] for line in lines]
    assert said.count("n1 ray status --address=n1:21234") == 2
    starts = [line for line in said if " ray start " in line]
    assert sorted(starts) == [
        "n1 ray start --block --num-cpus=32 --head --port=21234",
        *(f"{n} ray start --block --num-cpus=32 --address=n1:21234" for n in ("n2", "n3")),
    ]
    (sweep,) = [line for line in said if "medbench-local" in line]
    assert sweep.startswith("n1 medbench-local sweep --all --yes --cluster n1:21234 --engines 12 ")
    assert all("token 64" in line.partition(" | ")[2] for line in lines)


def test_the_batch_script_asks_for_a_shared_home(tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    environment = {key: value for key, value in os.environ.items() if key != "MEDBENCH_HOME"}
    done = subprocess.run(
        ["bash", "-c", _block("bash")], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "a folder that all nodes see" in done.stderr


def test_the_ray_cluster_has_what_it_needs() -> None:
    found: dict[str, Any] = yaml.safe_load(_block("yaml"))
    assert (found["apiVersion"], found["kind"]) == ("ray.io/v1", "RayCluster")
    spec = found["spec"]
    assert set(spec) == {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
    assert spec["authOptions"] == {"mode": "token"}
    assert tuple(map(int, spec["rayVersion"].split("."))) >= (2, 52, 0)
    (workers,) = spec["workerGroupSpecs"]
    assert set(workers) == {
        "groupName",
        "replicas",
        "minReplicas",
        "maxReplicas",
        "rayStartParams",
        "template",
    }
    assert set(spec["headGroupSpec"]) == {"rayStartParams", "template"}
    pods = [spec["headGroupSpec"]["template"]["spec"], workers["template"]["spec"]]
    for pod in pods:
        (container,) = pod["containers"]
        assert all(isinstance(value, str) for value in spec["headGroupSpec"]["rayStartParams"].values())
        assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
    images = {pod["containers"][0]["image"] for pod in pods}
    homes = {tuple(one.items()) for pod in pods for one in pod["containers"][0]["env"]}
    assert len(images) == len(homes) == 1, "all nodes have the same package, and the same home"
