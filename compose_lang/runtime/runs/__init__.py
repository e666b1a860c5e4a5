"""Run folders: settings, the manifest of all that draws depend on, and draws in chunks that survive a kill.

In: settings, columns, chunks of draws. Out: a folder that can be read and gone on from. Before: nothing that samples.
After: the driver, which fills it, and `results`, which reads it.
"""
