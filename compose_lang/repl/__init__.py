"""The interactive session: `session` holds the program, `commands` the `:` words, `prompt` the terminal.

In: lines that a user enters. Out: a program of cells, and on the screen values, summaries and diagnostics.
Before: `api`. After: `compose repl`.
"""
