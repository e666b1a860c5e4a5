"""What is said of programs, plans and runs: text for the screen, JSON, pictures, files for other tools.

In: a factor graph, a plan, a run, diagnostics. Out: words and drawings; nothing is decided here. Before: `results`.
After: `api` and the verbs.
"""
