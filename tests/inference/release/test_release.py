"""Releases: a folder with all that others need, that decodes the same, and none of which is run."""

import json
import re
import shutil
import subprocess
import sys

import pytest
import soundfile
import torch
from ruamel.yaml import YAML
from speechbrain.inference.ASR import EncoderASR, EncoderDecoderASR
from speechbrain.utils.fetching import FetchFrom, FetchSource
from torch.nn.utils.rnn import pad_sequence

from data_prep.files import checksum
from evaluate import main as evaluate
from mixers import Context
from recipes.asr import SavedRun
from recipes.decoding.ctc import greedy_ctc
from recipes.errors import RecipeError
from recipes.inference import Transcriber
from recipes.inference.release.__main__ import main
from recipes.inference.release.loading import load_release
from recipes.release_files import is_release
from recipes.training.tensors import load_weights, save_weights
from tests.support.runs import ROOT, results, small_corpus, summary, train
from train_lm import main as train_lm
from transcribe import main as transcribe

FILES = ["README.md", "hyperparams.yaml", "model.safetensors", "recipe.yaml", "release.json", "tokenizer.model"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return small_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    """A trained run, whose weights then get noise: a model of one epoch writes nothing."""
    output = tmp_path_factory.mktemp("trained") / "run"
    assert train(corpus, output, "--mixer", "[attention, summarymixing]") == 0
    weights = load_weights(output / "averaged.ckpt")
    torch.manual_seed(0)
    for name in ("ctc.weight", "decoder.out.weight"):
        weights[name] += torch.randn_like(weights[name])
    weights["ctc.bias"][0] -= 3.0  # of the blank
    weights["decoder.out.bias"][2] -= 3.0  # of the sentence's end
    save_weights(weights, output / "averaged.ckpt")
    return output


@pytest.fixture(scope="module")
def released(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("released") / "model"
    assert (
        main([str(run), str(out), "--name", "tiny", "--licence", "cc-by-4.0", "--data", "Sounds without words."]) == 0
    )
    return out


@pytest.fixture
def folder(released, tmp_path):
    """A copy, to be changed."""
    return shutil.copytree(released, tmp_path / "copy")


@pytest.fixture(scope="module")
def recordings(corpus):
    return [
        torch.from_numpy(soundfile.read(path, dtype="float32")[0]) for path in sorted(corpus.rglob("test-*/**/*.flac"))
    ]


def decoded(model, search, tokenizer, audio, context=None) -> tuple[str, str]:
    """An utterance by itself: greedy, and by the search."""
    with torch.no_grad():
        output = model.eval()(audio[None], torch.tensor([len(audio)]), context=context)
        log_probs = output.ctc_logits.log_softmax(-1)
        greedy = greedy_ctc(log_probs, output.encoded.lengths)[0]
        best = search(model.decoder, output.encoded, log_probs)[0][0].tokens
    pieces = tokenizer.vocab_size()  # of which the model has more
    return tuple(tokenizer.decode([token for token in tokens if token < pieces]) for tokens in (greedy, best))


# --- the folder -----------------------------------------------------------------------------------------------------


def test_a_release_is_the_run(run, released):
    """Weights bit for bit; recipe, search and tokenizer."""
    assert sorted(path.name for path in released.iterdir()) == FILES
    assert is_release(released) and not is_release(run)
    saved, loaded = SavedRun(run, {}), load_release(released)
    state = loaded.recogniser.state_dict()
    assert state.keys() == saved.weights.keys()
    assert all(torch.equal(value, saved.weights[name]) for name, value in state.items())
    assert not loaded.recogniser.training and loaded.recipe.hparams["model"] is loaded.recogniser
    assert (loaded.recipe.hash, loaded.recipe.name) == (saved.recipe.hash, "quickstart")
    assert vars(loaded.recipe.hparams["test_search"]) == vars(saved.hparams["test_search"])
    assert loaded.tokenizer.serialized_model_proto() == saved.tokenizer.serialized_model_proto()
    assert load_release(released, {"test_search.beam": 5}).recipe.hparams["test_search"].beam == 5


def test_nothing_of_the_machine_is_in_it(run, corpus, released):
    """And the recipe trains again, given a corpus."""
    for path in released.iterdir():
        content = path.read_bytes()
        assert not any(str(place).encode() in content for place in (run, run.parent, corpus, released.parent)), path
    recipe = (released / "recipe.yaml").read_text()
    assert re.findall(r"^(?:data|output|lm)_folder: (.*?)(?:  #.*)?$", recipe, flags=re.MULTILINE) == [
        "!PLACEHOLDER",
        "!ref runs/<recipe>/<mixer_name>/<seed>",
        "null",
    ]


def test_the_card_says_what_was_measured(run, released):
    card, result = (released / "README.md").read_text(), summary(run).splits["test-clean"]
    interval = "{:.2f} – {:.2f}".format(*result.interval)
    row = f"| test-clean | {result.wer:.2f} | {interval} | {result.wer_greedy_ctc:.2f} | {result.words} | 3 |"
    assert f"\n{row}\n" in card
    assert "\n| training | train-clean-5 | 24 | 0.0" in card
    assert card.startswith('---\nlicense: "cc-by-4.0"\n') and "\n# tiny\n" in card and "Sounds without words." in card
    assert f"commit {summary(run).commit} " in card and f"(hash {summary(run).recipe_hash})" in card
    assert "Search: BeamSearch (beam 2, ctc_weight 0.4" in card
    assert not re.search(r"\n\n\n|\{[{%]|None|\n +\n", card)


def test_a_recipe_that_was_changed_after_the_test_has_no_rates(run, tmp_path):
    changed = shutil.copytree(run, tmp_path / "run")
    recipe = changed / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("  beam: 2", "  beam: 3"))
    assert main([str(changed), str(tmp_path / "out")]) == 0
    assert "Not tested with this recipe." in (tmp_path / "out" / "README.md").read_text()
    assert json.loads((tmp_path / "out" / "release.json").read_text())["summary"] is None


def test_loading_and_transcribing_are_light_and_leave_random_numbers_alone(released, corpus):
    """What only training needs is not loaded: SpeechBrain alone takes most of a second."""
    torch.manual_seed(3)
    state = torch.get_rng_state()
    load_release(released)
    assert torch.equal(torch.get_rng_state(), state)
    file = str(next(corpus.rglob("test-*/**/*.flac")))
    code = (
        "import sys\nfrom recipes.inference.release import load_release\nload_release(sys.argv[1])\n"
        "heavy = ['torch._dynamo', 'matplotlib', 'speechbrain', 'scipy']\n"
        "print([name for name in ['recipes.asr', *heavy] if name in sys.modules])\n"
        "import transcribe\ntranscribe.main(sys.argv[1:])\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(released), file, "--device", "cpu", "--threads", "1"]
    text = Transcriber.load(released).transcribe(file).text
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines() == ["[]", text, "[]"]


def test_a_transcriber_of_the_release_is_that_of_the_run(run, released, corpus, tmp_path, capsys):
    """Texts, words with their times and scores; transcribe.py too, in a copy that lies elsewhere."""
    files = sorted(corpus.rglob("test-*/**/*.flac"))
    transcripts = Transcriber.load(run).transcribe(files)
    assert Transcriber.load(released).transcribe(files) == transcripts
    assert all(transcript.text and transcript.words for transcript in transcripts)
    moved = shutil.copytree(released, tmp_path / "moved")
    options = ["--noprogressbar", "--device", "cpu", "--test_search.beam", "2"]
    assert transcribe([str(moved), str(files[0]), *options]) == 0
    assert capsys.readouterr().out == f"{transcripts[0].text}\n"


# --- SpeechBrain's own interfaces -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["folder", "links", "source"])
def test_speechbrain_reads_the_same_text(run, released, corpus, recordings, tmp_path, monkeypatch, way):
    """Alone and in a batch. From another working directory, by links in a folder of its own, as the hub's source."""
    monkeypatch.chdir(tmp_path)
    source = FetchSource(FetchFrom.LOCAL, str(released)) if way == "source" else str(released)
    options = {"source": source, "savedir": str(tmp_path / "links") if way == "links" else None}
    search, greedy = EncoderDecoderASR.from_hparams(**options), EncoderASR.from_hparams(**options)
    saved = SavedRun(run, {})
    expected = [
        decoded(saved.hparams["model"], saved.hparams["test_search"], saved.tokenizer, audio) for audio in recordings
    ]
    assert all(by_greedy and by_search for by_greedy, by_search in expected)
    files = sorted(corpus.rglob("test-*/**/*.flac"))
    assert [(greedy.transcribe_file(str(file)), search.transcribe_file(str(file))) for file in files] == expected
    lengths = torch.tensor([len(audio) for audio in recordings])
    batch = pad_sequence(recordings, batch_first=True, padding_value=0.3), lengths / lengths.max()
    assert list(zip(greedy.transcribe_batch(*batch)[0], search.transcribe_batch(*batch)[0], strict=True)) == expected


def test_a_recipe_that_tests_as_a_stream_does_so_in_speechbrain(run, corpus, recordings, tmp_path):
    changed = shutil.copytree(run, tmp_path / "run")
    recipe = changed / "recipe.yaml"
    text = recipe.read_text().replace("test_chunk: null", "test_chunk: 3")
    recipe.write_text(text.replace("test_left_chunks: null", "test_left_chunks: 1"))
    assert main([str(changed), str(tmp_path / "out")]) == 0
    options = {"source": str(tmp_path / "out")}
    search, greedy = EncoderDecoderASR.from_hparams(**options), EncoderASR.from_hparams(**options)
    saved = SavedRun(run, {})
    parts = saved.hparams["model"], saved.hparams["test_search"], saved.tokenizer
    expected = [decoded(*parts, audio, Context(3, 1)) for audio in recordings]
    assert expected != [decoded(*parts, audio) for audio in recordings]
    files = sorted(corpus.rglob("test-*/**/*.flac"))
    assert [(greedy.transcribe_file(str(file)), search.transcribe_file(str(file))) for file in files] == expected


def test_a_release_of_greedy_ctc(run, tmp_path):
    """Without a search both interfaces are greedy, and no language model is needed. Nothing is of this machine."""
    changed = shutil.copytree(run, tmp_path / "run")
    recipe = changed / "recipe.yaml"
    text = re.sub(r"^test_search: .*\n(?:  .*\n)+", "test_search: null\n", recipe.read_text(), flags=re.MULTILINE)
    text = text.replace("lm_folder: null", "lm_folder: /secret/lm").replace(
        "valid_search: null", "valid_search: !new:recipes.decoding.NgramCTCSearch {ngram: /secret/words.arpa}"
    )
    assert text.count("/secret") == 2
    recipe.write_text(text)
    out = tmp_path / "out"
    assert main([str(changed), str(out), "--name", "Small: my [first]", "--licence", "a: b"]) == 0
    assert "secret" not in "".join(path.read_text() for path in out.glob("*.[yj][as]*"))
    head = YAML(typ="safe").load((out / "README.md").read_text().split("---\n")[1])
    assert head["license"] == "a: b"
    assert load_release(out).recipe.hparams["test_search"] is None
    audio = torch.randn(1, 16000), torch.ones(1)
    models = [interface.from_hparams(source=str(out)) for interface in (EncoderDecoderASR, EncoderASR)]
    texts = [model.transcribe_batch(*audio)[0] for model in models]
    assert texts[0] == texts[1]


def test_a_release_is_evaluated_like_its_run(run, folder, corpus, capsys):
    """Only the corpus must be named. The rates are those of the run; another average there is none."""
    options = ["--data_folder", str(corpus), "--device", "cpu", "--noprogressbar", "--workers", "0"]
    assert evaluate([str(run), "--out", str(folder.parent / "run"), *options]) == 0
    assert evaluate([str(folder), "--out", str(folder.parent / "release"), *options]) == 0
    assert results(folder.parent / "release") == results(folder.parent / "run")
    capsys.readouterr()
    assert evaluate([str(folder), "--average", "best-2", *options]) == 2
    expected = f"error: {folder} is a release, of one average of checkpoints: leave out --average\n"
    assert capsys.readouterr().err == expected


@pytest.fixture(scope="module")
def with_language_model(run, corpus, tmp_path_factory):
    """A run that is searched with a language model, whose folder then goes, and what it transcribes."""
    folder = tmp_path_factory.mktemp("language_model")
    options = "--device cpu --noprogressbar --d_model 16 --heads 2 --layers 1 --d_ffn 32 --number_of_epochs 1".split()
    options += ["--vocab_size", "32", "--tokenizer", str(run / "tokenizer" / "tokenizer.model")]
    texts = ["--train_text", str(run), "--valid_text", str(run), "--output_folder", str(folder / "lm")]
    assert train_lm([str(ROOT / "hparams" / "lm_quickstart.yaml"), *texts, *options]) == 0
    weights = load_weights(folder / "lm" / "averaged.ckpt")
    weights["head.out.weight"] += 2 * torch.randn(weights["head.out.weight"].shape)
    save_weights(weights, folder / "lm" / "averaged.ckpt")
    own = shutil.copytree(run, folder / "run")
    recipe = own / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("lm_folder: null", f"lm_folder: {folder / 'lm'}"))
    results = json.loads((own / "summary.json").read_text())  # as if it had been tested so
    (own / "summary.json").write_text(json.dumps(results | {"recipe_hash": SavedRun(own, {}).recipe.hash}))
    files = sorted(corpus.rglob("test-*/**/*.flac"))
    expected = Transcriber.load(own).transcribe(files)
    assert main([str(own), str(folder / "out")]) == 0
    shutil.rmtree(folder / "lm")
    return folder / "out", files, expected


def test_a_language_model_is_part_of_the_release(with_language_model, released):
    folder, files, expected = with_language_model
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, "language_model.safetensors"])
    assert Transcriber.load(folder).transcribe(files) == expected
    model = EncoderDecoderASR.from_hparams(source=str(folder))
    texts = [transcript.text for transcript in expected]
    assert [model.transcribe_file(str(file)) for file in files] == texts
    without = Transcriber.load(released).transcribe(files)
    assert texts != [transcript.text for transcript in without]
    assert Transcriber.load(folder, settings={"lm_folder": None}).transcribe(files) == without
    evaluated = SavedRun(folder, {"data_folder": "."})
    assert evaluated.search_language_model() is not None
    greedy = Transcriber.load(folder, settings={"test_search": None}).transcribe(files)
    assert greedy == Transcriber.load(released, settings={"test_search": None}).transcribe(files)
    assert str(folder.parent) not in (folder / "recipe.yaml").read_text() + (folder / "hyperparams.yaml").read_text()
    card = " ".join((folder / "README.md").read_text().split())
    assert re.search(r"Search: BeamSearch \(.*\), with the language model of this folder \([\d,]+ parameters\)\.", card)


