# SPDX-License-Identifier: BSD-3-Clause
"""How rows become batches: what does not fit their number is found before training.

A sampler, or a loss that remembers rows, is made for some number of rows. Members of an ensemble,
and folds, have fewer.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    WeightedRandomSampler,
)

from .._randomness import isolated_rng
from ..networks.forward import module_device, module_dtype, plain_module
from ..networks.heads import first_output
from ..rows.rows import Rows

_SAMPLERS = ("sampler", "batch_sampler")


def refuse_no_steps(net: NeuralNet, n: int, of: str = "") -> None:
    """Raise before training if it cannot have a step on n rows; `of` says whose rows they are."""
    if net.max_epochs < 1:
        raise ValueError(
            f"max_epochs={net.max_epochs}: no epoch would run, and an untrained network would be "
            "scored. Set max_epochs to 1 or more."
        )
    size = rows_per_batch(net, n)
    if size is not None and n < size and net.get_params_for("iterator_train").get("drop_last"):
        raise ValueError(
            f"With drop_last=True and batch_size={size} the {n} rows{of} make no batch, so no "
            "optimiser step would run. Lower batch_size, or set iterator_train__drop_last=False."
        )


def rows_per_batch(net: NeuralNet, n: int) -> int | None:
    """Return how many of n rows a batch has; None if a sampler or a loader decides that."""
    settings = net.get_params_for("iterator_train")
    if net.iterator_train is not DataLoader or set(_SAMPLERS) & set(settings):
        return None
    size = settings.get("batch_size", net.batch_size)
    return n if size == -1 else size


def refuse_lone_row(net: NeuralNet, rows: Rows, n: int, of: str = "") -> None:
    """Raise if a batch of n rows would be a single one that the module does not train on.

    Batch normalisation is not defined for it. `rows` are two or more, for a trial.
    """
    size = rows_per_batch(net, n)
    if size is None or net.get_params_for("iterator_train").get("drop_last"):
        return
    if (n % size != 1 and size != 1) or len(rows) < 2:
        return
    problem = _problem_in_training(net, rows.take(slice(1)))
    if problem is None or _problem_in_training(net, rows.take(slice(2))) is not None:
        return  # what is wrong with any rows is said by the training itself
    which = "Every batch" if size == 1 else "The last batch"
    raise ValueError(
        f"{which} of the {n} rows{of} would have a single row (batch_size={size}), which "
        f"{type(plain_module(net.module_)).__name__} does not take in training: {problem}. Change "
        "batch_size, or set iterator_train__drop_last=True."
    )


def _problem_in_training(net: NeuralNet, rows: Rows) -> str | None:
    """Return what a module says to rows in train mode, None if it takes them; it stays as it is."""
    module, device = net.module_, module_device(net.module_)
    modes = [(part, part.training) for part in module.modules()]
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    with isolated_rng(0, device), torch.no_grad():
        [(_, inputs)] = rows.blocks(2, dtype=module_dtype(module), device=device)
        try:
            module.train()
            outputs = first_output(net.infer(inputs))
            if outputs.shape[:1] != (len(rows),):  # of .squeeze(), for example
                return f"it returns outputs of shape {tuple(outputs.shape)} for {len(rows)} row(s)"
        except Exception as error:  # whatever a module says
            return str(error).partition("\n")[0].rstrip(" .")
        finally:
            for part, mode in modes:
                part.training = mode
            for buffer, values in before:
                buffer.copy_(values)
    return None


# --------------------------------------------------------------------- made for a number of rows


def refuse_other_sampler(net: NeuralNet, n: int) -> None:
    """Raise if a net's sampler was made for another number of rows than n."""
    for name, sampler in _samplers_of(net).items():
        n_made = _made_for(sampler)
        if n_made not in (None, n):
            raise ValueError(
                f"{name} is a {type(sampler).__name__} for {n_made} rows, and there are {n} to "
                "train on. Make it for these, or leave it out (iterator_train__shuffle=True)."
            )


