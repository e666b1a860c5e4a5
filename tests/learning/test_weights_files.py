"""Files of weights: what is not one, not whole, or not of this factor is a diagnostic, never a traceback."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import compose_lang as cg
from compose_lang.api.check import check
from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.learning import files
from tests.compiler.points import density_of

LEARNED = """\
data xs: real[8, 2] = [[1, 0], [0, 1], [-1, 0], [0, -1], [1, 1], [-1, 1], [1, -1], [-1, -1]]
data ks: category(3)[8] = [0, 1, 2, 0, 1, 2, 0, 1]
data rs: real[8] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
density P(x: real[2] | k: category(3) = none, r: real) = learn flow(x=xs, k=ks, r=rs, net=mlp(4), layers=1, steps=2)
var x: real[2] ~ P(1, 0.5)
"""
LOADED = """\
density P(x: real[2] | k: category(3) = none, r: real) = load("p.safetensors")
var x: real[2] ~ P(1, 0.5)
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """A file of weights."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        cg.compile(LEARNED).learn(out=folder / "p.safetensors")
    return (folder / "p.safetensors").read_bytes()


def beside(folder: Path, content: bytes, program: str = LOADED) -> Path:
    (folder / "p.safetensors").write_bytes(content)
    (folder / "p.cg").write_text(program)
    return folder / "p.cg"


def told(path: Path) -> str:
    """The code of the one error that checking, or else learning, shows."""
    errors = [d for d in check(path) if d.severity == "error"]
    if not errors:
        with pytest.raises(ComposeError) as wrong:
            cg.compile(path).learn()
        errors = wrong.value.diagnostics
    (found,) = errors
    assert found.span is not None
    return found.code


def changed(content: bytes, **of_description: Any) -> bytes:
    """A file whose description says something else."""
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    description = json.loads(header["__metadata__"]["compose"])
    for name, value in of_description.items():
        description[name] = {**description[name], **value} if isinstance(value, dict) else value
    header["__metadata__"]["compose"] = json.dumps(description)
    packed = json.dumps(header).encode()
    return struct.pack("<Q", len(packed)) + packed + content[8 + size :]


@pytest.mark.parametrize("backend", ["numpy", "jax", "torch"])
def test_a_file_weighs_as_what_was_learned(tmp_path, whole, backend):
    from compose_lang.runtime.backends import load_backend

    points = np.random.default_rng(0).standard_normal((50, 2))

    def energies(program: Any, at: str) -> np.ndarray:
        b = load_backend(at)
        with b.scope():
            density = density_of(program.program.graph, b)
            return np.asarray(b.to_numpy(density.energy_of_values({"x": points})))

    loaded = cg.compile(beside(tmp_path, whole))
    assert [lesson.how for lesson in loaded.learn()] == ["loaded"]
    np.testing.assert_allclose(
        energies(loaded, backend), energies(cg.compile(LEARNED), "numpy"), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize(
    ("cut", "code"), [(0, "CG0309"), (5, "CG0309"), (300, "CG0309"), (-1, "CG0309"), (-200, "CG0309")]
)
def test_a_file_that_is_cut_short(tmp_path, whole, cut, code):
    assert told(beside(tmp_path, whole[:cut])) == code


def test_a_file_that_has_grown_or_changed(tmp_path, whole):
    assert told(beside(tmp_path, whole + b"\0")) == "CG0309"
    for place in (-1, -400):
        other = bytearray(whole)
        other[place] ^= 64
        assert told(beside(tmp_path, bytes(other))) == "CG0309"


@pytest.mark.parametrize("seed", range(3))
def test_any_change_of_bytes_is_a_diagnostic(tmp_path, whole, seed):
    """Header and body: what is read is checked, and what is not checked is not read."""
    rng = np.random.default_rng(seed)
    for _ in range(15):
        other = bytearray(whole)
        other[rng.integers(len(whole))] = rng.integers(256)
        if bytes(other) == whole:
            continue
        try:
            cg.compile(beside(tmp_path, bytes(other))).learn()
        except ComposeError as wrong:
            assert {d.code for d in wrong.diagnostics} <= {"CG0309", "CG0310"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"net": "mlp(5)"}, "CG0310"), ({"net": "mlp()"}, "CG0309"), ({"net": "unet(4)"}, "CG0309"),
        ({"net": None}, "CG0309"), ({"method": "guessing"}, "CG0309"), ({"method": "autoregressive"}, "CG0309"),
        ({"options": {"layers": 3}}, "CG0310"), ({"options": {"layers": "1"}}, "CG0309"),
        ({"options": {"more": 1}}, "CG0309"), ({"subjects": 3}, "CG0309"), ({"subjects": []}, "CG0310"),
    ],
    ids=str,
)  # fmt: skip
def test_a_description_that_does_not_fit(tmp_path, whole, change, code):
    assert told(beside(tmp_path, changed(whole, **change))) == code


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("real[2]", "real[3]"), ("x: real", "y: real"), ("category(3)", "category(4)"),
        ("category(3) = none", "category(3)"), (", r: real", ""), ("r: real", "r: real = none"),
        ("k: category(3) = none, r: real", "r: real, k: category(3) = none"),
    ],
    ids=lambda text: text,
)  # fmt: skip
def test_a_factor_that_is_declared_otherwise(tmp_path, whole, old, new):
    declaration, _ = LOADED.splitlines()
    assert (
        told(beside(tmp_path, whole, declaration.replace(old, new) + "\nvar u: real ~ Normal(0, 1)\n"))
        == "CG0310"
    )


def test_weights_of_an_array_too_few(tmp_path, whole):
    path = beside(tmp_path, whole)
    arrays, metadata = files.opened(tmp_path / "p.safetensors")
    for name in ("scale.r", "shift", "net.0.0.w"):
        files.publish(tmp_path / "p.safetensors", {n: a for n, a in arrays.items() if n != name}, metadata)
        assert told(path) == "CG0310"


def test_what_is_no_file_of_weights(tmp_path):
    path = beside(tmp_path, b"")
    for content in (
        pickle.dumps({"w": 1}),
        b"PK\x03\x04" + bytes(100),
        struct.pack("<Q", 2**60) + b"{}",
        b"[" * 9,
    ):
        assert told(beside(tmp_path, content)) == "CG0309"
    deep = b'{"a":' * 100_000
    assert told(beside(tmp_path, struct.pack("<Q", len(deep)) + deep)) == "CG0309"
    save_file({"w": np.zeros(3)}, tmp_path / "p.safetensors")
    assert told(path) == "CG0309"
    (tmp_path / "p.safetensors").unlink()
    assert told(path) == "CG0302"
    (tmp_path / "p.safetensors").mkdir()
    assert told(path) == "CG0302"


def test_a_link_that_leads_out_of_the_folder(tmp_path, whole):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "p.safetensors").write_bytes(whole)
    (inside / "p.safetensors").symlink_to(tmp_path / "p.safetensors")
    (inside / "p.cg").write_text(LOADED)
    assert told(inside / "p.cg") == "CG0308"
    (inside / "p.safetensors").unlink()
    (inside / "p.safetensors").symlink_to(inside / "p.safetensors")
    assert told(inside / "p.cg") in ("CG0302", "CG0308")


def test_a_used_program_loads_from_its_own_folder(tmp_path, whole):
    (tmp_path / "parts").mkdir()
    beside(tmp_path / "parts", whole, LOADED.splitlines()[0] + "\n")
    (tmp_path / "main.cg").write_text('use "parts/p.cg" as parts\nvar x: real[2] ~ parts.P(1, 0.5)\n')
    assert [d for d in check(tmp_path / "main.cg") if d.severity == "error"] == []


def test_what_is_no_density_says_so(tmp_path):
    learned = (
        "data xs: real[4] = [0.1, 0.2, 0.3, 0.5]\n"
        "factor P(x: real) = learn ebm(x=xs, net=mlp(4), steps=1, buffer=64, langevin=1)\nvar x: real ~ P\n"
    )
    cg.compile(learned).learn(out=tmp_path / "p.safetensors")
    (tmp_path / "p.cg").write_text('density P(x: real) = load("p.safetensors")\nvar x: real ~ P\n')
    assert [d.code for d in check(tmp_path / "p.cg")] == ["CG0413"]
