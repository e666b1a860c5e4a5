"""The factor graph: what elaboration ends with, what passes rewrite, and what planning and the runtime read.

In: terms, variables and learned factors as elaboration states them. Out: `FactorGraph`, which knows its variables,
factor groups and facts, and which sites each factor reads. Before: `ir`, whose expressions its energies are. After:
`analyses` and `constraints`, which find structure in it, and `rewrites`.
"""
