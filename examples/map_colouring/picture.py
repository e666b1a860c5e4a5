"""Draw `map.png`: one colouring, each state a tile at about its place."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import compose_lang as cg

HERE = Path(__file__).parent
COLOURS = ["#d1495b", "#66a182", "#2e86ab", "#edae49"]
TILES = """
.. .. .. .. .. .. .. .. .. .. ME
.. .. .. .. .. .. .. .. .. VT NH
WA ID MT ND MN IL WI MI NY RI MA
OR NV WY SD IA IN OH PA NJ CT ..
CA UT CO NE MO KY WV VA MD DE ..
.. AZ NM KS AR TN NC SC .. .. ..
.. .. .. OK LA MS AL GA .. .. ..
.. .. .. TX .. .. .. .. FL .. ..
"""


def main() -> None:
    run = cg.compile(str(HERE / "map_colouring.cg")).sample(seed=0, chains=1, draws=1, warmup=200)
    colour = dict(
        zip(
            (HERE / "states.csv").read_text().split()[1:],
            np.asarray(run.posterior["colour"])[0, 0],
            strict=True,
        )
    )
    figure, axes = plt.subplots(figsize=(6, 4.2), layout="constrained")
    for row, line in enumerate(TILES.split("\n")[1:-1]):
        for column, state in enumerate(line.split()):
            if state != "..":
                axes.add_patch(plt.Rectangle((column, -row), 0.95, 0.95, color=COLOURS[colour[state]]))
                axes.text(column + 0.475, 0.475 - row, state, ha="center", va="center", color="white")
    axes.set(xlim=(0, 11), ylim=(-7, 1), aspect="equal")
    axes.axis("off")
    figure.savefig(HERE / "map.png", dpi=100)


if __name__ == "__main__":
    main()
