"""Every diagnostic's code and title, in one table: the first two digits name the stage that reports it.

01 syntax · 02 names, types and shapes · 03 data · 04 factors and densities · 05 constraints ·
06 inference · 07 sampling · 08 limits · 09 not built yet. A code is never reused for something else.
`tests/golden/bad/CGxxxx*.cg` holds at least one program that shows each.
"""

CODES: dict[str, str] = {
    # 01 syntax
    "CG0101": "syntax error",
    "CG0102": "a statement starts with an operator",
    "CG0103": "written as in another language",
    "CG0104": "nested too deeply",
    "CG0105": "not a character of the language",
    "CG0106": "the file is not text",
    "CG0107": "a new line before `[` or `-` joins two expressions",
    # 02 names, types, shapes
    "CG0201": "unknown name",
    "CG0202": "declared twice",
    "CG0203": "shapes do not match",
    "CG0204": "wrong type",
    "CG0205": "unknown type",
    "CG0206": "wrong arguments",
    "CG0207": "index out of range",
    "CG0208": "must be known at compile time",
    "CG0209": "declared in the wrong place",
    "CG0210": "a recurrence leaves a gap, overlaps or looks ahead",
    "CG0211": "used before it is declared",
    "CG0212": "name style",
    "CG0213": "never used",
    "CG0214": "programs use each other in a circle",
    "CG0215": "a value's name that several types have",
    "CG0216": "a name hides another",
    "CG0217": "an `# allow` that allows nothing",
    # 03 data
    "CG0301": "data without a value",
    "CG0302": "file cannot be read",
    "CG0303": "column or key not found",
    "CG0304": "value outside its type",
    "CG0305": "missing value",
    "CG0306": "ragged or empty data",
    "CG0307": "unknown data, constant or setting given",
    "CG0308": "path leaves the program's folder",
    "CG0309": "not a file of weights, or a damaged one",
    "CG0310": "weights of something else",
    # 04 factors
    "CG0401": "not a factor",
    "CG0402": "improper: nothing bounds the variable",
    "CG0403": "mixture of factors that are not normalised",
    "CG0404": "quotient whose propriety cannot be shown",
    "CG0405": "subject outside the factor's support",
    "CG0406": "statement without effect",
    "CG0407": "the subject is not linear in the variables: no Jacobian is added",
    "CG0408": "factors of a composition are over different things",
    "CG0409": "a mixture over an array chooses once per array, not per element",
    "CG0410": "a factor with its own variables where its weight must be a number",
    "CG0411": "a factor's constant cannot be computed",
    "CG0412": "a factor's constant varies with a random input",
    "CG0413": "a density whose value is not normalised",
    "CG0414": "foreign code without trust",
    "CG0415": "a learned score where an energy is needed",
    "CG0417": "foreign code that cannot be found",
    "CG0418": "foreign code that is no factor",
    # 05 constraints
    "CG0501": "hard equality between continuous variables",
    "CG0502": "no point satisfies the constraints",
    "CG0503": "a constraint is false whatever the variables",
    "CG0504": "observed value breaks its type or a constraint",
    "CG0505": "a constraint holds, or fails, whatever the variables",
    # 06 inference
    "CG0601": "method cannot serve the variable",
    "CG0602": "unknown method or option",
    "CG0603": "backend is not installed",
    "CG0604": "nothing to sample, or to learn",
    "CG0605": "the program does not say how to draw its variables or data",
    "CG0606": "a proposal that cannot propose for its variables",
    # 07 sampling
    "CG0701": "energy is not a number",
    "CG0702": "chains have not mixed (R-hat)",
    "CG0703": "too few effective draws",
    "CG0704": "divergent transitions",
    "CG0705": "draws do not follow the program's density exactly",
    "CG0706": "interrupted",
    "CG0707": "a folder or file cannot be written",
    "CG0708": "run folder cannot be resumed or read",
    "CG0709": "a chain does not move",
    "CG0710": "learning diverged",
    # 08 limits
    "CG0801": "too large",
    "CG0802": "time limit reached",
    # 09 not built yet
    "CG0901": "not built yet",
}
