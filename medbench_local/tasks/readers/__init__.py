"""Questions out of the files that data sets publish: one module a format, each with a function `read`."""
