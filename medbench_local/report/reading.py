"""What a reader who has not read the study must know, in the words of the report."""

from __future__ import annotations

HOW_TO_READ = (
    (
        "difference",
        "The accuracy of the medical model minus that of its base model. Both answer the same questions, each with "
        "the prompt that serves it best on separate validation questions.",
    ),
    ("win", "The whole interval of the difference lies above zero: the medical model is better."),
    ("loss", "The whole interval lies below zero: the base model is better."),
    (
        "tie",
        "The interval holds zero, or ends exactly there: these questions cannot tell the two apart, which does not "
        "prove them equal. The detectable difference of a tie says how large an effect would have been found.",
    ),
    (
        "verified",
        "The verdict is that of the models' own precision, on all test questions, with these prompts: every question "
        "was asked again there (full), the others could not change it (certain), or would with a probability of at "
        "most 5 % (confident).",
    ),
    (
        "unverified",
        "The models were scored quantised, and full precision may give another verdict; not checked: nobody asked.",
    ),
    (
        "doubtful",
        "An exact test does not support the win or loss at the level of its interval, or there are so few questions "
        "that no outcome would be a result. Treat it as no verdict.",
    ),
    (
        "full precision",
        "What llama.cpp computes with the weights as they were published: with bf16 weights it rounds activations to "
        "bf16 too, so the last digits are not those of float32.",
    ),
    (
        "system prompt",
        "Unless another one was given, the study's in this project's own words. A model that was trained with its "
        "authors' exact sentence may be served worse by it.",
    ),
    (
        "Holm p",
        "With many tasks some intervals miss zero by chance. The adjusted p of a win or loss that you mean to rely "
        "on should be small too.",
    ),
)
"""Terms and what they mean."""
