"""Programs as factors: `use "scene.cg" as scene` and `scene.Main(pose=x | img=photo)`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.api.check import check
from compose_lang.diagnostics import ComposeError

SCENE = """
type Colour = {red, green}
data img: real[_]
data scale: real[_] = read("scale.csv", "s")
const k: positive
const n = len(img)
density Blur(x: real | m: real) { x ~ Normal(m, k) }
density Plain(x: real | m: real) { x ~ Normal(m, 2) }
fn twice(x: real) -> real = 2 * x
var pose: real[n] ~ Normal(0, scale[0])
var gain: positive ~ LogNormal(0, 1)
var c: Colour
let top = max(pose)
img ~ Normal(gain * pose, k)
require top < 100
infer gain by mh
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "scene.cg").write_text(SCENE)
    (tmp_path / "parts" / "scale.csv").write_text("s\n3\n")
    return tmp_path


def compiled(folder: Path, text: str, **given: object) -> cg.Model:
    path = folder / "main.cg"
    path.write_text(text)
    return cg.compile(path, **given)  # type: ignore[arg-type]


def normal(x: np.ndarray | float, m: np.ndarray | float, s: float) -> float:
    return float(np.sum(0.5 * ((np.asarray(x) - m) / s) ** 2 + np.log(s) + 0.5 * np.log(2 * np.pi)))


def lognormal(x: float) -> float:
    return normal(np.log(x), 0, 1) + np.log(x)


IMG = np.array([1.0, 2.0])


def scene_energy(pose: np.ndarray, gain: float, k: float, img: np.ndarray = IMG) -> float:
    return normal(pose, 0, 3) + lognormal(gain) + normal(img, gain * pose, k)


def test_main_is_the_program(folder):
    model = compiled(
        folder,
        """
use "parts/scene.cg" as scene
data photo: real[2] = [1, 2]
var x: real[2] ~ Normal(1, 1)
scene.Main(pose=x | img=photo, k=0.5)
var col: scene.Colour
var z: real ~ scene.Plain(scene.twice(1.5))
scene.Main(gain=2.5, c=col | photo, 2)
scene.Main(| photo, 2)
""",
    )
    assert [v.name for v in model.program.graph.variables] == [
        "x", "scene.Main.gain", "scene.Main.c", "col", "z", "scene.Main.2.pose", "scene.Main.3.pose",
        "scene.Main.3.gain", "scene.Main.3.c",
    ]  # fmt: skip
    x, p2, p3 = np.array([0.3, -1.0]), np.array([0.5, 1.5]), np.array([2.0, 1.0])
    values = {
        "x": x, "scene.Main.gain": 1.7, "scene.Main.c": 0, "col": 1, "z": 0.2, "scene.Main.2.pose": p2,
        "scene.Main.3.pose": p3, "scene.Main.3.gain": 0.4, "scene.Main.3.c": 1,
    }  # fmt: skip
    wanted = normal(x, 1, 1) + scene_energy(x, 1.7, 0.5) + normal(0.2, 3, 2)
    wanted += scene_energy(p2, 2.5, 2) + scene_energy(p3, 0.4, 2)
    assert model.energy(values) == pytest.approx(wanted, rel=1e-12)
    assert not model.program.graph.requests
    assert {'use "parts/scene.cg"', "scene.scale"} <= set(model.program.data_hashes)


def test_a_plate_of_programs_and_a_mixture_of_them(folder):
    model = compiled(
        folder,
        """
use "parts/scene.cg"
data photos: real[3, 2] = [[1, 2], [3, 4], [5, 6]]
var x: real[3, 2]
for i in range(3) { scene.Main(pose=x[i] | img=photos[i], k=1) }
var u: real[2] ~ Normal(0, 1)
0.5 * scene.Main(pose=u, gain=1, c=0 | img=[1, 2], k=1) + 2 * scene.Main(pose=u, gain=3, c=0 | img=[1, 2], k=1)
""",
    )
    gain = np.array([0.5, 1.0, 2.0])
    x, u = np.arange(6.0).reshape(3, 2) / 3, np.array([0.1, 0.7])
    got = model.energy({"x": x, "u": u, "scene.Main.gain": gain, "scene.Main.c": np.zeros(3, int)})
    photos = np.array([[1.0, 2], [3, 4], [5, 6]])
    plates = sum(scene_energy(x[i], gain[i], 1, photos[i]) for i in range(3))
    one, two = (np.exp(-scene_energy(u, g, 1)) for g in (1.0, 3.0))
    assert got == pytest.approx(plates + normal(u, 0, 1) - np.log(0.5 * one + 2 * two), rel=1e-10)


def test_an_input_may_be_random_and_a_constraint_stays_hard(folder):
    model = compiled(
        folder,
        'use "parts/scene.cg"\nvar y: real[2] ~ Normal(0, 1)\nvar x: real[2]\n'
        "scene.Main(pose=x, gain=1, c=1 | img=y, k=1)",
    )
    y, x = np.array([0.5, 1.0]), np.array([0.2, 0.4])
    assert model.energy({"x": x, "y": y}) == pytest.approx(normal(y, 0, 1) + scene_energy(x, 1, 1, y))
    assert model.energy({"x": x + 100, "y": y}) == np.inf


