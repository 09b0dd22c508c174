"""Slips in a recipe, each told in one line with its place and the way out."""

import pytest

from tests.support.recipe_files import CLASSES, cases, error_of, flatten, load


@pytest.mark.parametrize(
    ("text", "message"),
    **cases(
        {
            "typo": ("sed: 2", "no such key 'sed'; did you mean 'seed'?"),
            "nothing near": ("qqqq: 2", "no such key 'qqqq'"),
            "of another toolkit": ("max_epochs: 2", "no such key 'max_epochs'"),  # which this base has not either
            "deeper": ("beam: 2", "no such key 'beam'; did you mean 'parts.search.beam'?"),
            "nested": ("parts: {dropot: 2}", "no such key 'parts.dropot'; did you mean 'parts.dropout'?"),
            "twice nested": (
                "parts: {search: {beams: 2}}",
                "no such key 'parts.search.beams'; did you mean 'parts.search.beam'?",
            ),
            "argument of the base": (
                "encoder: {n_layer: 2}",
                "no such key 'encoder.n_layer'; did you mean 'encoder.n_layers'?",
            ),
            "argument of the class": (
                "encoder: {dropot: 2}",
                "no such key 'encoder.dropot'; did you mean 'encoder.dropout'?",
            ),
            "argument, nothing near": (
                "encoder: {zzz: 2}",
                "no such key 'encoder.zzz'; it takes: d_model, n_layers, mixers, heads, dropout",
            ),
            "argument of the new class": (
                f"encoder: !new:{CLASSES}.OtherEncoder {{csg: 2}}",
                "no such key 'encoder.csg'; did you mean 'encoder.csgu'?",
            ),
            "first argument": (
                "mixers: {xnor: {head: 2}}",
                "no such key 'mixers.xnor.head'; did you mean 'mixers.xnor.heads'?",
            ),
            "key in a value": ("mixer: {a: 1}", "'mixer' is a single value or a list, it has no keys"),
            "key in a list": ("betas: {a: 1}", "'betas' is a single value or a list, it has no keys"),
            "value for a group": (
                "parts: 3",
                "'parts' is a group of keys and no single value: "
                "set one of its keys ('parts.KEY'), or give null to switch it off",
            ),
            "list for an object": (
                "encoder: [3]",
                f"'encoder' is `!new:{CLASSES}.Encoder` and no single value: "
                "set one of its keys ('encoder.KEY'), or give null to switch it off",
            ),
        }
    ),
)
def test_differences_that_do_not_fit_the_base(write, text, message):
    path = write(f"# head\nbase: base.yaml\n\nlr: 2\n{text}\n")
    assert error_of(flatten, path) == f"{path}, line 5: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    **cases(
        {
            "syntax": (
                "b: [1\nc: 2",
                "line 3: expected ',' or ']', but got ':' while parsing a flow sequence",
            ),
            "key twice": ("a: 2", "line 2: the key 'a' is given twice"),
            "nested key twice": ("b: {c: 1, c: 2}", "line 2: the key 'b.c' is given twice"),
            "alias": ("b: &x 1\nc: *x", "line 3: '*x' is a YAML alias; write !ref <key> instead"),
            "unquoted reference": (
                "b: [!ref <a[x]>]",
                "line 2: found character '>' that cannot start any token while scanning "
                "for the next token; "
                "inside [ ] and { } quote a reference: !ref '<a[b]>'",
            ),
            "unknown tag": (
                "b: !neww:torch.nn.Linear {in_features: 1}",
                "line 2: unknown tag '!neww:torch.nn.Linear'; the tags are !ref, !copy, !PLACEHOLDER, "
                "!tuple, !new:, !name:, !apply:",
            ),
            "include": (
                "b: !include:other.yaml",
                "line 2: !include cannot stand in a recipe; use `base: FILE`",
            ),
            "keyword": (
                "b: !new:torch.nn.Linear\n  in_feature: 4",
                "line 3: no such key 'b.in_feature'; did you mean 'b.in_features'?",
            ),
            "keyword in a list": (
                "b: [!name:torch.nn.Linear {in_feature: 4}]",
                "line 2: no such key 'b.0.in_feature'; did you mean 'b.0.in_features'?",
            ),
            "class": (
                "b: !new:collections.Conter",
                "line 2: there is no 'Conter' in 'collections'; did you mean 'Counter'?",
            ),
            "module": (
                "b: !new:colections.Counter",
                "line 2: cannot find 'colections.Counter': there is no module 'colections'",
            ),
        }
    ),
)
def test_slips_in_a_full_recipe(write, text, message):
    path = write(f"a: 1\n{text}\n")
    assert error_of(flatten, path) == f"{path}, {message}"


