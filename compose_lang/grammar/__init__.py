"""The language's syntax: from source text to an abstract syntax tree, and back.

In: the text of a program. Out: `ast.Module`, laid out anew by `printer`, or syntax errors that say what was meant.
It stands before everything that knows what a program means; only `diagnostics` stands before it.
"""
