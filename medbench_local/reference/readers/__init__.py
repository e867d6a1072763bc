"""Files of per-question results, one module a format; `reading` recognizes the format."""
