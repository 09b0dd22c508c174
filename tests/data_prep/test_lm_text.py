"""Text for language models: where it comes from, how it is cut, shuffled and shared out."""

import gzip
import json
from itertools import chain, islice

import pytest

from data_prep.errors import DataError
from data_prep.lm_text import count, sentences, shuffled, text_files
from data_prep.tokenizer import load_tokenizer
from recipes.lm.data import TextBatches, check_tokenizer
from tests.support.corpus import write_corpus
from tests.support.manifests import to_csv
from tests.support.stock_models import tokenizer

LINES = ["A STONE", "THE  RIVER ", "", "DON'T WALK"]
CLEAN = ["A STONE", "THE RIVER", "DON'T WALK"]


def manifest(path, words):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_csv([f"1-2-{number}", 1.0, "x.flac", "1-2", line] for number, line in enumerate(words)))
    return path


def write(path, lines=LINES):
    """A source of these sentences, of the kind that its name stands for."""
    if path.name.endswith(".csv"):
        return manifest(path, lines)
    text = "\n".join(lines)
    if path.name.endswith(".trans.txt"):
        text = "\n".join(f"1-2-{number:04d} {line}" for number, line in enumerate(lines))
    content = text.encode()
    path.write_bytes(gzip.compress(content) if path.name.endswith("z") else content)
    return path


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.norm.z", "a.csv", "1-2.trans.txt", "plain"])
def test_every_kind_of_file_gives_its_sentences(tmp_path, name):
    assert list(sentences([write(tmp_path / name)])) == CLEAN


def test_manifests_of_own_data_give_their_words(tmp_path):
    rows = [("a.wav", "A STONE"), ("b.wav", "THE RIVER"), ("c.wav", "DON'T WALK")]
    lines = ["audio\ttext", *(f"{audio}\t{text}" for audio, text in rows)]
    records = [json.dumps({"audio_filepath": audio, "text": text}) for audio, text in rows]
    (tmp_path / "my.tsv").write_text("\n".join(lines))
    (tmp_path / "my.CSV").write_text("\n".join(line.replace("\t", ",") for line in lines))
    (tmp_path / "my.jsonl.gz").write_bytes(gzip.compress("\n".join(records).encode()))
    for name in ("my.tsv", "my.CSV", "my.jsonl.gz"):
        assert list(sentences([tmp_path / name])) == CLEAN


def test_windows_text(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + "A É\r\nB\r\n".encode())
    assert list(sentences([tmp_path / "a.txt"])) == ["A É", "B"]


def test_several_sources_in_order(tmp_path):
    text, table = write(tmp_path / "b.txt", ["B"]), write(tmp_path / "a.csv", ["A A"])
    assert text_files(str(text), "train") == [text]
    assert count(text_files([text, str(table)], "train")) == (2, 3)


def test_a_run_folder_gives_its_manifests(tmp_path):
    for name in ("merged/train", "merged/valid", "test-clean", "my_test", "dev-clean", "test_train", "before"):
        manifest(tmp_path / "manifests" / f"{name}.csv", [name.upper()])
    trained = {"train": {"files": {"test_train": ""}}, "valid": {"files": {"dev-clean": ""}}}
    trained["earlier"] = [{"train": {"files": {"before": ""}}, "valid": {"files": {"dev-clean": ""}}}]
    (tmp_path / "data.json").write_text(json.dumps(trained))
    by_use = {use: list(sentences(text_files(tmp_path, use))) for use in ("train", "valid", "test")}
    assert by_use == {
        "train": ["MERGED/TRAIN"],
        "valid": ["MERGED/VALID"],
        "test": ["MY_TEST", "TEST-CLEAN"],
    }


def test_a_corpus_folder_gives_its_transcripts(tmp_path):
    texts = write_corpus(tmp_path, {"train-clean-5": (2, 3), "dev-clean": (1, 2), "test-other": (1, 2)})
    for use, split in {"train": "train-clean-5", "valid": "dev-clean", "test": "test-other"}.items():
        assert list(sentences(text_files(tmp_path, use))) == list(texts[split].values())


def test_only_what_is_asked_for_is_read(tmp_path):
    """A damaged end does not show before it is reached: nothing is read ahead of its use."""
    file = tmp_path / "a.txt.gz"
    file.write_bytes(gzip.compress(b"A B\n" * 200_000)[:-200])
    assert len(list(islice(sentences([file]), 5000))) == 5000


ERRORS = {
    "missing": (
        "none.txt",
        None,
        "there is no text {file}: give a text file (.gz too), a manifest, a run or a",
    ),
    "not gzip": (
        "a.gz",
        b"A B\n",
        "{file} is no gzip file: fetch it again, or take .gz from its name if it is",
    ),
    "cut gzip": ("a.gz", gzip.compress(b"A\nB\n" * 9)[:-6], "{file} is damaged after line "),
    "damaged gzip": ("a.gz", gzip.compress(b"A\n")[:12] + b"\xff" * 9, "{file} is damaged after line 0 ("),
    "latin 1": (
        "a.txt",
        b"A\nB\n\xc9T\xc9\n",
        "{file}, line 3: not UTF-8 text; convert it, iconv -f latin1 -t utf-8",
    ),
    "empty": ("a.txt", b" \n\n", "{file}: no sentence in it; give a text with words"),
    "no manifest": ("a.csv", b"A,B\n", "{file}: no column for audio (audio, wav, path, "),
    "row without words": (
        "a.jsonl",
        b'{"audio": "a.wav"}\n',
        "{file}:1: no text (text, wrd, words, transcript, transcription, sentence); correct the row, or take it out",
    ),
    "run without split": (
        "manifests/x.csv",
        b"",
        "the run {folder} has no manifests/merged/train.csv: name a file with the text",
    ),
}


