"""What is said of the rivals follows from what was timed."""

from __future__ import annotations

from benchmarks.peers import REFERENCE, FullPass, Harness, Ours, Round, Took, table

SCORES = [[-1.0, -2.0], [-1.5, -2.5]]


def test_a_prefix_is_spread_over_the_task() -> None:
    full, ours = object.__new__(FullPass), object.__new__(Ours)
    full.precision = ours.precision = "bf16"
    other = [[-1.0, -2.25], [-1.5, -2.5]]
    done = {
        REFERENCE: [Round(SCORES, Took(20, 60)), Round(SCORES, Took(20, 20))],
        "full": [Round(SCORES, Took(6, 8))],
        # 2 of the 4 seconds are the prefix of all 1,273 questions
        "ours": [Round(other, Took(4, 8), Took(2, 4))],
        # asked fewer
        "slow": [Round(SCORES[:1], Took(100, 100))],
    }
    ways = {REFERENCE: Harness(None), "full": full, "ours": ours, "slow": Harness(None)}
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table(done, ways).splitlines()]
    assert rows[2] == [REFERENCE, "10.00", "20.00", "10.00", "1.0", "", "0"]
    assert rows[3] == ["full", "3.00", "4.00", "3.00", "3.3", "1.0", "0"]
    assert rows[4] == ["ours", "1.00", "2.00", "2.00", "10.0", "3.0", "0.25"]
    assert rows[5] == ["slow", "100.00", "100.00", "100.00", "0.1", "", "0"]
