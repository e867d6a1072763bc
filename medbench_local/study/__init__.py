"""The orchestration: plan, compare, sweep, check."""
