"""Section 5.1 of the paper: the product of two autoregressive densities is not the product of their conditionals.

    python -m benchmarks.composition.two_writers      # a minute; writes two_writers.json

Both densities of `examples/two_writers` are learned, and tabulated over all words. Against their product stand the
draws of the program, and the distribution of whoever draws letter by letter from p1(letter | so far) p2(letter | so
far), normalised each time, which is known exactly.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import compose_lang as cg
from benchmarks.metrics import total_variation
from compose_lang.runtime.backends import load_backend
from compose_lang.runtime.density.density import Density
from compose_lang.runtime.learning.obtain import by_part

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/two_writers"
RESULTS = Path(__file__).with_suffix(".json")

LETTERS, LENGTH = 4, 5
WORDS = np.array(list(itertools.product(range(LETTERS), repeat=LENGTH)))
LINE = "var w: category(4)[5] ~ First * Second"
FOLDS = 200  #: samples by which the distance that exact draws would have is estimated

Table = NDArray[np.float64]


def tabulated(program: Path, variable: str = LINE, **constants: Any) -> Table:
    """The normalised probabilities of all words under a program whose last line may be another."""
    text = program.read_text(encoding="utf-8").replace(LINE, variable)
    data = dict(np.load(program.parent / "words.npz"))
    model = cg.compile(text, data=data, constants=constants)
    density = Density(model.program.graph, load_backend("numpy"), by_part(model.learn()))
    energy = np.asarray(density.energy_of_values({"w": WORDS}))
    weights = np.exp(energy.min() - energy)
    found: Table = weights / weights.sum()
    return found


def conditionals(p: Table) -> list[Table]:
    """p(letter | letters before it) at each place, (LETTERS,) * (place + 1)."""
    whole = p.reshape((LETTERS,) * LENGTH)
    found = []
    for place in range(LENGTH):
        upto = whole.sum(axis=tuple(range(place + 1, LENGTH)))
        found.append(upto / upto.sum(axis=-1, keepdims=True))
    return found


def letter_by_letter(p: Table, q: Table) -> Table:
    """What is drawn from the product of two densities' conditionals, normalised at each letter."""
    found = np.ones(())
    for first, second in zip(conditionals(p), conditionals(q), strict=True):
        both = first * second
        found = found[..., None] * both / both.sum(axis=-1, keepdims=True)
    return found.reshape(-1)


def shares(draws: NDArray[np.int64]) -> Table:
    """The share of each word among draws (n, LENGTH)."""
    return np.bincount(draws @ LETTERS ** np.arange(LENGTH)[::-1], minlength=len(WORDS)) / len(draws)


def expected_distance(p: Table, n: int, seed: int = 0) -> tuple[float, float]:
    """Mean and standard deviation of the total variation between p and n independent draws of it."""
    rng = np.random.default_rng(seed)
    found = [total_variation(rng.multinomial(n, p) / n, p) for _ in range(FOLDS)]
    return float(np.mean(found)), float(np.std(found))


def drawn(
    program: Path, chains: int, draws: int, backend: str = "jax", **constants: Any
) -> NDArray[np.int64]:
    """Words (n, LENGTH) that the program draws."""
    data = dict(np.load(program.parent / "words.npz"))
    model = cg.compile(program.read_text(encoding="utf-8"), data=data, constants=constants)
    run = model.sample(seed=1, chains=chains, draws=draws, warmup=100, thin=4, backend=backend)
    return np.asarray(run.posterior["w"]).reshape(-1, LENGTH)


def compared(
    program: Path, chains: int, draws: int, backend: str = "jax", **constants: Any
) -> dict[str, Any]:
    """All distances from the product, and how often each begins with `a`."""
    first, second = (
        tabulated(program, f"var w: category(4)[5] ~ {name}", **constants) for name in ("First", "Second")
    )
    product = first * second / (first * second).sum()
    np.testing.assert_allclose(
        tabulated(program, **constants), product, rtol=1e-6
    )  # the program is the product
    locally = letter_by_letter(first, second)
    words = drawn(program, chains, draws, backend, **constants)
    floor, spread = expected_distance(product, len(words))
    begins_with_a = np.arange(len(WORDS)) < len(WORDS) // LETTERS
    return {
        "draws": len(words),
        "letter by letter, TV": total_variation(locally, product),
        "the program's draws, TV": total_variation(shares(words), product),
        "as many exact draws, TV": floor,
        "its standard deviation": spread,
        "begins with a: first": float(first[begins_with_a].sum()),
        "begins with a: second": float(second[begins_with_a].sum()),
        "begins with a: product": float(product[begins_with_a].sum()),
        "begins with a: letter by letter": float(locally[begins_with_a].sum()),
        "begins with a: the program's draws": float((words[:, 0] == 0).mean()),
    }


def main() -> None:
    found = compared(EXAMPLE / "product.cg", chains=64, draws=250)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for name, value in found.items():
        print(f"{name:36} {value:.4f}")


if __name__ == "__main__":
    main()