def refuse_sampler_in_ensembles(net: NeuralNet, n: int, sizes: Sequence[int]) -> None:
    """Raise if members, which have some of n rows, cannot follow the net's sampler."""
    if all(list(sizes) == [_made_for(sampler)] for sampler in _samplers_of(net).values()):
        return  # there is none, or it was made for members
    refuse_other_sampler(net, n)
    for name, sampler in _samplers_of(net).items():
        if name == "iterator_train" or _cut(sampler, np.arange(n), n) is None:
            raise ValueError(
                f"{name} holds a {type(sampler).__name__}, which names rows by their position "
                "among all, and every member of an ensemble is trained on a part of them. Leave "
                "it out (iterator_train__shuffle=True), or pass iterator_train__sampler="
                "WeightedRandomSampler(weights, n), of which a member gets its rows' weights."
            )


def for_member(net: NeuralNet, rows: NDArray[np.intp], n: int) -> NeuralNet:
    """Return the net with a sampler for some of n rows, the net itself if it has none for all."""
    samplers = {k: sampler for k, sampler in _samplers_of(net).items() if _made_for(sampler) == n}
    if not samplers:
        return net
    net = copy.copy(net)  # not by set_params, which skorch refuses for a net that was fitted
    vars(net).update({name: _cut(sampler, rows, n) for name, sampler in samplers.items()})
    return net


def _samplers_of(net: NeuralNet) -> dict[str, Any]:
    """Return the samplers that a net was given, by the names of the parameters."""
    settings = net.get_params_for("iterator_train")
    found = {f"iterator_train__{name}": settings.get(name) for name in _SAMPLERS}
    if isinstance(net.iterator_train, partial):
        given = net.iterator_train.keywords
        found["iterator_train"] = given.get("sampler", given.get("batch_sampler"))
    return {name: sampler for name, sampler in found.items() if sampler is not None}


def _made_for(sampler: Any) -> int | None:
    """Return for how many rows a sampler was made, None if that is not known."""
    if isinstance(sampler, WeightedRandomSampler):
        return len(sampler.weights)
    if isinstance(sampler, (RandomSampler, SequentialSampler)):
        return len(sampler.data_source)
    if isinstance(sampler, BatchSampler):
        return _made_for(sampler.sampler)
    return None


def _cut(sampler: Any, rows: NDArray[np.intp], n: int) -> Any:
    """Return a sampler for some of n rows as they are counted in a member, None if there is none.

    It draws as many in proportion.
    """
    if type(sampler) is BatchSampler:
        inner = _cut(sampler.sampler, rows, n)
        drop_last = sampler.drop_last
        return None if inner is None else BatchSampler(inner, sampler.batch_size, drop_last)
    if type(sampler) is SequentialSampler:
        return SequentialSampler(range(len(rows)))
    if type(sampler) not in (RandomSampler, WeightedRandomSampler):
        return None
    n_drawn = max(1, round(sampler.num_samples * len(rows) / n))
    drawn = {"replacement": sampler.replacement, "generator": sampler.generator}
    if isinstance(sampler, WeightedRandomSampler):
        return WeightedRandomSampler(sampler.weights[rows].tolist(), n_drawn, **drawn)
    return RandomSampler(range(len(rows)), num_samples=n_drawn, **drawn)


def refuse_memory_of_rows(criterion: nn.Module, X: Rows, n: int, n_classes: int) -> None:
    """Raise if a loss keeps a value for every row, and members do not tell it which rows they have.

    They do if X is a dict that holds the numbers of the rows, or a Dataset, which may yield them.
    """
    if n <= n_classes or not X.arrays or any(_are_distinct(array) for array in X.arrays):
        return
    for part in criterion.modules():
        held = {**vars(part), **part._parameters, **part._buffers}
        for name, value in held.items():
            if isinstance(value, (torch.Tensor, np.ndarray)) and value.shape[:1] == (n,):
                raise ValueError(
                    f"The criterion {type(criterion).__name__} keeps a value for each of the {n} "
                    f"rows ({name!r}), and every member of an ensemble is trained on a part of "
                    "them, counted anew. Pass X as a dict that holds the rows' numbers, too, or "
                    "take a criterion that keeps none."
                )


def _are_distinct(array: NDArray[Any]) -> bool:
    """Tell whether an array holds one whole number for every row."""
    is_column = array.dtype.kind in "iu" and array.size == len(array)
    return is_column and len(np.unique(array)) == len(array)
