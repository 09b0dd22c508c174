"""Tokenizers: stable outputs, nothing trained twice, one line when a text is too small."""

import shutil

import pytest

from data_prep import tokenizer
from data_prep.errors import DataError
from data_prep.tokenizer import load_tokenizer, main, train_tokenizer
from tests.support.corpus import WORDS
from tests.support.manifests import to_csv

SENTENCES = [" ".join(WORDS[start : start + 6] + WORDS[:start:3]) for start in range(len(WORDS))] * 3
CHARACTERS = len(set("".join(SENTENCES)))  # the space counts: it is the piece ▁
SIZE = CHARACTERS + 3 + 5  # small enough that the text gives as many pieces


def write_manifest(path, sentences):
    path.write_bytes(
        to_csv([[f"1-1-{i:04d}", 1.0, "$data_root/x.flac", "1-1", words] for i, words in enumerate(sentences)])
    )
    return path


@pytest.fixture
def manifest(tmp_path):
    return write_manifest(tmp_path / "train.csv", SENTENCES)


@pytest.fixture
def trained(monkeypatch):
    """The kinds of which a training was started."""
    kinds = []
    original = tokenizer._train
    monkeypatch.setattr(tokenizer, "_train", lambda *call: kinds.append(call[1]) or original(*call))
    return kinds


@pytest.mark.parametrize(("kind", "size"), [("unigram", SIZE), ("bpe", SIZE), ("char", CHARACTERS + 3)])
def test_every_sentence_comes_back(manifest, tmp_path, capsys, kind, size):
    model = train_tokenizer(manifest, tmp_path / "out", kind, size)
    assert model == tmp_path / "out" / "tokenizer.model"
    loaded = load_tokenizer(model)
    assert loaded.vocab_size() == size
    assert (loaded.unk_id(), loaded.bos_id(), loaded.eos_id(), loaded.pad_id()) == (0, 1, 2, -1)
    for sentence in SENTENCES:
        tokens = loaded.encode(sentence)
        assert loaded.decode(tokens) == sentence
        assert min(tokens) >= 3  # never the blank, nor begin and end
    assert capsys.readouterr() == ("", "")


def test_characters_have_the_space_as_a_piece(manifest, tmp_path):
    loaded = load_tokenizer(train_tokenizer(manifest, tmp_path, "char", 1000))
    assert loaded.encode("THE BOX", out_type=str) == list("▁THE▁BOX")
    assert {loaded.id_to_piece(i) for i in range(3, loaded.vocab_size())} == set("".join(SENTENCES)) - {" "} | {"▁"}


@pytest.mark.parametrize("kind", ["unigram", "bpe", "char"])
def test_small_text_gives_fewer_pieces_and_a_note(manifest, tmp_path, capsys, kind):
    for _ in ("new", "reused"):
        pieces = load_tokenizer(train_tokenizer(manifest, tmp_path, kind, 1000)).vocab_size()
        assert CHARACTERS + 3 <= pieces < 1000
        assert capsys.readouterr().out == (
            f"tokenizer: {pieces} of 1000 pieces, the text gives no more; outputs from {pieces} on stay unused\n"
        )


@pytest.mark.parametrize("kind", ["unigram", "bpe", "char"])
def test_size_below_the_number_of_characters_is_an_error_with_the_smallest_size(manifest, tmp_path, kind):
    least = CHARACTERS + 3
    with pytest.raises(DataError) as error:
        train_tokenizer(manifest, tmp_path / "out", kind, least - 1)
    assert str(error.value) == (
        f"vocab_size {least - 1} is too small for {CHARACTERS} characters: give {least} or more"
    )
    assert not (tmp_path / "out").exists()
    train_tokenizer(manifest, tmp_path / "out", kind, least)


def test_same_text_gives_the_same_bytes_and_is_not_trained_again(manifest, tmp_path, trained):
    first = train_tokenizer(manifest, tmp_path / "a", "unigram", SIZE).read_bytes()
    elsewhere = shutil.copy(manifest, tmp_path / "moved.csv")
    assert train_tokenizer(elsewhere, tmp_path / "a", "unigram", SIZE).read_bytes() == first
    assert trained == ["unigram"]
    assert train_tokenizer(elsewhere, tmp_path / "b", "unigram", SIZE).read_bytes() == first
    assert len(trained) == 2


