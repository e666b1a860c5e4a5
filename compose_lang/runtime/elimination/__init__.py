"""Exact inference over finite variables: what `compiler/analyses/elimination` lays out, carried out on numbers.

In: a density and a layout. Out: free energies, joint draws, marginals, a best point; and solutions of hard constraints,
or the proof that there are none. Before: `density`. After: `views` and `chains`.
"""
