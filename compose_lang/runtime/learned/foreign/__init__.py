"""Foreign code as factors: PyTorch modules and JAX functions, found, held to their declarations, and bound."""
