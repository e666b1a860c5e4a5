"""Compose: a language for building new generative models out of existing ones."""
