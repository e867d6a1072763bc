"""Hub download, readers of checkpoints, conversion to GGUF, quantisation."""
