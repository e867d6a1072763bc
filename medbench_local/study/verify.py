"""Whether a finished run's results follow from what its folder holds, and whether the files at hand are the run's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from medbench_local._version import __version__
from medbench_local.errors import InputError, MedbenchError, UsageError
from medbench_local.files.json_objects import read_json
from medbench_local.paths import without_home
from medbench_local.progress import Progress
from medbench_local.results.folder import RunFolder
from medbench_local.results.record import ROLES
from medbench_local.results.run_verification import Checked, Verification
from medbench_local.results.schema import SCHEMA, Comparison
from medbench_local.results.summary import summary
from medbench_local.study.at_hand import data_at_hand, models_at_hand
from medbench_local.study.recount import CheckPlan, Recount, unequal
from medbench_local.study.run_checks import RunChecks, label_of
from medbench_local.study.sampled_answers import both_sides, problems, unlike
from medbench_local.study.verdicts import adjusted
from medbench_local.study.verification import LADDER_SHARE
from medbench_local.study.verify_kept import check_prompts, check_questions, check_store

Rebuild = Callable[[RunFolder], int]
"""Writes the prompts of a run anew and holds them against the hashes of its samples; how many those are."""

SEARCH = "the search for prompts"
REPORTS = "report.md and report.html"
SHARED = "the base model with the medical model's prompts"


def verify_run(folder: RunFolder, *, rebuild: Rebuild, home: Path, progress: Progress) -> Verification:
    """Compute everything again that a run's samples decide, and compare hashes with the files that are at hand.

    Args:
        folder: of the run.
        rebuild: writes its prompts anew.
        home: the tool's home.
        progress: listens.

    Raises:
        UsageError: the run is not finished.
        InputError: results.json or manifest.json is damaged, or of a version that is not known.
    """
    if not folder.results_file.is_file():
        raise UsageError(
            f"{folder.path} is not finished: it has no results.json.",
            advice="Run its command again: it resumes.",
        )
    raw = read_json(folder.results_file, constants=False)
    try:
        results = folder.results()
    except InputError as error:
        schema = raw.get("schema") if isinstance(raw, dict) else None
        if type(schema) is not int or not 1 <= schema <= SCHEMA:
            raise
        contradicted = Checked("results.json", "does not hold", error.message)
        return Verification(folder.name, None, 0, 0, (contradicted,))
    assert results is not None, "the file is there"
    has_manifest = folder.manifest_file.is_file()
    run = RunChecks(folder, results, folder.manifest() if has_manifest else {})
    _check_file(run, raw)
    whole = sum(_recomputed(run, index) for index in range(len(results.comparisons)))
    _check_over_all(run)
    check_questions(run)
    check_prompts(run)
    check_store(run)
    if has_manifest:
        _check_at_hand(run, home, progress)
    else:
        run.add(
            "files of models and data", "not checked", "without manifest.json nothing says where they lie"
        )
    _rebuild_prompts(run, rebuild)
    run.add(REPORTS, "not checked", "they are not read: a page that is made anew shows what was checked here")
    if isinstance(run.manifest.get("command"), str):
        run.add("command", "not checked", "only manifest.json says it: read it before it is run")
    return Verification(folder.name, results.identity, len(results.comparisons), whole, tuple(run.checks))


def _check_file(run: RunChecks, raw: Any) -> None:
    """What results.json says of itself and of its rates, and what the manifest says of it."""
    rates = raw.get("summary")
    expected = summary(run.results.comparisons).model_dump(mode="json")
    if raw.get("schema") == SCHEMA:
        run.judge(
            "results.json",
            unequal(rates, expected, "summary"),
            "no number contradicts another; rates are those of its comparisons",
        )
    else:
        run.add(
            "results.json", "holds", "no number contradicts another; rates of its schema are not compared"
        )
    told = run.manifest.get("identity")
    if told is None or run.results.identity is None:
        run.add("identity", "not checked", "results.json or manifest.json does not say it")
    elif told != run.results.identity:
        run.add(
            "identity",
            "does not hold",
            f"manifest.json is of run {told}, results.json of {run.results.identity}",
        )
    else:
        run.add("identity", "holds", f"results.json and manifest.json are of run {told}")
    protocol = run.manifest.get("protocol")
    if protocol is not None and run.results.protocol_content is not None:
        said = without_home(run.results.protocol_content)  # as a manifest has texts
        run.judge(
            "protocol", unequal(said, protocol, "protocol_content"), "results.json and manifest.json agree"
        )


def _recomputed(run: RunChecks, index: int) -> bool:
    """Whether one comparison could be computed again; what does not hold is noted."""
    claimed = run.results.comparisons[index]
    where = label_of(claimed)
    try:
        sides = both_sides(run.folder, claimed)
    except InputError as error:
        gone = not _file_is_there(error)
        run.add(f"samples of {where}", "not checked" if gone else "does not hold", error.message)
        return False
    models = run.results.models
    defects = [
        *(
            each.message
            for role in ROLES
            for each in problems(claimed, getattr(models, role).name, role, sides[role])
        ),
        *(each.message for each in unlike(sides["medical"], sides["base"])),
    ]
    count = sum(len(side.reported) + len(side.other) for side in sides.values())
    sound = run.judge(
        f"samples of {where}",
        iter(defects),
        f"{count:,} lines: predictions follow from scores, what is correct from predictions",
    )
    run.sides[index] = sides
    lengths = {len(side.reported) for side in sides.values()}
    if lengths != {claimed.n} or any(side.reported == () for side in sides.values()):
        return False
    recount = Recount(run.results, claimed, sides)
    if reason := recount.complete():
        run.add(f"verdict of {where}", "not checked", reason)
        return False
    computed = run.computed[index] = recount.computed()
    run.judge(
        f"verdict of {where}",
        recount.differences(computed),
        f"{computed.verdict}; accuracies, interval, McNemar's p, detectable difference and counts are those of the "
        "samples",
    )
    if sound:
        plan = _check_plan(run)
        run.judge(
            f"check of {where}",
            recount.of_check(plan),
            _check_said(claimed, plan),
        )
    return True


def _file_is_there(error: InputError) -> bool:
    """Whether the file of an error is there, so that it is damaged and not missing."""
    return "no such file" not in error.message


def _check_said(claimed: Comparison, plan: CheckPlan | None) -> str:
    check = claimed.check
    if not check.checked or claimed.quantised is None:
        return f"state '{check.state}': nothing was asked again"
    again = f"state '{check.state}' after {check.checked:,} of {check.of:,} questions"
    rest = "" if plan else "; whether it could end there is not known without manifest.json"
    return f"{again}; flips are those of the samples{rest}"


def _check_plan(run: RunChecks) -> CheckPlan | None:
    """How far verdicts were to be checked; None if the manifest does not say."""
    manifest, results = run.manifest, run.results
    quant, settings, tried = (manifest.get(name) for name in ("quantisation", "settings", "precisions"))
    if not isinstance(quant, dict) or not isinstance(settings, dict) or not isinstance(tried, list):
        return None
    name = quant.get("name")
    if not isinstance(name, str) or not tried or results.identity is None or results.version is None:
        return None
    left = bool(results.ladder) and len(results.ladder) < len(tried)
    return CheckPlan(
        results.identity, name, LADDER_SHARE if left else 1.0, len(tried), settings.get("check") == "full"
    )


def _check_over_all(run: RunChecks) -> None:
    """What is adjusted over all comparisons, and what samples do not hold."""
    comparisons = run.results.comparisons
    what = "Holm's p-values"
    if len(run.computed) == len(comparisons):
        again = adjusted([run.computed[index] for index in range(len(comparisons))])
        pairs = zip(comparisons, again, strict=True)
        defects = (
            f"{label_of(said)}: {problem}"
            for said, found in pairs
            for problem in unequal(said.holm_p, found.holm_p, "holm_p")
        )
        run.judge(what, defects, f"adjusted over {len(comparisons)} comparisons")
    else:
        run.add(what, "not checked", "not all comparisons could be computed again")
    if any(c.prompt.medical.validation_accuracy is not None for c in comparisons):
        run.add(SEARCH, "not checked", "answers to validation questions are in scores.sqlite by keys only")
    if any(c.ablation is not None and c.ablation.shared_prompt is not None for c in comparisons):
        run.add(SHARED, "not checked", "its answers are in scores.sqlite by keys only")


def _check_at_hand(run: RunChecks, home: Path, progress: Progress) -> None:
    run.checks += models_at_hand(run.manifest, run.results, home, progress)
    run.checks += data_at_hand(run.manifest, run.results, home, progress)


def _rebuild_prompts(run: RunChecks, rebuild: Rebuild) -> None:
    """Write all prompts anew, where the data are at hand; another release may write others."""
    what = "prompts written anew"
    if not run.sides or not run.manifest:
        run.add(what, "not checked", "without samples and manifest.json nothing says which they were")
        return
    try:
        count = rebuild(run.folder)
    except InputError as error:
        data = [check for check in run.checks if check.what.startswith("data of ")]
        ours = run.results.version == __version__ and all(check.state == "holds" for check in data)
        run.add(
            what,
            "does not hold" if ours and "prompt_sha256" in error.message else "not checked",
            error.message,
        )
    except MedbenchError as error:
        run.add(what, "not checked", error.message)
    else:
        run.add(what, "holds", f"{count:,} prompts have the hashes of the samples")
