"""What a run was trained on, as its folder records it."""

import torch

from recipes.training.run_data import DataPart, RunData
from recipes.training.tensors import digest


def data(tokenizer: str, train: str) -> RunData:
    return RunData(tokenizer, DataPart({"train": train}, {}), DataPart({"dev": "d"}, {}))


def test_new_data_do_not_bring_another_tokenizer():
    """Without its own the weights mean nothing: one that lies in its place must show."""
    followed = data("own", "a").followed_by(data("another", "b"), epoch=2)
    assert followed.tokenizer == "own" and followed.train.files == {"train": "b"}
    assert [earlier.train.files for earlier in followed.earlier] == [{"train": "a"}]


def test_a_digest_is_of_names_and_numbers():
    weights = {"a": torch.arange(3.0), "b": torch.tensor(2)}
    assert digest(weights) == digest({"b": torch.tensor(2), "a": torch.arange(6.0)[:3].clone()})
    assert len({digest(weights), digest({"a": torch.arange(3.0) + 1e-6, "b": torch.tensor(2)}), digest({})}) == 3
