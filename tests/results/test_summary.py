"""The summary and the findings, against draws whose properties are known."""

from __future__ import annotations

import io
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from stand_in import drive

from compose_lang.compiler.ir.types import BOOL, REAL, Domain, Type
from compose_lang.compiler.passes import compile_program
from compose_lang.diagnostics import Diagnostic, Source
from compose_lang.runtime.density.columns import Column
from compose_lang.runtime.results.findings import findings
from compose_lang.runtime.results.summary import rows, summarise, table

SPIN = Domain("spin")
COLOUR = Domain("category", size=3, names=("red", "green", "blue"))


def run_of(*columns: tuple[Column, np.ndarray], kernel: str = "stand_in", **statistics: np.ndarray):
    """A run of the given draws, each (chains, draws, *shape), as `summarise` and `findings` read it."""
    values = {column.name: array for column, array in columns}
    chains, draws = columns[0][1].shape[:2]
    run = SimpleNamespace(
        columns=tuple(column for column, _ in columns),
        values=lambda column: values[column.name],
        chains=chains,
        draws=draws,
        statistics=statistics,
        manifest=SimpleNamespace(plan=[{"kernel": kernel, "variables": ["x"]}]),
    )
    run.summaries = summarise(run)
    return run


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def warnings_of(run) -> list[Diagnostic]:
    return findings(run, run.summaries)


def codes(run) -> list[str]:
    return [finding.code for finding in warnings_of(run)]


def test_rows_are_named_by_element_and_variables_come_first():
    run = run_of(
        (Column("m", Type(REAL), is_let=True), normal(2, 50)),
        (Column("theta", Type(REAL, (2,))), normal(2, 50, 2)),
        (Column("grid", Type(REAL, (1, 2))), normal(2, 50, 1, 2)),
        (Column("w", Type(Domain("simplex", size=2))), np.full((2, 50, 2), 0.5)),
    )
    assert list(rows(run.summaries)) == [
        "theta[0]", "theta[1]", "grid[0,0]", "grid[0,1]", "w[0]", "w[1]", "m",
    ]  # fmt: skip


def test_numbers_are_those_of_the_draws():
    x = normal(4, 100)
    row = rows(run_of((Column("x", Type(REAL)), x)).summaries)["x"]
    assert row["mean"] == pytest.approx(x.mean())
    assert row["sd"] == pytest.approx(x.std(ddof=1))
    assert [row["q5"], row["q50"], row["q95"]] == pytest.approx(np.quantile(x, [0.05, 0.5, 0.95]).tolist())
    assert list(row) == ["mean", "sd", "q5", "q50", "q95", "mcse_mean", "ess_bulk", "ess_tail", "rhat"]


def test_observed_elements_are_left_out():
    observed = np.array([True, False, True])
    run = run_of((Column("x", Type(REAL, (3,)), observed=observed), normal(2, 50, 3)))
    assert list(rows(run.summaries)) == ["x[1]"]
    everything = Column("y", Type(REAL, (2,)), observed=np.array([True, True]))
    assert rows(run_of((everything, normal(2, 50, 2))).summaries) == {}


def test_probabilities_are_keyed_by_what_the_reader_knows():
    which = np.array([[0, 0, 1, 2]])
    run = run_of(
        (Column("colour", Type(COLOUR)), which),
        (Column("s", Type(SPIN)), np.where(which > 0, 1, -1)),
        (Column("b", Type(BOOL)), which > 0),
        (Column("n", Type(Domain("int", 0, 2))), which),
        (Column("many", Type(Domain("int", 0, 20))), which),
        (Column("x", Type(REAL)), which),
    )
    found = rows(run.summaries)
    assert found["colour"]["p"] == {"red": 0.5, "green": 0.25, "blue": 0.25}
    assert found["s"]["p"] == {"-1": 0.5, "1": 0.5}
    assert found["b"]["p"] == {"false": 0.5, "true": 0.5}
    assert found["n"]["p"] == {"0": 0.5, "1": 0.25, "2": 0.25}
    assert "p" not in found["many"] and "p" not in found["x"]


