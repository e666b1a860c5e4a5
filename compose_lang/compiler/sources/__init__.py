"""Data from outside: files read into arrays, and arrays held to the types that a program declares.

In: paths and values that the user gives. Out: NumPy arrays of a declared type, or a diagnostic that says which element
is wrong. Before: `ir/types`. After: `elaborate`, which binds them, and the API, which takes values of variables.
"""
