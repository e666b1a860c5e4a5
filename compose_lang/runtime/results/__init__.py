"""What a run has found: draws by name, summaries, effective sizes, the best point, log Z, and what is wrong with it.

In: a run folder, finished or not. Out: a `Run`. Before: `runs`, which stores draws. After: `report` and `api`.
"""