def test_angles_are_summarised_on_the_circle():
    around = math.pi + 0.3 * normal(4, 1000)  # straddles the cut at pi
    angle = np.angle(np.exp(1j * around))
    row = rows(run_of((Column("phi", Type(Domain("angle"))), angle)).summaries)["phi"]
    assert abs(np.angle(np.exp(1j * (row["mean"] - around.mean())))) < 1e-3
    # of a wrapped normal of deviation s the circular deviation is s
    assert row["sd"] == pytest.approx(0.3, abs=5 * 0.3 / math.sqrt(2 * 4000))
    assert row["q5"] == pytest.approx(np.quantile(around, 0.05), abs=0.01)
    assert row["q95"] == pytest.approx(np.quantile(around, 0.95) - 2 * math.pi, abs=0.01)
    assert row["rhat"] < 1.01


def test_what_is_not_a_number_is_null_in_json():
    row = rows(run_of((Column("x", Type(REAL)), np.ones((2, 10)))).summaries)["x"]
    assert row["rhat"] is None
    assert json.loads(json.dumps(row, allow_nan=False))["sd"] == 0


def test_one_draw_and_none():
    for draws in (0, 1):
        row = rows(run_of((Column("x", Type(REAL)), np.ones((1, draws)))).summaries)["x"]
        assert row["sd"] is None and row["rhat"] is None


def test_the_table_is_cut_with_a_note():
    run = run_of((Column("x", Type(REAL, (300,))), normal(2, 20, 300)))
    screen = Console(file=io.StringIO(), width=100)
    screen.print(table(run.summaries))
    text = screen.file.getvalue()
    assert "x[199]" in text and "x[200]" not in text
    assert "100 more rows" in text and "central 90 %" in text
    screen.print(table(run.summaries, most=None))
    assert "x[299]" in screen.file.getvalue()


def test_a_plain_summary_fits_eighty_columns():
    screen = Console(file=io.StringIO(), width=80)
    screen.print(table(run_of((Column("theta", Type(REAL, (10,))), 1e3 * normal(4, 100, 10))).summaries))
    assert "…" not in screen.file.getvalue()
    assert max(map(len, screen.file.getvalue().splitlines())) <= 80


def test_the_document_has_the_fields_of_the_contract(tmp_path):
    run, _ = drive(tmp_path / "out")
    found = run.document()
    assert list(found) == [
        "program", "seed", "backend", "draws", "chains", "plan", "summary", "log_evidence", "diagnostics",
        "seconds", "out",
    ]  # fmt: skip
    assert found["draws"] == 40 and found["chains"] == 3
    assert set(found["seconds"]) == {"compile", "warmup", "sample"}
    json.dumps(found, allow_nan=False)


def test_good_draws_have_no_findings():
    assert codes(run_of((Column("x", Type(REAL, (3,))), normal(4, 1000, 3)))) == []


def test_chains_that_disagree():
    apart = normal(4, 1000, 2)
    apart[0, :, 1] += 3
    (finding, *_) = warnings_of(run_of((Column("x", Type(REAL, (2,))), apart)))
    assert finding.code == "CG0702"
    assert "x[1]" in finding.message and "x[0]" not in finding.message
    assert finding.help


def test_too_few_effective_draws():
    walk = normal(4, 1000)
    for t in range(1, 1000):
        walk[:, t] += 0.9 * walk[:, t - 1]
    assert "CG0703" in codes(run_of((Column("x", Type(REAL)), walk)))
    assert codes(run_of((Column("x", Type(REAL)), normal(1, 300)))) == []
    assert "CG0703" in codes(run_of((Column("x", Type(REAL)), normal(4, 50))))


def test_divergences_are_counted():
    x = (Column("x", Type(REAL)), normal(4, 1000))
    diverging = np.zeros((4, 1000), dtype=bool)
    assert codes(run_of(x, diverging=diverging)) == []
    diverging[2, 10:13] = True  # what the step size's own error explains
    assert codes(run_of(x, diverging=diverging)) == []
    diverging[1, 700:703] = True
    (finding,) = warnings_of(run_of(x, diverging=diverging))
    assert (
        finding.code == "CG0704"
        and "6 of 4000" in finding.message
        and "which is where" not in finding.message
    )


