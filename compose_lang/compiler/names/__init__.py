"""Names of a program before it is elaborated: what each stands for, which are unknown, hidden, unused or misplaced.

In: an `ast.Module`, and the names that the standard library declares. Out: diagnostics (`resolve`), less those that
a comment allows (`suppressions`). The tree goes on as it is. Before: the parser. After: `elaborate`.
"""
