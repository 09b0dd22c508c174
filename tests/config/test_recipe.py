"""Recipes: differences over a base, the flattened text, the mixer of each layer, the hash."""

import pytest
from hyperpyyaml import load_hyperpyyaml

from tests.support.recipe_files import BASE, CLASSES, Encoder, OtherEncoder, cases, error_of, flatten, hparams_of, load


def test_scalars_lists_and_nested_keys_are_merged(write):
    path = write("base: base.yaml\nlr: 5e-4\nbetas: [0.5]\nparts:\n  dropout: 0.2\n  search: {beam: 66}\n")
    hparams = hparams_of(path)
    assert (hparams["lr"], hparams["betas"]) == (5e-4, [0.5])
    assert hparams["parts"] == {"dropout": 0.2, "search": {"beam": 66, "penalties": [1, 2]}}
    assert hparams["d_ffn"] == 32


def test_references_follow_a_difference(write):
    hparams = hparams_of(write("base: base.yaml\nd_model: 16\n"))
    assert hparams["d_ffn"] == 64
    assert hparams["encoder"].d_model == 16


def test_bases_may_have_bases_in_other_folders(write, tmp_path):
    write("base: base.yaml\nlr: 2\nseed: 2\n", "middle")
    (tmp_path / "mine.yaml").write_text("base: hparams/middle.yaml\nseed: 3\n")
    hparams = hparams_of(tmp_path / "mine.yaml")
    assert (hparams["lr"], hparams["seed"], hparams["recipe"]) == (2, 3, "mine")


@pytest.mark.parametrize(
    "tag",
    **cases(
        {
            "no tag": "",
            "same tag": f" !new:{CLASSES}.Encoder",
        }
    ),
)
def test_arguments_of_the_same_class_are_merged(write, tag):
    encoder = hparams_of(write(f"base: base.yaml\nencoder:{tag}\n  n_layers: 6\n  heads: 2\n"))["encoder"]
    assert type(encoder) is Encoder
    assert (encoder.d_model, encoder.n_layers, encoder.heads) == (8, 6, 2)


def test_another_class_replaces_the_arguments_too(write):
    text = f"base: base.yaml\nencoder: !new:{CLASSES}.OtherEncoder\n  d_model: 5\n"
    encoder = hparams_of(write(text))["encoder"]
    assert type(encoder) is OtherEncoder
    assert vars(encoder) == {"d_model": 5, "csgu": 3072}


def test_name_over_new_replaces(write):
    encoder = hparams_of(write(f"base: base.yaml\nencoder: !name:{CLASSES}.Encoder {{heads: 3}}\n"))["encoder"]
    assert encoder.keywords == {"heads": 3}


def test_first_arguments_for_a_class_without_any(write):
    hparams = hparams_of(write("base: base.yaml\nmixer: xnor\nmixers: {xnor: {heads: 3}}\n"))
    assert hparams["layer_mixers"][0]().heads == 3


def test_new_keyword_in_a_flow_mapping(write):
    base = f"c: !new:{CLASSES}.Encoder {{d_model: 4}}\ne: 1\n"
    write(base, "flow")
    hparams = load(write("base: flow.yaml\nc: {heads: 2, dropout: 0.5}\n")).hparams
    assert (hparams["c"].heads, hparams["c"].dropout, hparams["e"]) == (2, 0.5, 1)


def test_new_keywords_at_the_ends_of_nested_objects(write):
    write(f"a: !new:{CLASSES}.Anything\n  b: !new:{CLASSES}.Anything\n    c: 1\nd: 2\n", "nested")
    path = write("base: nested.yaml\na: {e: 3, b: {f: 4}}\n")
    assert flatten(path) == flatten(write("base: nested.yaml\na: {b: {f: 4}, e: 3}\n"))
    outer = load(path).hparams["a"].keywords
    assert (outer["b"].keywords, outer["e"]) == ({"c": 1, "f": 4}, 3)


def test_null_switches_an_object_off_and_an_object_switches_null_on(write):
    assert hparams_of(write("base: base.yaml\nencoder: null\n"))["encoder"] is None
    hparams = hparams_of(write("base: base.yaml\naugment: !new:collections.Counter\n  speed: 3\n"))
    assert hparams["augment"] == {"speed": 3}


