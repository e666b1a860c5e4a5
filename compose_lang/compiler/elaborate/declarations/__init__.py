"""What declarations say: types with their sizes and bounds, data, observed sites, arrays defined element by element.

In: a declaration in a `Context`. Out: types, constants, masks of observed sites, arrays. Expressions in a declaration
are evaluated by `Context.evaluate`. Below: values, the context, plates. Above: learned factors, factors, expressions.
"""
