"""What the interval over pictures costs, and how often each interval calls equal models different.

Prints two Markdown tables. The first: the time of one interval on test sets of the size of the visual tasks. The
second: two models that are equally good, 20 % of the questions discordant; within a picture the discordant questions
take one side together with a probability that is varied; the share of draws that each interval calls a win or a loss,
of which an interval at 95 % should have 5 %.

    python -m benchmarks.clusters [--draws 2000]
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from medbench_local.statistics.clusters import cluster_bootstrap
from medbench_local.statistics.paired import paired_bootstrap

# Questions of the closed test sets by how many share a picture: {questions of a picture: pictures}.
SETS = {
    "vqa-rad": {1: 67, 2: 49, 3: 18, 4: 8, 5: 3, 6: 1},
    "slake": {1: 1, 2: 11, 3: 19, 4: 23, 5: 20, 6: 13, 7: 7, 8: 2},
    "pathvqa (made up)": {},
}
DISCORDANT = 0.2
TOGETHER = (0.0, 0.25, 0.5, 1.0)

Pictures = NDArray[np.int64]


def pictures_of(name: str) -> Pictures:
    """The picture of each question."""
    if SETS[name]:
        sizes = [size for size, count in SETS[name].items() for _ in range(count)]
        return np.repeat(np.arange(len(sizes)), sizes)
    generator = np.random.default_rng(1)  # 3,362 questions about 858 pictures, as unequal as the others
    shares = generator.gamma(1.5, size=858)
    return np.concatenate([np.arange(858), generator.choice(858, 3362 - 858, p=shares / shares.sum())])


def drawn(
    pictures: Pictures, together: float, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Answers of two models that are equally good."""
    n = pictures.size
    discordant = generator.random(n) < DISCORDANT
    side = generator.integers(0, 2, n)
    of_picture = generator.integers(0, 2, int(pictures.max()) + 1)[pictures]
    medical = np.where(generator.random(n) < together, of_picture, side)
    both = generator.integers(0, 2, n)
    return np.where(discordant, medical, both), np.where(discordant, 1 - medical, both)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000)
    draws = parser.parse_args().draws
    generator = np.random.default_rng(1)
    print("| task | questions | pictures | largest | time of an interval |\n|---|---:|---:|---:|---:|")
    for name in SETS:
        pictures = pictures_of(name)
        times = []
        for _ in range(5):
            medical, base = drawn(pictures, 0.5, generator)
            start = time.perf_counter()
            cluster_bootstrap(medical, base, pictures.tolist())
            times.append(time.perf_counter() - start)
        sizes = Counter(pictures.tolist())
        print(
            f"| {name} | {pictures.size:,} | {len(sizes)} | {max(sizes.values())} | {min(times) * 1e3:.0f} ms |"
        )
    print("\n| task | together | over questions | over pictures |\n|---|---:|---:|---:|")
    for name in SETS:
        pictures = pictures_of(name)
        count = draws if pictures.size < 1000 else max(draws // 5, 1)
        for together in TOGETHER:
            found = [0, 0]
            for _ in range(count):
                medical, base = drawn(pictures, together, generator)
                found[0] += paired_bootstrap(medical, base).verdict != "tie"
                found[1] += cluster_bootstrap(medical, base, pictures.tolist()).verdict != "tie"
            shares = " | ".join(f"{one / count:.1%}" for one in found)
            print(f"| {name} | {together:.0%} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
