"""What a medical model is compared with, where a user names the medical model alone."""

from __future__ import annotations

from medbench_local.catalog.model import PARTNER_WORDS, PairEntry, pairs, partners
from medbench_local.catalog.names import Partner
from medbench_local.errors import UsageError
from medbench_local.progress import Progress


def pair_of(medical: str, wanted: Partner) -> PairEntry:
    """The pair of a medical model with the partner that is wanted, or with the only one that it has.

    Raises:
        UsageError: the catalog knows no partner of it.
    """
    known = partners(medical)
    if not known:
        raise UsageError(
            f"The catalog knows nothing that {medical} could fairly be compared with.",
            advice="Name the model it was built from as well.",
        )
    return next((pair for pair in known if pair.partner == wanted), known[0])


def only_partner(medical: str, progress: Progress) -> str:
    """The one model that a medical model of the catalog is compared with.

    Raises:
        UsageError: there is none, or a choice between several.
    """
    pair = pair_of(medical, "origin")
    known = partners(medical)
    if len(known) > 1:
        offered = ", or ".join(f"{one.base} ({PARTNER_WORDS[one.partner]})" for one in known)
        raise UsageError(f"{medical} has more than one fair partner.", advice=f"Name one as well: {offered}.")
    progress.note(f"{medical} is compared with {pair.base}, {PARTNER_WORDS[pair.partner]}{_doubt(pair)}.")
    return pair.base


def _doubt(pair: PairEntry) -> str:
    return " (not held against its card)" if pair.unconfirmed else ""


def catalog_pairs(wanted: Partner) -> tuple[PairEntry, ...]:
    """Every medical model that is asked about text, but the embedded one, with one partner; in the catalog's order."""
    medical = dict.fromkeys(
        pair.medical for pair in pairs() if pair.modality == "text" and not pair.medical.startswith("demo-")
    )
    return tuple(pair_of(name, wanted) for name in medical)
