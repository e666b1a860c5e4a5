"""Draw `learned_proposal.png`: how fast each sampler goes through the walks, and the walks' exact and drawn places."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import compose_lang as cg
from compose_lang.validation.enumeration import enumerate_states

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "benchmarks/composition/learned_proposal.json"


def main() -> None:
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
    left.barh(list(found), [of["ess a thousand draws"] for of in found.values()], color="#2e86ab")
    left.set(xscale="log", xlabel="effective draws of a thousand")
    left.invert_yaxis()
    model = cg.compile(str(HERE / "walk.cg"))
    exact = enumerate_states(model.program.graph).marginals["w"]
    walks = np.asarray(model.sample(seed=0, chains=8, draws=500, warmup=50).posterior["w"]).reshape(-1, 6)
    for place in (0, 1, 3):
        colour = right.plot(exact[:, place], "-", label=f"place {place}")[0].get_color()
        right.plot((walks == place).mean(axis=0), "o", color=colour)
    right.set(xlabel="step of the walk", ylabel="probability (points: draws)")
    right.legend(frameon=False)
    figure.savefig(HERE / "learned_proposal.png", dpi=100)


if __name__ == "__main__":
    main()
