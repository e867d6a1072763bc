"""Results computed elsewhere: read them, export prompts for them, validate against them."""
