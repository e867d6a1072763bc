"""The process in which llama.cpp looks at pictures: `python -m medbench_local.engine.picture_worker`.

It takes one job and tells of every picture whose rows are written, and in the end of its result, each in a message; see
`Channel`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from medbench_local.engine import bindings, devices, wire
from medbench_local.engine.channel import Channel
from medbench_local.engine.llama_model import Model
from medbench_local.engine.mtmd import PictureEncoder
from medbench_local.engine.threads import default_threads
from medbench_local.errors import DoesNotFitError, MedbenchError
from medbench_local.vision.features import write_features
from medbench_local.vision.pictures import decode
from medbench_local.vision.projector_file import read_projector


def _encode(job: dict[str, Any], channel: Channel) -> None:
    projector = read_projector(Path(job["projector"]))
    model = Model(Path(job["model"]), vocab_only=True)
    encoder = PictureEncoder(
        projector,
        model,
        threads=job["threads"] or default_threads(projector.parameters),
        gpu=job["gpu_layers"] != 0 and devices.has_gpu(),
    )
    for sha256, path, output in job["pictures"]:
        picture = projector.fitted(decode(Path(path), sha256=sha256))
        write_features(Path(output), encoder.encode(np.asarray(picture)))
        channel.send({"picture": sha256})


def main() -> None:
    """Do jobs until the parent is gone."""
    channel = Channel()
    bindings.LOG.echo(sys.stderr)
    while True:
        job = channel.receive()
        try:
            _encode(job, channel)
            channel.send({"result": len(job["pictures"])})
        except MedbenchError as error:
            channel.send({"error": wire.error_to_json(error)})
        except MemoryError:
            problem = DoesNotFitError("There is not enough memory to look at pictures.")
            channel.send({"error": wire.error_to_json(problem)})


if __name__ == "__main__":
    main()
