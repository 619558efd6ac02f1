# SPDX-License-Identifier: BSD-3-Clause
"""Activations and gradients at the outputs of modules, in one forward and one backward pass.

Parameters are frozen, since the weights of a state are put in for them. After a step of training on
the row itself every row has weights of its own: `vmap` makes those of a chunk of rows at once,
which is as large as scikit-learn's ``working_memory`` allows.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from sklearn import get_config
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.overrides import BaseTorchFunctionMode

from ..networks.copying import copied_module
from ..networks.forward import (
    State,
    call_with_state,
    first_tensor,
    predictions_of,
    with_first_tensor,
)
from ..networks.heads import at_least_single
from ..rows.inputs import Inputs, as_arguments, map_inputs, n_rows, take_rows
from ..training.record import TrainingRecord
from .locations import Site
from .objectives import target_function

Evidence = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]
# Given the number of a site, what its module was given and what it returned: what is passed on.
Visit = Callable[[int, torch.Tensor, torch.Tensor], torch.Tensor]


class SiteReading(NamedTuple):
    """What was read of some rows, in order of the sites."""

    outputs: torch.Tensor
    activations: list[torch.Tensor]
    gradients: list[torch.Tensor]


@contextmanager
def _visited(module: nn.Module, sites: Sequence[Site], visit: Visit) -> Iterator[None]:
    """Replace the outputs of sites by what `visit` returns, inside the ``with`` block."""
    numbers = {(site.module, site.call): i for i, site in enumerate(sites)}
    calls: Counter[str] = Counter()
    missing = set(numbers.values())

    def hook(name: str) -> Any:
        def on_output(_module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
            calls[name] += 1
            number = numbers.get((name, calls[name] - 1))
            if number is None:
                return None
            value, given = first_tensor(output), first_tensor([*args, *kwargs.values()])
            assert value is not None
            assert given is not None
            missing.discard(number)
            return with_first_tensor(output, visit(number, given, value))

        return on_output

    with ExitStack() as stack:
        for name in dict.fromkeys(site.module for site in sites):
            handle = module.get_submodule(name).register_forward_hook(hook(name), with_kwargs=True)
            stack.callback(handle.remove)
        # Under any such mode nn.TransformerEncoder calls its parts, whose hooks would not run else.
        stack.enter_context(BaseTorchFunctionMode())
        yield
    if missing:
        raise ValueError(
            f"The forward pass did not come by {[sites[i].name for i in sorted(missing)]} for some "
            "rows, although it did for the first ones. Choose layers that every row passes."
        )


class SitePasses:
    """One forward pass, and one backward pass to all sites, with the weights of a state."""

    def __init__(
        self, module: nn.Module, sites: Sequence[Site], evidence: Evidence, *, of_inputs: bool
    ) -> None:
        self._module = module
        self._sites = sites
        self._evidence = evidence
        self._of_inputs = of_inputs  # the activations are what a site's module is given
        self._shields = False

    def __call__(
        self, state: State, inputs: Inputs, labels: torch.Tensor | None
    ) -> Iterator[SiteReading]:
        """Yield the reading of a block."""
        if not self._shields:
            try:
                reading = self._read(state, inputs, labels)
            except RuntimeError as error:
                if "in-place" not in str(error):
                    raise
                reading = None  # torch forbids it for leaves
            if reading is not None:
                yield reading
                return
            # The module writes to what was read: pass copies on.
            self._shields = True
        reading = self._read(state, inputs, labels)
        assert reading is not None
        yield reading

    def _read(
        self, state: State, inputs: Inputs, labels: torch.Tensor | None
    ) -> SiteReading | None:
        """Return the reading, None if the module has written to what was to be read."""
        nodes: dict[int, torch.Tensor] = {}
        activations: dict[int, torch.Tensor] = {}
        versions: list[tuple[torch.Tensor, int]] = []

        def kept(values: torch.Tensor) -> torch.Tensor:
            return values.clone() if self._shields else values

        def visit(number: int, given: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            if value.requires_grad:
                # A node of its own: a module may return what it was given, or a part of it.
                node = value.clone() if self._shields else value.view_as(value)
            else:
                node = kept(value.detach()).requires_grad_()
            nodes[number] = node
            activations[number] = kept(given) if self._of_inputs else node
            versions.extend((v, v._version) for v in (node, activations[number]))
            return kept(node)

        with torch.enable_grad():
            with _visited(self._module, self._sites, visit):
                outputs = call_with_state(self._module, state, inputs)
            if any(values._version != version for values, version in versions):
                return None
            total = self._evidence(outputs, labels).sum()
        if not total.requires_grad:
            raise ValueError(
                "The output depends on none of the chosen layers in a way that can be "
                "differentiated. Is there a no_grad or a detach in forward? Then choose layers "
                "behind it."
            )
        order = range(len(self._sites))
        gradients = torch.autograd.grad(total, [nodes[i] for i in order], materialize_grads=True)
        return SiteReading(outputs, [activations[i].detach() for i in order], [*gradients])


class SitePassesAfterStep:
    """The same after one step of gradient descent on the loss of the row itself, for each row."""

    def __init__(
        self,
        record: TrainingRecord,
        sites: Sequence[Site],
        evidence: Evidence,
        *,
        of_inputs: bool,
        step: float,
    ) -> None:
        module = copied_module(record.module).eval()  # vmap's tensors must not stay in the original
        for part in module.modules():
            if isinstance(part, nn.TransformerEncoder):
                part.use_nested_tensor = False  # of padded rows, which vmap cannot make
        trained = [p for p in module.parameters() if p.requires_grad]
        n_bytes = 2 * sum(p.numel() * p.element_size() for p in trained)  # gradients and weights
        self._trained = {name for name, p in module.named_parameters() if p.requires_grad}
        self._chunk = max(1, int(get_config()["working_memory"] * 2**20 / max(1, n_bytes)))
        loss = target_function(record, "loss")

        def outputs_of(state: State, row: Inputs, visit: Visit) -> torch.Tensor:
            one = map_inputs(lambda values: values[None].clone(), row)
            with _visited(module, sites, visit):
                return predictions_of(functional_call(module, state, *as_arguments(one)))

        def of_row(
            weights: State, fixed: State, row: Inputs, label: torch.Tensor
        ) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
            zeros: dict[int, torch.Tensor] = {}

            def note(number: int, _given: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
                zeros[number] = torch.zeros(value.shape, dtype=value.dtype, device=value.device)
                return value

            def loss_of(weights: State) -> torch.Tensor:
                return loss(outputs_of(weights | fixed, row, note), label[None]).sum()

            downhill = grad(loss_of)(weights)
            moved = {name: weights[name] - step * downhill[name] for name in weights}

            def evidence_of(shifts: list[torch.Tensor]) -> tuple[torch.Tensor, Any]:
                activations: dict[int, torch.Tensor] = {}

                def visit(number: int, given: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
                    node = value + shifts[number]
                    activations[number] = (given if of_inputs else node).clone()
                    return node.clone()  # what follows may write to it

                outputs = outputs_of(moved | fixed, row, visit)
                in_order = [activations[i][0] for i in range(len(sites))]
                return evidence(outputs, label[None]).sum(), (outputs[0], in_order)

            shifts = [zeros[i] for i in range(len(sites))]
            gradients, (outputs, activations) = grad(evidence_of, has_aux=True)(shifts)
            return outputs, activations, [g[0] for g in gradients]

        # A network may draw in eval mode too, for every row anew.
        self._of_rows = vmap(of_row, in_dims=(None, None, 0, 0), randomness="different")

    def __call__(
        self, state: State, inputs: Inputs, labels: torch.Tensor | None
    ) -> Iterator[SiteReading]:
        """Yield the readings of chunks of a block, in order."""
        if labels is None:
            raise ValueError("order=1 takes a step on the loss, which of a regressor needs y.")
        # In half precision most weights would be the same after a small step.
        state = {name: at_least_single(tensor) for name, tensor in state.items()}
        inputs = map_inputs(at_least_single, inputs)
        weights = {name: tensor for name, tensor in state.items() if name in self._trained}
        fixed = {name: tensor for name, tensor in state.items() if name not in self._trained}
        for start in range(0, n_rows(inputs), self._chunk):
            rows = slice(start, start + self._chunk)
            with warnings.catch_warnings():
                # Recurrent layers and attention are looped over, which is all the same.
                warnings.filterwarnings("ignore", message="There is a performance drop")
                try:
                    found = self._of_rows(weights, fixed, take_rows(inputs, rows), labels[rows])
                except RuntimeError as error:
                    if "vmap" not in str(error):
                        raise
                    raise ValueError(
                        "order=1 reads rows at once by torch.vmap, which cannot follow the forward "
                        "pass of this network: does it decide by values, or call .item()? Write "
                        "that with torch.where, or use order=0."
                    ) from error
            yield SiteReading(*found)