# --- what is not run, and what goes wrong ---------------------------------------------------------------------------


def error(folder) -> str:
    with pytest.raises(RecipeError) as caught:
        load_release(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(folder), "FOLDER")


def accept(folder):
    """Give release.json the sums of the files as they are, as someone who means harm would."""
    info = json.loads((folder / "release.json").read_text())
    info["files"] = {name: checksum(folder / name) for name in info["files"]}
    (folder / "release.json").write_text(json.dumps(info))


def test_no_code_of_the_folder_is_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for name in ("mixers.py", "sitecustomize.py", "torch.py", "conftest.py"):
        (folder / name).write_text("raise SystemExit('run')\n")
    load_release(folder)
    assert str(folder) not in sys.path

    torch.save({"weights": Explosive()}, folder / "model.safetensors")
    accept(folder)
    assert error(folder).startswith("FOLDER/model.safetensors is damaged, or not of safetensors: ")

    recipe = folder / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("!name:torch.nn.GELU", "!apply:os.system [touch run]"))
    assert "'os.system' is not on the list of what a recipe may name" in error(folder)
    assert not (folder / "run").exists()


class Explosive:
    def __reduce__(self):
        return exec, ("raise SystemExit('run')",)


def test_errors_of_folders(folder, tmp_path):
    info = folder / "release.json"
    values = json.loads(info.read_text())
    info.write_text(json.dumps(values | {"format": 2, "files": "elsewhere"}))
    assert error(folder) == "FOLDER is a release of format 2, and this version reads 1: update it"
    info.write_text("{}")
    assert error(folder) == "FOLDER/release.json is damaged: it says no format"
    info.write_text('{"format": 1, "files": []}')
    assert error(folder) == "FOLDER/release.json is damaged: it says no name and no sums of files"
    info.write_text(json.dumps(values))

    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    damaged = "FOLDER/model.safetensors is damaged, or not the one that was released: copy it again"
    assert error(folder) == damaged
    (folder / "model.safetensors").write_bytes(weights[:1000])
    assert error(folder) == damaged
    accept(folder)
    assert error(folder).startswith("FOLDER/model.safetensors is damaged, or not of safetensors: ")
    (folder / "model.safetensors").write_bytes(weights)
    accept(folder)
    recipe = folder / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("d_model: 16", "d_model: 32", 1))
    assert error(folder) == (
        "the weights in FOLDER/model.safetensors do not fit the recipe beside it: was that changed?"
    )
    for name in ("model.safetensors", "tokenizer.model", "recipe.yaml"):
        (folder / name).unlink()
        assert error(folder) == f"FOLDER has no {name}: it is not the whole release, copy it again"
    info.unlink()
    hint = "; python -m recipes.inference.release makes one of a run"
    assert error(folder) == f"no release (no release.json): FOLDER{hint}"
    assert error(tmp_path / "none") == f"there is no folder FOLDER{hint}"


