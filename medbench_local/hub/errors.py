"""What went wrong between here and the hub, said so that one knows what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import errors as hub

from medbench_local.errors import (
    AcquireError,
    DiskFullError,
    GatedError,
    NotFoundError,
    OfflineError,
    UnreachableError,
)
from medbench_local.files.space import is_disk_full

TransportError: type[Exception] = hub.HfHubHTTPError.__mro__[1]
"""What the HTTP library beneath huggingface_hub raises: no route, no name, a cut connection, a time-out."""

BUSY = (408, 429, 500, 502, 503, 504)
"""Answers after which the same question may be asked again."""

WITHOUT_NETWORK = (
    "Without one: name a model's local file or folder, read the questions from a folder with `data_dir=`, or copy "
    "HF_HOME and MEDBENCH_HOME from a machine that has them (`fetch_model()` there fetches a model)."
)
"""The ways that work offline, for people."""


@contextmanager
def explained(repository: str, page: str, *, endpoint: str, token: str | None) -> Iterator[None]:
    """Turn what the hub's client raises inside into an AcquireError.

    Args:
        repository: what was asked for, for the message.
        page: where a person finds it in a browser.
        endpoint: the server.
        token: what was sent, or None; it never gets into a message, nor does a password in an address.
    """
    endpoint, page = redact(endpoint), redact(page)
    try:
        yield
    except hub.HfHubHTTPError as error:
        raise _refused(error, repository, page, endpoint, token) from None
    except hub.FileMetadataError as error:
        raise _no_hub(endpoint, error) from error
    except (hub.OfflineModeIsEnabled, hub.LocalEntryNotFoundError) as error:
        cause = error.__cause__
        if isinstance(cause, hub.HfHubHTTPError):
            raise _refused(cause, repository, page, endpoint, token) from None
        if isinstance(cause, TransportError):
            raise unreachable(endpoint, cause) from None
        raise not_cached(repository, "main") from None
    except TransportError as error:
        raise unreachable(endpoint, error) from None
    except hub.HFValidationError as error:
        raise AcquireError(
            f"'{repository}' is not the name of a repository: {redact(str(error), token)}."
        ) from None
    except OSError as error:
        kind = DiskFullError if is_disk_full(error) else AcquireError
        raise kind(
            f"A file of {repository} cannot be written: {error}.",
            advice="Free space or put the hub cache (HF_HOME) on another disk; then the command resumes.",
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _no_hub(endpoint, error) from error


def not_cached(repository: str, revision: str) -> OfflineError:
    """The hub may not or cannot be asked and the files are not here."""
    return OfflineError(
        f"{repository} (revision {revision}) is not completely in the cache, and the hub cannot be asked.",
        advice=f"Run once with a network, without `offline=True` and HF_HUB_OFFLINE=1, to fetch it. {WITHOUT_NETWORK}",
    )


def unreachable(endpoint: str, error: Exception) -> UnreachableError:
    """There is no way to the hub."""
    advice = (
        "Check the network (HTTPS_PROXY, HF_ENDPOINT) and run the same command again; it resumes. "
        f"{WITHOUT_NETWORK}"
    )
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        others = [name for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if os.environ.get(name)]
        unread = f" ({' and '.join(others)}: not read here)" if others else ""
        advice = (
            f"If a proxy signs connections anew, name a file with its certificate in SSL_CERT_FILE{unread}."
        )
    return UnreachableError(
        f"{redact(endpoint)} cannot be reached: {redact(str(error)) or type(error).__name__}.", advice=advice
    )


def redact(text: str, token: str | None = None) -> str:
    """``text`` in one line, without ``token``, names and passwords in addresses, and credentials of a header."""
    line = " ".join(text.split())
    if token:
        line = line.replace(token, "***")
    line = re.sub(r"(?<=://)[^/\s]*@", "", line)
    return re.sub(r"(?i)\b(basic|bearer) [\w+/=.~-]+", r"\1 ***", line)


def _no_hub(endpoint: str, error: Exception) -> AcquireError:
    return AcquireError(
        f"{endpoint} did not answer as a hub does ({type(error).__name__}: {redact(str(error))}).",
        advice="Check HF_ENDPOINT, and whether a proxy or a login page stands in between.",
    )


def wait_asked_for(error: Exception) -> float | None:
    """Seconds after which a busy hub wants to be asked again; None if it did not say."""
    if isinstance(error, hub.HfHubHTTPError):
        value = error.response.headers.get("Retry-After", "")
        if value.isdigit():
            return float(value)
    return None


def is_passing(error: Exception) -> bool:
    """Whether trying again may help."""
    if isinstance(error, hub.HfHubHTTPError):
        return error.response.status_code in BUSY
    if isinstance(error, hub.LocalEntryNotFoundError):
        return isinstance(error.__cause__, Exception) and is_passing(error.__cause__)
    return isinstance(error, TransportError)


def _refused(
    error: hub.HfHubHTTPError, repository: str, page: str, endpoint: str, token: str | None
) -> AcquireError:
    status = error.response.status_code
    if isinstance(error, hub.GatedRepoError):
        return _gated(repository, page, token)
    if status == 401 and token:
        return AcquireError(
            f"{endpoint} does not accept the token (401).",
            advice="Run `hf auth login` again or correct HF_TOKEN; tokens: https://huggingface.co/settings/tokens.",
        )
    if isinstance(error, hub.RevisionNotFoundError):
        return NotFoundError(
            f"{repository} has no such revision.", advice=f"Branches and tags: {page}/tree/main."
        )
    if isinstance(error, hub.RemoteEntryNotFoundError):
        return NotFoundError(f"A file of {repository} is not there.", advice=f"Its files: {page}/tree/main.")
    if isinstance(error, hub.RepositoryNotFoundError) or status in (401, 404):
        private = "" if token else "; if it is private, run `hf auth login` or set HF_TOKEN"
        return NotFoundError(
            f"There is no repository {repository} at {endpoint}.", advice=f"Check the name{private}."
        )
    if status == 429:
        wait = wait_asked_for(error)
        when = f"in {wait:.0f} s" if wait else "in some minutes"
        return UnreachableError(
            f"{endpoint} allows no more requests for now (429).",
            advice=f"Run the same command again {when}; what was fetched stays."
            + ("" if token else " Logging in (`hf auth login`) raises the limit."),
        )
    if status >= 500:
        return UnreachableError(
            f"{endpoint} returned a server error (HTTP {status}).",
            advice="Run the same command again later; what was fetched stays. Its state: "
            f"https://status.huggingface.co. {WITHOUT_NETWORK}",
        )
    said = redact(error.server_message or "", token)
    return AcquireError(
        f"{endpoint} refused {repository} (answer {status}{': ' + said if said else ''}).",
        advice=f"Open {page} with the account of the token and see what it asks for.",
    )


def _gated(repository: str, page: str, token: str | None) -> GatedError:
    if token:
        return GatedError(
            f"{repository} is gated, and the token's account has no access to it (yet).",
            advice=f"Ask for access on {page}; a fine-grained token must also allow gated repositories.",
        )
    return GatedError(
        f"{repository} is gated: its authors ask who downloads it.",
        advice=f"Ask for access on {page}, then run `hf auth login` or set HF_TOKEN.",
    )
