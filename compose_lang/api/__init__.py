"""What Python users and all verbs call: a program compiled, planned, learned and run.

In: the text of a program, data, settings. Out: a `Model`, and the `Run` of its draws. Before: `report`, which says in
words what is returned here. After: `validation`, `repl` and `cli`.
"""
