"""A program's syntax tree, with its data, as a factor graph.

In: an `ast.Module` whose names resolve (`names`), and data, constants and params from outside, in a `Session`.
Out: a `FactorGraph` of the energy as it is written, with warnings in the session; errors are raised together.
Values and `Context` stand lowest; above them the rules for each kind of syntax, which `rules` brings together; then
`program`. Before: `names`. After: the passes over the graph (`compiler/passes.py`).
"""
