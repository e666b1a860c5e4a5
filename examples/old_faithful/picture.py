"""Draw `old_faithful.png`: the waiting times, and the two kinds as the posterior has them."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm

import compose_lang as cg

HERE = Path(__file__).parent


def main() -> None:
    run = cg.compile(str(HERE / "old_faithful.cg")).sample(seed=0, chains=2, draws=500, warmup=500)
    waiting = np.genfromtxt(HERE / "old_faithful.csv", delimiter=",", names=True)["waiting"]
    minutes = np.linspace(40, 100, 200)
    mu, sigma = (np.asarray(run.posterior[name]).mean((0, 1)) for name in ("mu", "sigma"))
    short = float(run.posterior["short"].mean())
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    axes.hist(waiting, bins=30, density=True, color="0.8")
    for k, share in enumerate([short, 1 - short]):
        axes.plot(
            minutes,
            share * norm.pdf(minutes, mu[k], sigma[k]),
            label=f"{share:.0%}: {mu[k]:.1f} ± {sigma[k]:.1f}",
        )
    axes.set(xlabel="minutes to the next eruption", ylabel="density")
    axes.legend()
    figure.savefig(HERE / "old_faithful.png", dpi=100)


if __name__ == "__main__":
    main()
