"""What several processes say of a mistake: one line, from the first of them."""

import pytest

from data_prep import errors
from recipes.errors import RecipeError, command_line
from recipes.training.processes import on_main_process


@command_line
def fail(argv=None):
    raise RecipeError("this is wrong")


@command_line
def interrupted(argv=None):
    raise KeyboardInterrupt("stopped by SIGTERM")


RANKS = {
    "no torchrun": ({"RANK": "3"}, "error: this is wrong\n", "stopped by SIGTERM\n"),
    "first": ({"RANK": "0", "LOCAL_RANK": "0"}, "error: this is wrong\n", "stopped by SIGTERM\n"),
    "another": ({"RANK": "3", "LOCAL_RANK": "1"}, "error: [rank 3] this is wrong\n", ""),
}


@pytest.mark.parametrize(("environment", "error", "interruption"), RANKS.values(), ids=RANKS)
def test_who_speaks(environment, error, interruption, monkeypatch, capsys):
    waited = []
    monkeypatch.setattr(errors.time, "sleep", waited.append)
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (fail(), capsys.readouterr().err) == (2, error)
    assert len(waited) == ("[rank" in error), "so that the first process may say it"
    assert (interrupted(), capsys.readouterr().err) == (130, interruption)


@pytest.mark.parametrize("error", [RecipeError("a mistake"), OSError("a full disk"), KeyError("a bug")], ids=repr)
def test_a_single_process_raises_the_error_itself(error):
    def work():
        raise error

    with pytest.raises(type(error)) as caught:
        on_main_process(work)
    assert caught.value is error
