"""A folder of a pretrained model as a factor: `= load("folder/")`, under `--trust` alone.

Folders are those that diffusers (a pipeline of a UNet2DModel and its scheduler) and transformers (a causal language
model) write. Their JSON files are read here and held to the declaration; the weights, in safetensors, and the
libraries are left to the runtime (runtime/learned/foreign/pretrained.py).

A diffusion of images: in a program, σ is the standard deviation of the noise on an image x as it is. A scheduler scales
the image too: at step t its net sees x_t = sqrt(ᾱ_t) x + sqrt(1 - ᾱ_t) ε, so that σ_t = sqrt((1 - ᾱ_t) / ᾱ_t).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from compose_lang.compiler.elaborate.context import Context
from compose_lang.compiler.elaborate.learned.foreign import require_trust
from compose_lang.compiler.elaborate.learned.weights_header import ENDING, PICKLES
from compose_lang.compiler.graph.learned_factor import LearnedFactor, Port
from compose_lang.compiler.ir.types import REAL, Type
from compose_lang.diagnostics import Span, fail
from compose_lang.grammar import ast

PREDICTIONS = ("epsilon", "v_prediction", "sample")
KNOWN = "pipelines of a UNet2DModel, from diffusers, and causal language models, from transformers"


def part_of_folder(
    ctx: Context,
    decl: ast.FactorDecl,
    folder: Path,
    subjects: tuple[Port, ...],
    inputs: tuple[Port, ...],
    span: Span,
) -> LearnedFactor:
    """The part of a pretrained model: CG0309 where there is none, CG0310 where it is another than is declared."""
    require_trust(ctx, f"`{decl.name}` runs a pretrained model: {folder.name}", span)
    options: dict[str, Any]
    if (folder / "model_index.json").is_file():
        weights = folder / "unet"
        options = of_pipeline(folder, subjects, inputs, span)
    elif (folder / "config.json").is_file():
        weights = folder
        options = of_language_model(folder, subjects, inputs, span)
    else:
        text = (
            f"{folder.name} is no folder of a pretrained model: there is no model_index.json or config.json"
        )
        fail("CG0309", text, span, help=f"there are {KNOWN}")
    require_safetensors(weights, span)
    return LearnedFactor(
        decl.name, "pretrained", subjects, inputs, None, options, {}, span, file=folder, source=folder.name
    )


def read(path: Path, span: Span) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        document.items()
        return document
    except (OSError, ValueError, AttributeError) as problem:
        fail(
            "CG0309",
            f"{path.parent.name}/{path.name} cannot be read: {problem}",
            span,
            help=f"there are {KNOWN}",
        )


def require_safetensors(folder: Path, span: Span) -> None:
    """Weights are never unpickled, whoever is trusted."""
    if any(folder.glob("*" + ENDING)):
        return
    pickles = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLES) if folder.is_dir() else []
    text = f"{folder.name} holds no {ENDING} file"
    if pickles:
        text += f"; {pickles[0]} is a pickle, or may be: loading it could run any code"
    fail("CG0309", text, span, help="save_pretrained(…, safe_serialization=True) writes one")


def misfit(text: str, span: Span, help: str) -> NoReturn:
    fail("CG0310", text, span, help=help)


# --- diffusions ----------------------------------------------------------------------------------------


def of_pipeline(
    folder: Path, subjects: tuple[Port, ...], inputs: tuple[Port, ...], span: Span
) -> dict[str, Any]:
    """Options of a diffusion: what its net predicts, ᾱ at each of its steps, and the levels that they reach."""
    index = read(folder / "model_index.json", span)
    net = (index.get("unet") or [None, None])[1]
    if net != "UNet2DModel":
        misfit(
            f"{folder.name} is a {index.get('_class_name')} of {net or 'no UNet'}", span, f"there are {KNOWN}"
        )
    config = read(folder / "unet" / "config.json", span)
    size = config.get("sample_size")
    sides = tuple(size) if isinstance(size, list) else (size, size)
    wanted = Type(REAL, (config.get("in_channels"), *sides))  # type: ignore[arg-type]
    require_ports(folder, subjects, [wanted], span)
    classes = config.get("num_class_embeds")
    require_ports(folder, inputs, [] if classes is None else [f"category({classes})"], span)
    scheduler = read(folder / "scheduler" / "scheduler_config.json", span)
    prediction = scheduler.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        misfit(f"its net predicts `{prediction}`", span, f"there are {', '.join(PREDICTIONS)}")
    kept = kept_of(scheduler, span)
    levels = np.sqrt((1.0 - kept) / kept)
    return {
        "kind": "diffusion",
        "form": "score",
        "prediction": prediction,
        "kept": kept,
        "finest": float(levels[0]),
        "coarsest": float(levels[-1]),
    }


def require_ports(folder: Path, ports: tuple[Port, ...], wanted: list[Any], span: Span) -> None:
    declared, needed = [unnamed(p.type) for p in ports], [str(t) for t in wanted]
    if declared != needed:
        shown = [", ".join(each) or "nothing" for each in (needed, declared)]
        misfit(
            f"{folder.name} is over {shown[0]}, declared is {shown[1]}", span, "declare it as it was trained"
        )


def unnamed(t: Type) -> str:
    """A type in words, its values by their numbers."""
    return str(replace(t, domain=replace(t.domain, names=())))


def kept_of(scheduler: Mapping[str, Any], span: Span) -> np.ndarray:
    """ᾱ_t (steps,), the share of an image's variance that is left at each step, as diffusers' schedulers have it."""
    steps = int(scheduler.get("num_train_timesteps", 1000))
    first, last = float(scheduler.get("beta_start", 1e-4)), float(scheduler.get("beta_end", 0.02))
    kind = scheduler.get("beta_schedule", "linear")
    if scheduler.get("trained_betas") is not None:
        betas = np.asarray(scheduler["trained_betas"], dtype=float)
    elif kind == "linear":
        betas = np.linspace(first, last, steps)
    elif kind == "scaled_linear":
        betas = np.linspace(first**0.5, last**0.5, steps) ** 2
    elif kind == "squaredcos_cap_v2":  # Nichol and Dhariwal, ICML 2021
        kept = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = np.minimum(1.0 - kept[1:] / kept[:-1], 0.999)
    else:
        misfit(f"its noise comes by `{kind}`", span, "there are linear, scaled_linear and squaredcos_cap_v2")
    if scheduler.get("rescale_betas_zero_snr"):
        misfit("its last step is noise alone, which is no level", span, "rescale_betas_zero_snr is not known")
    return np.cumprod(1.0 - betas)


# --- language models -----------------------------------------------------------------------------------


def of_language_model(
    folder: Path, subjects: tuple[Port, ...], inputs: tuple[Port, ...], span: Span
) -> dict[str, Any]:
    """Options of a causal language model over tokens, given tokens before them or none."""
    config = read(folder / "config.json", span)
    kinds = config.get("architectures") or [config.get("_class_name")]
    if not str(kinds[0]).endswith(("ForCausalLM", "LMHeadModel")):
        misfit(f"{folder.name} is a {kinds[0]}", span, f"there are {KNOWN}")
    size = config.get("vocab_size")
    ports = (*subjects, *inputs)
    for port in ports:
        is_text = unnamed(port.type).startswith(f"category({size})[") and len(port.type.shape) == 1
        if not is_text or len(subjects) != 1 or len(inputs) > 1:
            text = f"{folder.name} is over category({size})[n], given the tokens before them or none"
            misfit(text, span, f"`{port.name}` is declared {port.type}")
    start = config.get("bos_token_id")
    length = sum(p.type.shape[0] for p in ports) + (start is not None)
    most = config.get("max_position_embeddings") or config.get("n_positions")
    if most is not None and length > most:
        misfit(f"{folder.name} reads at most {most} tokens, {length} are declared", span, "declare fewer")
    return {"kind": "language model", "start": start}
