"""Which Ray: one of this machine's own, started for the time of a command, or one that runs already."""

from __future__ import annotations

import logging
import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench_local.engine.threads import default_threads
from medbench_local.errors import EngineError, UsageError
from medbench_local.progress import Progress

FORMS = (
    "ray (engines on this machine), auto (the Ray that runs on it), HOST:PORT (the Ray whose head is there) or "
    "ray://HOST:PORT (through its gate for clients)"
)
"""What `cluster=` may be."""

_PATIENCE = 5.0
"""Seconds for a connection."""

USUAL_CPUS = 4
"""Cores of an engine unless told otherwise, where it has no GPU."""

_ADDRESS = re.compile(r"(ray://)?[^\s/:]+:[0-9]{1,5}|(ray://)?\[[0-9a-fA-F:.]+\]:[0-9]{1,5}")


@dataclass(frozen=True)
class ClusterOptions:
    """What a user asks for.

    Attributes:
        address: one of `FORMS`.
        engines: how many; None for as many as there is room for.
        cpus, gpus: of each; None for the usual.
    """

    address: str
    engines: int | None = None
    cpus: int | None = None
    gpus: int | None = None


@dataclass(frozen=True)
class Layout:
    """How many engines of which size.

    Attributes:
        engines: how many.
        cpus: cores of each.
        gpus: of each; a large model is spread over several of one node.
    """

    engines: int
    cpus: int
    gpus: int