def test_any_keyword_where_the_class_takes_any(write):
    write(f"a: !new:{CLASSES}.Anything {{x: 1}}\n", "any")
    assert load(write("base: any.yaml\na: {y: 2}\n")).hparams["a"].keywords == {"x": 1, "y": 2}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- a\n- b\n", "word\n"], ids=repr)
def test_a_file_without_keys_is_no_recipe(write, text):
    path = write(text)
    assert error_of(flatten, path) == f"{path} is no recipe: it must consist of `key: value` lines"


def test_a_file_that_is_no_text(write):
    path = write("")
    path.write_bytes(b"\xff\xfe\x00")
    assert error_of(flatten, path).startswith(f"cannot read {path}: ")


def test_missing_recipe_names_the_nearest(write, tmp_path, monkeypatch):
    path = write("base: base.yaml\n", "conformer")
    missing = path.with_name("conformr.yaml")
    message = f"there is no recipe '{missing}'; did you mean 'conformer'? recipes in {path.parent}: base, conformer"
    assert error_of(load, missing) == message
    monkeypatch.chdir(tmp_path)
    message = "there is no recipe 'elsewhere/qq.yaml'; recipes in hparams: base, conformer"
    assert error_of(load, "elsewhere/qq.yaml") == message
    message = "there is no recipe 'conformer'; did you mean 'hparams/conformer.yaml'?"
    assert error_of(load, "conformer") == message, "a name as --help lists it"
    assert error_of(load, "").startswith("no recipe is given: give a file")


def test_the_folder_of_a_run_is_no_recipe(write):
    folder = write("lr: 1\n", "recipe").parent
    assert error_of(load, folder) == f"{folder} is the folder of a run: give {folder}/recipe.yaml"


def test_missing_base_and_circular_bases(write):
    path = write("# head\nbase: bse.yaml\n")
    expected = f"{path}, line 2: there is no base '{path.parent / 'bse.yaml'}'; did you mean 'base.yaml'?"
    assert error_of(flatten, path) == expected
    (path.parent / ".hidden.yaml").write_text("lr: 1\n")
    lonely = write("base: zzzz.yaml\n", "zzzz1")
    assert error_of(flatten, lonely).endswith("'; a base is looked for beside the file that names it"), "never itself"
    first = write("base: b.yaml\n", "a")
    second = write("x: 1\nbase: a.yaml\n", "b")
    assert error_of(flatten, first) == f"{second}, line 2: the base '{first}' builds on this file in turn"


@pytest.mark.parametrize(
    ("text", "message"),
    **cases(
        {
            "typo": (
                "b: {c: !ref <d_modl>}",
                "'b.c' refers to <d_modl>, which does not exist; did you mean 'd_model'?",
            ),
            "nested typo": (
                "b: !ref <parts[droput]> / 2",
                "'b' refers to <parts[droput]>, which does not exist; did you mean 'parts[dropout]'?",
            ),
            "unknown": ("b: !ref <qqqq>", "'b' refers to <qqqq>, which does not exist"),
            "dot": (
                "b: !ref <parts.dropout>",
                "'b' refers to <parts.dropout>: a dot asks an object for an attribute; a key is <parts[dropout]>",
            ),
            "nested reference": (
                "b: !ref <parts[<d_model>]>",
                "'b' refers to <parts[<d_model>: a reference cannot stand inside another",
            ),
            "itself": ("b: !ref <b>", "'b' refers to itself, directly or in a circle"),
            "circle": (
                "b: !ref x/<c>\nc: !ref <d>\nd: !ref <b>",
                "'b' refers to itself, directly or in a circle",
            ),
            "behind a reference": (
                "b: !ref <c>\nc: {d: !ref <d_modl>}",
                "'c.d' refers to <d_modl>, which does not exist; did you mean 'd_model'?",
            ),
            "object in brackets": (
                "b: [!name:collections.Counter {a: 1}]",
                "'b.0' is an object in [ ], which HyperPyYAML misreads: "
                "write the list as lines that begin with `- `, "
                "or move it below what it refers to",
            ),
            "reference in brackets": (
                "b: [!ref <c>]\nc: !new:collections.Counter {a: 1}",
                "'b.0' is an object in [ ], which HyperPyYAML misreads: "
                "write the list as lines that begin with `- `, "
                "or move it below what it refers to",
            ),
            "its own parent": ("b:\n  c: !ref <b>", "'b' refers to itself, directly or in a circle"),
            "order": (
                "b: !ref <c>\nc: !ref <d_model>",
                "'b' refers to <c>, which further down refers to <d_model>: write <d_model> here, or move 'b' below",
            ),
            "order with arithmetic": (
                "b: {e: !ref <c>}\nc: !ref <d_model> * 2",
                "'b.e' refers to <c>, which further down refers to <d_model> * 2: "
                "write <d_model> * 2 here, or move 'b.e' below",
            ),
        }
    ),
)
def test_references_that_cannot_be_followed(write, text, message):
    path = write(f"d_model: 8\nparts: {{dropout: 0.1}}\n{text}\n")
    assert error_of(flatten, path) == f"{path}: {message}"


