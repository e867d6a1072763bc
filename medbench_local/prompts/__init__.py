"""From a question to the text a model sees: formats, chat templates, demonstrations."""
