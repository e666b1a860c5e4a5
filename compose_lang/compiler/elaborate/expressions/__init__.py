"""The rules for expressions, and the functions that programs know by name.

In: an expression in a `Context`. Out: a node of the IR, a factor, an index set, or another value that a name can
stand for. `builtins` is the table of names. Below: declarations and factors. Above: statements.
"""
