"""Draw `karate.png`: the club as it is split by its friendships; rings mark those who went the other way."""

from pathlib import Path

import matplotlib.pyplot as plt
import networkx as nx
import numpy as np

import compose_lang as cg

HERE = Path(__file__).parent
COLOURS = np.array(["#2e86ab", "#d1495b"])


def main() -> None:
    run = cg.compile(str(HERE / "karate.cg")).sample(seed=0, chains=8, warmup=300)
    side = np.array(run.optimum["values"]["side"])
    went = np.array([line.endswith("president") for line in (HERE / "members.csv").read_text().split()[1:]])
    club = nx.Graph(np.loadtxt(HERE / "friends.csv", delimiter=",", skiprows=1, dtype=int).tolist())
    place = nx.spring_layout(club, seed=4)
    figure, axes = plt.subplots(figsize=(6, 4.2), layout="constrained")
    nx.draw_networkx_edges(club, place, ax=axes, edge_color="#bbbbbb")
    members = sorted(club)
    nx.draw_networkx_nodes(
        club,
        place,
        members,
        ax=axes,
        node_color=COLOURS[side[members]],
        edgecolors=COLOURS[went[members].astype(int)],
        linewidths=3,
        node_size=260,
    )
    nx.draw_networkx_labels(club, place, ax=axes, font_size=8, font_color="white")
    axes.axis("off")
    figure.savefig(HERE / "karate.png", dpi=100)


if __name__ == "__main__":
    main()
