"""A run as its user sees it: draws as (chain, draw, ...) under their names, statistics, summary and findings.

In: a run folder, finished or not. Out: xarray's data sets under InferenceData's group names, read one variable at a
time, the summary, what is wrong with the draws, and the document of `--json`.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compose_lang.compiler.graph.factor_graph import FactorGraph
from compose_lang.diagnostics import Diagnostic
from compose_lang.runtime.results import optimum, summary
from compose_lang.runtime.results.draws import StoredDraws
from compose_lang.runtime.results.evidence import log_evidence
from compose_lang.runtime.results.findings import findings
from compose_lang.runtime.results.summary import ColumnSummary
from compose_lang.runtime.runs.storage import RunFolder

if TYPE_CHECKING:
    import xarray
    from rich.console import Group
    from rich.table import Table


class Run(StoredDraws):
    """The draws of a run and what is known about them."""

    @staticmethod
    def open(out: str | Path) -> Run:
        """Open the folder of an earlier run; a ComposeError (CG0708) where it cannot be read."""
        return Run(RunFolder.open(Path(out)))

    @cached_property
    def posterior(self) -> xarray.Dataset:
        """The draws, with dimensions (chain, draw, NAME_dim_0, ...)."""
        from compose_lang.runtime.results.datasets import posterior

        return posterior(self)

    @cached_property
    def sample_stats(self) -> xarray.Dataset:
        """What the kernels report of each draw, with dimensions (chain, draw)."""
        from compose_lang.runtime.results.datasets import sample_stats

        return sample_stats(self)

    @cached_property
    def tree(self) -> xarray.DataTree:
        """All groups, under InferenceData's names."""
        from xarray import DataTree

        from compose_lang.runtime.results.datasets import observed_groups

        return DataTree.from_dict(
            {"posterior": self.posterior, "sample_stats": self.sample_stats, **observed_groups(self)}
        )

    @property
    def diagnostics(self) -> list[dict[str, Any]]:
        """What was found wrong with the program or the draws, each as in the JSON document."""
        return self.manifest.diagnostics

    def summary(self) -> dict[str, dict[str, Any]]:
        """A row per scalar: mean, sd, quantiles, Monte-Carlo error, effective sample sizes, R-hat."""
        return summary.rows(self.summaries)

    @cached_property
    def summaries(self) -> list[ColumnSummary]:
        """The summary of each column, as arrays over its elements."""
        return summary.summarise(self)

    @cached_property
    def optimum(self) -> dict[str, Any] | None:
        """The best point where one was looked for (`map`): `energy`, `values` by name, `energies` of all chains."""
        return optimum.optimum(self)

    def findings(self, graph: FactorGraph | None = None) -> list[Diagnostic]:
        """Warnings about the draws, with what to try: by the program's graph where it is given."""
        return findings(self, self.summaries, graph)

    def table(self, every: bool = False) -> Table | Group:
        """Rows for the screen, all of them or the first: the best point of a search, else the summary of the draws."""
        most = None if every else summary.MOST_ROWS
        if self.optimum is not None:
            return optimum.table(self, self.optimum, most)
        return summary.table(self.summaries, most)

    def document(self) -> dict[str, Any]:
        """The run as the JSON document of `compose run --json` and of `summary.json`, all rows."""
        manifest = self.manifest
        settings = manifest.settings
        return {
            "program": manifest.program["name"],
            "seed": settings["seed"],
            "backend": settings["backend"],
            "draws": self.draws,
            "chains": self.chains,
            "plan": manifest.plan,
            "summary": self.summary() if self.optimum is None else {},
            "log_evidence": manifest.log_evidence or log_evidence(self),
            "diagnostics": manifest.diagnostics,
            "seconds": {name: round(value, 3) for name, value in manifest.seconds.items()},
            "out": str(self.out),
            **({} if self.optimum is None else {"optimum": self.optimum}),
            **({"params": manifest.params} if manifest.params else {}),
        }