def test_where_transitions_diverge_is_named_with_advice_that_fits():
    tau, theta = np.exp(normal(4, 1000)), normal(4, 1000, 3, seed=1)
    columns = (Column("tau", Type(REAL)), tau), (Column("theta", Type(REAL, (3,))), theta)
    run = run_of(*columns, diverging=(tau < 0.2) & (normal(4, 1000, seed=2) > 0))
    (finding,) = warnings_of(run)
    assert "where `tau` is small" in finding.message and "offsets" not in finding.help
    hierarchy = (
        "var mu: real ~ Normal(0, 1)\nvar tau: positive ~ HalfNormal(1)\nvar theta: real[3] ~ Normal(mu, tau)"
    )
    centred = compile_program(Source("<text>", hierarchy + "\nobserve theta[2] = 1")).graph
    (finding,) = findings(run, run.summaries, centred)
    assert "`theta`" in finding.help and "offsets" in finding.help
    (finding,) = findings(run, run.summaries, compile_program(Source("<text>", hierarchy)).graph)
    assert "offsets" not in finding.help  # by which it is sampled


def test_hits_of_walls_are_no_divergences():
    x = (Column("x", Type(REAL)), normal(4, 1000))
    walls = np.ones((4, 1000), dtype=bool)
    assert codes(run_of(x, at_wall=walls)) == []
    few = (Column("x", Type(REAL)), normal(4, 50))
    (finding, *_) = warnings_of(run_of(few, at_wall=walls[:, :50]))
    assert "100 % of transitions ended at a wall" in finding.help


def test_parts_that_chains_do_not_share_are_said_to_be_apart():
    x = normal(4, 1000, 2)
    x[[0, 3], :, 1] += 20
    (finding, *_) = warnings_of(run_of((Column("x", Type(REAL, (2,))), x)))
    assert finding.code == "CG0702" and "`x[1]` is around" in finding.message
    assert "in chains 1, 2," in finding.message and "in chains 0, 3;" in finding.message
    x[0, :500, 1] -= 20  # a chain that goes between them
    (finding, *_) = warnings_of(run_of((Column("x", Type(REAL, (2,))), x)))
    assert "have not mixed" in finding.message


def test_a_slow_start_is_not_called_a_failure():
    x = normal(4, 1000)
    x[0] += 0.35
    (finding,) = warnings_of(run_of((Column("x", Type(REAL)), x)))
    assert finding.code == "CG0702" and "nearly mixed" in finding.message


def test_constant_entries_of_a_type_are_not_stuck():
    factor = np.zeros((4, 1000, 2, 2))
    factor[..., 0, 0] = 1.0
    angle = normal(4, 1000)
    factor[..., 1, 0], factor[..., 1, 1] = np.sin(angle), np.cos(angle)
    column = Column("L", Type(Domain("cholesky_corr", size=2)))
    assert "CG0709" not in codes(run_of((column, factor)))
    factor[2, :, 1] = [0.6, 0.8]
    assert "CG0709" in codes(run_of((column, factor)))


def test_a_chain_that_does_not_move():
    still = normal(4, 1000, 2)
    still[1, :, 0] = 2.0
    assert "CG0709" in codes(run_of((Column("x", Type(REAL, (2,))), still)))


def test_a_discrete_variable_may_be_certain_but_not_stuck():
    certain = np.ones((4, 1000, 2), dtype=int)
    assert codes(run_of((Column("s", Type(SPIN, (2,))), certain))) == []
    stuck = certain.copy()
    stuck[0] = -1
    assert "CG0709" in codes(run_of((Column("s", Type(SPIN, (2,))), stuck)))


def test_an_approximate_kernel_is_named():
    (finding,) = warnings_of(run_of((Column("x", Type(REAL)), normal(4, 1000)), kernel="ula"))
    assert finding.code == "CG0705" and "without correction" in finding.message


def test_columns_survive_json():
    observed = np.array([[True, False], [False, False]])
    for column in (
        Column("x", Type(REAL, (2, 2)), observed=observed),
        Column("c", Type(COLOUR), is_let=True),
        Column("b", Type(Domain("real", 0, 2.5))),
        Column("w", Type(Domain("simplex", size=3), (4,))),
    ):
        back = Column.from_json(json.loads(json.dumps(column.as_json(), allow_nan=False)))
        assert (back.name, back.type, back.is_let) == (column.name, column.type, column.is_let)
        np.testing.assert_array_equal(back.free, column.free)