def layout(asked: ClusterOptions, nodes: list[dict[str, float]]) -> Layout:
    """How many engines the nodes have room for, and what each gets.

    With GPUs one engine a GPU, with its part of the cores; else one engine for `USUAL_CPUS` cores. Nodes without a GPU
    are left alone where others have some: they would be the last to be ready.

    Args:
        asked: what a user wants of it.
        nodes: what each has: "CPU" and "GPU".

    Raises:
        UsageError: there is no room for one engine.
    """
    with_gpus = [node for node in nodes if node.get("GPU", 0) >= 1]
    gpus = asked.gpus if asked.gpus is not None else int(bool(with_gpus))
    places = [node for node in nodes if node.get("GPU", 0) >= gpus]
    if asked.cpus is not None:
        cpus = asked.cpus
    elif gpus:
        parts = (node.get("CPU", 0) // max(1, node["GPU"] // gpus) for node in places)
        cpus = min((max(1, int(part)) for part in parts), default=1)
    elif asked.engines is not None and places:
        cores = sum(int(node.get("CPU", 0)) for node in places)
        cpus = max(1, min(USUAL_CPUS, cores // asked.engines))
    else:
        cpus = max(1, min([USUAL_CPUS, *(int(node.get("CPU", 0)) for node in places)]))
    room = sum(_room(node, cpus, gpus) for node in places)
    if room < (asked.engines or 1):
        have = ", ".join(
            f"{int(node.get('CPU', 0))} CPUs and {int(node.get('GPU', 0))} GPUs" for node in nodes
        )
        raise UsageError(
            f"There is room for {room} engines of {cpus} CPUs and {gpus} GPUs each, not for {asked.engines or 1}: "
            f"the nodes have {have or 'nothing'}.",
            advice="Ask for less with `engines=`, `cpus_per_engine=` or `gpus_per_engine=`.",
        )
    return Layout(asked.engines or room, cpus, gpus)


def _room(node: dict[str, float], cpus: int, gpus: int) -> int:
    by_cpus = int(node.get("CPU", 0)) // cpus
    return min(by_cpus, int(node.get("GPU", 0)) // gpus) if gpus else by_cpus


@contextmanager
def connected(asked: ClusterOptions, progress: Progress) -> Iterator[Layout]:
    """A Ray that this process is connected to; one that was started here ends with the block.

    Raises:
        UsageError: Ray is not installed, or the address is none.
        EngineError: no Ray answers there.
    """
    if asked.address not in ("ray", "auto") and not _ADDRESS.fullmatch(asked.address):
        raise UsageError(f"'{asked.address}' is not a cluster.", advice=f"Name {FORMS}.")
    _prepare_environment(joins=asked.address != "ray")
    try:
        import ray
    except ImportError:
        raise UsageError(
            "Engines on several machines are run by Ray, which is not installed.",
            advice='Run `pip install "medbench-local[cluster]"`, on every node.',
        ) from None
    _need_listener(asked.address)
    logging.getLogger("ray").setLevel(logging.ERROR)  # through the gate `ray.init` takes no level
    with _token(asked.address):
        yield from _joined(ray, asked, progress)


def _joined(ray: Any, asked: ClusterOptions, progress: Progress) -> Iterator[Layout]:
    try:
        context = ray.init(**_how(asked))
    except Exception as error:  # Ray has no common class for what may go wrong here
        raise _no_ray(asked.address, said_by(error)[0]) from error
    try:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        found = layout(asked, nodes)
        dashboard = getattr(context, "dashboard_url", "")
        shown = f"; dashboard at http://{dashboard}" if dashboard else ""
        progress.note(
            f"Ray: {found.engines} engine{'s' * (found.engines > 1)} of {found.cpus} "
            f"CPU{'s' * (found.cpus > 1)}"
            + (f" and {found.gpus} GPU{'s' * (found.gpus > 1)}" if found.gpus else "")
            + f" on {len(nodes)} node{'s' * (len(nodes) > 1)}{shown}"
        )
        yield found
    finally:
        ray.shutdown()


def _prepare_environment(*, joins: bool) -> None:
    """What Ray reads of the environment, where it says nothing else."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told what runs here
    if not joins:  # bound to this machine alone, whatever its system is; read when Ray is imported
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    # An engine without a GPU of its own sees none.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")


@contextmanager
def _token(address: str) -> Iterator[None]:
    """A token is asked for where Ray is started here, and shown where a head asks for one.

    It is not shown where none is asked for: engines would not find each other.
    """
    wanted = address == "ray"
    if not wanted:
        asked = _asks_for_token(address)
        token_file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
        wanted = asked or (asked is None and ("RAY_AUTH_TOKEN" in os.environ or token_file.is_file()))
    if not wanted or "RAY_AUTH_MODE" in os.environ:
        yield
        return
    set_here = {"RAY_AUTH_MODE": "token"}
    if address == "ray" and not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        # One that lies nowhere: Ray itself would leave one in the home, for everybody to read.
        set_here["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ.update(set_here)
    try:
        _read_environment()
        yield
    finally:
        for name in set_here:  # another cluster may ask for none, or for another one
            del os.environ[name]
        _read_environment()


def _read_environment() -> None:
    """Let Ray read mode and token again, which it does once otherwise.

    It shows a token that it has read whatever the mode is by then.
    """
    with suppress(Exception):  # of another release, which may have neither
        from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

        Config.initialize("")
        AuthenticationTokenLoader.instance().reset_cache()


def _asks_for_token(address: str) -> bool | None:
    """Whether a head refuses who shows none; None if that is not known. Ray itself tries for half a minute."""
    try:
        import grpc  # type: ignore[import-untyped]  # what Ray itself speaks; an older one may have no need of it
    except ImportError:
        return None
    if address == "auto":
        from ray._private.services import get_ray_address_from_environment

        with suppress(Exception):  # `ray.init` says what is wrong
            address = get_ray_address_from_environment("auto", None)
    if not _ADDRESS.fullmatch(address) or address.startswith("ray://"):
        return None
    try:
        with grpc.insecure_channel(address) as channel:
            channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetClusterId")(b"", timeout=_PATIENCE)
    except grpc.RpcError as error:
        return True if error.code() == grpc.StatusCode.UNAUTHENTICATED else None
    return False


def _need_listener(address: str) -> None:
    """See that somebody listens there: Ray itself would try for minutes.

    Raises:
        EngineError: nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise _no_ray(address, getattr(error, "strerror", None) or str(error)) from error


def said_by(error: BaseException) -> list[str]:
    """The lines in which an error of Ray's says something; at least one."""
    return [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]


def _no_ray(address: str, why: str) -> EngineError:
    return EngineError(
        f"No Ray answers at '{address}': {why.rstrip('.')}.",
        advice="See that one runs there (`ray status`), of the same version, and that address and port are those of "
        "its head; where it asks for a token, set RAY_AUTH_TOKEN to that of its head.",
    )


def _how(asked: ClusterOptions) -> dict[str, Any]:
    """The arguments of `ray.init`."""
    if asked.address.startswith("ray://"):
        return {"address": asked.address, "namespace": "medbench-local"}
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "namespace": "medbench-local"}
    if asked.address != "ray":
        return {"address": asked.address, **quiet}
    # Bound to this machine, where no other one reaches it; see also `_token`.
    return {
        "address": "local",
        "num_cpus": max(default_threads(), (asked.engines or 1) * (asked.cpus or 1)),
        "include_dashboard": None,
        "dashboard_host": "127.0.0.1",
        "_node_ip_address": "127.0.0.1",
        **quiet,
    }