@pytest.mark.parametrize("change", ["text", "kind", "size", "model-cut", "model-gone", "record-broken"])
def test_is_trained_again_after_a_change_of(manifest, tmp_path, trained, change):
    kind, size = "unigram", SIZE
    model = train_tokenizer(manifest, tmp_path, kind, size)
    if change == "text":
        write_manifest(manifest, [*SENTENCES, "ONE MORE"])
    elif change == "model-cut":
        model.write_bytes(model.read_bytes()[:-100])
    elif change == "model-gone":
        model.unlink()
    elif change == "record-broken":
        model.with_suffix(".json").write_text("[")
    kind = "bpe" if change == "kind" else kind
    size = SIZE + 1 if change == "size" else size
    train_tokenizer(manifest, tmp_path, kind, size)
    assert trained == ["unigram", kind]
    assert load_tokenizer(model).vocab_size() == size


def test_of_a_large_text_every_nth_sentence_is_taken_and_every_character(manifest, tmp_path, monkeypatch):
    odd = [*SENTENCES[:1], "ÄPFEL", *SENTENCES[1:], "QUÜEEN", "ÜBER"]
    write_manifest(manifest, odd)
    monkeypatch.setattr(tokenizer, "LARGEST_TEXT", -(-sum(map(len, odd)) // 3))
    sentences = list(tokenizer._Text(manifest).sample())
    assert set(odd[::3]) <= set(sentences) and {"ÄPFEL", "QUÜEEN"} <= set(sentences)
    assert len(sentences) <= len(odd[::3]) + 10
    loaded = load_tokenizer(train_tokenizer(manifest, tmp_path, "char", 1000))
    assert all(loaded.decode(loaded.encode(sentence)) == sentence for sentence in odd)


def test_failed_training_leaves_the_old_model(manifest, tmp_path):
    before = train_tokenizer(manifest, tmp_path, "unigram", SIZE).read_bytes()
    with pytest.raises(DataError):
        train_tokenizer(manifest, tmp_path, "unigram", 5)
    assert (tmp_path / "tokenizer.model").read_bytes() == before


@pytest.mark.parametrize("sentences", [[], ["", " "]], ids=["no-rows", "no-words"])
def test_manifest_without_words_is_an_error(tmp_path, sentences):
    manifest = write_manifest(tmp_path / "train.csv", sentences)
    with pytest.raises(DataError) as error:
        train_tokenizer(manifest, tmp_path, "unigram", SIZE)
    assert str(error.value) == (
        f"{manifest} has no words to train a tokenizer on; prepare it from a split with utterances"
    )


def test_unknown_kind_is_an_error_that_lists_them(manifest, tmp_path):
    with pytest.raises(DataError, match="no tokenizer kind 'word'; choose among: unigram, bpe, char"):
        train_tokenizer(manifest, tmp_path, "word", SIZE)


@pytest.mark.parametrize("content", [None, b"", b"hello" * 10], ids=["missing", "empty", "other-file"])
def test_unusable_model_is_a_single_line(tmp_path, capfd, content):
    model = tmp_path / "tokenizer.model"
    expected = f"no tokenizer {model}: train it with python -m data_prep.tokenizer"
    if content is not None:
        model.write_bytes(content)
        expected = f"{model} is no SentencePiece model, or cut short; remove it and train it again"
    with pytest.raises(DataError) as error:
        load_tokenizer(model)
    assert str(error.value) == expected
    assert capfd.readouterr() == ("", "")


def test_command_trains_silently_and_prints_the_path(manifest, tmp_path, capfd):
    assert main([str(manifest), str(tmp_path / "out"), "--kind", "unigram", "--vocab-size", str(SIZE)]) == 0
    assert capfd.readouterr() == (f"{tmp_path}/out/tokenizer.model\n", "")
    assert main([str(tmp_path / "none.csv"), str(tmp_path)]) == 2
    expected = f"error: no manifest {tmp_path}/none.csv: write it with python -m data_prep.librispeech\n"
    assert capfd.readouterr().err == expected