@pytest.mark.parametrize(
    "value",
    **cases(
        {
            "comment sign": '"a: b # c"',
            "quote": "'it''s'",
            "yes": "yes",
            "zeros": "007",
            "reference in a list": "[!ref '<parts[dropout]>', 2]",
            "newline": '"two\\nlines"',
            "block text": "|\n  a\n\n  b",
        }
    ),
)
def test_values_keep_their_meaning(write, value):
    write("x: 1  # note\n\n# below\nparts: {dropout: 0.1}\ny: 2\n", "plain")
    path = write(f"base: plain.yaml\nx: {value}\n")
    expected = load_hyperpyyaml(f"x: {value}\nparts: {{dropout: 0.1}}\n")["x"]
    assert load(path).hparams["x"] == expected
    assert load(path).hparams["y"] == 2
    write(flatten(path), "plain")  # and can be replaced again
    assert load(write("base: plain.yaml\nx: 5\n")).hparams["x"] == 5
    assert "\n\n# below\nparts:" in flatten(path)


def test_objects_referred_to_twice_are_one_object(write):
    path = write(f"a: !new:{CLASSES}.Anything\nb: !ref <a>\nc: !new:{CLASSES}.Anything {{a: !ref <a>}}\n")
    hparams = load(path).hparams
    assert hparams["b"] is hparams["a"]
    assert hparams["c"].keywords["a"] is hparams["a"]


def test_flattened_text_keeps_comments_order_and_spelling(write):
    path = write(
        "# Mine: paper, WER, command.\nbase: base.yaml\nlr: 5e-4\nseed: 2  # ours\n"
        "mixer: [xnor, attention*3]\n"
        "encoder:\n  heads: 2  # fewer\naugment: !new:collections.Counter\n  speed: 3\n"
    )
    text = flatten(path)
    expected = BASE.replace("# The base: paper, cost.\n", "# Mine: paper, WER, command.\n")
    expected = expected.replace("lr: 1e-3   # the", "lr: 5e-4   # the").replace("seed: 1\n", "seed: 2  # ours\n")
    expected = expected.replace("mixer: summarymixing  #", "mixer: [xnor, attention*3]  #")
    expected = expected.replace("recipe: null", "recipe: small")
    expected = expected.replace("mixer_name: null", "mixer_name: xnor1+attention3")
    expected = expected.replace("mixers: !ref <layer_mixers>\n", "mixers: !ref <layer_mixers>\n  heads: 2  # fewer\n")
    expected = expected.replace(
        "layer_mixers: null  # filled",
        "layer_mixers: [!ref '<mixers[xnor]>', !ref '<mixers[attention]>', !ref '<mixers[attention]>',\n"
        "  !ref '<mixers[attention]>']  # filled",
    )
    expected = expected.replace("augment: null\n", "augment: !new:collections.Counter\n  speed: 3\n")
    assert text == expected


def test_a_recipe_without_head_comment_keeps_that_of_the_base(write):
    assert flatten(write("base: base.yaml\n")).startswith("# The base: paper, cost.\n\n# Where\n")


ABOUT = "about:  # mine\n  paper: a long\n    story\n  ours: none  # yet\n"


def test_about_is_never_inherited(write):
    write(f"# Head\n\n{ABOUT}\n{BASE}", "described")
    assert load(write("base: described.yaml\n"), {"data_folder": "x"}).hparams.keys() == hparams_of(write(BASE)).keys()
    assert flatten(write("base: described.yaml\nseed: 2\n")) == "# Head\n\n\n" + flatten(write(BASE)).replace(
        "seed: 1", "seed: 2"
    )


def test_about_stands_as_it_is_written_in_the_place_of_the_bases(write):
    write(f"# Head\n\nabout: {{ours: all}}\n\n{BASE}", "described")
    path = write(f"base: described.yaml\nseed: 2\n{ABOUT}")
    assert flatten(path).startswith(f"# Head\n\n{ABOUT}\n# The base: paper, cost.\n")
    assert hparams_of(path)["about"] == {"paper": "a long story", "ours": "none"}
    path = write(f"base: base.yaml\n{ABOUT}")
    assert hparams_of(path)["about"] == {"paper": "a long story", "ours": "none"}


