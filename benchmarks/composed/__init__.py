"""Composed continuous programs with exact answers, and what judges `compose run` on them.

`programs/` has them as users would write them; `answers.py` computes what is right, by NumPy alone, into
`answers.json`; `python -m benchmarks.composed` runs them by default settings and compares.
"""
