"""Every example runs and gives what is right: a published posterior, quadrature, the truth."""

from __future__ import annotations

import csv
import importlib
import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats

import compose_lang as cg
from benchmarks.composition import discovered_parts, scenes, shapes, style, tapestry
from compose_lang.api.check import check
from compose_lang.compiler.elaborate.standard_library import known_names, library_modules
from compose_lang.runtime.results.convergence import ess_bulk, mcse_mean, rhat
from compose_lang.validation.enumeration import enumerate_states
from examples.discovered_parts.make_data import drawn

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
REFERENCE = ROOT.parent / "shared/posteriordb/eight_schools-eight_schools_noncentered.reference.json"
PROGRAMS = sorted(EXAMPLES.glob("*/*.cg"))


@cache
def sample(program: str, **settings: Any) -> Any:
    return cg.compile(str(EXAMPLES / program)).sample(seed=1, **settings)


def draws(run: Any, name: str) -> np.ndarray:
    return np.asarray(run.posterior[name])


def expect(values: np.ndarray, truth: float, slack: float = 0.0) -> None:
    """The mean of draws (chain, draw) is the truth, within `slack` and 4.5 Monte-Carlo standard errors."""
    error = float(mcse_mean(values[:, :, None])[0])
    assert abs(values.mean() - truth) < slack + 4.5 * error, (values.mean(), truth, error)


def test_there_is_a_test_for_every_example():
    tested = Path(__file__).read_text(encoding="utf-8")
    assert [p for p in PROGRAMS if p.name not in tested] == []


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_examples_have_no_lints(program: Path):
    assert check(program) == []


# --- schools.cg ----------------------------------------------------------------------------------------


