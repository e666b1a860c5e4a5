"""The files whose rules say how syntax is elaborated: importing this makes `Context.evaluate` and `run` work."""

from __future__ import annotations

from compose_lang.compiler.elaborate import statements, variables
from compose_lang.compiler.elaborate.expressions import calls, indexing, operators
from compose_lang.compiler.elaborate.factors import algebra, application, normalise

FILES = (operators, indexing, calls, statements, variables, algebra, application, normalise)
