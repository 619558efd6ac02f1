# SPDX-License-Identifier: BSD-3-Clause
"""Many small networks trained as one: their parameters stacked, and `vmap` over the members.

Every member starts from the weights, sees the batches and takes the steps that it would by itself.
The losses are summed, so that the gradient of each member's slice is its own, and the optimiser,
which treats every number by itself, runs over the stacked tensors. What cannot be stacked without
changing the result is found by `obstacle`, with the reason.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import get_config
from skorch import NeuralNet
from skorch.callbacks import (
    BatchScoring,
    EpochScoring,
    EpochTimer,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
)
from torch import nn
from torch.func import functional_call, vmap
from torch.utils.data import DataLoader, Dataset

from .fitting import matched_to_module, seeds_row_order
from .members import BLOCK_ROWS, Arrays, Pool, read_member
from .network import (
    evaluation_mode,
    find_recorder,
    module_device,
    module_dtype,
    plain_module,
    predefined_validation_set,
    training_clone,
)
from .outputs import class_probabilities, first_output, output_kind
from .randomness import isolated_rng, spawn_seeds
from .record import TrainingRecord
from .recorder import RecordTraining
from .rows import Inputs, Rows, cast_floats, is_dataset, n_rows, take_rows

_ELEMENTWISE = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
# They report on a training and leave it alone.
_REPORTS = (
    BatchScoring,
    EpochScoring,
    EpochTimer,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    RecordTraining,
)
# What a subclass of skorch's nets may have changed about a training step.
_STEPS = (
    "fit_loop",
    "get_iterator",
    "get_loss",
    "infer",
    "notify",
    "run_single_epoch",
    "train_step",
    "train_step_single",
)
_LOADER_OPTIONS = {"batch_size", "drop_last", "num_workers", "pin_memory", "shuffle"}
_TRIAL_ROWS = 8
_TRIAL_TOLERANCE = 1e-3  # far above rounding, far below another computation
_CUDA_SHARE = 0.5
_COPIES_OF_ACTIVATIONS = 3  # the activation, its gradient, and what the next operation makes

Tensors = dict[str, torch.Tensor]


# -------------------------------------------------------------------------- what can be stacked


def obstacle(pool: Pool, masks: NDArray[np.bool_]) -> str | None:
    """Say why members cannot be trained as a stack, None if they can.

    Parameters
    ----------
    pool : Pool
        What the members have in common.
    masks : ndarray of shape (n_members, n)
        Their training rows.

    Returns
    -------
    reason : str or None
        Completes "The members are trained one by one, because ...".
    """
    net = pool.net
    if len(np.unique(masks.sum(axis=1))) > 1:
        return "they have different numbers of training rows"
    if is_dataset(pool.X) or is_dataset(pool.view):
        return "X is a Dataset, whose items are made one at a time"
    if find_recorder(net.callbacks) is not None:
        return "the network carries a RecordTraining, which follows a single training"
    events = [name for name in dir(NeuralNet) if name.startswith("on_")]
    for name in (*_STEPS, *events):
        if not getattr(type(net), name).__module__.startswith("skorch."):
            return f"{type(net).__name__} has a {name} of its own"
    if net.optimizer not in _ELEMENTWISE:
        return f"the optimizer {getattr(net.optimizer, '__name__', '')} is not SGD, Adam or AdamW"
    if net.compile:
        return "the module is compiled"
    if predefined_validation_set(net) is not None:
        return "a validation set is read after every epoch"
    options = set(net.get_params_for("iterator_train")) - _LOADER_OPTIONS
    if net.iterator_train is not DataLoader or options:
        return f"batches are made in a way of their own ({', '.join(options) or 'iterator_train'})"
    first = _initialized(pool, seed=0)
    for name, callback in first.callbacks_:
        is_schedule = type(callback) is LRScheduler
        if is_schedule and callback.policy_ is torch.optim.lr_scheduler.ReduceLROnPlateau:
            return "ReduceLROnPlateau follows a single training"
        if not is_schedule and type(callback) not in _REPORTS:
            return f"the callback {name!r} ({type(callback).__name__}) follows a single training"
    if any(True for _ in first.criterion_.parameters()):
        return "the criterion has parameters of its own"
    return _trial(pool, first)


def _initialized(pool: Pool, seed: int) -> NeuralNet:
    """Return a clone as `fitting.train` has it before the first epoch."""
    init_seed, order_seed, _ = spawn_seeds(seed)
    net = training_clone(pool.net, RecordTraining(), verbose=0)
    if seeds_row_order(net):
        net.set_params(iterator_train__generator=torch.Generator().manual_seed(order_seed))
    # Positions of rows are loaded, not rows.
    net.set_params(
        iterator_train__num_workers=0,
        iterator_train__pin_memory=False,
        iterator_train__collate_fn=_as_it_is,
    )
    with isolated_rng(init_seed, net.device or "cpu"):
        return net.initialize()


def _as_it_is(batch: torch.Tensor) -> torch.Tensor:
    return batch


def _trial(pool: Pool, net: NeuralNet) -> str | None:
    """Hold the gradients of a stack of two to those of its first member, on a few rows."""
    first = np.arange(_TRIAL_ROWS) % len(pool.targets)
    rows = torch.from_numpy(np.stack([first, first[::-1]]))
    with isolated_rng(0, module_device(net.module_)), _quiet_vmap():
        try:
            stack = _Stack(pool, [net, _initialized(pool, seed=1)])
            stack.probabilities(rows)
            buffers = [buffer.clone() for buffer in stack.module.buffers()]
            stack.module.train()
            losses = stack.losses(rows)
            of_stack = stack.gradients(losses.sum())
            loss, of_member = stack.first_by_itself(rows[0])
        except Exception as error:  # trained one by one it raises again, if that is its own fault
            message = str(error).partition("\n")[0]
            is_random = "randomness" in message
            return "the network draws random numbers" if is_random else message.rstrip(" .")
    if any(not torch.equal(a, b) for a, b in zip(buffers, stack.module.buffers(), strict=True)):
        return "the network keeps running statistics of the batches"
    found = [losses[0].detach(), *(gradient[0] for gradient in of_stack)]
    for a, b in zip(found, [loss, *of_member], strict=True):
        if not torch.isfinite(b).all():
            return "the first rows give no finite gradients"
        if not torch.allclose(a, b, rtol=_TRIAL_TOLERANCE, atol=_TRIAL_TOLERANCE * float(b.norm())):
            return "stacked, the network does not get the gradients that it gets by itself"
    return None


@contextmanager
def _quiet_vmap() -> Iterator[None]:
    """Silence what torch has to say about the speed of single operations."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        yield


