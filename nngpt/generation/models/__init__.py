"""Loading of language models: embedded files, GGUF, adapters, decoding."""
