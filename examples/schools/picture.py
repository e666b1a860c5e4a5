"""Draw `schools.png`: each school's effect as measured and as the model has it, 90 % intervals."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import compose_lang as cg

HERE = Path(__file__).parent


def main() -> None:
    run = cg.compile(str(HERE / "schools.cg")).sample(seed=0)
    schools = np.genfromtxt(HERE / "schools.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    place = np.arange(len(schools))
    low, middle, high = np.quantile(run.posterior["theta"], [0.05, 0.5, 0.95], axis=(0, 1))
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    axes.errorbar(
        schools["effect"],
        place - 0.12,
        xerr=1.645 * schools["stderr"],
        fmt="o",
        color="0.7",
        label="measured",
    )
    axes.errorbar(
        middle, place + 0.12, xerr=[middle - low, high - middle], fmt="o", color="C0", label="posterior"
    )
    axes.set(yticks=place, yticklabels=schools["school"], xlabel="effect on the score, 90 % interval")
    axes.invert_yaxis()
    axes.legend()
    figure.savefig(HERE / "schools.png", dpi=100)


if __name__ == "__main__":
    main()
