# SPDX-License-Identifier: BSD-3-Clause
"""Many small networks trained as one: their parameters stacked, one operation for all members.

Networks whose layers take the batches of all members as they are, which is found by a trial, are
called on them; for others, and on a GPU, `vmap` maps the network and its loss over the members.

Every member starts from the weights, sees the batches and takes the steps that it would by itself.
The losses are summed, so that the gradient of each member's slice is its own, and the optimiser,
which treats every number by itself, runs over the stacked tensors. `stack_checks` says what can be
stacked without changing the result.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skorch import NeuralNet
from skorch.callbacks import LRScheduler
from torch import nn
from torch.func import functional_call, vmap
from torch.utils.data import Dataset

from ..._randomness import isolated_rng, spawn_seeds
from ...networks.copying import copied_module
from ...networks.forward import evaluation_mode, module_device, module_dtype, plain_module
from ...networks.heads import first_output
from ...rows.inputs import Inputs, as_arguments, cast_floats, leaves, map_inputs, n_rows, take_rows
from ...rows.rows import Rows
from ..fit import training_clone
from ..skorch_net import head_of, learn_encoding, matched_to_module, seeds_row_order
from .member import BLOCK_ROWS, Pool
from .stack_linear import SingleLayerProducts

Tensors = dict[str, torch.Tensor]


def initialized(pool: Pool, seed: int, rows: NDArray[np.bool_] | None = None) -> NeuralNet:
    """Return a clone of the net as it is before its first epoch on some rows, by positions."""
    init_seed, order_seed, _ = spawn_seeds(seed)
    net = training_clone(pool.net, verbose=0)
    if rows is not None:
        learn_encoding(net, pool.X, rows)
    if seeds_row_order(net):
        net.set_params(iterator_train__generator=torch.Generator().manual_seed(order_seed))
    # Positions of rows are loaded, not rows.
    net.set_params(
        iterator_train__num_workers=0,
        iterator_train__pin_memory=False,
        iterator_train__collate_fn=_identity,
    )
    with isolated_rng(init_seed, net.device or "cpu"):
        return net.initialize()


def _identity(batch: torch.Tensor) -> torch.Tensor:
    """Return the batch, whose positions are joined already."""
    return batch


@contextmanager
def quiet_vmap() -> Iterator[None]:
    """Silence what torch has to say about the speed of single operations."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        yield