def test_errors_of_the_command(run, released, tmp_path, capsys):
    def error(*words) -> str:
        capsys.readouterr()
        assert main([str(word) for word in words]) == 2
        message = capsys.readouterr().err
        assert message.startswith("error: ") and message.count("\n") == 1
        return message.removeprefix("error: ").rstrip()

    assert error(run, released) == f"{released} is there already: give another folder"
    assert error(released, tmp_path / "out") == f"{released} is a release already: copy it"
    assert error(tmp_path, tmp_path / "out") == (
        f"{tmp_path} is no run folder (it has no recipe.yaml): give first one that train.py wrote"
    )
    out = run / "recipe.yaml" / "out"
    assert error(run, out) == f"{out} cannot be written: Not a directory; give another folder"
    incomplete = shutil.copytree(run, tmp_path / "incomplete")
    (incomplete / "averaged.ckpt").unlink()
    shutil.rmtree(incomplete / "checkpoints")
    assert error(incomplete, tmp_path / "out").startswith(f"{incomplete} holds no checkpoint and no averaged.ckpt")
    ngram = shutil.copytree(run, tmp_path / "ngram")
    text = re.sub(
        r"^test_search: .*\n(?:  .*\n)+",
        "test_search: !new:recipes.decoding.NgramCTCSearch\n  ngram: words.arpa\n",
        (ngram / "recipe.yaml").read_text(),
        flags=re.MULTILINE,
    )
    (ngram / "recipe.yaml").write_text(text)
    assert error(ngram, tmp_path / "out") == (
        f"{ngram}/recipe.yaml has a search that reads words.arpa, which a release does not hold: give it another one"
    )
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))
