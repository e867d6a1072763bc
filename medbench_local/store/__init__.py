"""SQLite of scored prompts; makes every run resumable."""
