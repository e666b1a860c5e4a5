"""Small discrete programs: every kind of domain, factor and index that local energies must get right."""

DISCRETE: dict[str, str] = {
    "lattice": """
        var s: spin[3, 4]
        for (p, q) in grid(3, 4) { energy -0.4 * s[p] * s[q] }
        energy 0.1 * s
    """,
    "odd torus": "var s: spin[3, 3]\nfor (p, q) in torus(3, 3) { energy -0.3 * s[p] * s[q] }",
    "categories": """
        var z: category(3)[6]
        for (i, j) in chain(6) { energy if z[i] == z[j] then 0.7 else 0.1 * i }
        z ~ Categorical([0.2, 0.3, 0.5])
    """,
    "triples": """
        var b: bool[6]
        for i in range(4) { energy b[i] * b[i + 1] * (1 - b[i + 2]) * (0.5 + i) }
        b ~ Bernoulli(0.4)
    """,
    "integers and a sum": """
        var k: int(0, 3)[4]
        energy 0.2 * (sum(k) - 5)^2
        for (i, j) in pairs(4) { energy abs(k[i] - k[j]) * 0.1 }
        require k[0] + k[1] >= 1
    """,
    "a filtered plate": """
        var s: spin[7]
        for i in range(7), j in range(7) if i < j and (i * j) % 3 == 1 { energy 0.2 * s[i] * s[j] }
        for i in range(7), j in range(i) { energy 0.05 * s[i] * s[j] * (j + 1) }
    """,
    "partly observed": """
        var s: spin[4, 3]
        observe s[0] = [1, -1, 1]; observe s[2, 1] = -1
        for (p, q) in grid(4, 3) { energy -0.5 * s[p] * s[q] }
        energy 0.2 * sum(s[i, 0] for i in range(4))
    """,
    "two variables": """
        var z: category(3)[4]; var b: bool[4]; var m: spin
        for i in range(4) {
          energy if b[i] then 0.3 * z[i] else -0.2 * m
          if b[i] { z[i] ~ Categorical([0.1, 0.2, 0.7]) }
        }
        for (i, j) in chain(4) { energy 0.4 * (z[i] == z[j]) * m }
    """,
    "dynamic indices": """
        const w = [0.3, -0.8, 1.1, 0.2]
        var z: category(4)[3]; var k: int(-1, 1)[4]
        for i in range(3) { energy w[z[i]] * k[z[i]] }
        energy k[z[0]] * k[z[1]] + z[k[0] + 1]
        for (i, j) in chain(4) { energy 0.1 * k[i] * k[j] }
    """,
    "a site read twice": """
        data edges: int[5, 2] = [[0, 1], [2, 2], [1, 0], [3, 3], [2, 3]]
        var s: int(0, 2)[4]
        for (i, j) in edges { energy 0.3 * s[i] * (s[j] - 1) + 0.1 * s[i]^2 }
    """,
    "overlapping slices": """
        factor Block(x: bool[n]) { energy 0.3 * (sum(x) - 1)^2; for i in range(n - 1) { energy 0.2 * x[i] * x[i + 1] } }
        var b: bool[9]
        b[0:4] ~ Block; b[3:7] ~ Block; b[5:9] ~ Block; b[::-2] ~ Block
        let g = [b[0:3], b[3:6], b[6:9]]
        g ~ Block
    """,
    "mixtures and products": """
        density Near(z: int(0, 3) | m: int(0, 3)) { energy abs(z - m) + log(1 + 2 * exp(-1) + exp(-2)) }
        var z: int(0, 3)[5]
        for i in range(4) { z[i + 1] ~ 0.4 * Near(z[i]) + 0.6 * Near(0) }
        (z[:2]) ~ Near(1) * Near(2)^0.5
    """,
    "a recurrence": """
        var b: bool[6]
        let c[0] = if b[0] then 1 else 0
        let c[t] = if b[t] then c[t-1] + 1 else 0 for t in range(1, 6)
        energy -0.4 * max(c) + 0.3 * sum(c)
    """,
    "constraints": """
        var z: category(3)[5]; var b: bool[4]
        for (i, j) in chain(5) { require z[i] != z[j] }
        require at_least(b, 1); require implies(b[0], z[0] == 1); prefer exactly_one(b) weight 0.7
        for i in range(4) if b[i] { require z[i] > 0 }
    """,
    "independent sites": "var z: int(-1, 2)[5]\nfor i in range(5) { energy 0.3 * z[i] * i }",
}

#: programs over orderings, few enough to list
ORDERINGS: dict[str, str] = {
    "a tour": """
        data cost: real[4, 4] = [[0, 1, 2, 3], [1, 0, 1.5, 2], [2, 0.5, 0, 1], [3, 2, 1, 0.5]]
        var p: permutation(4)
        for (i, j) in chain(4) { energy 0.6 * cost[p[i], p[j]] }
        require p[0] != 3
    """,
    "a tour in one sum": """
        data cost: real[4, 4] = [[0, 1, 2, 3], [1, 0, 1.5, 2], [2, 0.5, 0, 1], [3, 2, 1, 0.5]]
        var p: permutation(4)
        energy 0.6 * sum(cost[p[i], p[i + 1]] for i in range(3)) + cost[p[3], p[0]]
    """,
    "a long tour": """
        var p: permutation(6)
        for (i, j) in chain(6) { energy abs(p[i] - p[j]) * 0.4; prefer p[i] < p[j] weight 0.2 }
        for i in range(6) { energy 0.1 * i * p[i] }
    """,
    "several": """
        var q: permutation(3)[3]
        for (a, b) in chain(3) { for i in range(3) { energy 0.5 * (q[a, i] == q[b, i]) } }
        for k in range(3) { energy 0.7 * q[k, 0] * k }
        require q[0] != [0, 1, 2] or q[1, 0] == 2
    """,
    "independent ones": """
        var q: permutation(3)[2, 2]
        for i in range(2), j in range(2) { energy q[i, j, i] * (0.3 + j) }
    """,
    "partly observed": """
        var q: permutation(4)[2]
        observe q[1] = [2, 0, 3, 1]
        for i in range(4) { energy 0.8 * (q[0, i] == q[1, i]) }
    """,
    "an index and a value": """
        data x: real[4] = [0.2, -1, 0.7, 1.4]
        var p: permutation(4); var z: category(4); var b: bool
        energy x[p[z]] * (if b then 1 else -1) + 0.3 * (p[p[0]] == 2)
        if b { energy 0.5 * p[2] }
        energy 0.3 * sum(x[p] * [1, 2, 3, 4]) + 0.2 * dot(argsort(p), [0, 1, 2, 4])
    """,
}
