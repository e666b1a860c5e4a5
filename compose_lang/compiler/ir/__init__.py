"""Energies as expressions over named axes: `node` and `types` are data, `operation` and `ops` say what each does.

In: what elaboration and rewrites ask `build` for. Out: nodes, folded and shared, which `interpret` computes on an array
library, and what is plain of them: bounds (`intervals`), which site each element reads (`sitewise`). Before: the
grammar, through names. After: every other room of the compiler.
"""
