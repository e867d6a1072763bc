"""sweep.json, and the runs that it is made of: found, moved, missing, replaced."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from medbench_local import InputError, UsageError, read_sweep
from medbench_local.results.folder import RunFolder
from medbench_local.results.published import SWEEP_SCHEMA_FILE
from medbench_local.results.sweep_folder import SweepFolder, find_report
from tests.report.examples import CASES
from tests.report.sweeps import sweep_of, written

PLAIN = CASES["one comparison"]


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    """A sweep of two pairs that are finished and one that is not, in a folder `runs`."""
    found = sweep_of(
        [
            ("meditron-7b", "llama-2-7b", PLAIN),
            ("a", "b", CASES["every kind"]),
        ],
        ["c against d"],
    )
    return written(found, tmp_path / "runs")


def test_it_reads_back_what_was_written(sweep: SweepFolder) -> None:
    found = read_sweep(sweep.path)
    assert [run.results.comparisons for run in found.runs] == [
        PLAIN.comparisons,
        CASES["every kind"].comparisons,
    ]
    assert found.missing == ("c against d",)
    assert (found.identity, found.folder) == ("01234567", sweep.path)
    assert "not finished: c against d" in str(found)


def test_the_file_keeps_to_its_schema(sweep: SweepFolder) -> None:
    validator = Draft202012Validator(json.loads(SWEEP_SCHEMA_FILE.read_text(encoding="utf-8")))
    data = json.loads(sweep.file.read_text(encoding="utf-8"))
    assert list(validator.iter_errors(data)) == []
    assert not Path(data["pairs"][0]["run"]).is_absolute()
    for change in ({"schema": 2}, {"pairs": [{"medical": "a"}]}, {"more": 1}):
        assert list(validator.iter_errors(data | change))


def test_runs_and_sweep_that_move_together_are_found(sweep: SweepFolder, tmp_path: Path) -> None:
    shutil.move(sweep.path.parent, tmp_path / "elsewhere")
    assert len(read_sweep(tmp_path / "elsewhere" / sweep.name).runs) == 2


@pytest.mark.parametrize("to", ["runs/renamed", "runs/sweep-01234567/within", "other/run"])
def test_a_run_that_moved_is_found_beside_the_sweep_by_its_identity(
    sweep: SweepFolder, tmp_path: Path, to: str
) -> None:
    (tmp_path / to).parent.mkdir(exist_ok=True)
    shutil.move(sweep.path.parent / "run-01", tmp_path / to)
    if to.startswith("other"):
        with pytest.raises(UsageError, match=r"the run of .* is missing: .*run-01 is not there") as missing:
            sweep.read()
        assert "00000001" in str(missing.value)
        return
    assert sweep.read().runs[1].folder.path == tmp_path / to


def test_another_run_in_its_place_is_not_taken_for_it(sweep: SweepFolder) -> None:
    place = RunFolder(sweep.path.parent / "run-01")
    place.write_results(PLAIN.model_copy(update={"identity": "ffffffff"}))
    with pytest.raises(UsageError, match=r"run-01 holds another run, and no run beside it is 00000001"):
        sweep.read()


def test_a_run_of_a_release_that_wrote_no_identity_is_read_where_it_lies(sweep: SweepFolder) -> None:
    data = json.loads(sweep.file.read_text(encoding="utf-8"))
    data["pairs"][0]["identity"] = None
    sweep.file.write_text(json.dumps(data), encoding="utf-8")
    RunFolder(sweep.path.parent / "run-00").write_results(PLAIN)
    assert PLAIN.identity is None
    assert len(sweep.read().runs) == 2
    shutil.rmtree(sweep.path.parent / "run-00")
    with pytest.raises(UsageError, match=r"run-00 is not there"):
        sweep.read()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "sweep.json"),
        ("[]", "sweep.json"),
        ('{"schema": 7}', "expected 1, found 7"),
        ('{"schema": true}', "expected 1"),
        (
            '{"schema": 1, "identity": "a", "version": "b", "pairs": [{"medical": 3, "base": "b"}]}',
            "pairs.0.medical",
        ),
    ],
)
def test_a_damaged_file_is_an_error_that_names_the_place(sweep: SweepFolder, text: str, said: str) -> None:
    sweep.file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(said)):
        sweep.read()


def test_of_a_sweep_without_a_finished_pair_there_is_no_report(tmp_path: Path) -> None:
    sweep = written(sweep_of([], ["a against b"]), tmp_path)
    with pytest.raises(UsageError, match=r"No pair of .* is finished"):
        sweep.read()


def test_a_name_means_a_run_or_a_sweep(sweep: SweepFolder) -> None:
    root = sweep.path.parent
    for name in ("sweep-01234567", "sweep", "01234567", str(sweep.path)):
        found = find_report(name, root)
        assert (type(found), found.path) == (SweepFolder, sweep.path)
    assert find_report("run-01", root).path == root / "run-01"
    shutil.copytree(sweep.path, root / "sweep-89abcdef")
    with pytest.raises(UsageError, match="'sweep' means 2 sweeps"):
        find_report("sweep", root)
    assert find_report("sweep-01234567", root).path == sweep.path
    with pytest.raises(UsageError, match="No run is called 'nothing'"):
        find_report("nothing", root)
    shutil.copytree(root / "run-00", root / "sweep-of-a-run")
    with pytest.raises(UsageError, match="means a run and a sweep"):
        find_report("sweep-", root)
