"""`learn Scene(x=rows, z=enc(rows)) by diffusion()`: parts that are fitted together are shares of one density."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compose_lang as cg
from compose_lang.compiler.graph.learned_factor import Joint
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.chains.recording import named_leaves
from compose_lang.runtime.learned.energy import bound
from compose_lang.runtime.learned.learners import load_learner
from compose_lang.runtime.learning import joint as together
from compose_lang.runtime.learning.loop import Stopped
from compose_lang.runtime.learning.obtain import lesson_of
from compose_lang.runtime.learning.trainer import Trainer, tree

RNG = np.random.default_rng(20261127)


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")
        yield


def joint_of(model: cg.Model) -> Joint:
    (joint,) = {id(p.joint): p.joint for p in model.program.parts if p.joint is not None}.values()
    assert joint is not None
    return joint


# --- two things that add up, of which some pairs never were seen ---

SUMS = """\
data x: real[_, 1]
data z: real[_, 2, 1]
density Part(x: real[1] | z: real[1]) = learn mlp(24, 24)
factor Scene(x: real[1] | z: real[2, 1]) = product(Part(z[k]) for k in range(2))
learn Scene(x=x, z=z) by diffusion(steps=400, batch=256, rate=0.003, finest=0.05)
"""
ALONE = """\
data x: real[_, 1]
data z: real[_, 2, 1]
density Part(x: real[1] | z: real[1]) = learn mlp(24, 24)
factor Scene(x: real[1] | z: real[2, 1]) = Part(z[0])
learn Scene(x=x, z=z) by diffusion(steps=400, batch=256, rate=0.003, finest=0.05)
"""


def sums() -> dict[str, np.ndarray]:
    z = RNG.uniform(-1, 1, (3000, 2, 1))
    z = z[(z[:, 0, 0] < 0.2) | (z[:, 1, 0] > -0.2)]  # none of large and small: a quarter is left out
    x = np.sin(1.5 * z).sum(1) + 0.2 * RNG.normal(size=(len(z), 1))
    return {"x": x, "z": z}


@pytest.fixture(scope="module")
def summed() -> cg.Model:
    draws = "var a: real[1] ~ Part([0.8]) * Part([-0.7])\nlet b = log_weight(Part(a | [0.8]))\n"
    return cg.compile(SUMS + draws, data=sums())


def test_parts_reach_what_one_alone_does_not(summed: cg.Model) -> None:
    (both,) = summed.learn()
    (one,) = cg.compile(ALONE + "var a: real[1] ~ Part([0.5])", data=sums()).learn()
    assert both.how == "learned" and both.held_out is not None and one.held_out is not None
    # what is left is noise: 0.2 of it, against 0.2 and the sine of the other one
    assert both.held_out < 0.75 * one.held_out


def test_parts_compose_to_what_they_never_were_together(summed: cg.Model) -> None:
    run = summed.sample(chains=1, draws=400, seed=1)
    a = np.asarray(run.posterior["a"]).reshape(-1)
    assert a.mean() == pytest.approx(np.sin(1.2) - np.sin(1.05), abs=0.15)
    assert 0.1 < a.std() < 0.4  # 0.2, and what the net does not know
    assert "weighed by energies" in summed.explain()


def test_copies_of_a_composition_say_once_how_they_are_weighed(summed: cg.Model) -> None:
    draws = "var a: real[3, 1]\na[0] ~ Part([0.8])\na[1] ~ Part([0.5])\na[2] ~ Part([0.2])\n"
    assert cg.compile(SUMS + draws, data=summed.data).explain().count("Part: shares of a density") == 1


def test_the_whole_has_the_sum_of_its_parts_slopes(summed: cg.Model) -> None:
    joint, b = joint_of(summed), load_backend("jax")
    lesson = lesson_of(joint, None, lambda: False)
    with b.scope():
        weights = {n: b.asarray(w) for n, w in lesson.weights.items()}
        rows = {n: b.asarray(r[:5]) for n, r in joint.data.items()}
        inputs = [rows[n] for n in joint.columns]
        level, x = b.asarray(np.geomspace(0.1, 5, 5)), b.asarray(RNG.normal(size=(5, 1)))
        _, slope = b.value_and_grad(lambda u: together.energy(joint, b, weights, level, [u], inputs))(x)
        (part,) = joint.parts
        own = together.own(joint, weights, part)
        z = b.asarray(summed.data["z"][:5])
        each = [load_learner("diffusion").score(part, b, own, level, [x], [z[:, k]])[0] for k in range(2)]  # type: ignore[misc]
    np.testing.assert_allclose(slope, each[0] + each[1], rtol=1e-6)
    assert own["share"] == pytest.approx(0.5, abs=0.02)  # of the Gaussian that two parts begin as


def test_a_training_that_was_stopped_goes_on_to_the_same_weights() -> None:
    text = SUMS.replace("steps=400", "steps=12") + "var a: real[1] ~ Part([0.5])"
    joint = joint_of(cg.compile(text, data=sums()))
    whole, end, *_ = Trainer(joint).run()
    looks = iter([False, False, True])
    with pytest.raises(Stopped) as stopped:
        Trainer(joint).run(stop=lambda: next(looks))
    assert 0 < stopped.value.state.step < 12
    resumed, again, *_ = Trainer(joint).run(begun=stopped.value.state)
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value)
    assert dict(named_leaves(tree(end))).keys() == dict(named_leaves(tree(again))).keys()


# --- an encoder, which finds by itself what things there are ---

SEEN = """\
data x: real[_, 4]
fn enc(x: real[4]) -> real[2, 1] = learn mlp(24, 24)
density Part(x: real[4] | z: real[1]) = learn mlp(24, 24)
factor Scene(x: real[4] | z: real[2, 1]) = product(Part(z[k]) for k in range(2))
learn Scene(x=x, z=enc(x)) by diffusion(steps=400, batch=256, rate=0.003, finest=0.05)
"""


def test_an_encoder_is_fitted_with_the_parts_and_used_by_the_program(tmp_path: Path) -> None:
    z = RNG.uniform(-1, 1, (2000, 2))
    x = z @ [[1, 1, 0, 0], [0, 0, 1, -1]] + 0.1 * RNG.normal(size=(2000, 4))
    path = tmp_path / "scene.cg"
    path.write_text(
        SEEN + "const seen = [0.7, 0.7, -0.5, 0.5]\nlet code = enc(seen)\nvar a: real[4]\n"
        "a ~ Part(code[0]) * Part(code[1])\nlet same = enc(a)\n"
    )
    model = cg.compile(path, data={"x": x})
    lessons = model.learn()
    assert [(lesson.name, lesson.part.method) for lesson in lessons] == [
        ("enc", "net"),
        ("Part", "diffusion"),
    ]
    run = model.sample(chains=1, draws=200, seed=2)
    a = np.asarray(run.posterior["a"]).reshape(-1, 4)
    # the code tells the scene: 0.1 of noise, and what the nets do not know; without a code the spread is 0.58
    np.testing.assert_allclose(a.mean(0), [0.7, 0.7, -0.5, 0.5], atol=0.3)
    assert np.asarray(run.posterior["same"]).reshape(-1, 2, 1).std(0).max() < 0.5
    assert len(list((tmp_path / "scene.learned").glob("*.safetensors"))) == 1  # both nets in one file
    assert [lesson.how for lesson in cg.compile(path, data={"x": x}).learn()] == ["kept", "kept"]


PICTURES = """\
data x: real[_, 4, 4]
fn enc(x: real[4, 4]) -> real[2, 1] = learn conv(4, 4)
density Part(x: real[4, 4] | z: real[1]) = learn unet(4, 8)
factor Scene(x: real[4, 4] | z: real[2, 1]) = product(Part(z[k]) for k in range(2))
learn Scene(x=x, z=enc(x)) by diffusion(steps=30, batch=32, rate=0.01, finest=0.1)
var a: real[4, 4]
a ~ Part([0.5]) * Part([-0.5])
"""


@pytest.mark.slow
def test_convolutions_and_u_nets_are_fitted_together() -> None:
    """The whole's slope is the sum of its parts', the loss falls, and reaches the encoder and what reads its codes."""
    rng = np.random.default_rng(0)
    z = rng.uniform(-1, 1, (300, 2))
    slope = np.arange(4) / 3
    x = z[:, :1, None] * slope + z[:, 1:, None] * slope[:, None] + 0.1 * rng.normal(size=(300, 4, 4))
    joint, b = joint_of(cg.compile(PICTURES, data={"x": x})), load_backend("jax")
    trainer = Trainer(joint)
    weights, state, *_ = trainer.run()
    with trainer.backend.scope():
        asarray = trainer.backend.asarray
        rows = {n: asarray(r) for n, r in joint.data.items()}
        begun = float(trainer.compiled()[1](rows, {n: asarray(w) for n, w in trainer.begun.items()}))
    changed = {
        n: np.abs(w - trainer.begun[n]).max() for n, w in weights.items() if n.startswith("net.") and w.size
    }
    assert {n.split(".")[1] for n in changed} == {"0", "1"}  # the encoder's and the parts' weights
    # all but what only the loss of a part by itself reads
    assert [n for n, size in changed.items() if size == 0 and not n.endswith(".change")] == []
    with b.scope():
        held = {n: b.asarray(w) for n, w in weights.items()}
        few = {n: b.asarray(r[:5]) for n, r in joint.data.items()}
        level, at = b.asarray(np.geomspace(0.1, 5, 5)), b.asarray(rng.normal(size=(5, 4, 4)))
        inputs = [few[n] for n in joint.columns]
        _, slope = b.value_and_grad(lambda u: together.energy(joint, b, held, level, [u], inputs))(at)
        enc, part = (next(p for p in joint.parts if p.name == n) for n in ("enc", "Part"))
        codes = bound(enc, together.own(joint, held, enc))(b, [few[next(iter(few))]])
        own = together.own(joint, held, part)
        score = load_learner("diffusion").score
        assert score is not None
        each = [score(part, b, own, level, [at], [codes[:, k]])[0] for k in range(2)]
    np.testing.assert_allclose(slope, each[0] + each[1], rtol=1e-6, atol=1e-9)
    assert own["share"] == pytest.approx(0.5, abs=0.02)
    assert state.held_out < 0.8 * begun


def test_a_param_is_fitted_with_the_nets(tmp_path: Path) -> None:
    """A Gaussian's own family over the levels: the width is that of the data."""
    text = """\
data x: real[_] = [0, 0]
param s: positive
factor Wide(x: real) { energy 0.5 * x^2 / (s^2 + noise_level^2) }
learn Wide(x=x) by diffusion(steps=300, batch=256, rate=0.03)
var a: real ~ Wide
let width = s
"""
    rows = RNG.normal(0, 0.4, 2000)
    model = cg.compile(text, data={"x": rows})
    (lesson,) = model.learn()
    run = model.sample(chains=1, draws=50)
    assert float(np.asarray(run.posterior["width"])[0, 0]) == pytest.approx(rows.std(), rel=0.05)
    assert lesson.part.method == "param"


