"""The verbs beside `run`, and what importing the command costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from compose_lang.codes import CODES
from compose_lang.compiler.passes import PASSES
from tests.cli.conftest import QUICK

HEAVY = ("jax", "torch", "numpyro", "xarray", "networkx", "scipy", "pandas", "arviz", "matplotlib")


def loaded_by(code: str) -> set[str]:
    """The heavy libraries that a piece of Python loads."""
    probe = f"import sys\ntry:\n  {code}\nexcept SystemExit: pass\nsys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(HEAVY) & set(done.stderr.split())


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import compose_lang") == set()


@pytest.mark.parametrize("arguments", [["--help"], ["check", "{program}"], ["explain", "CG0203"]])
def test_light_verbs_load_nothing_heavy(tmp_path, arguments):
    program = tmp_path / "p.cg"
    program.write_text("var x: real ~ Normal(0, 1)\nlet y = exp(x)\n")
    argv = ["compose", *(argument.format(program=program) for argument in arguments)]
    code = f"sys.argv = {argv!r}; from compose_lang.cli import main; main()"
    assert loaded_by(code) == set()


def test_check_finds_every_error(compose):
    Path("bad.cg").write_text("var x: real ~ Norml(0, 1)\nx ~ Gama(1, 1)\n")
    result = compose("check", "mixed.cg", "bad.cg", "--format", "concise")
    assert result.code == 1
    assert "bad.cg:1:15: error[CG0201]" in result.out and "bad.cg:2:5: error[CG0201]" in result.out
    assert compose("check", "mixed.cg").code == 0


def test_check_as_json(compose):
    Path("bad.cg").write_text("var x: real ~ Norml(0, 1)\n")
    result = compose("check", "bad.cg", "--json")
    assert [found["code"] for found in result.document] == ["CG0201"]
    assert compose("check", "mixed.cg", "--json").document == []


@pytest.mark.parametrize(
    ("stage", "shown"),
    [("ast", "Var"), ("typed", "var s: spin[6]"), ("graph", "var s: spin[6]"), ("energy", "Normal: ")],
)
def test_check_dumps_a_stage(compose, stage, shown):
    assert shown in compose("check", "mixed.cg", "--dump", stage).out


def test_check_lists_the_passes(compose):
    lines = compose("check", "mixed.cg", "--dump", "passes").out.splitlines()
    assert [line.split()[0] for line in lines] == [each.name for each in PASSES]
    assert all(line.endswith(each.why_here) for line, each in zip(lines, PASSES, strict=True))


def test_check_dumps_the_graph_that_a_pass_leaves(compose):
    Path("bounded.cg").write_text("var x: real ~ Normal(0, 1)\nrequire x >= 0.5\n")
    assert "support" not in compose("check", "bounded.cg", "--dump", "after:integer_bounds").out
    assert (
        "support of x: real(lower=0.5)"
        in compose("check", "bounded.cg", "--dump", "after:tighten_bounds").out
    )


def test_check_dumps_no_unknown_stage(compose):
    result = compose("check", "mixed.cg", "--dump", "after:tighten_bound")
    assert result.code == 2 and "after:tighten_bounds" in result.err and not result.out
    assert "passes and after:PASS" in compose("check", "mixed.cg", "--dump", "everything").err


def test_explain_a_program(compose):
    result = compose("explain", "mixed.cg", "--backend", "numpy")
    assert result.code == 0
    assert "exact draws s exactly" in result.out and "mh draws x: continuous" in result.out
    assert "s summed out" in result.out and "treewidth at most 1" in result.out
    document = compose("explain", "mixed.cg", "--json").document
    assert [block["kernel"] for block in document["plan"]] == ["nuts", "exact"]


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_explained(compose, code):
    result = compose("explain", code)
    assert result.code == 0
    title, empty, *text = result.out.splitlines()
    assert title == f"{code}: {CODES[code]}" and not empty and text


def test_an_unknown_code(compose):
    assert compose("explain", "CG9999").code == 2


def test_graph_formats(compose):
    mermaid = compose("graph", "mixed.cg").out
    assert mermaid.startswith("flowchart") and "spin[6]" in mermaid and "× 5" in mermaid
    assert compose("graph", "mixed.cg", "--format", "dot").out.startswith("graph {")
    assert compose("graph", "mixed.cg", "--format", "svg").out.startswith("<svg")
    assert compose("graph", "mixed.cg", "--format", "png", "-o", "graph.png").code == 0
    assert Path("graph.png").read_bytes().startswith(b"\x89PNG")
    assert compose("graph", "mixed.cg", "--format", "gif").code == 2


def test_an_expanded_graph_has_a_node_for_each_site_and_instance(compose):
    document = compose("graph", "mixed.cg", "--expand", "--json").document
    labels = [node["label"] for node in document["nodes"] if node["kind"] == "variable"]
    assert labels == [*(f"s[{i}]" for i in range(6)), "x"]
    # 5 pairs of neighbours, the coupling to x, the prior of x, three observations
    assert sum(node["kind"] == "factor" for node in document["nodes"]) == 10
    assert len(document["edges"]) == 5 * 2 + 2 + 1 + 3


def test_summary_and_export_of_an_earlier_run(compose):
    ran = compose("run", "mixed.cg", "--json", *QUICK)
    assert compose("summary", "mixed.out", "--json").document == ran.document
    assert "s[0]" in compose("summary", "mixed.out").out
    result = compose("export", "mixed.out", "--to", "csv", "-o", "draws.csv")
    assert result.out == "draws.csv\n"
    assert Path("draws.csv").read_text().startswith("chain,draw,s[0]")
    assert compose("summary", "nowhere").code == 1


def test_version_and_doctor(compose):
    assert compose("version").out.startswith("compose ")
    assert compose("version", "--json").document["version"]
    assert "jax" in compose("doctor").out
    assert compose("doctor", "--json").document["python"] == ".".join(map(str, sys.version_info[:3]))


def test_a_file_that_is_not_there(compose):
    result = compose("check", "nowhere.cg")
    assert result.code == 1 and "CG0302" in result.out


def test_a_closed_pipe_is_no_error(tmp_path):
    program = tmp_path / "p.cg"
    program.write_text("var x: real[200] ~ Normal(0, 1)\n")
    code = f"import sys; sys.argv = ['compose', 'check', '--dump', 'ast', {str(program)!r}]\n"
    code += "from compose_lang.cli import main; main()"
    done = subprocess.run(
        f"{sys.executable} -c \"$CODE\" | true", shell=True, env={"CODE": code}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


def test_json_documents_are_json(compose):
    for arguments in (["doctor"], ["graph", "mixed.cg"], ["explain", "CG0101"], ["check", "mixed.cg"]):
        json.loads(compose(*arguments, "--json").out)


def test_the_typed_stage_tells_densities_from_factors(compose):
    Path("k.cg").write_text(
        "factor Spring(a: real, b: real) { energy (a - b)^2 }\nvar x: real[3] ~ Normal(0, 1)\n"
        "Spring(x[0], x[1])\nx[0] ~ 0.5 * Normal(0, 1) + 0.5 * Normal(2, 1)\nx[2] ~ Normal(0, 1) * Normal(1, 1)\n"
    )
    lines = compose("check", "--dump", "typed", "k.cg").out.splitlines()
    assert lines[:2] == ["var x: real[3]", "factor Spring over (a: real, b: real)"]
    kinds = {line.split(":")[0]: line.split(": ")[1].split()[0] for line in lines[2:]}
    assert kinds == {"line 2": "density", "line 3": "factor", "line 4": "density", "line 5": "factor"}


def test_a_new_program_runs(compose):
    done = compose("new", "begun")
    assert done.code == 0
    assert compose("check", "begun/begun.cg").err.startswith("programs: 1, errors: 0, warnings and notes: 0")
    assert compose("run", "begun/begun.cg", *QUICK).code == 0
    again = compose("new", "begun")
    assert again.code == 2 and "not empty" in again.err
    assert compose("new", "mixed.cg").code == 2


def test_examples_can_be_copied(compose):
    listed = compose("examples", "--json").document["examples"]
    assert {"schools", "denoise", "planar"} <= set(listed)
    assert compose("examples", "schools").out == "schools\n"
    assert compose("check", "schools/schools.cg").code == 0
    assert compose("examples", "schools").code == 2
    assert "did you mean `schools`" in compose("examples", "school").err


def test_pictures_of_a_run(compose):
    Path("p.cg").write_text(
        "var x: real ~ Normal(0, 1)\nvar c: {red, green}\nvar v: real[3] ~ Normal(0, 1)\nvar g: spin[2, 3]\n"
    )
    assert compose("run", "p.cg", *QUICK).code == 0
    made = compose("plot", "p.out", "--json").document["files"]
    assert [Path(f).name for f in made] == ["x.png", "c.png", "v.png", "g.png"]
    assert all(Path(f).read_bytes().startswith(b"\x89PNG") for f in made)
    assert compose("plot", "p.out", "--names", "x", "--format", "svg", "-o", "here").out == "here/x.svg\n"
    assert "did you mean" in compose("plot", "p.out", "--names", "vv").err
    assert compose("plot", "p.out", "--format", "gif").code == 2
    assert compose("plot", "nowhere").code == 1


FOREIGN = 'factor Critic(x: real[2]) = extern("critic_of_cli:energy")\nvar x: real[2] ~ Critic\n'


def test_foreign_code_runs_where_it_is_trusted(compose, monkeypatch):
    Path("foreign.cg").write_text(FOREIGN)
    Path("critic_of_cli.py").write_text("def energy(x):\n    return 0.5 * (x**2).sum(1)\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("COMPOSE_TRUST", "1")
    for verb in ("check", "explain", "graph", "run", "verify"):
        result = compose(verb, "foreign.cg")
        assert result.code == 1 and "CG0414" in result.out + result.err
    for verb in ("check", "explain", "graph"):
        assert compose(verb, "foreign.cg", "--trust").code == 0
    assert "critic_of_cli" not in sys.modules
    result = compose("run", "foreign.cg", "--trust", *QUICK)
    assert result.code == 0 and "x[1]" in result.out
    sys.modules.pop("critic_of_cli")
