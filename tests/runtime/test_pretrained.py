"""Pretrained models from a folder: their conversion against known densities, what fits them, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import compose_lang as cg
from compose_lang.api.check import check
from compose_lang.diagnostics import ComposeError
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density


@pytest.fixture(scope="module", autouse=True)
def libraries() -> None:
    """Imported where a test runs, not where tests are collected: each worker collects, and this was half of that."""
    global diffusers, transformers, diffusion, language_model
    import diffusers
    import transformers

    from compose_lang.runtime.learned.foreign import diffusion, language_model


PHOTO = 'density Photo(x: real[1, 4, 4]) = load("photo")\nvar x: real[1, 4, 4] ~ Photo{}\n'


def unet(**options: Any) -> Any:
    torch.manual_seed(0)
    return diffusers.UNet2DModel(
        sample_size=4,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8,),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        **options,
    )


def save_pipeline(folder: Path, net: Any = None, **scheduler: Any) -> Any:
    """A tiny pipeline with random weights; its scheduler."""
    found = diffusers.DDPMScheduler(**scheduler)
    diffusers.DDPMPipeline(net or unet(), found).save_pretrained(folder, safe_serialization=True)
    return found


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    save_pipeline(tmp_path / "photo")
    return written(tmp_path, PHOTO.format(""))


def written(folder: Path, text: str) -> Path:
    (folder / "program.cg").write_text(text)
    return folder / "program.cg"


def errors(path: Path, **options: Any) -> list[str]:
    return [f"{d.code}: {d.message}" for d in check(path, **options) if d.severity == "error"]


# --- diffusions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
        {"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 100},
        {"trained_betas": [0.01, 0.02, 0.05, 0.3]},
    ],
)
def test_the_scheduler_is_read_as_its_library_reads_it(tmp_path, options):
    scheduler = save_pipeline(tmp_path / "photo", **options)
    model = cg.compile(written(tmp_path, PHOTO.format("")), trust=True)
    (part,) = [n.attrs[0] for g in model.program.graph.groups for n in [g.energy] if n.op == "learned"]
    kept = scheduler.alphas_cumprod.numpy()
    np.testing.assert_allclose(part.options["kept"], kept, rtol=2e-4)
    assert part.options["coarsest"] == pytest.approx(np.sqrt(1 / kept[-1] - 1), rel=2e-4)
    assert part.options["finest"] == pytest.approx(np.sqrt(1 / kept[0] - 1), rel=1e-2)


class GaussianNet(torch.nn.Module):
    """The exact answer of a net for images N(mean, sd²): what diffusers calls epsilon, sample or v_prediction."""

    def __init__(self, kept: np.ndarray, prediction: str, mean: float = 0.5, sd: float = 0.3) -> None:
        super().__init__()
        self.kept, self.prediction, self.mean, self.sd = kept, prediction, mean, sd
        self.weight = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, z: torch.Tensor, step: torch.Tensor) -> Any:
        logs = torch.as_tensor(0.5 * np.log((1 - self.kept) / self.kept))
        below = torch.clamp(step.long(), 0, len(logs) - 2)
        level = torch.exp(logs[below] + (step - below) * (logs[below + 1] - logs[below]))
        alpha = (1 / torch.sqrt(1 + level**2)).reshape((-1, 1, 1, 1))
        sigma = torch.sqrt(1 - alpha**2)  # z = alpha * image + sigma * noise
        noise = sigma * (z - alpha * self.mean) / (alpha**2 * self.sd**2 + sigma**2)
        image = (z - sigma * noise) / alpha
        told = {"epsilon": noise, "sample": image, "v_prediction": alpha * noise - sigma * image}
        return type("Output", (), {"sample": told[self.prediction] + self.weight})


KEPT = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_predictions_become_the_score_of_the_noised_density(prediction):
    slope = diffusion.Slope(GaussianNet(KEPT, prediction), prediction, KEPT)
    levels = np.geomspace(0.011, 150.0, 7)
    x = np.random.default_rng(0).standard_normal((7, 1, 4, 4)) * levels[:, None, None, None]
    found = slope(torch.as_tensor(x), noise_level=torch.as_tensor(levels)).detach().numpy()
    exact = (x - 0.5) / (0.3**2 + levels**2)[:, None, None, None]
    np.testing.assert_allclose(found, exact, rtol=1e-8, atol=1e-10)


def test_levels_beyond_the_schedule_are_its_ends():
    slope = diffusion.Slope(GaussianNet(KEPT, "epsilon"), "epsilon", KEPT)
    step, log_level = slope.step(torch.as_tensor([0.0, 1e-5, 1e9]))
    assert step.tolist() == [0.0, 0.0, 999.0]
    ends = 0.5 * np.log((1 - KEPT) / KEPT)[[0, 0, -1]]
    np.testing.assert_allclose(log_level, ends)


@pytest.mark.parametrize("backend", ["numpy", "jax", "torch"])
def test_the_net_of_a_folder_is_asked_at_its_step(photo, backend):
    """At the level of a step the slope is what the net says there, by hand, of an image noised by the scheduler."""
    density = density_of(photo, backend)
    net = diffusers.UNet2DModel.from_pretrained(photo.parent / "photo" / "unet", use_safetensors=True).eval()
    scheduler = diffusers.DDPMScheduler.from_pretrained(photo.parent / "photo" / "scheduler")
    image, noise = torch.randn((2, 1, 4, 4)), torch.randn((2, 1, 4, 4))
    step = torch.tensor([10, 700])
    z = scheduler.add_noise(image, noise, step)
    with torch.no_grad():
        predicted = net(z, step).sample.numpy()
    level = np.sqrt(1 / scheduler.alphas_cumprod.numpy()[step] - 1).astype(float)
    b = density.backend
    x = z.numpy() * np.sqrt(1 + level**2)[:, None, None, None]
    np.testing.assert_allclose(
        x, image.numpy() + level[:, None, None, None] * noise.numpy(), rtol=1e-4, atol=1e-4
    )
    (code,) = density.foreign.values()
    with b.scope():
        (slope,) = code.gradient(b, b.asarray(level), [b.asarray(x)], [])
        np.testing.assert_allclose(
            b.to_numpy(slope) * level[:, None, None, None], predicted, rtol=1e-3, atol=1e-4
        )


def density_of(path: Path, backend: str) -> Density:
    model = cg.compile(path, trust=True)
    return Density(model.program.graph, load_backend(backend))


@pytest.mark.parametrize("backend", [pytest.param("jax", marks=pytest.mark.slow), "torch"])
def test_a_composition_with_a_pretrained_diffusion(photo, monkeypatch, backend):
    """Images of N(0.5, 0.3²) a pixel, times a normal of the program: the product is known."""
    monkeypatch.setattr(
        diffusion, "load", lambda part: diffusion.Slope(GaussianNet(KEPT, "epsilon"), "epsilon", KEPT)
    )
    text = PHOTO.format(" * Normal(0, 0.4)") + "infer x by annealed(levels=40, coarsest=20)\n"
    model = cg.compile(written(photo.parent, text), trust=True)
    assert "scores without energies" in model.explain()
    run = model.sample(seed=1, chains=2, draws=100, backend=backend)
    values = np.asarray(run.posterior["x"]).reshape((200, 16))
    precision = 1 / 0.3**2 + 1 / 0.4**2
    mean, sd = 0.5 / 0.3**2 / precision, precision**-0.5
    assert abs(values.mean() - mean) < 4.5 * sd / np.sqrt(16 * 100) + 0.01
    assert values.std() == pytest.approx(sd, rel=0.1)


def test_classes_are_an_input(tmp_path):
    save_pipeline(tmp_path / "photo", unet(num_class_embeds=3))
    text = (
        'density Photo(x: real[1, 4, 4] | c: category({})) = load("photo")\nvar x: real[1, 4, 4] ~ Photo(2)\n'
    )
    density = density_of(written(tmp_path, text.format(3)), "torch")
    (code,) = density.foreign.values()
    b = density.backend
    with b.scope():
        x = b.asarray(np.ones((2, 1, 4, 4)))
        (slope,) = code.gradient(b, b.asarray(np.ones(2)), [x], [b.asarray(np.array([0, 2]))])
    assert float(abs(slope[0] - slope[1]).max()) > 1e-4
    assert "CG0310" in str(errors(written(tmp_path, text.format(4)), trust=True))


# --- language models -------------------------------------------------------------------------------------

TEXT = 'density Text(x: category(5)[{}]) = load("gpt")\nvar x: category(5)[{}] ~ Text\n'


def save_gpt(folder: Path, **options: Any) -> Any:
    torch.manual_seed(1)
    config = transformers.GPT2Config(
        vocab_size=5, n_positions=6, n_embd=8, n_layer=1, n_head=2, initializer_range=1.0,
        **{"bos_token_id": 0, "eos_token_id": 0, **options},
    )  # fmt: skip
    net = transformers.GPT2LMHeadModel(config).eval()
    net.save_pretrained(folder, safe_serialization=True)
    return net


@pytest.mark.parametrize("start", [0, None])
def test_the_weights_of_all_texts_sum_to_one(tmp_path, start):
    net = save_gpt(tmp_path / "gpt", bos_token_id=start, eos_token_id=start)
    tokens = torch.cartesian_prod(*[torch.arange(5)] * 3)
    energies = language_model.Tokens(net, start)(tokens).detach()
    assert float(torch.exp(-energies).sum()) == pytest.approx(1.0, abs=1e-5)


def test_energies_are_those_of_the_model(tmp_path):
    net = save_gpt(tmp_path / "gpt")
    model = cg.compile(written(tmp_path, TEXT.format(3, 3)), trust=True)
    text = [3, 1, 4]
    with torch.no_grad():
        log_p = torch.log_softmax(net(torch.tensor([[0, *text[:-1]]])).logits, -1)[0]
    exact = -sum(float(log_p[k, token]) for k, token in enumerate(text))
    assert model.energy({"x": text}) == pytest.approx(exact, rel=1e-5)


def test_tokens_before_are_an_input(tmp_path):
    net = save_gpt(tmp_path / "gpt")
    text = (
        'density Text(x: category(5)[2] | before: category(5)[2]) = load("gpt")\n'
        "var x: category(5)[2] ~ Text([3, 1])\n"
    )
    model = cg.compile(written(tmp_path, text), trust=True)
    with torch.no_grad():
        log_p = torch.log_softmax(net(torch.tensor([[0, 3, 1, 4]])).logits, -1)[0]
    assert model.energy({"x": [4, 2]}) == pytest.approx(-float(log_p[2, 4] + log_p[3, 2]), rel=1e-5)


def test_texts_are_drawn_from_the_model(tmp_path):
    net = save_gpt(tmp_path / "gpt")
    tokens = torch.cartesian_prod(*[torch.arange(5)] * 2)
    exact = torch.exp(-language_model.Tokens(net, 0)(tokens)).detach().numpy().reshape((5, 5))
    run = cg.compile(written(tmp_path, TEXT.format(2, 2)), trust=True).sample(
        seed=0, chains=2, draws=300, warmup=20, backend="numpy"
    )
    drawn = np.asarray(run.posterior["x"]).reshape((-1, 2))
    for k in range(2):
        shares = np.bincount(drawn[:, k], minlength=5) / len(drawn)
        np.testing.assert_allclose(shares, exact.sum(1 - k), atol=4.5 * np.sqrt(0.25 / 200))


# --- what is refused -------------------------------------------------------------------------------------


def test_a_folder_needs_trust(photo):
    assert [e[:6] for e in errors(photo)] == ["CG0414"]
    assert errors(photo, trust=True) == []


def test_pickles_are_refused_under_trust_too(photo, tmp_path):
    weights = tmp_path / "photo" / "unet"
    (weights / "diffusion_pytorch_model.safetensors").unlink()
    for name in ("diffusion_pytorch_model.bin", "model.pt"):
        (weights / name).write_bytes(b"\x80\x04")
        (found,) = errors(photo, trust=True)
        assert found.startswith("CG0309") and "pickle" in found
        (weights / name).unlink()


def test_damaged_weights_are_told(photo, tmp_path):
    file = tmp_path / "photo" / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ComposeError, match="CG0309"):
        density_of(photo, "torch")


MISFITS = {
    "another shape": (PHOTO.format("").replace("4, 4", "8, 8"), {}, "over real\\[1, 4, 4\\], declared is"),
    "two subjects": (
        'density P(x: real[1, 4, 4], y: real) = load("photo")\nvar x: real[1, 4, 4]\nvar y: real\nP(x, y)\n',
        {},
        "declared is",
    ),
    "another net": (PHOTO.format(""), {"model_index.json": {"unet": ["diffusers", "UNet2DConditionModel"]}}, "UNet2D"),
    "no net": (PHOTO.format(""), {"model_index.json": {}}, "no UNet"),
    "another prediction": (
        PHOTO.format(""), {"scheduler/scheduler_config.json": {"prediction_type": "flow"}}, "predicts `flow`",
    ),
    "another schedule": (
        PHOTO.format(""), {"scheduler/scheduler_config.json": {"beta_schedule": "sigmoid"}}, "comes by `sigmoid`",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", MISFITS)
def test_what_does_not_fit_is_told(photo, tmp_path, kind):
    text, changed, message = MISFITS[kind]
    for name, content in changed.items():
        (tmp_path / "photo" / name).write_text(json.dumps(content))
    (found,) = errors(written(tmp_path, text), trust=True)
    assert found.startswith("CG0310")
    assert re.search(message, found)


@pytest.mark.parametrize(
    ("content", "code"), [("{", "CG0309"), ("[1]", "CG0309"), ('{"architectures": ["BertModel"]}', "CG0310")]
)
def test_a_folder_of_something_else(tmp_path, content, code):
    (tmp_path / "gpt").mkdir()
    path = written(tmp_path, TEXT.format(2, 2))
    assert "CG0309" in errors(path, trust=True)[0]
    (tmp_path / "gpt" / "config.json").write_text(content)
    assert code in errors(path, trust=True)[0]


def test_texts_that_are_too_long_or_of_other_tokens(tmp_path):
    save_gpt(tmp_path / "gpt")
    assert errors(written(tmp_path, TEXT.format(5, 5)), trust=True) == []
    assert "at most 6 tokens" in errors(written(tmp_path, TEXT.format(6, 6)), trust=True)[0]
    other = TEXT.format(2, 2).replace("category(5)", "category(6)")
    assert "CG0310" in errors(written(tmp_path, other), trust=True)[0]
