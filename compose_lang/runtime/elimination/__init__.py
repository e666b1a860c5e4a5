"""Exact inference over finite variables: what `compiler/analyses/elimination` lays out, carried out on numbers."""
