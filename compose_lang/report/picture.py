"""The factor graph as a picture: Mermaid and DOT as text, SVG and PNG by a force-directed layout.

In: a `FactorGraph`. Out: text or bytes. A variable is a round node and a group of factors a square one, with
the number of its instances; expanded, every site and every instance is a node of its own.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from compose_lang.compiler.graph.factor_graph import FactorGraph, Variable
from compose_lang.compiler.graph.factor_scopes import scope
from compose_lang.diagnostics import ComposeError, Diagnostic

if TYPE_CHECKING:
    import networkx

FORMATS = ("mermaid", "dot", "svg", "png")
MOST_EXPANDED = 2000
MOST_PLACED = 200  #: nodes that a layout can place in a second or two, and an eye can follow


@dataclass(frozen=True)
class Shape:
    """A node of the drawing: a variable (round) or a factor (square)."""

    name: str
    label: str
    is_variable: bool
    observed: bool = False


@dataclass(frozen=True)
class Drawing:
    shapes: tuple[Shape, ...]
    edges: tuple[tuple[str, str], ...]  #: (factor, variable)

    def as_networkx(self) -> networkx.Graph:
        """The drawing as a bipartite networkx graph."""
        import networkx

        graph = networkx.Graph()
        for shape in self.shapes:
            graph.add_node(shape.name, label=shape.label, bipartite=0 if shape.is_variable else 1)
        graph.add_edges_from(self.edges)
        return graph


def outline(graph: FactorGraph) -> Drawing:
    """The graph with plates as plates: a node a variable, a node a group."""
    shapes = [
        Shape(f"v{i}", f"{v.name}: {v.type}", True, observed=not v.free_sites)
        for i, v in enumerate(graph.variables)
    ]
    names = {v.name: f"v{i}" for i, v in enumerate(graph.variables)}
    edges = []
    for i, group in enumerate(graph.groups):
        times = f" × {group.instances:,}" if group.instances > 1 else ""
        shapes.append(Shape(f"f{i}", f"{group.label or group.kind}{times}", False))
        edges += [(f"f{i}", names[name]) for name in sorted(group.variables)]
    return Drawing(tuple(shapes), tuple(edges))


def expand(graph: FactorGraph) -> Drawing:
    """The graph with a node for every site and every instance; CG0801 where those are too many to look at."""
    count = sum(v.type.sites for v in graph.variables) + sum(group.instances for group in graph.groups)
    if count > MOST_EXPANDED:
        text = f"the expanded graph has {count:,} nodes, more than {MOST_EXPANDED:,} can be drawn"
        help = "leave out --expand: plates stay plates"
        raise ComposeError(Diagnostic("CG0801", text, help=help), exit_code=5)
    shapes: list[Shape] = []
    edges: list[tuple[str, str]] = []
    places = {v.name: i for i, v in enumerate(graph.variables)}
    for i, v in enumerate(graph.variables):
        free = v.free.ravel()
        for site, name in enumerate(_site_names(v)):
            shapes.append(Shape(f"v{i}_{site}", name, True, observed=not free[site]))
    for g, group in enumerate(graph.groups):
        shapes += [Shape(f"f{g}_{k}", group.label or group.kind, False) for k in range(group.instances)]
        for name in sorted(group.variables):
            v = graph.variable(name)
            read = scope(group, v)
            numbers = np.flatnonzero(v.free.ravel())
            for k in range(group.instances):
                sites = numbers if read is None else numbers[np.unique(read[k][read[k] >= 0])]
                edges += [(f"f{g}_{k}", f"v{places[name]}_{site}") for site in sites.tolist()]
    return Drawing(tuple(shapes), tuple(edges))


def draw(graph: FactorGraph, format: str = "mermaid", expanded: bool = False) -> str | bytes:
    """The graph in one of `FORMATS`: text, bytes for PNG."""
    drawing = expand(graph) if expanded else outline(graph)
    match format:
        case "mermaid":
            return _mermaid(drawing)
        case "dot":
            return _dot(drawing)
        case "svg":
            return _svg(drawing)
        case "png":
            return _png(drawing)
    text = f"there is no format `{format}`: there are {', '.join(FORMATS)}"
    raise ComposeError(Diagnostic("CG0602", text), exit_code=2)


def as_json(graph: FactorGraph, expanded: bool = False) -> dict[str, Any]:
    """The drawing's nodes and edges."""
    drawing = expand(graph) if expanded else outline(graph)
    return {
        "nodes": [
            {
                "id": shape.name,
                "label": shape.label,
                "kind": "variable" if shape.is_variable else "factor",
                "observed": shape.observed,
            }
            for shape in drawing.shapes
        ],
        "edges": [list(edge) for edge in drawing.edges],
    }


