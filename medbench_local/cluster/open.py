"""From what a user asks for to engines that are ready."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medbench_local.cluster.connect import ClusterOptions, connected
from medbench_local.engine.several import Engines
from medbench_local.progress import Progress


@contextmanager
def open_cluster(
    asked: ClusterOptions, *, home: Path, progress: Progress, force: bool = False
) -> Iterator[Engines]:
    """The engines of a cluster; ended with the block, with everything that was started for them.

    Args:
        asked: which cluster, and how many engines of which size.
        home: MEDBENCH_HOME of this machine.
        progress: listens.
        force: load models even where memory seems too small.

    Raises:
        UsageError: Ray is not installed, the address is none, there is no room for an engine, or the nodes have another
            version of the package.
        EngineError: no Ray answers, or no engine comes up.
    """
    with connected(asked, progress) as found:
        from medbench_local.cluster.ray_engines import RayEngines  # Ray is known to be there

        with RayEngines(found, home=home, progress=progress, force=force) as engines:
            yield engines
