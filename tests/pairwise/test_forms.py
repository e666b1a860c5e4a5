"""Each form draws from exact conditionals, the same on every backend and in C, whatever runs beside it."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from compose_lang.compiler.analyses.gibbs_form import Form
from compose_lang.compiler.analyses.neighbour_lists import Neighbours
from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.runtime.backends import load_backend, native
from compose_lang.runtime.kernels.pairwise import bits
from compose_lang.runtime.kernels.pairwise.parities import join, split
from tests.pairwise.forms import BACKENDS, energies, every_state, forms_of, graph_of, scattered, swept
from tests.runtime.checks import BROKEN, SOUND, numbers

TINY = {
    "grid": "var s: spin[2, 3]\nfor (p, q) in grid(2, 3) { energy -0.5 * s[p] * s[q] }\nenergy 0.2 * s",
    "torus": "var s: spin[2, 4]\nfor (p, q) in torus(2, 4) { energy -0.4 * s[p] * s[q] }",
    "couplings": """
        data J: real[6] = [0.3, -0.8, 1.2, 0.4, -0.2, 0.9]
        var b: bool[7]
        for i in range(6) { energy J[i] * b[i] * b[i + 1] + 0.3 * b[i] }
    """,
    "Potts": """
        var z: category(3)[2, 2]
        for (p, q) in grid(2, 2) { energy if z[p] == z[q] then -0.8 else 0.1 * p[0] }
        z ~ Categorical([0.2, 0.3, 0.5])
    """,
    "odd cycle": "var s: spin[5]\nfor (i, j) in torus(5) { energy -0.4 * s[i] * s[j] }\nenergy 0.3 * s[0]",
}
FORMS = [(name, kind) for name, program in TINY.items() for kind in forms_of(graph_of(program))]


RUNS = 60_000  #: over all states to start from


def classes_of(form: Form, shape: tuple[int, ...]) -> list[np.ndarray]:
    """The sites that a sweep updates together, in its order."""
    structure = form.structure
    if isinstance(structure, Neighbours):
        bounds = itertools.pairwise(structure.starts)
        return [structure.order[a:b] for a, b in bounds]
    parity = np.indices(shape).sum(axis=0).reshape(-1) % 2
    return [np.flatnonzero(parity == k) for k in (0, 1)]


def transition_matrix(graph: FactorGraph, classes: list[np.ndarray]) -> np.ndarray:
    """The exact matrix (states, states) of a sweep: sites of a class by their conditionals, class after class."""
    states = every_state(graph)
    energy = energies(graph, states)
    whole = np.eye(len(states))
    for sites in classes:
        others = np.setdiff1d(np.arange(states.shape[1]), sites)
        rest = np.unique(states[:, others], axis=0, return_inverse=True)[1].reshape(-1)
        alike = rest[:, None] == rest[None, :]
        weights = np.where(alike, np.exp(energy.min() - energy)[None, :], 0.0)
        whole = whole @ (weights / weights.sum(axis=1, keepdims=True))
    return whole


def agreement(graph: FactorGraph, form: Form) -> float:
    """The p-value of a sweep from every state against its exact transition matrix: chi-square, small cells pooled."""
    states = every_state(graph)
    exact = transition_matrix(graph, classes_of(form, graph.variables[0].type.shape))
    chains = RUNS // len(states)
    end = swept(graph, form, np.repeat(states, chains, axis=0), 1)
    counts = np.zeros_like(exact)
    np.add.at(counts, (np.repeat(np.arange(len(states)), chains), numbers(states, end)), 1.0)
    total, freedom = 0.0, 0
    for found, expected in zip(counts, chains * exact, strict=True):
        large = expected >= 5.0
        cells = [np.append(x[large], x[~large].sum()) for x in (found, expected)]
        kept = cells[1] >= 5.0
        observed, wanted = (np.append(x[kept], x[~kept].sum()) for x in cells)
        if not wanted[-1]:
            observed, wanted = observed[:-1], wanted[:-1]
        total += float(((observed - wanted) ** 2 / np.maximum(wanted, 1e-300)).sum())
        freedom += len(wanted) - 1
    return float(scipy.stats.chi2.sf(total, freedom))


@pytest.mark.parametrize(("name", "kind"), FORMS)
def test_a_sweep_has_its_exact_transition_matrix(name: str, kind: str) -> None:
    graph = graph_of(TINY[name])
    assert agreement(graph, forms_of(graph)[kind]) > SOUND


@pytest.mark.parametrize("name", TINY)
def test_the_exact_matrix_leaves_the_density_invariant(name: str) -> None:
    graph = graph_of(TINY[name])
    energy = energies(graph, every_state(graph))
    pi = np.exp(energy.min() - energy)
    pi /= pi.sum()
    for form in forms_of(graph).values():
        matrix = transition_matrix(graph, classes_of(form, graph.variables[0].type.shape))
        np.testing.assert_allclose(pi @ matrix, pi, atol=1e-12)


def strips(extra: str = "") -> str:
    """Lattices that fill words and are small to enumerate site by site: columns of 64 rows."""
    return f"var s: spin[64, 2]\nfor (p, q) in torus(64, 2) {{ energy -0.45 * s[p] * s[q] }}\n{extra}"


SOUND_Z, BROKEN_Z = 4.0, 7.0
BITS = {
    "torus": strips(),
    "field": strips("energy 0.2 * s"),
    "grid": "var s: spin[64, 3]\nfor (p, q) in grid(64, 3) { energy -0.4 * s[p] * s[q] }",
    "two couplings": """
        var s: spin[64, 4]
        for i in range(64), j in range(4) {
          energy -0.3 * s[i, j] * s[(i + 1) % 64, j] + 0.5 * s[i, j] * s[i, (j + 1) % 4]
        }
    """,
    "three axes": "var s: spin[64, 3, 4]\nfor (p, q) in grid(64, 3, 4) { energy -0.25 * s[p] * s[q] }",
    "wide": "var s: bool[128, 34]\nfor (p, q) in torus(128, 34) { energy -0.9 * s[p] * s[q] + 0.9 * s[p] }",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["bits", "bits, C"])
@pytest.mark.parametrize("name", BITS)
def test_bits_are_drawn_from_their_conditionals(name: str, kind: str) -> None:
    graph = graph_of(BITS[name])
    assert far_from_conditionals(graph, forms_of(graph)[kind]) < SOUND_Z


def far_from_conditionals(graph: FactorGraph, form: Form) -> float:
    """One sweep from random states: each site against the probability p that the program gives it then.

    For each of some sites the sum over chains of (site - p) f in standard errors, for f = 1 and for f the sign of the
    site before and after along each axis: does it hang on its neighbours as it should? Their squares make a chi-square;
    what is returned is how many of its standard deviations it is above its mean.
    """
    v = graph.variables[0]
    start = scattered(graph, 40_000 // v.free_sites)
    end = swept(graph, form, start, 1)
    low, high = v.type.domain.values
    numbers = np.arange(v.free_sites).reshape(v.type.shape)
    parity = np.indices(v.type.shape).sum(axis=0).reshape(-1) % 2
    # the second parity is drawn given the first as it is afterwards
    seen = {0: start, 1: np.where(parity == 0, end, start)}
    away = []
    for site in np.random.default_rng(1).choice(v.free_sites, 24, replace=False):
        states = seen[int(parity[site])].copy()
        beside = {
            np.roll(numbers, k, axis).reshape(-1)[site] for axis in range(numbers.ndim) for k in (-1, 1)
        }
        features = np.stack(
            [np.ones(len(states)), *(np.where(states[:, n] == high, 1.0, -1.0) for n in sorted(beside))]
        )
        both = []
        for value in (low, high):
            states[:, site] = value
            both.append(energies(graph, states))
        p = 1.0 / (1.0 + np.exp(both[1] - both[0]))
        away.append((((end[:, site] == high) - p) * features).sum(1) / np.sqrt((p * (1 - p)).sum()))
    squares = np.concatenate(away) ** 2
    return float((squares.sum() - squares.size) / np.sqrt(2 * squares.size))


@pytest.mark.parametrize(
    "mutant", ["edges of blocks", "parities at once", "the lowest place last", "a count"]
)
def test_mistakes_in_bits_are_caught(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if mutant == "edges of blocks":
        monkeypatch.setattr(bits, "turned", lambda words, from_high_end: words)
    elif mutant == "parities at once":

        def sweep(self, held, noise, t):  # type: ignore[no-untyped-def]
            return tuple(self.update(held[1 - k], k, noise["key"], t) for k in (0, 1))

        monkeypatch.setattr(bits.Bits, "sweep", sweep)
    elif mutant == "the lowest place last":
        sound = bits.bit_tables
        monkeypatch.setattr(
            "compose_lang.runtime.kernels.pairwise.forms.bit_tables",
            lambda few: [{**t, "thresholds": t["thresholds"][::-1].copy()} for t in sound(few)],
        )
    else:
        sound_count = bits.exactly
        monkeypatch.setattr(bits, "exactly", lambda masks: sound_count(masks)[::-1])
    graph = graph_of(BITS["grid"])
    assert far_from_conditionals(graph, forms_of(graph)["bits"]) > BROKEN_Z


@pytest.mark.parametrize("name", ["couplings", "Potts"])
def test_backends_give_the_same_draws_of_a_small_program(name: str) -> None:
    same_on_every_backend(TINY[name])


@pytest.mark.parametrize("name", ["grid", "two couplings"])
def test_backends_give_the_same_draws_of_a_lattice(name: str) -> None:
    same_on_every_backend(BITS[name])


def same_on_every_backend(program: str) -> None:
    graph = graph_of(program)
    start = scattered(graph, 3)
    for kind, form in forms_of(graph).items():
        reference, *others = (swept(graph, form, start, 3, backend) for backend in BACKENDS)
        assert (reference != start).any()
        for other in others:
            np.testing.assert_array_equal(other, reference, err_msg=kind)


@pytest.mark.parametrize(
    "program", [*TINY.values(), *BITS.values()], ids=[*TINY, *(f"bits {n}" for n in BITS)]
)
def test_c_gives_the_same_draws_and_so_do_thresholds(program: str) -> None:
    graph = graph_of(program)
    forms = forms_of(graph)
    start = scattered(graph, 3)
    for kind, form in forms.items():
        if ", C" in kind:
            found, plain = (swept(graph, f, start, 3) for f in (form, forms[kind[:-3]]))
            np.testing.assert_array_equal(found, plain, err_msg=kind)
    if "thresholds" in forms:  # they share their noise with products of ratios
        both = [swept(graph, forms[kind], start, 3) for kind in ("slices", "thresholds")]
        np.testing.assert_array_equal(*both)


@pytest.mark.parametrize(
    "kind", ["slices", "slices, C", "thresholds", "bits", "bits, C", "lists", "lists, C"]
)
def test_a_chain_draws_the_same_alone_and_in_company(kind: str) -> None:
    graph = graph_of(BITS["grid"])
    form = forms_of(graph)[kind]
    start = scattered(graph, 18)
    together = swept(graph, form, start, 4)
    alone = swept(graph, form, start[17:], 4, chains=np.array([17]))
    np.testing.assert_array_equal(alone[0], together[17])
    halves = swept(graph, form, swept(graph, form, start, 2), 2, first=2)
    np.testing.assert_array_equal(halves, together)
    assert not np.array_equal(swept(graph, form, start, 4, seed=1), together)


def test_single_precision_serves_too() -> None:
    graph = graph_of(BITS["grid"])
    start = scattered(graph, 2)
    for kind, form in forms_of(graph).items():
        wide, narrow = (
            swept(graph, form, start, 2, load_backend("numpy", p)) for p in ("float64", "float32")
        )
        assert (wide != narrow).mean() < 1e-3, kind


@pytest.mark.parametrize("shape", [(6,), (7,), (4, 6), (3, 5), (2, 3, 4), (3, 3, 3)])
def test_parities_come_apart_and_together(shape: tuple[int, ...]) -> None:
    sizes = ", ".join(map(str, shape))
    graph = graph_of(f"var s: spin[{sizes}]\nfor (p, q) in grid({sizes}) {{ energy s[p] * s[q] }}")
    structure = forms_of(graph)["slices"].structure
    sites = np.arange(2 * int(np.prod(shape))).reshape(2, -1)
    first, second = split(sites, structure, np)
    np.testing.assert_array_equal(join((first, second), structure, np), sites)
    parity = np.indices(shape).sum(axis=0).reshape(-1) % 2
    assert not parity[np.intersect1d(first[0], sites[0])].any() or shape[-1] % 2


def planted(monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    """A mistake in the form it is named after."""
    from compose_lang.runtime.kernels.pairwise import lists, slices

    if mutant == "slices: the other neighbour":
        sound = slices.Around.at
        monkeypatch.setattr(slices.Around, "at", lambda self, o, k, odd: sound(self, o, 1 - k, odd))
    elif mutant == "slices: both parities at once":

        def sweep(self, held, noise, t):  # type: ignore[no-untyped-def]
            words = [self.words(noise["key"], t, k) for k in (0, 1)]
            return self.update(held[1], 0, words[0]), self.update(held[0], 1, words[1])

        monkeypatch.setattr(slices.OnLattice, "sweep", sweep)
    elif mutant == "slices: one word for both parities":
        sound_words = slices.OnLattice.words
        monkeypatch.setattr(slices.OnLattice, "words", lambda self, key, t, k: sound_words(self, key, t, 0))
    elif mutant == "lists: colours ignored":
        monkeypatch.setattr(lists, "colours", lambda graph: [(0, graph.sites)])
    elif mutant == "lists: a wrong order":
        sound_chosen = lists.chosen
        monkeypatch.setattr(lists, "chosen", lambda w, words, b: 1 - sound_chosen(w, words, b))


@pytest.mark.parametrize(
    ("mutant", "name", "kind"),
    [
        ("slices: the other neighbour", "grid", "slices"),
        ("slices: the other neighbour", "grid", "thresholds"),
        ("slices: both parities at once", "torus", "slices"),
        ("slices: one word for both parities", "torus", "thresholds"),
        ("lists: colours ignored", "odd cycle", "lists"),
        ("lists: a wrong order", "couplings", "lists"),
    ],
)
def test_planted_mistakes_are_caught(
    mutant: str, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_of(TINY[name])
    planted(monkeypatch, mutant)
    assert agreement(graph, forms_of(graph)[kind]) < BROKEN


UNEVEN = """
var s: spin[20, 38]
for (p, q) in torus(20, 38) { energy 0.004 * (p[0] - 9) * (p[1] - 17) * s[p] * s[q] }
"""
IN_C = {
    "bits.c": [
        ("below |= undecided & ~u & threshold;", "below |= undecided & u & ~threshold;"),
        ("undecided &= ~(u ^ threshold);", ""),
        ("(32 * parity + i) * WORDS", "i * WORDS"),
        ("((r + m) & 1) ^ parity", "(r + m) & 1"),
        ("TURN(row[q], 1) : TURN(row[q], 31)", "row[q] : row[q]"),
        ("pad(first, padded);", ""),
        ("tables + TABLES", "tables"),
    ],
    "slices.c": [
        ("(1.0f + weigh(", "(2.0f + weigh("),
        ("0x1p-32f", "0x1p-31f"),
        ("parity * SITES + place + q", "place + q"),
        ("((r + m) & 1) ^ parity", "(r + m) & 1"),
        ("out[AROUND(q - 1, COLUMNS)]", "1 - out[0]"),
        ("keys + 2 * c, step, ratios", "keys, step, ratios"),
        ("inputs[5], inputs[7]", "inputs[4], inputs[6]"),
        ("pad(first + c * SITES", "pad((const uint8_t *)inputs[0] + c * SITES"),
    ],
    "lists.c": [
        ("words[c] >= mine[place]", "words[c] < mine[place]"),
        ("<< d;", "<< 0;"),
        ("first[e] = x, second[e] = y;", "first[e] = x, second[e] = x;"),
        ("(word)(start + i)", "(word)i"),
        ("k0[e] = keys[2 * (e % (CHAINS))]", "k0[e] = keys[0]"),
        ("site + half < stop", "site + half < stop - 1"),
    ],
}
"""Mistakes in the sources, as what they replace and by what."""


@pytest.mark.parametrize(
    ("source", "sound", "broken"), [(source, *pair) for source, pairs in IN_C.items() for pair in pairs]
)
def test_mistakes_in_c_are_caught_beside_array_operations(
    source: str, sound: str, broken: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    edited(source, monkeypatch, tmp_path, (sound, broken))
    assert not same_as_array_operations(source, UNEVEN if source == "slices.c" else BITS["grid"])


def test_sites_that_single_precision_leaves_undecided_are_taken_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    every = ("(1.2e-7f * (2 * (DIRECTIONS) + 8))", "2.0f")
    edited("slices.c", monkeypatch, tmp_path, every, ("(1.0f + weigh(", "(0.0f * weigh("))
    assert same_as_array_operations("slices.c", UNEVEN)
    edited("slices.c", monkeypatch, tmp_path / "broken", every, ("(1 + weight)", "(1 + 2 * weight)"))
    assert not same_as_array_operations("slices.c", UNEVEN)


def edited(source: str, monkeypatch: pytest.MonkeyPatch, folder: Path, *changes: tuple[str, str]) -> None:
    """Kernels are compiled from sources in which something is replaced."""
    sources = shutil.copytree(Path(native.__file__).parent, folder / "sources")
    text = (sources / source).read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    (sources / source).write_text(text, encoding="utf-8")
    monkeypatch.setattr(native, "HERE", sources)
    monkeypatch.setattr(native, "cache_folder", lambda: folder)
    monkeypatch.setattr(native, "compiled", getattr(native.compiled, "__wrapped__", native.compiled))


def same_as_array_operations(source: str, program: str) -> bool:
    """Whether two sweeps of a form in C make the draws of the same form in array operations."""
    graph, kind = graph_of(program), source.removesuffix(".c")
    forms, start = forms_of(graph), scattered(graph, 3)
    return np.array_equal(*(swept(graph, forms[k], start, 2) for k in (kind, f"{kind}, C")))
