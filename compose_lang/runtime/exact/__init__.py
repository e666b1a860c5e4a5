"""Exact inference over finite variables: what `compiler/elimination` lays out, carried out on numbers."""
