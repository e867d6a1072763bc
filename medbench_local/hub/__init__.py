"""The hub: repositories, transfers that resume, errors, data set files."""
