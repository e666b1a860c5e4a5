"""Factors whose energies are learned: ways of learning, nets, foreign code, and what binds weights to an energy.

In: a `LearnedFactor` and its weights. Out: energies, scores and draws on any backend; nothing is trained here.
Before: `backends`. After: `density`, which evaluates them, and `learning`, which finds the weights.
"""
