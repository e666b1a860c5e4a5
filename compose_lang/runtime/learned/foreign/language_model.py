"""A causal language model of transformers as the energy of tokens: -log p(tokens | those before them)."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from compose_lang.compiler.graph.learned_factor import LearnedFactor


def load(part: LearnedFactor) -> torch.nn.Module:
    assert part.file is not None
    shows = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # the screen is ours
    try:
        net = AutoModelForCausalLM.from_pretrained(
            part.file,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            attn_implementation="eager",
        )
    finally:
        if shows:
            logging.enable_progress_bar()
    return Tokens(net, part.options["start"])


class Tokens(torch.nn.Module):
    """Tokens (n, length), after others (n, m) or none -> energies (n,).

    start: the token that every text begins with; where a model has none, its first token is equally likely any.
    """

    def __init__(self, net: Any, start: int | None) -> None:
        super().__init__()
        self.net = net
        self.start = start

    def forward(self, x: torch.Tensor, before: torch.Tensor | None = None) -> torch.Tensor:
        given = [] if self.start is None else [torch.full_like(x[:, :1], self.start)]
        given += [] if before is None else [before]
        tokens = torch.cat([*given, x], dim=1).long()
        logits = self.net(input_ids=tokens, use_cache=False).logits
        log_p = torch.log_softmax(logits[:, :-1], dim=-1)
        each = torch.gather(log_p, 2, tokens[:, 1:, None])[..., 0]
        told = each[:, -x.shape[1] :].sum(1)
        if not given:
            told = told - torch.log(torch.tensor(float(logits.shape[-1]), dtype=told.dtype))
        return -told