@pytest.mark.parametrize(("name", "content", "message"), ERRORS.values(), ids=ERRORS)
def test_text_that_cannot_be_used(tmp_path, name, content, message):
    file = tmp_path / name
    if content is not None:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
    source = tmp_path if "/" in name else file
    with pytest.raises(DataError) as caught:
        count(text_files(source, "train"))
    error = str(caught.value)
    assert error.startswith(message.format(file=file, folder=tmp_path)) and "\n" not in error


def test_shuffling_keeps_a_buffer_and_follows_from_its_key():
    orders = [list(shuffled(range(100), 30, key)) for key in ("1 1", "1 1", "1 2")]
    assert orders[0] == orders[1] != orders[2]
    assert [len(block) for block in orders[0]] == [30, 30, 30, 10]
    assert [sorted(block) for block in orders[0]] == [list(range(n, min(n + 30, 100))) for n in (0, 30, 60, 90)]
    items = iter(range(100))
    next(shuffled(items, 30, "1"))
    assert next(items) == 30, "no more than the buffer is read"


# --- batches ---


ignore_workers = pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more than there are cores


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
    path.write_bytes(tokenizer())
    return load_tokenizer(path)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """37 different sentences."""
    words = ["THE RIVER", "A STONE", "I JUMPED", "SEVEN"]
    lines = [" ".join(words[(number // 4**place) % 4] for place in range(3)) for number in range(37)]
    return [write(tmp_path_factory.mktemp("text") / "a.txt", lines)], lines


def batches(pieces, text, **settings) -> TextBatches:
    files, _ = text
    settings = {"batch_sentences": 5, "buffer": 15, "seed": 3, **settings}
    return TextBatches(files, pieces, count(files), **settings)


def read(pieces, loaded) -> list[list[str]]:
    return [[pieces.decode(row[row > 2].tolist()) for row in batch.targets] for batch in loaded]


@pytest.mark.parametrize("workers", [0, 1, 3])
@ignore_workers
def test_a_pass_has_every_sentence_once_in_an_order_of_its_own(pieces, text, workers):
    loading = batches(pieces, text, workers=workers)
    passes = []
    for epoch in (1, 2, 1):
        loading.epoch = epoch
        passes.append(read(pieces, loading.loader()))
        assert len(passes[-1]) == len(loading.loader()) == len(loading)
        assert sorted(chain.from_iterable(passes[-1])) == sorted(text[1])
    assert passes[0] == passes[2] != passes[1]
    alone = batches(pieces, text)
    alone.epoch = 1
    assert passes[0] == read(pieces, alone.loader()), "whatever the workers, so that a resumed run may have others"


@ignore_workers
@pytest.mark.parametrize("workers", [0, 2, 3])
@pytest.mark.parametrize("done", [1, 4, 7])
def test_a_resumed_pass_goes_on_behind_what_is_done(pieces, text, workers, done):
    loading = batches(pieces, text, workers=workers)
    whole = read(pieces, loading.loader())
    loading.skip = done
    assert read(pieces, loading.loader()) == whole[done:]


def test_ranks_have_equally_many_batches_and_nothing_twice(pieces, text):
    """The batches of one process in turn; where the last round is short, one comes twice, and counts nothing."""
    alone = read(pieces, batches(pieces, text).loader())
    shares = [read(pieces, batches(pieces, text, ranks=3, rank=rank, even=True).loader()) for rank in range(3)]
    assert len({len(share) for share in shares}) == 1
    in_turn = [share[step] for step in range(len(shares[0])) for share in shares]
    assert in_turn[: len(alone)] == alone
    assert batches(pieces, text, ranks=3).total() == len(alone)
    evaluated = [read(pieces, batches(pieces, text, ranks=3, rank=rank).loader()) for rank in range(3)]
    assert sorted(map(str, chain(*evaluated))) == sorted(map(str, alone))


def test_inputs_targets_and_the_longest_sentence(pieces, text):
    short, long = "A", "THE RIVER"
    tokens = pieces.encode(long)
    batch = batches(pieces, text).collate([short, long])
    assert batch.inputs.tolist()[1] == [1, *tokens]
    assert batch.targets.tolist()[1] == [*tokens, 2]
    kept = len(pieces.encode(short)) + 1
    assert batch.targets.tolist()[0] == [*pieces.encode(short), 2] + [-100] * (len(tokens) + 1 - kept)
    assert batch.words == 3
    cut = batches(pieces, text, longest=4).collate([long])
    assert (cut.inputs.tolist(), cut.targets.tolist()) == ([[1, *tokens[:3]]], [tokens[:4]])


def test_text_in_another_spelling(pieces, text, tmp_path):
    check_tokenizer(text[0], pieces)
    lower = write(tmp_path / "a.txt", ["the river", "A STONE"])
    with pytest.raises(DataError) as caught:
        check_tokenizer([lower], pieces)
    assert str(caught.value) == (
        f"{lower}: 50 % of its words hold characters unknown to the tokenizer (as 'the'): spell the text as the "
        "transcripts that the tokenizer was trained on"
    )
