"""Draw the rooms of the package and which imports which: `python docs/make_rooms.py` writes `docs/rooms.svg`.

In: the imports of all files. Out: an arrow from each room to those it imports, but for what other arrows imply
(the transitive reduction); a room stands above all that it imports.
"""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path

import networkx as nx

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "compose_lang"
DIVIDED = ("compiler", "runtime")  #: folders whose folders are rooms of their own

WIDTH, HEIGHT, GAP, ROW = 118, 34, 14, 74
COLOURS = {"grammar": "#e8f1e4", "compiler": "#e3ecf7", "runtime": "#f8ebdd", "": "#f1e8f4"}


def room_of(module: str) -> str:
    """The room of a module named without the package; files at the top are rooms by themselves."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] in DIVIDED and len(parts) > 1 else parts[0]


def rooms() -> nx.DiGraph:
    """Rooms, each with its number of lines, and an edge from each to those it imports."""
    paths = {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != PACKAGE / "__init__.py"
    }
    graph = nx.DiGraph()
    for module, path in paths.items():
        if module in DIVIDED:
            continue
        room, text = room_of(module), path.read_text(encoding="utf-8")
        graph.add_node(room)
        graph.nodes[room]["lines"] = graph.nodes[room].get("lines", 0) + text.count("\n")
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("compose_lang."):
                continue
            base = (node.module or "").removeprefix("compose_lang.")
            for alias in node.names:
                full = f"{base}.{alias.name}"
                other = room_of(full if full in paths else base)
                if other != room and other not in DIVIDED:
                    graph.add_edge(room, other)
    return graph


def rows(graph: nx.DiGraph) -> list[list[str]]:
    """Rooms by the longest way down from them, lowest first; within a row each near what it imports."""
    depth: dict[str, int] = {}
    for room in reversed(list(nx.topological_sort(graph))):
        depth[room] = 1 + max((depth[other] for other in graph[room]), default=-1)
    placed: list[list[str]] = []
    centre: dict[str, float] = {}
    for level in range(max(depth.values()) + 1):
        row = sorted(room for room in depth if depth[room] == level)
        middle = {r: sum(centre[o] for o in graph[r]) / max(1, len(graph[r])) for r in row}
        row.sort(key=lambda r: (middle[r], r))
        for place, room in enumerate(row):
            centre[room] = place - (len(row) - 1) / 2
        placed.append(row)
    return placed


def svg(graph: nx.DiGraph) -> str:
    shown = nx.transitive_reduction(graph)
    levels = rows(shown)
    width = max(map(len, levels)) * (WIDTH + GAP) + GAP
    height = len(levels) * ROW + GAP
    corner = {}
    for level, row in enumerate(levels):
        left = (width - len(row) * (WIDTH + GAP) + GAP) / 2
        for place, room in enumerate(row):
            corner[room] = (left + place * (WIDTH + GAP), height - (level + 1) * ROW)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" font-family="sans-serif">',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8z" fill="#8a8a8a"/></marker></defs>',
    ]
    for above, below in sorted(shown.edges):
        (x, y), (u, v) = corner[above], corner[below]
        x, u = x + WIDTH / 2, u + WIDTH / 2
        lines.append(
            f'<path d="M{x:g} {y + HEIGHT:g}C{x:g} {y + HEIGHT + 26:g} {u:g} {v - 26:g} {u:g} {v - 2:g}" '
            'fill="none" stroke="#a8a8a8" marker-end="url(#head)"/>'
        )
    for room, (x, y) in corner.items():
        part, _, name = room.partition(".")
        colour = COLOURS.get(part, COLOURS[""])
        lines += [
            f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="5" fill="{colour}" stroke="#777"/>',
            f'<text x="{x + WIDTH / 2:g}" y="{y + 15:g}" text-anchor="middle" font-size="12">'
            f"{escape(name or part)}</text>",
            f'<text x="{x + WIDTH / 2:g}" y="{y + 28:g}" text-anchor="middle" font-size="9" fill="#666">'
            f"{part if name else 'top'}</text>",
        ]
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    (HERE / "rooms.svg").write_text(svg(rooms()), encoding="utf-8")