def test_a_part_is_kept_in_a_file_of_its_own(summed: cg.Model, tmp_path: Path) -> None:
    summed.learn(out=tmp_path / "part.safetensors")
    text = 'factor Part(x: real[1] | z: real[1]) = load("part.safetensors")\n'
    text += "var a: real[1] ~ Part([0.8]) * Part([-0.7])\n"
    (tmp_path / "use.cg").write_text(text)
    loaded = cg.compile(tmp_path / "use.cg")
    assert loaded.energy({"a": [1.0]}) == pytest.approx(summed.energy({"a": [1.0]}), rel=1e-6)
    assert "shares of a density" in loaded.explain()


def test_what_is_learned_hangs_on_the_composition_and_not_on_the_process() -> None:
    data = sums()
    keys = {joint_of(cg.compile(SUMS + "var a: real[1] ~ Part([0.5])", data=data)).key for _ in range(2)}
    other = joint_of(cg.compile(ALONE + "var a: real[1] ~ Part([0.5])", data=data)).key
    rows = {"x": data["x"][1:], "z": data["z"][1:]}
    fewer = joint_of(cg.compile(SUMS + "var a: real[1] ~ Part([0.5])", data=rows)).key
    assert len(keys) == 1 and len({*keys, other, fewer}) == 3