def test_about_is_not_in_the_hash(write):
    where = {"data_folder": "/corpus"}
    assert load(write(f"base: base.yaml\n{ABOUT}"), where).hash == load(write("base: base.yaml\n"), where).hash


def test_flattened_text_loads_with_plain_hyperpyyaml(write):
    text = flatten(write("base: base.yaml\nmixer: [summarymixing*2, xnor*2]\n"), {"data_folder": "/corpus"})
    hparams = load_hyperpyyaml(text)
    assert "base" not in hparams
    assert hparams["output_folder"] == "runs/small/summarymixing2+xnor2/1"
    assert [mixer().heads for mixer in hparams["encoder"].mixers] == [4, 4, 1, 1]


def test_flattening_twice_changes_nothing(write):
    text = flatten(write("# Head\nbase: base.yaml\nmixer: [summarymixing*2, xnor*2]\n"))
    assert flatten(write(text, "kept")) == text


def test_a_flattened_recipe_keeps_its_name_but_does_not_pass_it_on(write):
    kept = write(flatten(write("base: base.yaml\n", "published")), "kept")
    assert load(kept, {"data_folder": "x"}).name == "published"
    assert load(write("base: kept.yaml\n", "mine"), {"data_folder": "x"}).name == "mine"


def test_the_mixers_of_an_edited_flattened_recipe_are_resolved_anew(write):
    text = flatten(write("base: base.yaml\n"))
    edited = write(text.replace("mixer: summarymixing ", "mixer: [xnor, attention] ").replace("layers: 4", "layers: 2"))
    hparams = hparams_of(edited)
    assert [mixer().heads for mixer in hparams["layer_mixers"]] == [1, 8]
    assert hparams["mixer_name"] == "xnor1+attention1"


def test_values_left_empty_and_block_texts_are_replaced_exactly(write):
    write("a:   # note\n# above b\nb: 1\nc: |  # text\n  x\n\n  y\n\n# end\nd: {e: 1, f: [2]}  # flow", "odd")
    path = write("base: odd.yaml\na: 2\nc: 3\nd: {f: 4}\n")
    assert flatten(path) == "a: 2   # note\n# above b\nb: 1\nc: 3  # text\n\n# end\nd: {e: 1, f: 4}  # flow\n"
    path = write("base: odd.yaml\na: {x: 1}\nc: |\n  z\n")
    assert load(path).hparams == {"a": {"x": 1}, "b": 1, "c": "z\n", "d": {"e": 1, "f": [2]}}


def test_comments_that_hyperpyyaml_cannot_read(write):
    path = write("a: !name:collections.Counter {b: 1}  # one\nlist:\n- !ref <a>\n\n# end\nc: 1\n")
    assert load(path).hparams["list"][0]() == {"b": 1}


@pytest.mark.parametrize(
    ("mixer", "heads", "name"),
    [
        ("xnor", [1, 1, 1, 1], "xnor"),
        ("summarymixing*3+attention*1", [4, 4, 4, 8], "summarymixing3+attention1"),
        ("[summarymixing*3, attention*1]", [4, 4, 4, 8], "summarymixing3+attention1"),
        ("[attention, summarymixing * 3]", [8, 4, 4, 4], "attention1+summarymixing3"),
        ("[xnor, xnor*2, xnor]", [1, 1, 1, 1], "xnor"),
        ("xnor*4", [1, 1, 1, 1], "xnor"),
        ("[xnor, attention, xnor, attention]", [1, 8, 1, 8], "xnor1+attention1+xnor1+attention1"),
    ],
)
def test_each_layer_gets_its_mixer(base, mixer, heads, name):
    hparams = hparams_of(base, mixer=mixer)
    assert [make().heads for make in hparams["layer_mixers"]] == heads
    assert [make().heads for make in hparams["encoder"].mixers] == heads
    assert hparams["output_folder"] == f"runs/base/{name}/1"