def test_the_first_command_of_the_readme(tmp_path: Path):
    """The command line on the first example, in a process of its own: one JSON document, and the draws on disk."""
    command = [
        sys.executable,
        "-c",
        "from compose_lang.cli import main; main()",
        "run",
        "examples/schools/schools.cg",
    ]
    settings = ["--json", "--seed", "3", "--draws", "200", "--warmup", "300", "--out", str(tmp_path / "out")]
    done = subprocess.run([*command, *settings], cwd=ROOT, capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    assert document["plan"][0]["variables"] == ["mu", "tau", "theta"] and document["draws"] == 200
    assert set(document["summary"]) == {"mu", "tau", *(f"theta[{k}]" for k in range(8))}
    assert 2 < document["summary"]["mu"]["mean"] < 7
    assert cg.Run.open(tmp_path / "out").posterior["theta"].shape == (4, 200, 8)


@pytest.mark.skipif(not REFERENCE.exists(), reason="the published posterior is not at ../shared/posteriordb")
def test_schools_agree_with_the_published_posterior():
    """On means within 0.1 sd, beyond Monte-Carlo error; the scale of the heavy-tailed `tau` by its median."""
    run = sample("schools/schools.cg", chains=4, draws=1500, warmup=1000)
    reference = json.loads(REFERENCE.read_text(encoding="utf-8"))
    theta = draws(run, "theta")
    for school in range(8):
        truth = reference[f"theta[{school + 1}]"]
        expect(theta[..., school], truth["mean"], 0.1 * truth["sd"])
        assert theta[..., school].std() == pytest.approx(truth["sd"], rel=0.2)
    expect(draws(run, "mu"), reference["mu"]["mean"], 0.1 * reference["mu"]["sd"])
    tau = draws(run, "tau")
    expect((tau < reference["tau"]["q50"]).astype(float), 0.5, 0.03)
    assert (tau > 0).all()


# --- old_faithful.cg -----------------------------------------------------------------------------------


def test_old_faithful_finds_the_two_kinds():
    """Against the maximum-likelihood mixture, found here by expectation-maximisation."""
    run = sample("old_faithful/old_faithful.cg", chains=2, draws=500, warmup=500)
    with (EXAMPLES / "old_faithful/old_faithful.csv").open(encoding="utf-8") as file:
        waiting = np.array([float(row["waiting"]) for row in csv.DictReader(file)])
    share, mu, sigma = 0.4, np.array([55.0, 80.0]), np.array([5.0, 5.0])
    for _ in range(200):
        weights = np.array([share, 1 - share])[:, None] * stats.norm.pdf(waiting, mu[:, None], sigma[:, None])
        weights /= weights.sum(0)
        share, total = weights[0].mean(), weights.sum(1)
        mu = (weights * waiting).sum(1) / total
        sigma = np.sqrt((weights * (waiting - mu[:, None]) ** 2).sum(1) / total)
    for k in range(2):  # the prior is weak: a posterior mean lies well within a posterior sd of the fit
        found = draws(run, "mu")[..., k]
        expect(found, mu[k], 0.5 * found.std())
    expect(draws(run, "short"), share, 0.5 * draws(run, "short").std())
    kinds = draws(run, "kind").mean((0, 1)) > 0.5
    assert (kinds == (weights[1] > 0.5)).mean() > 0.98


# --- denoise.cg ----------------------------------------------------------------------------------------


def pixels(name: str) -> np.ndarray:
    return np.asarray(Image.open(EXAMPLES / "denoise" / name)) > 127


def test_denoising_removes_most_of_the_noise():
    run = sample("denoise/denoise.cg", chains=2, draws=200, warmup=200)
    found = draws(run, "clean").mean((0, 1)) > 0
    before = (pixels("noisy.png") != pixels("clean.png")).mean()
    after = (found != pixels("clean.png")).mean()
    assert 0.13 < before < 0.17 and after < 0.25 * before


# --- map_colouring.cg ----------------------------------------------------------------------------------


def test_neighbouring_states_differ_in_every_draw():
    run = sample("map_colouring/map_colouring.cg", chains=4, draws=500, warmup=50)
    colour = draws(run, "colour")
    borders = np.loadtxt(EXAMPLES / "map_colouring/borders.csv", delimiter=",", skiprows=1, dtype=int)
    assert len(borders) == 105 and colour.shape[-1] == 48
    assert (colour[..., borders[:, 0]] != colour[..., borders[:, 1]]).all()
    assert len(np.unique(colour.reshape(-1, 48), axis=0)) > 1900
    assert np.nanmax(rhat(colour)) < 1.02 and np.nanmin(ess_bulk(colour)) > 1000
    for k in range(4):  # no colour is more likely than another
        expect((colour[..., 0] == k).astype(float), 0.25)
    assert [d.code for d in run.findings()] == []


def test_the_map_has_as_many_colourings_as_have_been_counted():
    """Counted by hand once: state by state, over the colours of those that still have a neighbour to come."""
    model = cg.compile(EXAMPLES / "map_colouring/map_colouring.cg")
    assert np.exp(model.log_evidence()) / 24 == pytest.approx(533_816_322_048, rel=1e-10)


def test_single_sites_alone_do_not_mix_on_the_map():
    run = sample("map_colouring/map_colouring.cg", chains=4, draws=200, warmup=50, method="gibbs")
    assert np.nanmax(rhat(draws(run, "colour"))) > 1.5
    assert {"CG0713", "CG0702"} <= {d["code"] for d in run.manifest.diagnostics}


# --- latin_squares.cg ----------------------------------------------------------------------------------


def test_latin_squares_are_drawn_alike():
    run = sample("latin_squares/latin_squares.cg", chains=4, draws=3000, warmup=50, thin=2)
    cell = draws(run, "cell")
    assert (np.sort(cell, axis=-1) == np.arange(4)).all() and (
        np.sort(cell, axis=-2).swapaxes(-1, -2) == np.arange(4)
    ).all()
    squares, counts = np.unique(cell.reshape(-1, 16), axis=0, return_counts=True)
    assert len(squares) == 576
    assert stats.chisquare(counts).pvalue > 1e-4
    assert [d.code for d in run.findings()] == []


# --- karate.cg -----------------------------------------------------------------------------------------


def test_the_karate_club_is_split_as_its_friendships_say():
    """The split of greatest modularity in two, 0.3718 as published, is the split that happened but for a few."""
    run = sample("karate/karate.cg", chains=8, warmup=60, backend="numpy")
    assert -run.optimum["energy"] / (2 * 78) == pytest.approx(0.371795, abs=1e-6)
    with (EXAMPLES / "karate/members.csv").open(encoding="utf-8") as file:
        went = [row["side"] == "president" for row in csv.DictReader(file)]
    assert (np.array(run.optimum["values"]["side"]) == went).sum() >= 32


# --- inverse_ising.cg ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_couplings_of_a_spin_glass_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """At the maximum the model has the data's means of what each param multiplies: exact draws of it show them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shutil.copytree(EXAMPLES / "inverse_ising", tmp_path / "it", ignore=shutil.ignore_patterns("*.learned"))
    model = cg.compile(str(tmp_path / "it/inverse_ising.cg")).fitted()
    data = np.load(tmp_path / "it/snapshots.npz")
    found = model.params
    away = np.concatenate([np.ravel(found[name] - data[name]) for name in ("right", "down", "field")])
    assert np.sqrt((away**2).mean()) < 0.08  # of nearly free spins: 1 / sqrt(1000)
    run = model.sample(seed=1, chains=1, draws=4000)
    for product in (
        lambda s: s[:, :, :-1] * s[:, :, 1:],
        lambda s: s[:, :-1] * s[:, 1:],
        lambda s: s.mean((1, 2)),
    ):
        drawn = product(draws(run, "fresh")[0].astype(float))
        seen = product(data["spins"].astype(float)).mean(0)
        assert (np.abs(drawn.mean(0) - seen) < 4.5 * drawn.std(0) / np.sqrt(4000)).all()


# --- product.cg, mixture.cg, contrast.cg ---------------------------------------------------------------

EDGE = np.linspace(-5, 5, 1201)
X, Y = np.meshgrid(EDGE, EDGE, indexing="ij")


def normalised(density: np.ndarray) -> np.ndarray:
    return density / density.sum()


RING = normalised(np.exp(-0.5 * ((np.hypot(X, Y) - 2) / 0.3) ** 2))
BLOB = normalised(stats.norm.pdf(X, 1.5, 0.8) * stats.norm.pdf(Y, 0.5, 0.8))
PLANAR = {
    "product": normalised(RING * BLOB),
    "mixture": 0.3 * RING + 0.7 * BLOB,
    "contrast": normalised(RING**2 / (RING + 2 * BLOB)),
}
MEASURES = {
    "x": lambda x, y: x,
    "y": lambda x, y: y,
    "xx": lambda x, y: x * x,
    "xy": lambda x, y: x * y,
    "left": lambda x, y: 1.0 * (x < 0),
    "inside": lambda x, y: 1.0 * (np.hypot(x, y) < 1.8),
}


@pytest.mark.parametrize("name", PLANAR)
def test_planar_compositions_follow_quadrature(name):
    run = sample(f"planar/{name}.cg", chains=4, draws=2000, warmup=500)
    x = draws(run, "x")
    for measure in MEASURES.values():
        expect(measure(x[..., 0], x[..., 1]), float((PLANAR[name] * measure(X, Y)).sum()))


# --- shapes: exact.cg, product.cg, mixture.cg, contrast.cg, with the weights that parts.cg gave ---------


def shape(program: str, draws: int = 1000) -> np.ndarray:
    return np.asarray(
        cg.compile(str(EXAMPLES / "shapes" / program)).sample(seed=2, chains=2, draws=draws).posterior["x"]
    )


def test_ring_times_bar_has_the_two_modes_where_they_meet():
    """97 % of the draws are valid by exact densities, 95 % by learned ones, in equal shares."""
    for program, least in (("exact.cg", 0.97), ("product.cg", 0.95)):
        x = shape(program).reshape(-1, 2)
        assert shapes.at_modes(x) > least
        assert abs((x[:, 1] > 0).mean() - 0.5) < 0.05


def test_a_mixture_of_learned_shapes_keeps_its_shares():
    """Six of the ring's eight modes lie beside the bar: three quarters of 0.8."""
    x = shape("mixture.cg").reshape(-1, 2)
    assert abs((np.abs(x[:, 0]) > 0.2).mean() - 0.6) < 0.05


@pytest.mark.slow
def test_a_contrast_of_learned_shapes_leaves_seven_modes():
    x = shape("contrast.cg").reshape(-1, 2)
    density = shapes.compositions()["contrast(Ring, Blob, strength=30)"][1]
    assert shapes.valid_share(x, shapes.truth(density, 10_000, 1)) > 0.96
    true = shapes.cell_shares(shapes.truth(density, 100_000, 2), shapes.EDGES)
    assert np.abs(shapes.cell_shares(x, shapes.EDGES) - true).max() < 0.05


def test_what_the_shapes_load_is_what_their_parts_learn():
    parts = cg.compile(str(EXAMPLES / "shapes/parts.cg")).program.parts
    loaded = cg.compile(str(EXAMPLES / "shapes/product.cg")).program.parts
    by_name = {p.name: p for p in parts}
    assert set(by_name) == {"Ring", "Bar", "Level", "Blob"}
    assert all(p.description == by_name[p.name].description for p in loaded)


# --- tapestry.cg, scenes.cg, style.cg: as in their benchmarks, with fewer draws ------------------------


def pictures(program: str, variable: str, draws: int, data: Any = None, **constants: Any) -> np.ndarray:
    """Draws (draws, *shape) of one population."""
    model = cg.compile(str(EXAMPLES / program), data=data, constants=constants)
    return np.asarray(model.sample(seed=1, chains=1, draws=draws).posterior[variable])[0]


#: steps of training: fewer than the programs say, and as many
ALL = pytest.param(4000, marks=pytest.mark.slow)


@pytest.mark.parametrize("steps", [500, ALL])
def test_the_tapestry_shows_what_was_asked_for_on_one_sheet(steps: int):
    canvas = pictures("tapestry/tapestry.cg", "canvas", 8, steps=steps)
    with np.load(EXAMPLES / "tapestry/pieces.npz") as file:
        alone = file["digit"][:600].reshape(-1, 2, 3, 8, 8).swapaxes(2, 3).reshape(-1, 16, 24) / 63
    assert tapestry.read_share(canvas, tapestry.ASKED[0]) > 0.85
    assert tapestry.seam_energy(canvas) < 0.5 * tapestry.seam_energy(alone)
    assert len(np.unique(canvas.round(2), axis=0)) == len(canvas)


@pytest.mark.parametrize(
    ("asked", "steps", "least"),
    [([0, 4], 1200, 0.6), pytest.param([0, 2, 3, 7, 8], 4000, 0.8, marks=pytest.mark.slow)],
)
def test_scenes_show_an_object_in_every_place_that_was_asked_for(asked: list[int], steps: int, least: float):
    found = pictures("scenes/scenes.cg", "scene", 24, {"asked": asked}, steps=steps)
    assert scenes.valid_share(found, asked) > least


@pytest.mark.parametrize("steps", [800, ALL])
def test_the_product_has_the_content_of_the_large_model_and_the_style_of_the_small_one(steps: int):
    found = style.measured(pictures("style/style.cg", "x", 8, steps=steps))
    assert found["content"] > 0.85 and found["style"] > 0.85


# --- discovered_parts.cg: hybrids of scenes, and who judges them ---------------------------------------


@pytest.mark.parametrize(("steps", "least"), [(1000, 0.4), pytest.param(3000, 0.9, marks=pytest.mark.slow)])
def test_parts_that_nobody_named_make_hybrids_that_no_scene_shows(steps: int, least: float):
    found = discovered_parts.measured(discovered_parts.parts(2, steps=steps)[0])
    assert found["seen"] > 0.9 and found["held-out quarter"] > least > 3 * found["by chance"]


def test_hybrids_are_right_only_with_one_band_of_each_scene():
    known = discovered_parts.scenes()
    level, upright = np.stack([known["one_at"], known["other_at"]], axis=1).transpose(2, 0, 1)
    exact = drawn(np.stack([level, upright[:, ::-1]], axis=2).reshape(-1, 2)).reshape(1, -1, 2, 8, 8)
    shares = ("held-out quarter", "seen")
    for x, first in [(exact, "first"), (exact[:, :, ::-1], "second")]:
        found = discovered_parts.measured(x)
        assert found["level band"] == first and [found[s] for s in shares] == [1, 1]
        assert found["by chance"] < 0.15
    scenes_themselves = np.stack([known["one"], known["other"]], axis=1)[None] / 63
    for x in (scenes_themselves, exact[:, :, :1].repeat(2, axis=2), exact + 0.2, 0 * exact):
        found = discovered_parts.measured(x)
        assert min(found[s] for s in shares) < 0.15


# --- data_efficiency: product.cg, mixture.cg, joint.cg -------------------------------------------------


@pytest.fixture
def of_composition(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The modules of `benchmarks/composition` by name; what programs without a file learn is kept in a fresh folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return lambda name: importlib.import_module(f"benchmarks.composition.{name}")


@pytest.mark.slow
def test_a_product_of_learned_factors_is_nearer_than_a_joint_model(of_composition):
    """One of the benchmark's points: product.cg against joint.cg, which has twice the data of each factor."""
    benchmark = of_composition("data_efficiency")
    rows = {r["model"]: r for r in benchmark.measured("product", 200, seed=4)}
    assert float(rows["composed"]["mmd"]) < float(rows["joint"]["mmd"])
    assert float(rows["composed"]["accuracy"]) < float(rows["joint"]["accuracy"])


def test_a_mixture_of_learned_factors_has_half_of_each(of_composition, tmp_path):
    """mixture.cg on the two rings: each of sixteen blobs has its share."""
    benchmark = of_composition("data_efficiency")
    factors, _ = benchmark.data("mixture", 300, seed=1)
    _, x = benchmark.learned("mixture.cg", factors, 1, tmp_path, steps=500)
    blobs = np.concatenate([benchmark.truth.places(0), benchmark.truth.places(1)])
    shares = benchmark.metrics.mode_shares(x, blobs, 0.15)
    assert shares[-1] < 0.3
    assert shares[:8].sum() / shares[:-1].sum() == pytest.approx(0.5, abs=0.06)
    assert shares[:-1].min() > 0.2 / 16


# --- tables: factored.cg, joint.cg ---------------------------------------------------------------------


def test_factored_tables_need_fewer_samples(of_composition):
    """And the factored table needs about as many for each entry as theory says: entries / 2 n nats."""
    tables = of_composition("tables")
    found = [tables.measured(5, 2000, seed) for seed in range(3)]
    assert all(3 * f["factored"] < f["joint"] for f in found)
    expected = (4 + 4 + 24) / (2 * 2000)
    assert np.mean([f["factored"] for f in found]) == pytest.approx(expected, rel=0.5)


def test_tables_learn_from_what_the_examples_hold():
    p = {name: cg.compile(str(EXAMPLES / f"tables/{name}.cg")) for name in ("factored", "joint")}
    with (EXAMPLES / "tables/samples.csv").open(encoding="utf-8") as file:
        a = np.array([int(row["a"]) for row in csv.DictReader(file)])
    exact = enumerate_states(p["factored"].program.graph)
    np.testing.assert_allclose(exact.marginals["a"][0], (np.bincount(a, minlength=6) + 0.5) / (len(a) + 3))
    assert exact.log_z == pytest.approx(0.0, abs=1e-9)
    assert enumerate_states(p["joint"].program.graph).log_z == pytest.approx(0.0, abs=1e-9)


# --- two_writers: product.cg ---------------------------------------------------------------------------


def test_words_of_two_writers_follow_the_product_and_not_the_next_letters(of_composition):
    """The distance of the draws is that of as many exact ones; who draws letter by letter is far away."""
    benchmark = of_composition("two_writers")
    found = benchmark.compared(EXAMPLES / "two_writers/product.cg", chains=100, draws=50, steps=150)
    limit = found["as many exact draws, TV"] + 6 * found["its standard deviation"]
    assert found["the program's draws, TV"] < limit < 0.2 < 0.5 < found["letter by letter, TV"]
    assert found["begins with a: product"] < 0.3 < 0.6 < found["begins with a: letter by letter"]


# --- learned_proposal: walk.cg -------------------------------------------------------------------------


def test_a_learned_proposal_is_exact_and_faster_than_single_sites(of_composition):
    benchmark = of_composition("learned_proposal")
    data = dict(np.load(EXAMPLES / "learned_proposal/walks.npz"))
    program = (EXAMPLES / "learned_proposal/walk.cg").read_text(encoding="utf-8")
    found = benchmark.compared(cg.compile(program, data=data, constants={"steps": 200}), chains=10, draws=400)
    proposed, gibbs = found["a learned proposal"], found["gibbs"]
    assert proposed["the same in standard errors"] < 4.5
    assert proposed["acceptance"] > 0.2
    assert proposed["ess a thousand draws"] > 2 * gibbs["ess a thousand draws"]


# --- documents -----------------------------------------------------------------------------------------


def test_the_readme_shows_the_program_it_runs():
    program = (EXAMPLES / "schools/schools.cg").read_text(encoding="utf-8")
    assert f"```cg\n{program}```" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_references_declarations_compile(tmp_path: Path):
    text = (ROOT / "docs/language.md").read_text(encoding="utf-8")
    program = re.findall(r"```cg\n(.*?)```", text, re.DOTALL)[0]
    (tmp_path / "program.cg").write_text(program, encoding="utf-8")
    (tmp_path / "y.csv").write_text("y\n1\n2\n3\n", encoding="utf-8")
    assert [found for found in check(tmp_path / "program.cg") if found.severity == "error"] == []


def test_the_reference_names_what_is_there():
    """Every density, library module and built-in function stands in the language's reference."""
    words = set(re.findall(r"\w+", (ROOT / "docs/language.md").read_text(encoding="utf-8")))
    assert [name for name in [*known_names(), *library_modules()] if name not in words] == []
