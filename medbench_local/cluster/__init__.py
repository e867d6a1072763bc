"""Engines on several GPUs or machines, run by Ray; nothing is imported from here unless a cluster is asked for."""
