"""One loaded model answers: requests from prompts, scoring rules, answers from scores."""
