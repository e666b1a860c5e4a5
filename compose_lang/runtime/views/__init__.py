"""What kernels see of a density's variables, a file each; `runtime/kernels/common/kernel.py` has the protocols.

`coordinates` are continuous variables, `sites` a finite one; the others are what some kernels need to know besides.
`seen` makes them for a plan.
"""
