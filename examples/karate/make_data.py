"""Write `friends.csv` and `members.csv`: Zachary's karate club (1977) as networkx ships it, and the sides taken."""

from pathlib import Path

import networkx as nx

HERE = Path(__file__).parent


def main() -> None:
    club = nx.karate_club_graph()
    rows = [f"{a},{b}" for a, b in club.edges]
    (HERE / "friends.csv").write_text("\n".join(["a,b", *rows]) + "\n")
    sides = {"Mr. Hi": "teacher", "Officer": "president"}
    rows = [f"{club.degree(i)},{sides[club.nodes[i]['club']]}" for i in club]
    (HERE / "members.csv").write_text("\n".join(["friends,side", *rows]) + "\n")


if __name__ == "__main__":
    main()