class Positions(Dataset[Any]):
    """The positions 0 ... n - 1, loaded a batch at a time in the order of a DataLoader."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitems__(self, positions: list[int]) -> torch.Tensor:
        return torch.tensor(positions)


class Stack:
    """Networks of one architecture, their tensors stacked along axis 0, and the rows they see."""

    def __init__(self, pool: Pool, nets: Sequence[NeuralNet]) -> None:
        self.net = nets[0]
        self.module = plain_module(self.net.module_)
        self.device = module_device(self.module)
        self.head = head_of(self.net)
        modules = [plain_module(net.module_) for net in nets]
        self.parameters = {
            name: _stacked(dict(m.named_parameters())[name] for m in modules)
            for name, _ in self.module.named_parameters()
        }
        self.buffers = {
            name: _stacked(dict(m.named_buffers())[name] for m in modules)
            for name, _ in self.module.named_buffers()
        }
        _, targets, _ = matched_to_module(self.net, pool.X.data, pool.targets, pool.classes)
        self._targets = _as_tensor(targets).to(self.device)
        self._X = self._on_device(pool.X)
        self._view = self._X if pool.view is pool.X else self._on_device(pool.view)
        self._takes_batches = len(nets) > 1 and self._try_stacked_inputs(len(nets))

    def _on_device(self, X: Rows) -> Any:
        """Return rows as tensors."""
        dtype = module_dtype(self.module)
        tensors = map_inputs(_as_tensor, cast_floats(X.data, dtype))
        return cast_floats(map_inputs(lambda tensor: tensor.to(self.device), tensors), dtype)

    def optimizer(self) -> torch.optim.Optimizer:
        """Return the net's optimiser, with all of its options, over the stacked parameters."""
        names = {id(p): name for name, p in self.module.named_parameters()}
        groups = [
            {**group, "params": [self.parameters[names[id(p)]] for p in group["params"]]}
            for group in self.net.optimizer_.param_groups
        ]
        return type(self.net.optimizer_)(groups)

    def schedules(self, optimizer: torch.optim.Optimizer) -> list[tuple[str, Any]]:
        """Return the net's learning-rate schedules for an optimiser, and when each has a step."""
        return [
            (callback.step_every, callback.policy_(optimizer, **callback.kwargs))
            for _, callback in self.net.callbacks_
            if type(callback) is LRScheduler
        ]

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        """Return every member's loss (n_members,) on its rows (n_members, n_batch)."""
        rows = rows.to(self.device)
        batch = take_rows(self._X, rows), self._targets[rows]
        if len(rows) == 1:  # nothing to map over, and the plain operations are faster
            return self._loss(*self._state(0), *(take_rows(part, 0) for part in batch))[None]
        with SingleLayerProducts():
            if self._takes_batches:
                outputs = self._stacked_outputs(batch[0])
                members = ((o, *(take_rows(b, k) for b in batch)) for k, o in enumerate(outputs))
                return torch.stack([self._loss_of(*member) for member in members])
            return vmap(self._loss, randomness="error")(self.parameters, self.buffers, *batch)

    def _try_stacked_inputs(self, n_members: int) -> bool:
        """Tell whether the network makes of all members' batches what it makes of each alone."""
        if self.device.type != "cpu":  # where one loss after the other takes longer than `vmap`
            return False
        if self.head.compares_shapes:  # the loss of a single output rounds otherwise alone
            return False
        n_batch = 3 if n_members == 2 else 2  # axes of one length could be taken for each other
        rows = torch.arange(n_members * n_batch).reshape(n_members, n_batch) % n_rows(self._X)
        inputs = take_rows(self._X, rows)

        def is_same() -> bool:
            expected = vmap(self._call)(self.parameters, self.buffers, inputs)
            return torch.equal(self._stacked_outputs(inputs), expected)

        try:
            with torch.no_grad(), SingleLayerProducts():
                if not is_same():
                    return False
                with evaluation_mode(self.module):
                    return is_same()
        except Exception:  # a layer that knows a single member's batch only
            return False

    def _stacked_outputs(self, inputs: Inputs) -> Any:
        """Return the outputs for (n_members, n_batch, ...) without mapping over the members."""
        buffers = {name: buffer[:, None] for name, buffer in self.buffers.items()}
        return self._call(self.parameters, buffers, inputs)

    def _loss(
        self, parameters: Tensors, buffers: Tensors, inputs: Inputs, targets: torch.Tensor
    ) -> torch.Tensor:
        """Return one member's loss of a batch."""
        return self._loss_of(self._call(parameters, buffers, inputs), inputs, targets)

    def _loss_of(self, outputs: Any, inputs: Inputs, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of one member's outputs."""
        if self.head.compares_shapes:
            outputs = first_output(outputs).reshape(targets.shape)  # (n, 1) is allowed, too
        return self.net.get_loss(outputs, targets, X=inputs, training=True)

    def _call(self, parameters: Tensors, buffers: Tensors, inputs: Inputs) -> Any:
        """Return what the module returns with these tensors."""
        state = {**parameters, **buffers}
        return functional_call(self.module, state, *as_arguments(inputs))

    def _state(self, k: int) -> tuple[Tensors, Tensors]:
        """Return one member's parameters and buffers."""
        parameters = {name: tensor[k] for name, tensor in self.parameters.items()}
        return parameters, {name: tensor[k] for name, tensor in self.buffers.items()}

    def loss_of_first(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the loss of the first network on some rows, without a stack."""
        rows = rows.to(self.device)
        inputs = take_rows(self._X, rows)
        outputs = self.net.infer(inputs)
        return self.net.get_loss(outputs, self._targets[rows], X=inputs, training=True)

    def answers(self, rows: torch.Tensor) -> NDArray[np.float32]:
        """Return what every member says in eval mode of its rows, (members, rows, n_answers)."""

        def call_one(parameters: Tensors, buffers: Tensors, inputs: Inputs) -> torch.Tensor:
            outputs = first_output(self._call(parameters, buffers, inputs))
            return self.head.answers(outputs)

        blocks = []
        with evaluation_mode(self.module), torch.no_grad(), SingleLayerProducts():
            for block in rows.to(self.device).split(BLOCK_ROWS, dim=1):
                inputs = take_rows(self._view, block)
                if len(rows) == 1:
                    blocks.append(call_one(*self._state(0), take_rows(inputs, 0))[None])
                elif self._takes_batches:
                    outputs = self._stacked_outputs(inputs)
                    blocks.append(torch.stack([self.head.answers(o) for o in outputs]))
                else:
                    blocks.append(vmap(call_one)(self.parameters, self.buffers, inputs))
        return torch.cat(blocks, dim=1).float().cpu().numpy()

    def bytes_per_row(self) -> int:
        """Return how much memory a row and all that is computed from it take, about."""
        n_bytes = 0

        def count(module: nn.Module, args: Any, output: Any) -> None:
            nonlocal n_bytes
            if isinstance(output, torch.Tensor) and not list(module.children()):
                n_bytes += output.nbytes

        inputs = take_rows(self._X, torch.arange(2, device=self.device) % n_rows(self._X))
        hooks = [m.register_forward_hook(count) for m in self.module.modules()]
        try:
            with evaluation_mode(self.module), torch.no_grad():
                self._call(*self._state(0), inputs)
        finally:
            for hook in hooks:
                hook.remove()
        return (n_bytes + _bytes_of(inputs)) // 2

    def bytes_of_rows(self) -> int:
        """Return how much memory the rows take on the device."""
        return sum(_bytes_of(X) for X in {id(X): X for X in (self._X, self._view)}.values())

    def member(self, k: int) -> nn.Module:
        """Return one of the networks as a module of its own."""
        module = copied_module(self.module)
        parameters, buffers = self._state(k)
        with torch.no_grad():
            for name, tensor in (*module.named_parameters(), *module.named_buffers()):
                tensor.copy_({**parameters, **buffers}[name])
        return module


def _as_tensor(array: NDArray[Any]) -> torch.Tensor:
    """Return a tensor that shares the array's memory, also that of a memory map."""
    with warnings.catch_warnings():
        # Rows are copied before a module sees them, so that they are only read here.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _bytes_of(inputs: Inputs) -> int:
    """Return how much memory a block takes."""
    return sum(tensor.nbytes for tensor in leaves(inputs))


def _stacked(tensors: Iterator[torch.Tensor]) -> torch.Tensor:
    """Return tensors stacked along axis 0, as a leaf that learns if they do."""
    members = list(tensors)
    stacked = torch.stack([tensor.detach() for tensor in members])
    return stacked.requires_grad_(members[0].requires_grad)
