"""Checkpoints put together from others: the converter sees no difference."""
