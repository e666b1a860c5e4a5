"""Write `states.csv` and `borders.csv`: the 48 contiguous states and the pairs that share a border line.

Geography is public-domain fact. States that meet in a point only (Arizona and Colorado, New Mexico and Utah)
are not neighbours; Michigan and Wisconsin are, by land on the Upper Peninsula.
"""

import csv
from pathlib import Path

NEIGHBOURS = """
AL: FL GA MS TN
AR: LA MO MS OK TN TX
AZ: CA NM NV UT
CA: AZ NV OR
CO: KS NE NM OK UT WY
CT: MA NY RI
DE: MD NJ PA
FL: AL GA
GA: AL FL NC SC TN
IA: IL MN MO NE SD WI
ID: MT NV OR UT WA WY
IL: IA IN KY MO WI
IN: IL KY MI OH
KS: CO MO NE OK
KY: IL IN MO OH TN VA WV
LA: AR MS TX
MA: CT NH NY RI VT
MD: DE PA VA WV
ME: NH
MI: IN OH WI
MN: IA ND SD WI
MO: AR IA IL KS KY NE OK TN
MS: AL AR LA TN
MT: ID ND SD WY
NC: GA SC TN VA
ND: MN MT SD
NE: CO IA KS MO SD WY
NH: MA ME VT
NJ: DE NY PA
NM: AZ CO OK TX
NV: AZ CA ID OR UT
NY: CT MA NJ PA VT
OH: IN KY MI PA WV
OK: AR CO KS MO NM TX
OR: CA ID NV WA
PA: DE MD NJ NY OH WV
RI: CT MA
SC: GA NC
SD: IA MN MT ND NE WY
TN: AL AR GA KY MO MS NC VA
TX: AR LA NM OK
UT: AZ CO ID NV WY
VA: KY MD NC TN WV
VT: MA NH NY
WA: ID OR
WI: IA IL MI MN
WV: KY MD OH PA VA
WY: CO ID MT NE SD UT
"""


def write(name: str, header: list[str], rows: list[list[object]]) -> None:
    with (Path(__file__).parent / name).open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def main() -> None:
    neighbours = {line[:2]: line[4:].split() for line in NEIGHBOURS.split("\n") if line}
    states = list(neighbours)
    one_sided = [(a, b) for a in states for b in neighbours[a] if a not in neighbours[b]]
    if one_sided:
        raise SystemExit(f"listed on one side only: {one_sided}")
    borders = [[states.index(a), states.index(b)] for a in states for b in neighbours[a] if a < b]
    write("states.csv", ["state"], [[state] for state in states])
    write("borders.csv", ["a", "b"], borders)


if __name__ == "__main__":
    main()
