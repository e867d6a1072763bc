"""Questions: what they are, and readers for each data set's own format."""
