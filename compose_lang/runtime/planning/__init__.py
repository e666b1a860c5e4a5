"""Which variables are updated together, by which kernel, and why.

In: a factor graph, what is asked for (`infer … by …`), a backend's name. Out: a `Plan`: blocks, each with the structure
that was found for its kernel, in the order of a sweep; what the user should know; which solutions no move may reach.
`plan.PLANNERS` is the list of what plans, in order; `methods` what may be asked for.
Before: `kernels`, which say what they serve and need. After: `views`, which show variables to the kernels as planned.
"""