def _site_names(v: Variable) -> Iterator[str]:
    if not v.type.shape:
        yield v.name
        return
    for place in np.ndindex(v.type.shape):
        yield f"{v.name}[{','.join(map(str, place))}]"


def _mermaid(drawing: Drawing) -> str:
    lines = ["flowchart LR"]
    for shape in drawing.shapes:
        label = shape.label.replace('"', "#quot;")
        lines.append(f'  {shape.name}(["{label}"])' if shape.is_variable else f'  {shape.name}["{label}"]')
    lines += [f"  {factor} --- {variable}" for factor, variable in drawing.edges]
    observed = [shape.name for shape in drawing.shapes if shape.observed]
    if observed:
        lines += ["  classDef observed fill:#ccc", f"  class {','.join(observed)} observed"]
    return "\n".join(lines) + "\n"


def _dot(drawing: Drawing) -> str:
    lines = ["graph {", "  rankdir=LR"]
    for shape in drawing.shapes:
        label = shape.label.replace("\\", "\\\\").replace('"', '\\"')
        form = "ellipse" if shape.is_variable else "box"
        fill = ' style=filled fillcolor="#cccccc"' if shape.observed else ""
        lines.append(f'  {shape.name} [label="{label}" shape={form}{fill}]')
    lines += [f"  {factor} -- {variable}" for factor, variable in drawing.edges]
    return "\n".join([*lines, "}"]) + "\n"


def _placed(drawing: Drawing) -> dict[str, tuple[float, float]]:
    """A place in the unit square for every node; CG0801 where they are too many."""
    if len(drawing.shapes) > MOST_PLACED:
        text = f"the graph has {len(drawing.shapes):,} nodes, more than the {MOST_PLACED} a picture can show"
        raise ComposeError(Diagnostic("CG0801", text, help="--format dot or mermaid"), exit_code=5)
    import networkx

    places = networkx.spring_layout(drawing.as_networkx(), seed=0, iterations=200)
    spots = np.array([places[shape.name] for shape in drawing.shapes]).reshape(-1, 2)
    low, extent = spots.min(0, initial=np.inf), np.ptp(spots, 0) if len(spots) else np.ones(2)
    scaled = (spots - low) / np.where(extent > 0, extent, 1.0)
    return {shape.name: (x, y) for shape, (x, y) in zip(drawing.shapes, scaled.tolist(), strict=True)}


CHARACTER = 7.5  #: width of a character of the labels, in pixels
HEIGHT = 26
MARGIN = 90


def _svg(drawing: Drawing) -> str:
    side = 160 * max(2.0, len(drawing.shapes) ** 0.5)
    width, height = side * 1.4 + 2 * MARGIN, side + 2 * MARGIN
    places = {name: (MARGIN + x * side * 1.4, MARGIN + y * side) for name, (x, y) in _placed(drawing).items()}
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        'font-family="monospace" font-size="12" text-anchor="middle">'
    ]
    for factor, variable in drawing.edges:
        (x1, y1), (x2, y2) = places[factor], places[variable]
        lines.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#888"/>')
    for shape in drawing.shapes:
        x, y = places[shape.name]
        wide = CHARACTER * len(shape.label) + 16
        corner = HEIGHT / 2 if shape.is_variable else 0
        fill = "#ccc" if shape.observed else "#fff"
        lines.append(
            f'<rect x="{x - wide / 2:.1f}" y="{y - HEIGHT / 2:.1f}" width="{wide:.1f}" height="{HEIGHT}" '
            f'rx="{corner:g}" fill="{fill}" stroke="#000"/>'
        )
        lines.append(f'<text x="{x:.1f}" y="{y + 4:.1f}">{escape(shape.label)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _png(drawing: Drawing) -> bytes:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        hint = 'install it: python -m pip install "compose_lang[plot]", or take --format svg'
        text = "to draw a PNG the package `matplotlib` is needed"
        raise ComposeError(Diagnostic("CG0603", text, help=hint)) from None
    places = _placed(drawing)
    side = 2.0 * max(2.0, len(drawing.shapes) ** 0.5)
    figure = Figure(figsize=(side * 1.4, side))
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.margins(0.15)
    for factor, variable in drawing.edges:
        (x1, y1), (x2, y2) = places[factor], places[variable]
        axes.plot([x1, x2], [1 - y1, 1 - y2], color="#888888", linewidth=1, zorder=0)
    for shape in drawing.shapes:
        x, y = places[shape.name]
        box = {
            "boxstyle": "round,pad=0.4" if shape.is_variable else "square,pad=0.4",
            "facecolor": "#cccccc" if shape.observed else "white",
        }
        axes.text(x, 1 - y, shape.label, ha="center", va="center", family="monospace", fontsize=9, bbox=box)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
