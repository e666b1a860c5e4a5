"""Gibbs updates of variables whose factors are all over one site or two, in the forms of
`compiler/analyses/gibbs_form.py`.

Each form keeps the variable in an arrangement of its own while sweeps go on (`pack`), and gives its values back
(`unpack`) where they are read: by other blocks, to be recorded, between chunks.
"""
