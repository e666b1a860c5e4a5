"""What data files and Python values become, and that each thing wrong with them is named with its place."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save_file

from compose_lang.compiler.ir.types import BOOL, INT, POSITIVE, REAL, TEXT, UNIT, Domain, Type
from compose_lang.compiler.sources.convert import bind_data, read_file, resolve_path, violation
from compose_lang.compiler.sources.formats import READERS
from compose_lang.diagnostics import ComposeError

ANY = -1
SPIN = Domain("spin")
MAGIC = {
    ".npy": b"\x93NUMPY\x01\x00",
    ".npz": b"PK\x03\x04",
    ".png": b"\x89PNG\r\n\x1a\n",
    ".jpg": b"\xff\xd8\xff",
}


def read(path: Path, type: Type, field: str | None = None) -> np.ndarray:
    return bind_data(read_file(path, field, None), type, "y", None)


def failure(path: Path, type: Type, field: str | None = None) -> tuple[str, str]:
    with pytest.raises(ComposeError) as caught:
        read(path, type, field)
    (found,) = caught.value.diagnostics
    return found.code, f"{found.message} | {found.help}"


@pytest.fixture
def write(tmp_path: Path):
    def writer(name: str, text: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return writer


# --- what is read --------------------------------------------------------------------------------------


def test_csv_columns_by_name(write):
    path = write("schools.csv", "school,effect,n,treated,group\r\nA, 28,3.0,true,red\r\nB,-3.5,4,0,blue\r\n")
    assert read(path, Type(REAL, (ANY,)), "effect").tolist() == [28.0, -3.5]
    counts = read(path, Type(INT, (2,)), "n")
    assert counts.dtype == np.int64 and counts.tolist() == [3, 4]
    assert read(path, Type(BOOL, (ANY,)), "treated").tolist() == [1, 0]
    assert read(path, Type(TEXT, (ANY,)), "school").tolist() == ["A", "B"]
    colours = Type(Domain("category", size=3, names=("red", "green", "blue")), (ANY,))
    assert read(path, colours, "group").tolist() == [0, 2]


def test_csv_as_a_matrix_and_one_row_as_a_number(write):
    path = write("m.csv", "\ufeffa,b\n1,2\n3,4\n\n")
    assert read(path, Type(REAL, (ANY, 2))).tolist() == [[1, 2], [3, 4]]
    assert read(write("one.csv", "k\n2.5\n"), Type(REAL), "k") == 2.5
    assert read(write("numbered.csv", "0,1\n5,6\n"), Type(REAL, (ANY, ANY))).tolist() == [[5, 6]]


def test_json_keys_and_nested_arrays(write):
    path = write(
        "all.json", json.dumps({"y": [[1, 2.5], [3, 4]], "n": 7, "ok": [True, False], "c": ["lo", "hi"]})
    )
    assert read(path, Type(REAL, (ANY, ANY)), "y").tolist() == [[1, 2.5], [3, 4]]
    assert read(path, Type(INT), "n") == 7
    assert read(path, Type(BOOL, (2,)), "ok").tolist() == [1, 0]
    assert read(path, Type(Domain("category", size=2, names=("lo", "hi")), (2,)), "c").tolist() == [0, 1]
    assert read(write("bare.json", "[1, 2]"), Type(REAL, (2,))).tolist() == [1, 2]


def test_numpy_and_safetensors(tmp_path):
    y = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "y.npy", y)
    np.savez(tmp_path / "one.npz", y=y)
    np.savez(tmp_path / "two.npz", y=y, z=y[0] + 1)
    save_file({"y": y.astype(np.float32)}, tmp_path / "y.safetensors")
    matrix = Type(REAL, (ANY, 3))
    for name in ("y.npy", "one.npz", "y.safetensors"):
        assert np.array_equal(read(tmp_path / name, matrix), y)
    assert read(tmp_path / "two.npz", Type(INT, (3,)), "z").tolist() == [1, 2, 3]


def test_images_by_rank(tmp_path):
    grey = np.array([[0, 51], [255, 102]], dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.allclose(read(tmp_path / "grey.png", Type(REAL, (ANY, ANY))), grey / 255)
    assert read(tmp_path / "grey.png", Type(REAL, (1, 2, 2))).shape == (1, 2, 2)
    colour = np.zeros((2, 3, 3), dtype=np.uint8)
    colour[0, 1] = [255, 0, 0]
    Image.fromarray(colour).save(tmp_path / "colour.png")
    assert read(tmp_path / "colour.png", Type(REAL, (3, 2, 3)))[0, 0, 1] == 1.0
    assert read(tmp_path / "colour.png", Type(REAL, (2, 3)))[0, 1] == pytest.approx(0.299)
    deep = np.array([[0, 65535]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert read(tmp_path / "deep.png", Type(UNIT_CLOSED, (1, 2))).tolist() == [[0, 1]]


UNIT_CLOSED = Domain("real", lower=0.0, upper=1.0)


def test_black_and_white_images_are_truth_values_and_spins(tmp_path):
    Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1").save(tmp_path / "bw.png")
    assert read(tmp_path / "bw.png", Type(BOOL, (1, 2))).tolist() == [[0, 1]]
    assert read(tmp_path / "bw.png", Type(SPIN, (1, 2))).tolist() == [[-1, 1]]
    Image.fromarray(np.array([[0, 128]], dtype=np.uint8)).save(tmp_path / "grey.png")
    for domain in (BOOL, SPIN, INT):
        code, message = failure(tmp_path / "grey.png", Type(domain, (1, 2)))
        assert code == "CG0304" and "pixel [0, 1]: 0.50196" in message


def test_python_values():
    assert bind_data([1, 2, 4], Type(REAL, (3,)), "y", None).tolist() == [1.0, 2.0, 4.0]
    assert bind_data(np.float32(2.0), Type(INT), "n", None) == 2
    assert bind_data([[0.25, 0.75]], Type(Domain("simplex", size=2), (1,)), "w", None).shape == (1, 2)


def test_hash_is_that_of_the_file(write):
    raw = read_file(write("y.json", "[1]"), None, None)
    assert raw.sha256 == "080a9ed428559ef602668b4c00f114f1a11c3f6b02a435f0bdc154578e4d7f22"


# --- what is wrong with files --------------------------------------------------------------------------

REALS = Type(REAL, (ANY,))


def test_csv_faults(write):
    cases = [
        ("a,b\n1,2\n", REALS, "c", "CG0303", 'no column "c"'),
        ("effect\n1\n", REALS, "efect", "CG0303", "did you mean `effect`?"),
        ("a,a\n1,2\n", REALS, "a", "CG0303", "2 columns"),
        ("1.5,2\n3,4\n", REALS, "a", "CG0303", "not the names of columns"),
        ("", REALS, "a", "CG0306", "empty"),
        ("\n\n", REALS, "a", "CG0306", "empty"),
        ("a\n", REALS, "a", "CG0306", "no rows"),
        ("a,b\n1,2\n3\n", REALS, "a", "CG0306", "row 2: 1 cells, but the header has 2"),
        ("a\n1\nx\n", REALS, "a", "CG0304", "column \"a\", row 2: 'x' is not a number"),
        ("a,b\n1,2\n,4\n", REALS, "a", "CG0305", 'column "a", row 2: the value is missing'),
        ("a\n1\nNA\n", REALS, "a", "CG0305", "row 2"),
        ("a\n1\nnan\n", REALS, "a", "CG0305", "row 2"),
        ("a\n1\n-inf\n", REALS, "a", "CG0304", "row 2: -inf is not finite"),
        ("a\n1\n2\n-1\n", Type(POSITIVE, (ANY,)), "a", "CG0304", "row 3: -1 is not positive"),
        ("a\n0\n", Type(POSITIVE, (ANY,)), "a", "CG0304", "row 1: 0 is not positive"),
        ("a\n0\n", Type(UNIT, (ANY,)), "a", "CG0304", "0 is not strictly between 0 and 1"),
        ("a\n1.5\n", Type(INT, (ANY,)), "a", "CG0304", "row 1: 1.5 is not a whole number"),
        ("a\n9\n", Type(Domain("int", 0, 5), (ANY,)), "a", "CG0304", "9 is not between 0 and 5"),
        ("a\n2\n", Type(BOOL, (ANY,)), "a", "CG0304", "2 is not 0 or 1"),
        ("a\nmaybe\n", Type(BOOL, (ANY,)), "a", "CG0304", "'maybe' is not a value"),
        ("a\n0\n", Type(SPIN, (ANY,)), "a", "CG0304", "0 is not -1 or 1"),
        (
            "a\n3\n",
            Type(Domain("category", size=3), (ANY,)),
            "a",
            "CG0304",
            "3 is not a category from 0 to 2",
        ),
        ("a\nrd\n", Type(Domain("category", 0, 0, 2, ("red", "blue")), (ANY,)), "a", "CG0304", "mean `red`"),
        ("a\n1\n2\n", Type(REAL, (3,)), "a", "CG0203", "y is declared [3], but"),
        ("a\n1\n2\n", Type(REAL), "a", "CG0203", "declared [], but"),
        ('a\n"1\n', REALS, "a", "CG0302", "not a CSV file"),
    ]
    for text, type, field, code, part in cases:
        found, message = failure(write("data.csv", text), type, field)
        assert (found, part in message) == (code, True), (text, found, message)
    assert failure(write("data.csv", b"a\n\xff\xfe\n"), REALS, "a")[0] == "CG0302"


def test_a_matrix_names_row_and_column(write):
    found, message = failure(write("m.csv", "a,b\n1,2\n3,oops\n"), Type(REAL, (ANY, ANY)))
    assert found == "CG0304" and "m.csv, column \"b\", row 2: 'oops'" in message


def test_json_faults(write):
    cases = [
        ("{", None, "CG0302", "line 1, column 2: not JSON"),
        ('{"a": 1,\n "b": }', "a", "CG0302", "line 2"),
        ("[" * 100_000, None, "CG0302", "nested too deeply"),
        ('{"Y": [1]}', "y", "CG0303", "did you mean `Y`?"),
        ("[1]", "y", "CG0303", "does not hold an object"),
        ("[[1, 2], [3]]", None, "CG0306", "differ in length"),
        ("[1, [2]]", None, "CG0306", "differ in length"),
        ("[]", None, "CG0306", "no values"),
        ("[1, null]", None, "CG0305", "element [1]"),
        ("[1, NaN]", None, "CG0305", "element [1]"),
        ("[1, 1e999]", None, "CG0304", "element [1]: inf is not finite"),
        ('[1, "2"]', None, "CG0304", "element [1]: '2' is text"),
        ('[1, "x"]', None, "CG0304", "element [1]: 'x' is not a number"),
        ('{"y": [1]}', None, "CG0304", "holds an object"),
        ("[1, " + "9" * 400 + "]", None, "CG0304", "element [1]"),
    ]
    for text, field, code, part in cases:
        found, message = failure(write("data.json", text), REALS, field)
        assert (found, part in message) == (code, True), (text[:50], found, message)


def test_array_files_faults(tmp_path, write):
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    found, message = failure(tmp_path / "pickled.npy", REALS)
    assert found == "CG0302" and "not read" in message
    np.savez(tmp_path / "two.npz", a=np.ones(1), b=np.ones(1))
    assert "name one of a, b" in failure(tmp_path / "two.npz", REALS)[1]
    assert failure(tmp_path / "two.npz", REALS, "c")[0] == "CG0303"
    np.save(tmp_path / "complex.npy", np.ones(2) * 1j)
    assert failure(tmp_path / "complex.npy", REALS)[0] == "CG0304"
    np.save(tmp_path / "wide.npy", np.ones((2, 3)))
    found, message = failure(tmp_path / "wide.npy", REALS)
    assert found == "CG0203" and "declared [_], but wide.npy has [2, 3]" in message
    np.save(tmp_path / "negative.npy", np.array([[1.0, -2.0]]))
    assert (
        "element [0, 1]: -2 is not positive" in failure(tmp_path / "negative.npy", Type(POSITIVE, (1, 2)))[1]
    )
    for name in ("broken.npy", "broken.npz", "broken.safetensors", "broken.png", "broken.parquet"):
        assert failure(write(name, "PK\x03\x04 what is this"), REALS)[0] == "CG0302"
        assert failure(write(name, ""), REALS)[0] == "CG0306"


def test_truncated_files(tmp_path):
    np.save(tmp_path / "y.npy", np.arange(1000.0))
    np.savez(tmp_path / "y.npz", y=np.arange(1000.0))
    save_file({"y": np.arange(1000.0)}, tmp_path / "y.safetensors")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)).save(
        tmp_path / "y.png"
    )
    for path in sorted(tmp_path.iterdir()):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert failure(path, REALS)[0] == "CG0302", path


def test_files_that_are_not_there(tmp_path, write):
    write("schools.csv", "a\n1\n")
    found, message = failure(tmp_path / "scools.csv", REALS, "a")
    assert found == "CG0302" and "no file scools.csv" in message and "`schools.csv`" in message
    (tmp_path / "folder.csv").mkdir()
    assert failure(tmp_path / "folder.csv", REALS, "a")[0] == "CG0302"
    assert failure(write("data.xls", "x"), REALS)[0] == "CG0302"


def test_size_limit_counts_unpacked_bytes(tmp_path):
    np.savez_compressed(tmp_path / "zeros.npz", y=np.zeros(100_000))
    with pytest.raises(ComposeError) as caught:
        read_file(tmp_path / "zeros.npz", None, None, limit=100_000)
    assert caught.value.exit_code == 5 and caught.value.diagnostics[0].code == "CG0801"
    assert read_file(tmp_path / "zeros.npz", None, None, limit=None).value.shape == (100_000,)


def test_paths_stay_in_the_programs_folder(tmp_path):
    home = tmp_path / "home"
    (home / "sub").mkdir(parents=True)
    (tmp_path / "secret.csv").write_text("a\n1\n")
    (home / "link.csv").symlink_to(tmp_path / "secret.csv")
    (home / "loop").symlink_to(home / "loop")
    (home / "sub" / "fine.csv").write_text("a\n1\n")
    assert resolve_path("sub/../sub/fine.csv", home, None).name == "fine.csv"
    for outside in ("../secret.csv", str(tmp_path / "secret.csv"), "link.csv", "sub/../../secret.csv"):
        with pytest.raises(ComposeError, match="CG0308"):
            resolve_path(outside, home, None)
    with pytest.raises(ComposeError, match="CG03"):
        read_file(resolve_path("loop", home, None), None, None)


@pytest.mark.parametrize(
    ("domain", "inside", "outside"),
    [
        (Domain("simplex", size=3), [0.2, 0.3, 0.5], [0.2, 0.3, 0.4]),
        (Domain("simplex", size=3), [0, 0, 1], [-0.1, 0.6, 0.5]),
        (Domain("ordered", size=3), [-1, 0, 2], [-1, 2, 2]),
        (Domain("positive_ordered", size=2), [0.1, 2], [0, 2]),
        (Domain("unit_vector", size=2), [0.6, -0.8], [0.6, 0.9]),
        (Domain("permutation", size=3), [2, 0, 1], [2, 2, 1]),
        (Domain("cholesky_corr", size=2), [[1, 0], [0.6, 0.8]], [[1, 0], [0.6, -0.8]]),
        (Domain("cholesky_corr", size=2), [[1, 0], [0.6, 0.8]], [[1, 0.1], [0.6, 0.8]]),
        (Domain("cholesky_corr", size=2), [[1, 0], [0.6, 0.8]], [[1, 0], [0.6, 0.9]]),
        (Domain("angle"), np.pi, 3.2),
        (Domain("real", upper=2.0), 2.0, 2.1),
        (Domain("int", lower=0), 0, -1),
    ],
)
def test_violation(domain, inside, outside):
    pair = np.array([inside, outside], dtype=float)
    index, reason = violation(pair, domain)
    assert violation(pair[:1], domain) is None and index == (1,) and reason


# --- whatever the bytes --------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", sorted(set(READERS) - {".jpeg", ".parquet"}))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200) | st.text(alphabet='01.,-"[]{}:\n naNif', max_size=60).map(str.encode))
def test_any_bytes_are_values_or_an_error(tmp_path, ending, content):
    path = tmp_path / f"data{ending}"
    path.write_bytes(MAGIC.get(ending, b"") + content)
    try:
        array = read(path, Type(REAL, (ANY,)))
    except ComposeError as error:
        assert error.diagnostics[0].code in (
            "CG0203",
            "CG0302",
            "CG0303",
            "CG0304",
            "CG0305",
            "CG0306",
            "CG0801",
        )
    else:
        assert array.ndim == 1 and np.isfinite(array).all()
