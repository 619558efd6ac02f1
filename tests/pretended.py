# SPDX-License-Identifier: BSD-3-Clause
"""A CUDA device that is pretended: all is computed on the CPU, and devices must not be mixed.

Memory is labelled with the device that it would lie on. Whoever asks a tensor for its device gets
the label, and an operation on tensors of two labels raises, as CUDA would.
"""

from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

_MOVES = {torch.Tensor.to, torch.Tensor.cpu, torch.Tensor.cuda}
_TO_NUMPY = {torch.Tensor.numpy, torch.Tensor.__array__}
_INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}


class MixedDevices(RuntimeError):
    """Tensors of two devices meet in one operation."""


class _Labels:
    """Which memory would lie on the pretended device."""

    def __init__(self):
        # The storages themselves, so that none is freed and its address used again.
        self._pretended = {}
        self.of_call = "cpu"  # where the function that was called makes what it needs

    def of(self, tensor):
        return "cuda" if _storage(tensor)._cdata in self._pretended else "cpu"

    def set(self, tensor, device):
        storage = _storage(tensor)
        if device == "cuda":
            self._pretended[storage._cdata] = storage
        else:
            self._pretended.pop(storage._cdata, None)


def _storage(tensor):
    """Return the memory of a tensor, also inside of vmap."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor.untyped_storage()


def _tensors(*values):
    leaves, _ = tree_flatten(values)
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


class _Operations(TorchDispatchMode):
    """Refuses to mix labels, and labels what is computed."""

    def __init__(self, labels):
        super().__init__()
        self.labels = labels

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = _tensors(args, kwargs or {})
        # A number on the CPU may meet anything; the others may not.
        devices = {self.labels.of(t) for t in given if t.ndim or self.labels.of(t) == "cuda"}
        name = func._schema.name
        takes_positions = name in _INDEXING and self.labels.of(given[0]) == "cuda"
        if len(devices) > 1 and name != "aten::copy_" and not takes_positions:
            raise MixedDevices(f"{name} of tensors on cpu and cuda")
        result = func(*args, **(kwargs or {}))
        known = {_storage(t)._cdata for t in given}
        device = "cuda" if "cuda" in devices else "cpu" if given else self.labels.of_call
        for tensor in _tensors(result):
            if _storage(tensor)._cdata not in known:
                self.labels.set(tensor, device)
        return result


class _Functions(TorchFunctionMode):
    """Answers for the devices of tensors, and makes or moves them where they are asked to be."""

    def __init__(self, labels):
        super().__init__()
        self.labels = labels

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func == torch.Tensor.device.__get__:
            return torch.device(self.labels.of(args[0]))
        if func == torch.Tensor.is_cuda.__get__:
            return self.labels.of(args[0]) == "cuda"
        if func in _TO_NUMPY and self.labels.of(args[0]) == "cuda":
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if func in _MOVES:
            return self._move(func, *args, **kwargs)
        asked_for = kwargs.get("device")
        if asked_for is not None:
            kwargs["device"] = "cpu"
        given = _tensors(args, kwargs)
        before, self.labels.of_call = self.labels.of_call, self._device_of(given)
        try:
            result = func(*args, **kwargs)
        finally:
            self.labels.of_call = before
        if func is torch.Tensor.__deepcopy__:  # it copies memory, and no tensor
            self.labels.set(result, self._device_of(given))
        return (
            result if asked_for is None else self._on(torch.device(asked_for).type, result, given)
        )

    def _device_of(self, given):
        return "cuda" if any(self.labels.of(tensor) == "cuda" for tensor in given) else "cpu"

    def _move(self, func, tensor, *args, **kwargs):
        if func is not torch.Tensor.to:
            return self._on("cpu" if func is torch.Tensor.cpu else "cuda", tensor, [tensor])
        if args and isinstance(args[0], torch.Tensor):
            args = torch.device(self.labels.of(args[0])), args[0].dtype, *args[1:]
        elif args and isinstance(args[0], torch.dtype):
            args = None, *args
        names = ("device", "dtype", "non_blocking", "copy")
        kwargs |= dict(zip(names, args, strict=False))
        device = kwargs.pop("device", None)
        device = self.labels.of(tensor) if device is None else torch.device(device).type
        kwargs = {name: value for name, value in kwargs.items() if value is not None}
        moved = tensor.to(**{"dtype": tensor.dtype, **kwargs})
        return self._on(device, moved, [tensor])

    def _on(self, device, tensor, given):
        known = {_storage(t)._cdata for t in _tensors(given)}
        if _storage(tensor)._cdata in known and self.labels.of(tensor) != device:
            tensor = tensor.clone()
        if self.labels.of(tensor) != device:
            self.labels.set(tensor, device)
        return tensor


@contextmanager
def pretended_cuda():
    """Pretend that there is a CUDA device, and be strict about what lies there."""
    labels = _Labels()
    properties = SimpleNamespace(total_memory=2**30)
    with (
        patch.object(torch.cuda, "get_device_properties", lambda device: properties),
        patch.object(torch.cuda, "get_rng_state", lambda device: torch.zeros(1)),
        _Operations(labels),
        _Functions(labels),
    ):
        yield
