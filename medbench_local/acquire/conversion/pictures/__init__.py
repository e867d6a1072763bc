"""Checkpoints of models that read pictures, taken apart: a language model, what belongs to it, and a tower."""
