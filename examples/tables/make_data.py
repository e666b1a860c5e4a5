"""Write `samples.csv`: 300 samples of four variables of six values; the seed is fixed."""

from pathlib import Path

from examples.tables import truth

ROWS = 300


def main() -> None:
    rows = truth.samples(truth.probabilities(6), ROWS, seed=0)
    lines = [",".join(rows), *(",".join(map(str, row)) for row in zip(*rows.values(), strict=True))]
    (Path(__file__).parent / "samples.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
