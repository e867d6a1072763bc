"""Pictures to rows of numbers: preprocessing, the CLIP tower, projector, resampler and gated blocks, in numpy.

The room knows neither llama.cpp nor questions: it is handed files, and hands back float32 arrays.
"""