def drawback(pool: Pool) -> str | None:
    """Say why a stack would be slower than one network after the other, None if it is not."""
    net = _initialized(pool, seed=0)
    is_convolutional = any(isinstance(m, nn.modules.conv._ConvNd) for m in net.module_.modules())
    if is_convolutional and module_device(net.module_).type == "cpu":
        return "on a CPU, a stack of convolutions is slower than one after the other"
    return None


def stack_size(pool: Pool, n_members: int) -> int:
    """Return how many members are trained at a time, within the memory budget.

    The budget is scikit-learn's ``working_memory``, on a GPU half of what it has: not of what is
    free, so that a fit that is taken up again makes the same stacks.
    """
    net = _initialized(pool, seed=0)
    with isolated_rng(0, net.device or "cpu"):
        stack = _Stack(pool, [net])
        of_row = stack.bytes_per_row()
    n_batch = min(net.batch_size if net.batch_size > 0 else len(pool.targets), len(pool.targets))
    n_states = 2 if type(net.optimizer_) is not torch.optim.SGD else 1
    # Weights, gradients, the optimiser's states, and what its step makes on the way.
    of_weights = (3 + n_states) * sum(p.nbytes for p in stack.parameters.values())
    of_batch = n_batch * of_row
    budget = int(get_config()["working_memory"] * 2**20)
    if stack.device.type == "cuda":
        budget = int(_CUDA_SHARE * torch.cuda.get_device_properties(stack.device).total_memory)
    return min(n_members, max(1, budget // (of_weights + of_batch)))


# --------------------------------------------------------------------------------- the training


def train_stack(
    pool: Pool,
    masks: NDArray[np.bool_],
    seeds: Sequence[int],
    *,
    numbers: Sequence[int] | None = None,
    tell: Callable[[float], None] = lambda share: None,
) -> Iterator[Arrays]:
    """Train members together, and yield what is kept of each.

    Parameters
    ----------
    pool : Pool
        What the members have in common; `obstacle` has found nothing.
    masks : ndarray of shape (n_members, n)
        Their training rows, equally many.
    seeds : sequence of int
        Theirs.
    numbers : sequence of int, default=None
        What they are called in an error; None counts from 0.
    tell : callable
        Told after every epoch what share of the training is done.

    Yields
    ------
    arrays : dict of str to ndarray
        As `members.train_member` returns it.
    """
    nets = [_initialized(pool, seed) for seed in seeds]
    total: Any = 0.0
    n_epochs = 0
    # What draws is not stacked; still, a module may draw what it does not use.
    with isolated_rng(seeds[0], nets[0].device or "cpu"), _quiet_vmap():
        stack = _Stack(pool, nets)
        rows, held_out = (
            torch.from_numpy(np.stack([np.flatnonzero(mask) for mask in part]))
            for part in (masks, ~masks)
        )
        loaders = [net.get_iterator(_Positions(rows.shape[1]), training=True) for net in nets]
        optimizer = stack.optimizer()
        schedules = [
            (callback.step_every, _schedule(callback, optimizer))
            for _, callback in stack.net.callbacks_
            if type(callback) is LRScheduler
        ]
        for n_epochs in range(1, stack.net.max_epochs + 1):
            stack.module.train()
            losses = torch.zeros(len(seeds))
            for positions in zip(*loaders, strict=True):
                optimizer.zero_grad()
                losses = stack.losses(rows.gather(1, torch.stack(positions)))
                losses.sum().backward()
                optimizer.step()
                _step(schedules, "batch")
            _refuse_divergence(losses.detach(), n_epochs, stack.net, numbers or range(len(seeds)))
            _step(schedules, "epoch")
            total = total + stack.probabilities(held_out).astype(np.float64)
            tell(n_epochs / stack.net.max_epochs)
    means = np.asarray(total / n_epochs, dtype=np.float32) if n_epochs else [None] * len(seeds)
    for k, mask in enumerate(masks):
        record = TrainingRecord(
            stack.member(k),
            [],
            classes=pool.classes,
            outputs=stack.kind,
            criterion=stack.net.criterion_,
            n_epochs=n_epochs,
            trajectory_problem="members that are trained as a stack record none",
        )
        yield read_member(pool, record, mask, means[k])


def _schedule(callback: LRScheduler, optimizer: torch.optim.Optimizer) -> Any:
    return callback.policy_(optimizer, **{"last_epoch": -1, **callback.kwargs})


def _step(schedules: Sequence[tuple[str, Any]], moment: str) -> None:
    for step_every, schedule in schedules:
        if step_every == moment:
            schedule.step()


def _refuse_divergence(
    losses: torch.Tensor, epoch: int, net: NeuralNet, numbers: Sequence[int]
) -> None:
    bad = torch.nonzero(~torch.isfinite(losses))[:, 0].tolist()
    if bad:
        error = ValueError(
            f"The training loss became {float(losses[bad[0]])} in epoch {epoch}: training "
            f"diverged. Lower the learning rate (lr={net.lr}) or clip the gradients."
        )
        which = f"member{'s' * (len(bad) > 1)} {', '.join(str(numbers[k]) for k in bad)}"
        error.add_note(f"This happened in {which} of the ensemble.")
        raise error


class _Positions(Dataset[Any]):
    """The positions 0 ... n - 1, loaded a batch at a time in the order of a DataLoader."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitems__(self, positions: list[int]) -> torch.Tensor:
        return torch.tensor(positions)


class _Stack:
    """Networks of one architecture, their tensors stacked along axis 0, and the rows they see.

    Parameters
    ----------
    pool : Pool
        What the members have in common.
    nets : list of NeuralNet
        Initialized; the first one stands for all.
    """

    def __init__(self, pool: Pool, nets: Sequence[NeuralNet]) -> None:
        self.net = nets[0]
        self.module = plain_module(self.net.module_)
        self.device = module_device(self.module)
        self.kind = output_kind(self.net)
        modules = [plain_module(net.module_) for net in nets]
        self.parameters = {
            name: _stacked(dict(m.named_parameters())[name] for m in modules)
            for name, _ in self.module.named_parameters()
        }
        self.buffers = {
            name: _stacked(dict(m.named_buffers())[name] for m in modules)
            for name, _ in self.module.named_buffers()
        }
        _, targets = matched_to_module(self.net, pool.X, pool.targets, pool.classes)
        self._targets = torch.from_numpy(targets).to(self.device)
        self._X = self._on_device(pool.X)
        self._view = self._X if pool.view is pool.X else self._on_device(pool.view)

    def _on_device(self, X: Rows) -> Any:
        if isinstance(X, dict):
            return {name: self._on_device(array) for name, array in X.items()}
        with warnings.catch_warnings():
            # Rows are copied before a module sees them, so those of a memory map are only read.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            tensor = torch.from_numpy(cast_floats(X, module_dtype(self.module)))
        return cast_floats(tensor.to(self.device), module_dtype(self.module))

    def optimizer(self) -> torch.optim.Optimizer:
        """Return the net's optimiser, with all of its options, over the stacked parameters."""
        names = {id(p): name for name, p in self.module.named_parameters()}
        groups = [
            {**group, "params": [self.parameters[names[id(p)]] for p in group["params"]]}
            for group in self.net.optimizer_.param_groups
        ]
        return type(self.net.optimizer_)(groups)

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        """Return every member's loss (n_members,) on its rows (n_members, n_batch)."""
        rows = rows.to(self.device)
        batch = take_rows(self._X, rows), self._targets[rows]
        if len(rows) == 1:  # nothing to map over, and the plain operations are faster
            return self._loss(*self._state(0), *(take_rows(part, 0) for part in batch))[None]
        return vmap(self._loss, randomness="error")(self.parameters, self.buffers, *batch)

    def _loss(
        self, parameters: Tensors, buffers: Tensors, inputs: Inputs, targets: torch.Tensor
    ) -> torch.Tensor:
        outputs = self._call(parameters, buffers, inputs)
        if self.kind == "binary_logit":
            outputs = first_output(outputs).reshape(targets.shape)  # (n, 1) is allowed, too
        return self.net.get_loss(outputs, targets, X=inputs, training=True)

    def _call(self, parameters: Tensors, buffers: Tensors, inputs: Inputs) -> Any:
        of_member = {**parameters, **buffers}
        if isinstance(inputs, dict):
            return functional_call(self.module, of_member, kwargs=inputs)
        return functional_call(self.module, of_member, (inputs,))

    def _state(self, k: int) -> tuple[Tensors, Tensors]:
        parameters = {name: tensor[k] for name, tensor in self.parameters.items()}
        return parameters, {name: tensor[k] for name, tensor in self.buffers.items()}

    def gradients(self, loss: torch.Tensor) -> list[torch.Tensor]:
        """Return the gradient of every stacked parameter that learns."""
        learning = [p for p in self.parameters.values() if p.requires_grad]
        return list(torch.autograd.grad(loss, learning, materialize_grads=True))

    def first_by_itself(self, rows: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return loss and gradients of the first network on some rows, without a stack."""
        rows = rows.to(self.device)
        outputs = self.net.infer(take_rows(self._X, rows))
        loss = self.net.get_loss(
            outputs, self._targets[rows], X=take_rows(self._X, rows), training=True
        )
        learning = [p for p in self.module.parameters() if p.requires_grad]
        return loss.detach(), list(torch.autograd.grad(loss, learning, materialize_grads=True))

    def probabilities(self, rows: torch.Tensor) -> NDArray[np.float32]:
        """Return what every member says in eval mode about its rows, (members, rows, classes)."""

        def of_member(parameters: Tensors, buffers: Tensors, inputs: Inputs) -> torch.Tensor:
            outputs = first_output(self._call(parameters, buffers, inputs))
            return class_probabilities(outputs, self.kind)

        found = []
        with evaluation_mode(self.module), torch.no_grad():
            for block in rows.to(self.device).split(BLOCK_ROWS, dim=1):
                inputs = take_rows(self._view, block)
                if len(rows) == 1:
                    found.append(of_member(*self._state(0), take_rows(inputs, 0))[None])
                else:
                    found.append(vmap(of_member)(self.parameters, self.buffers, inputs))
        return torch.cat(found, dim=1).float().cpu().numpy()

    def bytes_per_row(self) -> int:
        """Return how much memory the training of one member takes for a row of a batch, about."""
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
        tensors = inputs.values() if isinstance(inputs, dict) else [inputs]
        return _COPIES_OF_ACTIVATIONS * (n_bytes + sum(t.nbytes for t in tensors)) // 2

    def member(self, k: int) -> nn.Module:
        """Return one of the networks as a module of its own."""
        module = copy.deepcopy(self.module)
        parameters, buffers = self._state(k)
        with torch.no_grad():
            for name, tensor in (*module.named_parameters(), *module.named_buffers()):
                tensor.copy_({**parameters, **buffers}[name])
        return module


def _stacked(tensors: Iterator[torch.Tensor]) -> torch.Tensor:
    all_of_them = list(tensors)
    stacked = torch.stack([tensor.detach() for tensor in all_of_them])
    return stacked.requires_grad_(all_of_them[0].requires_grad)
