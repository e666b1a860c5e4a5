"""Declarations whose energy is learned, loaded or foreign code.

In: a declaration in a `Context`. Out: a `LearnedFactor`, held to its data or its file, and the term that an
application of it adds. Nothing is trained, no weights are read and no foreign code is imported here: that is
`runtime/learning`'s. Below: declarations. Above: factors, and `joint_training`, which fits several at once.
"""