def test_arithmetic_may_come_before_what_it_refers_to(write):
    assert load(write("b: !ref <c> * 2\nc: !ref <d>\nd: 4\n")).hparams["b"] == 8


def test_references_that_can_be_followed(write):
    path = write(
        "a: 2\nb: !ref <a>\nc: !ref <b> * 3\nd: {e: !ref <c>, f: [1]}\ng: !ref <d[f]>\nh: !copy <d[f]>\n"
        "i: !ref <d>\nj: !ref <i[e]>\nk: !new:fractions.Fraction {numerator: !ref <a>}\n"
        "l: !ref <k.numerator>\n"
    )
    hparams = load(path).hparams
    assert [hparams[key] for key in "bcghjl"] == [2, 6, [1], [1], 6, 2]


def test_placeholders_must_be_given(write, base):
    assert error_of(load, base) == f"{base}: data_folder is not set: give --data_folder PATH"
    path = write("data_folder: !PLACEHOLDER\nlm:\n  words: !PLACEHOLDER\n")
    message = f"{path}: data_folder and lm.words are not set: give --data_folder PATH --lm.words VALUE"
    assert error_of(load, path) == message
    assert "!PLACEHOLDER" in flatten(path)


@pytest.mark.parametrize(
    ("text", "message"),
    **cases(
        {
            "value": (
                f"a: {{b: !new:{CLASSES}.Encoder {{d_model: 144, heads: 5}}}}",
                "a.b: heads 5 do not divide d_model 144",
            ),
            "missing argument": (
                f"a: !new:{CLASSES}.Encoder {{heads: 5}}",
                "a: Encoder.__init__() missing 1 required positional argument: 'd_model'",
            ),
            "assertion": (
                "a: [!new:torch.nn.MultiheadAttention {embed_dim: 144, num_heads: 5}]",
                "a.0: embed_dim must be divisible by num_heads",
            ),
            "inside another": (
                f"a: !new:{CLASSES}.Anything\n  x: !new:{CLASSES}.Encoder {{d_model: 6, heads: 5}}",
                "a.x: heads 5 do not divide d_model 6",
            ),
            "file": (
                "a: !apply:os.listdir [/no/such/folder]",
                "a: [Errno 2] No such file or directory: '/no/such/folder'",
            ),
            "mistake in an own class": (f"a: !new:{CLASSES}.Table {{name: b}}", "a: KeyError: 'b'"),
            "function as a class": (
                "a: !new:math.sqrt [4]",
                "a: !new:math.sqrt should be a class, but is <built-in function sqrt>",
            ),
        }
    ),
)
def test_errors_of_constructors_name_the_key(write, text, message):
    path = write(f"{text}\n")
    assert error_of(load, path) == f"{path}: {message}"


def test_loading_after_a_failure_is_not_disturbed(write, base):
    before = load(base, {"data_folder": "/corpus"})
    error_of(load, write(f"a: !new:{CLASSES}.Encoder {{d_model: 7}}\n"))
    after = load(base, {"data_folder": "/corpus"})
    assert (after.text, after.hash) == (before.text, before.hash)
    assert [mixer().heads for mixer in after.hparams["encoder"].mixers] == [4, 4, 4, 4]
