"""Factors: what they are (`values`), and what they mean.

In: a factor with its subjects in a `Context`. Out: terms of the energy (`algebra`, `application`, `normalise`), draws
(`draws`, `proposals`), and warnings (`lints`), each a function dispatched on the kind of factor. Below: declarations
and learned factors. Above: expressions, which compose factors, and statements, which state them.
"""
