"""Every good program goes through every stage of the compiler, and is what the text beside it says.

The text tells the variables, the factors with their instances, and which kernel draws what on JAX. After a change:
`python -m tests.test_golden_good` writes the texts anew; read the difference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compose_lang.api.model import Model
from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.compiler.passes import CompiledProgram, compile_program
from compose_lang.compiler.sources.convert import violation
from compose_lang.diagnostics import Source
from compose_lang.grammar.layout import format_source
from compose_lang.grammar.parser import parse
from compose_lang.grammar.printer import print_module
from compose_lang.report.dump import dump_stage
from compose_lang.report.explain import explain_block
from compose_lang.runtime.planning.plan import plan
from tests.compiler import reference
from tests.compiler.points import density_of, energies, random_values

FOLDER = Path(__file__).parent / "golden" / "good"
PROGRAMS = sorted(FOLDER.glob("*.cg"))
POINTS = 4

#: a factor's own variables and other programs, which the reference interpreter does not know; held against
#: integrals in tests/compiler/test_latents.py and against inlined programs in test_programs.py
BEYOND_REFERENCE = {"factors_with_variables", "language_programs_as_factors"}


@contextmanager
def beside(program: Path) -> Iterator[Source]:
    """The program's text, seen from its own folder, so that no path of this machine shows."""
    before = Path.cwd()
    os.chdir(program.parent)
    try:
        yield Source(program.name, program.read_text(encoding="utf-8"))
    finally:
        os.chdir(before)


def summary_of(program: CompiledProgram) -> str:
    """The factor graph, and who draws what on JAX."""
    drawn = [explain_block(block).partition(":")[0] for block in plan(program.graph, "jax").blocks]
    return "\n".join([dump_stage(program, "graph"), "", *drawn]) + "\n"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_a_good_program_passes_every_stage(program: Path) -> None:
    with beside(program) as source:
        module = parse(source)
        assert format_source(source) == source.text
        assert parse(Source("<printed>", print_module(module))) == module
        compiled = compile_program(source)
        assert compiled.diagnostics == ()
        for stage in ("ast", "typed", "graph", "energy"):
            assert isinstance(dump_stage(compiled, stage), str)
        assert plan(compiled.graph, "torch").blocks
        assert summary_of(compiled) == program.with_suffix(".txt").read_text(encoding="utf-8")
        check_energy(source, compiled.graph, program.stem not in BEYOND_REFERENCE)
        softened = re.sub(r"\brequire\b", "prefer", source.text)
        if softened != source.text:
            soft = Source(source.name, softened)
            check_energy(soft, compile_program(soft).graph, program.stem not in BEYOND_REFERENCE, finite=True)


def check_energy(source: Source, graph: FactorGraph, has_reference: bool, finite: bool = False) -> None:
    """At random points the energy is the reference interpreter's: where constraints fail, infinite."""
    values = random_values(graph, np.random.default_rng(0), POINTS)
    found = energies(density_of(graph), values)
    assert not np.isnan(found).any() and (np.isfinite(found).all() or not finite)
    if has_reference:
        data = {name: node.value for name, node in graph.data.items()}
        points = [{name: value[k] for name, value in values.items()} for k in range(POINTS)]
        expected = [reference.energy(source.text, point, data) for point in points]
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_every_program_says_what_it_shows() -> None:
    assert len(PROGRAMS) >= 100
    assert [p.name for p in PROGRAMS if not p.read_text(encoding="utf-8").startswith("# ")] == []
    assert {text.stem for text in FOLDER.glob("*.txt")} == {program.stem for program in PROGRAMS}


# --- short runs

ON_JAX = ("garch", "algebra_applied", "language_infer")
NOT_FOUND = {"puzzle_magic_square"}  #: 8 solutions among 9^9: the search for a start gives up and says so
SAMPLED = [(name, "jax") for name in ON_JAX] + [
    (program.stem, "numpy") for program in PROGRAMS if program.stem not in NOT_FOUND | {"language_infer"}
]


@pytest.mark.parametrize(("name", "backend"), SAMPLED)
def test_a_short_run_stays_inside_its_types_and_constraints(name: str, backend: str) -> None:
    with beside(FOLDER / f"{name}.cg") as source:
        model = Model(compile_program(source))
        run = model.sample(seed=0, chains=2, warmup=10, draws=2, backend=backend)
    free = [v for v in model.program.graph.variables if v.free_sites]
    drawn = {v.name: np.asarray(run.posterior[v.name]) for v in free}
    for v in free:
        assert violation(drawn[v.name].astype(float), v.type.domain) is None
    point: Mapping[str, Any] = {name: values[-1, -1] for name, values in drawn.items()}
    assert np.isfinite(model.energy(point))


if __name__ == "__main__":
    for program in PROGRAMS:
        with beside(program) as source:
            program.with_suffix(".txt").write_text(summary_of(compile_program(source)), encoding="utf-8")
