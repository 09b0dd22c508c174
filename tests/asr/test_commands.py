"""The entry scripts explain themselves, as a user starts them."""

import pytest

import evaluate
import train
import train_lm
import transcribe

COMMANDS = {
    train: ["usage: ", "Train a recogniser from a recipe", "--mixer", "--device"],
    train_lm: ["usage: ", "Train a language model", "--tokenizer", "--device"],
    transcribe: ["usage: ", "RUN", "--format", "--window", "--onnx"],
    evaluate: ["usage: ", "RUN_FOLDER", "--average", "--tune", "--ngram"],
}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda module: module.__name__)
def test_help(command, capsys):
    with pytest.raises(SystemExit) as leave:
        command.main(["--help"])
    assert leave.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for words in COMMANDS[command]:
        assert words in shown
