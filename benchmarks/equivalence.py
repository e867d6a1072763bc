"""How often the equivalence check passes: wrongly, at the margin, and rightly, without a true difference.

Prints two Markdown tables. Everything is a sum of binomial probabilities, so there is no simulation error;
``--simulate`` draws data and runs the check itself, as a second opinion on one cell of each table.

    python benchmarks/equivalence.py [--questions 100,300,500] [--margins 0.02,0.03] [--simulate]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.stats import binom

from medbench_local.statistics.equivalence import equivalence
from medbench_local.statistics.net_change import _score, p_value_below

LEVEL = 0.05
CHANGED = (0.005, 0.01, 0.02, 0.05, 0.1)

Passes = Callable[[int, int, int, float], bool]


def exact(lost: int, gained: int, n: int, margin: float) -> bool:
    """The check's own rule: both one-sided exact tests reject."""
    return max(p_value_below(lost, gained, n, margin), p_value_below(gained, lost, n, margin)) <= LEVEL


def tango(lost: int, gained: int, n: int, margin: float) -> bool:
    """The 90 % interval by the asymptotic score test lies within the margin."""
    worse, better = (
        _score(np.array([x]), np.array([y]), n, margin)[0] for x, y in ((lost, gained), (gained, lost))
    )
    return bool(max(worse, better) <= -1.644854)


def wald(lost: int, gained: int, n: int, margin: float) -> bool:
    """The 90 % normal interval lies within the margin."""
    d = (lost - gained) / n
    half = 1.644854 * np.sqrt(((lost + gained) / n - d * d) / n)
    return bool(abs(d) + half < margin)


@cache
def widest(rule: Passes, changed: int, n: int, margin: float) -> int:
    """Largest |lost - gained| that passes when ``changed`` questions changed; -1 if none does.

    With the number of changes given, every rule here passes if and only if the net change is small enough.
    """
    passing = -1
    for net in range(changed % 2, changed + 1, 2):
        if not rule((changed + net) // 2, (changed - net) // 2, n, margin):
            break
        passing = net
    return passing


def passing_rate(rule: Passes, n: int, margin: float, changed: float, difference: float) -> float:
    """Probability of passing at a true rate of changes and a true net loss."""
    total = 0.0
    for k in range(int(binom.isf(1e-7, n, changed)) + 1):
        net = widest(rule, k, n, margin)
        if net < 0:
            continue
        lost_share = (changed + difference) / (2 * changed)
        fewest, most = (k - net) // 2, (k + net) // 2
        within = binom.cdf(most, k, lost_share) - binom.cdf(fewest - 1, k, lost_share)
        total += float(binom.pmf(k, n, changed) * within)
    return total


def highest_rate(rule: Passes, n: int, margin: float) -> float:
    """The highest probability of wrongly passing a pair at the margin, over rates of changes up to 20 %."""
    rates = margin + np.concatenate([[0.0], np.geomspace(1e-4, 0.2 - margin, 40)])
    return max(passing_rate(rule, n, margin, float(rate), margin) for rate in rates)


def simulated(n: int, margin: float, changed: float, difference: float, trials: int = 300) -> float:
    """Share of simulated data sets that `equivalence` calls equivalent."""
    lost, gained = (changed + difference) / 2, (changed - difference) / 2
    draws = np.random.default_rng(0).multinomial(n, [lost, gained, 1 - changed], size=trials)
    passed = 0
    answers = np.zeros(n, dtype=int)
    for b, c, _ in draws:
        full, quantised = answers.copy(), answers.copy()
        quantised[:b] = 1
        full[b : b + c] = 1
        passed += equivalence(full, quantised, answers, margin=margin).outcome == "equivalent"
    return passed / trials


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", default="100,200,300,500,1000,1273")
    parser.add_argument("--margins", default="0.01,0.02,0.03,0.05")
    parser.add_argument("--simulate", action="store_true")
    options = parser.parse_args()
    sizes = [int(n) for n in options.questions.split(",")]
    margins = [float(m) for m in options.margins.split(",")]

    print(f"Highest rate (%) of wrongly passing a pair at the margin; stated level {LEVEL:.0%}\n")
    print("| questions | margin | normal interval | score interval | exact (used) |")
    print("|---:|---:|---:|---:|---:|")
    for n in sizes:
        for margin in margins:
            rates = [highest_rate(rule, n, margin) for rule in (wald, tango, exact)]
            print(
                f"| {n} | {margin:.0%} | " + " | ".join(f"{100 * rate:.1f}" for rate in rates) + " |",
                flush=True,
            )

    print(
        "\nPower (%): share of checks that pass if the true accuracy is the same, by the share of questions"
    )
    print("whose correctness changes (lost + gained)\n")
    print("| questions | margin | " + " | ".join(f"{rate:.1%} change" for rate in CHANGED) + " |")
    print("|---:|---:|" + "---:|" * len(CHANGED))
    for n in sizes:
        for margin in margins:
            powers = [passing_rate(exact, n, margin, rate, 0.0) for rate in CHANGED]
            print(
                f"| {n} | {margin:.0%} | " + " | ".join(f"{100 * p:.0f}" for p in powers) + " |", flush=True
            )

    if options.simulate:
        n, margin = sizes[-1], margins[-1]
        for name, difference in (("at the margin", margin), ("without a difference", 0.0)):
            changed = max(0.05, margin)
            computed = passing_rate(exact, n, margin, changed, difference)
            drawn = simulated(n, margin, changed, difference)
            print(
                f"\n{name}, {n} questions, margin {margin:.0%}, {changed:.0%} change: "
                f"computed {computed:.1%}, simulated {drawn:.1%}"
            )


if __name__ == "__main__":
    main()