@pytest.mark.parametrize(
    ("overrides", "message"),
    **cases(
        {
            "too many": (
                {"mixer": "[summarymixing*3, attention*2]"},
                "mixer: [summarymixing*3, attention*2] describes 5 layers, but layers is 4",
            ),
            "too few": ({"mixer": "[xnor]"}, "mixer: [xnor] describes 1 layers, but layers is 4"),
            "typo": (
                {"mixer": "sumarymixing"},
                "mixer: no such mixer 'sumarymixing'; did you mean 'summarymixing'? "
                "mixers: attention, summarymixing, xnor",
            ),
            "unknown": (
                {"mixer": "[xnor*2, qqqq*2]"},
                "mixer: no such mixer 'qqqq'; mixers: attention, summarymixing, xnor",
            ),
            "no count": (
                {"mixer": "xnor*0"},
                "mixer: 'xnor*0' must be NAME or NAME*COUNT, such as summarymixing*2",
            ),
            "null": ({"mixer": None}, "mixer must be a name from the table mixers, or a list of such, not null"),
            "layers not a number": ({"layers": "many"}, "layers must be a whole number from 1 up, not many"),
            "no layers": ({"layers": 0}, "layers must be a whole number from 1 up, not 0"),
        }
    ),
)
def test_mixers_that_do_not_fit(base, overrides, message):
    assert error_of(flatten, base, overrides) == f"{base}: {message}"


def test_the_table_comes_first(write):
    text = "layer_mixers: null\nmixers: {a: !name:collections.Counter {b: 1}}\nmixer: a\nlayers: 2\n"
    path = write(text)
    assert error_of(flatten, path) == f"{path}: 'layer_mixers' must stand below the table 'mixers'"


def test_filled_keys_are_added_where_the_recipe_has_none(write):
    path = write("mixers: {a: !name:collections.Counter {b: 1}}\nmixer: a\nlayers: 2\n")
    added = "layer_mixers: [!ref '<mixers[a]>', !ref '<mixers[a]>']\nmixer_name: a\n"
    assert flatten(path) == path.read_text() + added
    assert load(path).hparams["layer_mixers"][1]() == {"b": 1}


def test_filled_keys_are_not_for_hand(write, base):
    path = write("base: base.yaml\n\nmixer_name: best\n")
    hint = "follows from 'mixer' and 'layers': set those"
    assert error_of(flatten, path) == f"{path}, line 3: 'mixer_name' {hint}"
    assert error_of(flatten, base, {"layer_mixers": []}) == f"command line: 'layer_mixers' {hint}"


@pytest.mark.parametrize(
    ("old", "new"),
    **cases(
        {
            "number": ("lr: 1e-3   # the peak", "lr: 0.001"),
            "list": ("betas: [0.9, 0.98]", "betas:\n- 0.9\n- 0.98"),
            "order": ("seed: 1\n\n# Training\nprecision: fp32", "precision: 'fp32'\nseed: 1"),
            "data_folder": ("data_folder: !PLACEHOLDER", "data_folder: /corpus"),
            "output_folder": ("output_folder: !ref runs/<recipe>/<mixer_name>/<seed>", "output_folder: /tmp"),
            "recipe": ("recipe: null", "recipe: another"),
            "mixer's spelling": ("mixer: summarymixing ", "mixer: summarymixing*4 "),
            "unused mixer": ("heads: 8   #", "heads: 2   #"),
        }
    ),
)
def test_hash_is_the_same_for_the_same_training(write, base, old, new):
    assert BASE.count(old) == 1
    changed = write(BASE.replace(old, new))
    where = {"data_folder": "/corpus"}
    assert load(changed, where).hash == load(base, where).hash


@pytest.mark.parametrize(
    "overrides",
    [
        {"seed": 2},
        {"lr": 2e-3},
        {"mixer": "xnor"},
        {"mixers.summarymixing.heads": 2},
        {"encoder.heads": 2},
        {"betas": [0.98, 0.9]},
        {"d_ffn": "!ref <d_model> * 2"},
        {"parts.search.beam": 11},
    ],
    ids=lambda overrides: next(iter(overrides)),
)
def test_hash_tells_trainings_apart(base, overrides):
    where = {"data_folder": "/corpus"}
    assert load(base, {**where, **overrides}).hash != load(base, where).hash


def test_hash_of_the_flattened_recipe_is_the_recipes_own(write):
    recipe = load(write("base: base.yaml\nmixer: [xnor*2, attention*2]\n"), {"data_folder": "/corpus"})
    kept = load(write(recipe.text, "kept"))
    assert kept.hash == recipe.hash
    assert len(kept.hash) == 12
