"""OpenAI chat completions, completions and embeddings, and what OpenAI-shaped vendors make of them."""
