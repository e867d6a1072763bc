"""Search for the best prompt on validation questions."""
