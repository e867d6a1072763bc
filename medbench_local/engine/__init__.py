"""llama.cpp: load, tokenise, plan packs, score options, generate; a worker process around it."""
