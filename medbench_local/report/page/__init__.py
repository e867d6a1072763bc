"""A run as one HTML file that answers for itself: verdicts, prompts, checks, questions, provenance; no network."""

from medbench_local.report.page.document import html as html
