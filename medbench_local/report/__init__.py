"""Results for people: terminal, JSON, Markdown, CSV, HTML, figures."""
