# SPDX-License-Identifier: BSD-3-Clause
"""What a network depends on is in the key of a cache, or is refused, however its code finds it.

Scripts are run with 8 and with 16 in place of @N, without a file: where the networks differ, so
do the keys.
"""

import json
import os
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_difficulty.training.fingerprints import code_reading
from sklearn_difficulty.training.fingerprints.config_hash import fingerprint, training_fingerprint

ROOT = Path(__file__).resolve().parents[3]

SERVER = """
import contextvars, dataclasses, enum, functools, json, os, sys, threading, types, weakref
from collections import UserDict, namedtuple
from types import SimpleNamespace
import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, LRScheduler
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch import nn
from sklearn_difficulty.training.fingerprints.config_hash import training_fingerprint

names = dict(globals())
numbers = [int(n) for n in sys.argv[1:]]
functions = nn.Linear.reset_parameters, nn.functional.relu
for name, script in json.load(sys.stdin).items():
    for n in numbers:
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        vars(main).update(names, __name__="__main__")
        torch.manual_seed(0)
        exec(script.replace("@N", str(n)), vars(main))
        net = vars(main).get("net") or NeuralNetClassifier(main.Net)
        try:
            found = training_fingerprint(net, name="The network")
        except TypeError as error:
            found = str(error)
        print(json.dumps([name, found]))
        # Leave nothing for the next script.
        nn.Linear.reset_parameters, nn.functional.relu = functions
        nn.modules.module._global_forward_hooks.clear()
        torch.set_default_dtype(torch.float32)
        torch.use_deterministic_algorithms(False)
        torch.set_float32_matmul_precision("highest")
        os.environ.pop("WIDTH_", None)
        del sys.argv[1:]
"""
# As __init__ of the network; WIDTH is replaced.
MODULE = """
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(13, WIDTH), nn.ReLU())
"""
MYCONFIG = """
config = types.ModuleType("config")
config.width = @N
sys.modules["config"] = config
"""
READ = {
    # Configuration: what lies before the class, and what the class makes of it.
    "namespace": ("C = SimpleNamespace(model=SimpleNamespace(width=@N))", "C.model.width"),
    "class": ("class C:\n    width = @N", "C.width"),
    "dataclass": ("@dataclasses.dataclass\nclass C:\n    width: int = @N", "C().width"),
    "factory": (
        "@dataclasses.dataclass\nclass C:\n"
        "    widths: list = dataclasses.field(default_factory=lambda: [@N])",
        "C().widths[0]",
    ),
    "slots": (
        "class C:\n    __slots__ = ('width',)\n    def __init__(self):\n        self.width = @N\n"
        "c = C()",
        "c.width",
    ),
    "namedtuple": ("C = namedtuple('C', 'width')(@N)", "C.width"),
    "enum": ("class C(enum.Enum):\n    WIDTH = @N", "C.WIDTH.value"),
    "mapping": ("C = UserDict(width=@N)", "C['width']"),
    "attributes are items": (
        "class D(dict):\n    __getattr__ = dict.__getitem__\nC = D(width=@N)",
        "C.width",
    ),
    "property": ("class C:\n    @property\n    def w(self):\n        return @N", "C().w"),
    "getattr": (
        "class C:\n    def __getattr__(self, name):\n        return {'width': @N}[name]",
        "C().width",
    ),
    "hidden from pickle": (
        "class C:\n    width = 0\n    def __getstate__(self):\n        return {}\nc = C()\n"
        "c.width = @N",
        "c.width",
    ),
    "module": (MYCONFIG, "config.width"),
    "module by name": (MYCONFIG, "getattr(config, 'width')"),
    "attribute of torch": ("torch.width = @N", "torch.width"),
    "command line": ("sys.argv.append('@N')", "int(sys.argv[-1])"),
    "builtins": ("import builtins\nbuiltins.C = SimpleNamespace(width=@N)", "C.width"),
    # Functions.
    "lambda": ("width = lambda: @N", "width()"),
    "default": ("def width(*, n=@N):\n    return n", "width()"),
    "closure": ("def make(n):\n    return lambda: n\nwidth = make(@N)", "width()"),
    "attribute": ("def width():\n    return width.n\nwidth.n = @N", "width()"),
    "partial": ("width = functools.partial(int, '@N')", "width()"),
    "bound": ("width = SimpleNamespace(n=@N).__getattribute__", "width('n')"),
    "cached": ("@functools.lru_cache\ndef width():\n    return @N", "width()"),
    "vectorised": ("width = np.vectorize(lambda n: n * @N)", "int(width(1))"),
    # The environment.
    "environ": ("os.environ['WIDTH_'] = '@N'", "int(os.environ['WIDTH_'])"),
    "environ.get": ("os.environ['WIDTH_'] = '@N'", "int(os.environ.get('WIDTH_', '1'))"),
    "getenv": ("from os import getenv\nos.environ['WIDTH_'] = '@N'", "int(getenv('WIDTH_'))"),
    "is in environ": (
        "if @N > 8: os.environ['WIDTH_'] = ''",
        "8 if 'WIDTH_' in os.environ else 9",
    ),
    "variable named before": ("V = 'WIDTH_'\nos.environ[V] = '@N'", "int(os.environ[V])"),
}
EIGHT = MODULE.replace("WIDTH", "8")
WHOLE = {
    "default dtype": EIGHT + "torch.set_default_dtype([torch.float32, torch.float64][@N > 8])",
    "deterministic": EIGHT + "torch.use_deterministic_algorithms(@N > 8)",
    "precision": EIGHT + "torch.set_float32_matmul_precision(['high', 'highest'][@N > 8])",
    "hook on all modules": EIGHT
    + "nn.modules.module.register_module_forward_hook(lambda m, x, out: out * @N)",
    "layer patched": EIGHT
    + "nn.Linear.reset_parameters = lambda self: nn.init.constant_(self.weight, @N)",
    "function patched": MODULE + "nn.functional.relu = lambda x, inplace=False: x * @N",
    "class patched": MODULE + "Net.forward = lambda self, x: x * @N",
    "instance patched": EIGHT
    + "def double(self, x):\n    return x * @N\n"
    + "module = Net()\nmodule.forward = types.MethodType(double, module)\n"
    + "net = NeuralNetClassifier(module)",
    "hook": "module = nn.Linear(2, 2)\nmodule.register_forward_hook(lambda m, x, out: out * @N)\n"
    + "net = NeuralNetClassifier(module)",
    "decorator of torch": "class Net(nn.Linear):\n    @torch.no_grad()\n    def forward(self, x):\n"
    + "        return x * @N",
    "decorator": "def times(n):\n    def decorate(f):\n        @functools.wraps(f)\n"
    + "        def g(*args):\n            return n * f(*args)\n        return g\n"
    + "    return decorate\nclass Net(nn.Linear):\n    @times(@N)\n    def forward(self, x):\n"
    + "        return x",
    "metaclass": "class Meta(type):\n    def width(cls):\n        return @N\n"
    + "class Net(nn.Module, metaclass=Meta):\n    pass",
    "named like the standard library": "open('queue.py', 'w').write('WIDTH = @N')\n"
    + "del sys.modules['queue']\nsys.path.insert(0, os.getcwd())\nimport queue\n"
    + MODULE.replace("WIDTH", "queue.WIDTH"),
    "imported in a function": MYCONFIG
    + "class Net(nn.Linear):\n    def __init__(self):\n        from config import width as w\n"
    + "        super().__init__(13, w)",
    "weights of a global": "encoder = nn.Linear(2, 2)\nnn.init.constant_(encoder.weight, @N)\n"
    + "class Net(nn.Linear):\n    def forward(self, x):\n        return encoder(x)",
    "fitted global": "from sklearn.preprocessing import StandardScaler\n"
    + "scaler = StandardScaler().fit([[0.0], [@N]])\n"
    + "class Net(nn.Linear):\n    def forward(self, x):\n        return scaler.transform(x)",
    "callback": "C = SimpleNamespace(n=@N)\nclass Stop(Callback):\n"
    + "    def on_epoch_end(self, net, **kwargs):\n        net.n = C.n\n"
    + "net = NeuralNetClassifier(nn.Linear, callbacks=[Stop()])",
    "schedule": "net = NeuralNetClassifier(nn.Linear, callbacks=[\n"
    + "    LRScheduler('LambdaLR', lr_lambda=lambda epoch: @N)])",
    "files of the validation set": "np.save('rows.npy', np.full((2, 13), @N))\n"
    + "class Rows(torch.utils.data.Dataset):\n    def __len__(self):\n        return 2\n"
    + "    def __getitem__(self, i):\n        return np.load('rows.npy')[i], 0\n"
    + "net = NeuralNetClassifier(nn.Linear, train_split=predefined_split(Rows()))",
}
# What is refused, and what the message says.
UNREADABLE = {
    "lock": (
        "C = SimpleNamespace(lock=threading.Lock(), width=@N)",
        "C.width",
        "Net.__init__ reads the global C, a SimpleNamespace that holds a lock",
    ),
    "file": ("", "int(open('width').read())", "Net.__init__ calls open"),
    "array on disk": ("", "int(np.load('width.npy'))", "Net.__init__ calls np.load"),
    "weights on disk": ("from torch import load", "load('width.pt')", "Net.__init__ calls load"),
    "path": ("from pathlib import Path", "int(Path('w').read_text())", "calls read_text"),
    "archive": ("from zipfile import ZipFile", "len(ZipFile('w').filelist)", "calls ZipFile"),
    "is there": ("", "8 if os.path.exists('wide') else 9", "calls os.path.exists"),
    "arguments": ("C = SimpleNamespace(parse_args=int)", "C.parse_args()", "calls parse_args"),
    "eval": ("WIDTH = @N", "eval('WID' + 'TH')", "Net.__init__ calls eval"),
    "globals": ("WIDTH = @N", "globals()['WID' + 'TH']", "Net.__init__ calls globals"),
    "import": (
        "import importlib",
        "importlib.import_module('c')",
        "Net.__init__ calls import_module",
    ),
    "modules": ("", "sys.modules['config'].width", "Net.__init__ uses sys.modules"),
    "variable": ("V = 'WIDTH'", "os.environ[V + '_']", "Net.__init__ reads os.environ"),
    "context": ("C = contextvars.ContextVar('C')", "C.get()", "the global C, a ContextVar"),
    "thread": ("C = threading.local()", "C.width", "the global C, a _local"),
    "generator": ("C = (n for n in [@N])", "next(C)", "the global C, a generator"),
    "reference": ("C = weakref.ref(nn.ReLU)", "C().width", "the global C, a ReferenceType"),
    "compiled": ("C = np.frompyfunc(lambda n: @N, 1, 1)", "C(1)", "no more than its name"),
    "operation": ("", "torch.ops.mine.width()", "Net.__init__ uses torch.ops.mine.width"),
}
SAME = {
    "comment": "class Net(nn.Linear):\n    def forward(self, x):\n        return x  # @N",
    "other global": "OTHER = @N\n" + EIGHT,
    "other variable": "os.environ['OTHER'] = '@N'\n"
    + MODULE.replace("WIDTH", "int(os.environ.get('WIDTH_', 8))"),
    "generators": "np.random.seed(@N)\ntorch.manual_seed(@N)\n"
    + "class Net(nn.Linear):\n    def forward(self, x):\n"
    + "        return x * np.random.rand() * torch.rand(1)",
    "logger": "import logging\nlog = logging.getLogger('@N'[:0])\nlog.setLevel(logging.INFO)\n"
    + "class Net(nn.Linear):\n    def forward(self, x):\n        log.info('x')\n        return x",
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Return what is found for every script: with 8 and 16, and with 8 in another process."""
    configured = READ | {name: script[:2] for name, script in UNREADABLE.items()}
    scripts = {n: f"{a}\n{MODULE.replace('WIDTH', b)}" for n, (a, b) in configured.items()}
    found = {}
    for hash_seed, numbers in (("1", ["8", "16"]), ("2", ["8"])):
        done = subprocess.run(
            [sys.executable, "-c", SERVER, *numbers],
            input=json.dumps(scripts | WHOLE | SAME),
            capture_output=True,
            text=True,
            cwd=tmp_path_factory.mktemp("scripts"),
            env=os.environ
            | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        )
        assert done.returncode == 0, done.stderr
        for line in done.stdout.splitlines():
            name, key = json.loads(line)
            found.setdefault(name, []).append(key)
    return found


@pytest.mark.parametrize("name", [*READ, *WHOLE])
def test_what_differs_has_another_key(keys, name):
    one, other, again = keys[name]
    assert one == again != other
    assert len(one) == len(other) == 32  # no refusals


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_refused_by_name(keys, name):
    for found in keys[name]:
        assert UNREADABLE[name][2] in found
        assert "Pass cache_key=" in found


@pytest.mark.parametrize("name", SAME)
def test_what_does_not_matter_is_left_out(keys, name):
    assert len(set(keys[name])) == 1
    assert len(keys[name][0]) == 32


# ------------------------------------------------------------------------------ in this process

CONFIG = types.SimpleNamespace(lock=threading.Lock(), width=8)


class Unreadable(nn.Linear):
    def __init__(self):
        super().__init__(4, CONFIG.width)


def test_the_user_vouches_for_what_is_unread(monkeypatch):
    def key(width, cache_key):
        monkeypatch.setattr(CONFIG, "width", width)
        return fingerprint(NeuralNetClassifier(Unreadable), cache_key=cache_key)

    with pytest.raises(TypeError, match="SimpleNamespace that holds a lock"):
        key(8, None)
    # What can be read counts nevertheless.
    assert key(8, "a") == key(8, "a")
    assert len({key(8, "a"), key(8, "b"), key(9, "a")}) == 3


def test_an_edited_file_is_not_taken_for_the_code_that_runs(tmp_path, monkeypatch):
    file = tmp_path / "edited_code.py"
    code = "def schedule(epoch):\n    return 0.5 ** epoch\n"
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def key(module):
        monkeypatch.setitem(sys.modules, "edited_code", module)
        return fingerprint(module.schedule)

    def imported(text):
        file.write_text(text)
        module = types.ModuleType("edited_code")
        module.__file__ = str(file)
        exec(compile(text, str(file), "exec"), vars(module))
        return module

    old = imported(code)
    before = key(old)
    new = imported(code.replace("0.5", "0.6"))
    assert key(old) == before != key(new)


def test_where_a_file_lies_tells_whether_it_is_installed(tmp_path, monkeypatch):
    assert not code_reading.is_own(vars(torch))
    assert not code_reading.is_own(vars(code_reading))
    assert not code_reading.is_own(vars(types))
    assert not code_reading.is_own({"__name__": "sys"})
    assert code_reading.is_own({"__name__": "__main__", "__file__": types.__file__})
    assert code_reading.is_own({"__name__": "types", "__file__": str(tmp_path / "types.py")})
    editable = {"__name__": "torch", "__file__": str(tmp_path / "torch" / "__init__.py")}
    assert code_reading.is_own(editable)
    # Copied there by hand: no version says what is in it.
    loose = os.path.join(os.path.dirname(pytest.__path__[0]), "loose_file_of_the_user.py")
    assert code_reading.is_own({"__name__": "loose_file_of_the_user", "__file__": loose})


def test_settings_of_torch_count_for_nets_alone():
    net = NeuralNetClassifier(nn.Linear)
    keys = []
    for dtype in (torch.float32, torch.float64):
        torch.set_default_dtype(dtype)
        try:
            keys.append((fingerprint(net), training_fingerprint(net)))
        finally:
            torch.set_default_dtype(torch.float32)
    assert keys[0][0] == keys[1][0]
    assert keys[0][1] != keys[1][1]
