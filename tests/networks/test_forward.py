# SPDX-License-Identifier: BSD-3-Clause
"""What layers return, with another first tensor."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch

from sklearn_difficulty.networks.forward import first_tensor, with_first_tensor

ONE, TWO, NEW = (torch.full((2, 3), value) for value in (1.0, 2.0, 9.0))
Pair = namedtuple("Pair", "name values")


@dataclass
class Output:
    loss: object
    logits: torch.Tensor
    hidden: torch.Tensor


RETURNED = {
    "tensor": ONE,
    "tuple": (ONE, (TWO, TWO)),
    "tuple with None first": (None, ONE, TWO),
    "list": [ONE, TWO],
    "named tuple": Pair("a", ONE),
    "dict": {"loss": None, "logits": ONE, "hidden": TWO},
    "ordered dict": OrderedDict(logits=ONE, hidden=TWO),
    "dataclass": Output(None, ONE, TWO),
}


@pytest.mark.parametrize("value", RETURNED.values(), ids=RETURNED)
def test_another_first_tensor(value):
    assert first_tensor(value) is ONE
    changed = with_first_tensor(value, NEW)
    assert type(changed) is type(value)
    assert first_tensor(changed) is NEW
    assert first_tensor(value) is ONE  # nothing was written to
    back = with_first_tensor(changed, ONE)
    if value is not ONE:
        assert str(back) == str(value)
