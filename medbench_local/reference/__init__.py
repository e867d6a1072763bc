"""Results from elsewhere: read them, compute them with transformers, validate a run against them."""
