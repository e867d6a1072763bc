"""The embedded pair: two tiny trained checkpoints, their questions, and how they were made."""
