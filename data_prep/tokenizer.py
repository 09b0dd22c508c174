"""SentencePiece tokenizer from the words of a manifest: `python -m data_prep.tokenizer MANIFEST_CSV OUT`.

Outputs: 0 is the unknown piece and, as in SpeechBrain's recipes, the CTC blank too; 1 begins a sentence, 2
ends it; the pieces follow. A space is written as the piece or prefix "▁".
"""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

import sentencepiece

from data_prep.arguments import ArgumentParser
from data_prep.errors import DataError, command_line
from data_prep.files import checksum, write_atomically
from data_prep.manifest import read_rows

KINDS = ["unigram", "bpe", "char"]
UNKNOWN, START, END = 0, 1, 2  # ids of the named pieces
BLANK = UNKNOWN  # of CTC
IGNORED = -100  # target of padding, which no loss counts
NAMED_PIECES = 3
NORMALIZATION = "nmt_nfkc"  # SentencePiece's default
ERRORS_ONLY = 2  # SentencePiece's minloglevel
LARGEST_TEXT = 6_000_000  # characters, those of 110 hours; eight times as many took 28 s and 840 MB


def train_tokenizer(manifest, out_folder, kind: str = "unigram", vocab_size: int = 5000) -> Path:
    """Train on the words and return `out_folder/tokenizer.model`, which is kept while words, kind and size stay.

    The same text gives the same bytes. Of a text of more than LARGEST_TEXT characters every n-th sentence is taken, and
    all that are needed for every character to be there. `vocab_size` counts the three named pieces. A text too small
    for it gives fewer pieces, which is printed. Raises DataError for an empty manifest, an unknown kind, or a size
    below the number of characters.
    """
    if kind not in KINDS:
        raise DataError(f"no tokenizer kind '{kind}'; choose among: {', '.join(KINDS)}")
    text = _Text(manifest)
    if not text.characters:
        raise DataError(f"{manifest} has no words to train a tokenizer on; prepare it from a split with utterances")
    out_folder = Path(out_folder)
    model, record_file = out_folder / "tokenizer.model", out_folder / "tokenizer.json"
    wanted = {"kind": kind, "vocab_size": vocab_size, "text_sha256": text.sha256}
    if _read_record(record_file) != {**wanted, "model_sha256": checksum(model) or "no file"}:
        content = _train(text, kind, vocab_size)
        out_folder.mkdir(parents=True, exist_ok=True)
        write_atomically(model, content)
        record = {**wanted, "model_sha256": checksum(model)}
        write_atomically(record_file, json.dumps(record, indent=1).encode())
    pieces = load_tokenizer(model).vocab_size()
    if pieces < vocab_size:
        print(
            f"tokenizer: {pieces} of {vocab_size} pieces, the text gives no more; outputs from {pieces} on stay unused"
        )
    return model


def load_tokenizer(model) -> sentencepiece.SentencePieceProcessor:
    """The trained tokenizer. Raises DataError when the file is missing or no tokenizer."""
    if Path(model).is_dir():
        raise DataError(f"{model} is a folder: give the file in it, of a run tokenizer/tokenizer.model")
    if not Path(model).is_file():
        raise DataError(f"no tokenizer {model}: train it with python -m data_prep.tokenizer")
    try:
        return sentencepiece.SentencePieceProcessor(model_file=str(model))
    except (RuntimeError, OSError):
        raise DataError(f"{model} is no SentencePiece model, or cut short; remove it and train it again") from None


def detokenize(tokenizer: sentencepiece.SentencePieceProcessor, tokens: list[int]) -> str:
    """The words of token ids, between single blanks, however many blanks were said.

    Ids above the tokenizer's own, which models have for short texts, are left out.
    """
    return " ".join(tokenizer.decode([token for token in tokens if token < tokenizer.vocab_size()]).split())


class _Text:
    """The words of a manifest. characters: different ones, as SentencePiece sees them; "▁" stands for the blank."""

    def __init__(self, manifest):
        self.manifest, self.size, self.characters = manifest, 0, set[str]()
        normalizer = sentencepiece.SentencePieceNormalizer(rule_name=NORMALIZATION)
        digest = hashlib.sha256()
        for number, sentence in enumerate(self):
            digest.update((f"\n{sentence}" if number else sentence).encode())
            self.size += len(sentence)
            if sentence.strip():
                # Of ASCII characters only those are changed that do not print.
                plain = sentence.isascii() and sentence.isprintable()
                self.characters.update("▁", sentence if plain else normalizer.normalize(sentence))
        self.characters.discard(" ")
        self.sha256 = digest.hexdigest()

    def __iter__(self) -> Iterator[str]:
        return (row[-1] for row in read_rows(self.manifest))

    def sample(self) -> Iterator[str]:
        """The sentences to train on."""
        interval, seen = -(-self.size // LARGEST_TEXT), set[str]()
        for number, sentence in enumerate(self):
            if number % interval == 0 or not seen.issuperset(sentence):
                seen.update(sentence)
                yield sentence


def _train(text: _Text, kind: str, vocab_size: int) -> bytes:
    needed = len(text.characters) + NAMED_PIECES
    if vocab_size < needed:
        raise DataError(
            f"vocab_size {vocab_size} is too small for {len(text.characters)} characters: give {needed} or more"
        )
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=text.sample(),
        model_writer=model,
        model_type=kind,
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name=NORMALIZATION,
        max_sentence_length=1_000_000,  # bytes; a SentencePiece skips a longer sentence without a message
        unk_id=UNKNOWN,
        bos_id=START,
        eos_id=END,
        pad_id=-1,
        num_threads=1,  # the pieces depend on the number of threads, and more are hardly faster
        minloglevel=ERRORS_ONLY,
    )
    return model.getvalue()


def _read_record(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


@command_line
def main(argv=None):
    parser = ArgumentParser(prog="python -m data_prep.tokenizer", description="Train a tokenizer.")
    parser.add_argument("manifest", help="CSV file with the training transcripts in the column wrd")
    parser.add_argument("out_folder", help="where tokenizer.model goes")
    parser.add_argument("--kind", default="unigram", choices=KINDS)
    parser.add_argument("--vocab_size", "--vocab-size", type=int, default=5000, help="number of pieces (default: 5000)")
    arguments = parser.parse_args(argv)
    print(train_tokenizer(arguments.manifest, arguments.out_folder, arguments.kind, arguments.vocab_size))


if __name__ == "__main__":
    raise SystemExit(main())
