"""From source text to a factor graph: stages in the order of their folders, put together in `passes`.

In: a program's text, its data and constants. Out: a `CompiledProgram`, or every diagnostic found. It imports NumPy and
SciPy and no array library; before it stands `grammar`, after it `runtime/planning`, which chooses kernels.
"""