def test_outside_its_type_a_subject_has_weight_0(folder):
    model = compiled(
        folder,
        'use "parts/scene.cg"\nvar g: real ~ Normal(0, 1)\nscene.Main(gain=g, c=0 | img=[1, 2], k=1)',
    )
    assert model.energy({"g": -1.0, "scene.Main.pose": IMG}) == np.inf
    assert np.isfinite(model.energy({"g": 1.0, "scene.Main.pose": IMG}))


def test_observed_elements_stay_observed(folder):
    (folder / "walk.cg").write_text(
        "data m: real\nvar x: real[3]\nobserve x[0] = 2\nx[1:] ~ Normal(x[:-1], 1)\nx[2] ~ Normal(m, 1)"
    )
    model = compiled(folder, 'use "walk.cg" as w\nvar u: real ~ Normal(0, 1)\nw.Main(| m=u)\nw.Main(| m=1)')
    assert [v.free.tolist() for v in model.program.graph.variables[1:]] == [[False, True, True]] * 2
    x, t = np.array([2.0, 1, 0]), np.array([2.0, 3, 4])
    wanted = normal(0.3, 0, 1) + normal(x[1:], x[:-1], 1) + normal(x[2], 0.3, 1)
    wanted += normal(t[1:], t[:-1], 1) + normal(t[2], 1, 1)
    assert model.energy({"u": 0.3, "w.Main.x": x, "w.Main.2.x": t}) == pytest.approx(wanted)


def test_a_const_without_a_value(tmp_path):
    program = tmp_path / "lattice.cg"
    program.write_text("const n: int\nvar s: spin[n]\nenergy -sum(s)")
    assert cg.compile(program, constants={"n": 3}).program.graph.variable("s").type.shape == (3,)
    assert next((d.code, d.severity) for d in check(program)) == ("CG0301", "note")
    (tmp_path / "main.cg").write_text('use "lattice.cg" as big\nbig.Main(| n=5)')
    model = cg.compile(tmp_path / "main.cg")
    assert model.program.graph.variable("big.Main.s").type.shape == (5,)


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("scene.Main(pose=x)", "CG0206", "needs a value for `img`"),
        ("scene.Main(pose=x | img=[1, 2, 3], k=1)", "CG0203", "real[3], given real[2]"),
        ("scene.Main(pose=x | img=[[1, 2]], k=1)", "CG0203", ""),
        ("scene.Main(pose=x | img=[1, 2], k=-1)", "CG0304", "k"),
        ("scene.Main(pos=x | img=[1, 2], k=1)", "CG0206", "no argument `pos`"),
        ("x ~ scene.Main(img=[1, 2], k=1)", "CG0206", "3 subjects"),
        ("energy -log_weight(scene.Blur(0 | 1))", "CG0208", "given to `scene.Main` alone"),
        ("let q = scene.n", "CG0208", "given to `scene.Main` alone"),
        ("let q = scene.Normal", "CG0201", "has no `Normal`"),
        ("scene.Main(pose=x | img=[1, 2], k=1) ^ 2", "CG0410", "its own"),
    ],
)
def test_mistakes(folder, text, code, says):
    with pytest.raises(ComposeError) as wrong:
        compiled(folder, f'use "parts/scene.cg" as scene\nvar x: real[2] ~ Normal(0, 1)\n{text}')
    found = [d for d in wrong.value.diagnostics if d.severity == "error"]
    assert [d.code for d in found] == [code]
    assert says in found[0].message


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"main.cg": 'use "main.cg" as m'}, "CG0214"),
        ({"main.cg": 'use "a.cg"', "a.cg": 'use "b.cg"', "b.cg": 'use "a.cg"'}, "CG0214"),
        ({"main.cg": 'use "../main.cg" as m'}, "CG0308"),
        ({"main.cg": 'use "/etc/hosts" as m'}, "CG0308"),
        ({"main.cg": 'use "no.cg" as m'}, "CG0302"),
        ({"main.cg": 'use "a.cg"', "a.cg": "var x: real ~ Normal(0"}, "CG0101"),
        (
            {"main.cg": 'use "a.cg"', "a.cg": "var x: real ~ Normal(nope, 1)\nfn f(x: real) -> real = y"},
            "CG0201",
        ),
        ({"main.cg": 'use "a-b.cg"', "a-b.cg": "var x: real ~ Normal(0, 1)"}, "CG0101"),
        ({"main.cg": 'use "a.cg" (Nope)', "a.cg": "fn f(x: real) -> real = x"}, "CG0201"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, files, code):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = [d for d in check(tmp_path / "main.cg") if d.severity == "error"]
    assert found
    assert {d.code for d in found} == {code}


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "outside.cg").write_text("var x: real ~ Normal(0, 1)")
    (inside / "link.cg").symlink_to(tmp_path / "outside.cg")
    (inside / "main.cg").write_text('use "link.cg" as m\nm.Main()')
    assert [d.code for d in check(inside / "main.cg") if d.severity == "error"] == ["CG0308"]


def test_names_can_be_taken_from_a_program(folder):
    model = compiled(
        folder,
        'use "parts/scene.cg" (Plain, twice, Colour)\nvar c: Colour\nvar x: real ~ Plain(twice(2))\n'
        "require c == red",
    )
    assert model.energy({"x": 1.0, "c": 0}) == pytest.approx(normal(1, 4, 2))
