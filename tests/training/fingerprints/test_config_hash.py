# SPDX-License-Identifier: BSD-3-Clause
"""The same configuration is recognised in another process, another one is not mistaken for it."""

import copy
import datetime
import json
import os
import subprocess
import sys
from collections import OrderedDict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from skorch import NeuralNetClassifier
from skorch.callbacks import EarlyStopping, EpochScoring, LRScheduler
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch import nn

from sklearn_difficulty.training.fingerprints.config_hash import fingerprint, training_fingerprint

ROOT = Path(__file__).resolve().parents[3]

USER_CODE = """
from functools import wraps
import torch
from torch import nn
from helpers import scale

HIDDEN = 8
BIAS = True
EXPONENT = 1

class Block(nn.Module):
    def __init__(self, bias=BIAS):
        super().__init__()
        self.linear = nn.Linear(HIDDEN, HIDDEN, bias)

    def forward(self, x):
        return torch.relu(self.linear(x))

def doubled(forward):
    @wraps(forward)
    def wrapped(self, x):
        return forward(self, twice(x))
    return wrapped

def twice(x):
    return x + x

class Net(nn.Sequential):
    power = EXPONENT

    def __init__(self, depth=2):
        super().__init__(*[Block() for _ in range(depth)])

    @doubled
    def forward(self, x):
        return scale(super().forward(x))

class Subclass(Net):
    pass

def schedule(epoch):
    return 0.5 ** epoch
"""
HELPERS = """
def scale(x):
    return 2 * x
"""
SCRIPT = """
import json
import pathlib
import sys
from collections import OrderedDict
from functools import partial
import numpy as np
import torch
from torch import nn
from skorch import NeuralNetClassifier
from skorch.callbacks import EarlyStopping, LRScheduler
from sklearn_difficulty.training.fingerprints.config_hash import fingerprint, training_fingerprint

def digests(folder):
    sys.modules.pop("user_code", None), sys.modules.pop("helpers", None)
    sys.path.insert(0, folder)
    import user_code
    torch.manual_seed(0)
    parts = {
        "array": np.arange(6.0).reshape(2, 3),
        "tensor": torch.arange(3.0),
        "bfloat16": torch.ones(2, dtype=torch.bfloat16),
        "set": {"a", "b", "c", 1, 2.5, None},
        "mixed": {1: "a", "b": 2, (3,): {"c", "d"}},
        "partial": partial(torch.softmax, dim=1),
        "path": pathlib.PurePosixPath("a/b"),
        "module": nn.Sequential(OrderedDict(b=nn.Linear(2, 3), a=nn.BatchNorm1d(3))),
        "instance": user_code.Net(),
        "function": user_code.schedule,
        "class": user_code.Net,
        "subclass": user_code.Subclass,
        "dtype": torch.float32,
        "ufunc": np.add,
        "method": user_code.Block().forward,
    }
    found = {name: fingerprint(part) for name, part in parts.items()}
    for name, module in {"net": user_code.Net, "net of instance": user_code.Net()}.items():
        net = NeuralNetClassifier(
            module,
            criterion=nn.CrossEntropyLoss,
            criterion__weight=torch.ones(3),
            optimizer=torch.optim.Adam,
            optimizer__betas=(0.8, 0.99),
            callbacks=[("stop", EarlyStopping(monitor="train_loss")),
                       LRScheduler("LambdaLR", lr_lambda=user_code.schedule)],
            callbacks__print_log__sink=print,
        )
        found[name] = training_fingerprint(net)
    return found

print(json.dumps([digests(folder) for folder in sys.argv[1:]]))
"""
OF_BLOCK = {"class", "subclass", "instance", "net", "net of instance", "method"}
OF_NET = OF_BLOCK - {"method"}
OF_SCHEDULE = {"function", "net", "net of instance"}
EDITS = [
    ("torch.relu(", "torch.tanh(", OF_BLOCK),
    ("HIDDEN = 8", "HIDDEN = 9", OF_BLOCK),
    ("BIAS = True", "BIAS = 1", OF_BLOCK),
    ("EXPONENT = 1", "EXPONENT = 2", OF_NET),
    ("x + x", "x - x", OF_NET),
    ("2 * x", "3 * x", OF_NET),
    ("0.5 ** epoch", "0.6 ** epoch", OF_SCHEDULE),
    ("HIDDEN = 8", "UNRELATED = 7\nHIDDEN = 8", set()),
]


@pytest.fixture(scope="module")
def digests_elsewhere(tmp_path_factory):
    """Return what other processes find: as it is, after each edit, and with other hash seeds."""
    folders = []
    for old, new, _ in [("", "", set()), *EDITS]:
        folder = tmp_path_factory.mktemp("code")
        for name, code in {"user_code.py": USER_CODE, "helpers.py": HELPERS}.items():
            (folder / name).write_text(code.replace(old, new))
        folders.append(str(folder))
    found = []
    for hash_seed, some in (("1", folders), ("2", folders[:1])):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *some],
            env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    (here, *edited), (there,) = found
    return here, edited, there


def test_the_same_in_another_process(digests_elsewhere):
    here, _, there = digests_elsewhere
    assert here == there
    assert len(set(here.values())) == len(here)


@pytest.mark.parametrize("i", range(len(EDITS)), ids=lambda i: EDITS[i][1])
def test_edited_code_is_noticed(digests_elsewhere, i):
    here, edited, _ = digests_elsewhere
    assert EDITS[i][0] in USER_CODE + HELPERS
    assert {name for name in here if here[name] != edited[i][name]} == EDITS[i][2]


# ------------------------------------------------------------------------------------ of values


def pair(first, second):
    return nn.Sequential(OrderedDict([first, second]))


def tied(is_tied):
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[1].weight = module[0].weight if is_tied else nn.Parameter(module[0].weight.clone())
    module[1].bias = module[0].bias
    return module


X = np.arange(6.0).reshape(2, 3)
A, B = ("a", nn.Tanh()), ("b", nn.ReLU())
ONE = (1.5, 2)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, "1"),
        (1, True),
        ("a", b"a"),
        (("ab", "c"), ("a", "bc")),
        (([1], 2), ([1, 2],)),
        ([1, 2], (1, 2)),
        ([[], []], [[[]]]),
        ({"a": 1}, {"a": 2}),
        ({1, 2}, {1, 3}),
        (0.1, np.float32(0.1)),
        (X, X + 1e-15),
        (X, X.astype("float32")),
        (X, X.T),
        (X, X.reshape(-1)),
        (np.zeros(2), np.zeros(3)),
        (np.array([None, 1]), np.array([None, 2])),
        (np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2], mask=[1, 0])),
        (torch.ones(2), torch.ones(2, 1)),
        (torch.ones(2), torch.ones(2, dtype=torch.float64)),
        (torch.ones(2), torch.ones(2, requires_grad=True)),
        (torch.ones(2), np.ones(2, "float32")),
        (torch.tensor(1.0), torch.tensor(2.0)),
        (partial(max, 1), partial(max, 2)),
        (partial(max, key=len), partial(min, key=len)),
        (torch.softmax, torch.log_softmax),
        (nn.Linear, nn.Bilinear),
        (nn.Dropout(0.1), nn.Dropout(0.2)),
        (pair(A, B), pair(B, A)),
        (tied(True), tied(False)),
        (slice(1), slice(2)),
        (datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)),
        (pd.DataFrame(X), pd.DataFrame(X + 1)),
        (torch.device("cpu"), torch.device("cuda")),
        (nn.LazyLinear(2), nn.LazyLinear(3)),
    ],
)
def test_other_values_have_other_digests(seeded, one, other):
    assert fingerprint(one) != fingerprint(other)
    # A copy says the same as the original.
    assert fingerprint(copy.deepcopy(one)) == fingerprint(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.1, np.float64(0.1)),
        (3, np.int32(3)),
        (X, np.asfortranarray(X)),
        (X, np.repeat(X, 2, axis=1)[:, ::2]),
        ([ONE, ONE], [ONE, tuple([1.5, 2])]),
        (set("abc"), set("cba")),
        (nn.Dropout(0.1), nn.Dropout(0.1).eval()),
    ],
)
def test_equal_values_have_equal_digests(one, other):
    assert fingerprint(one) == fingerprint(other)


def test_weights_are_seen():
    module = nn.Linear(2, 2)
    before = fingerprint(module)
    with torch.no_grad():
        module.weight[0, 0] += 1
    assert fingerprint(module) != before
    module = nn.BatchNorm1d(2)
    before = fingerprint(module)
    module.running_mean += 1
    assert fingerprint(module) != before


def test_what_holds_itself():
    ring = [1]
    ring.append(ring)
    assert fingerprint(ring) == fingerprint(copy.deepcopy(ring)) != fingerprint([1, [1]])


def at_top_level():
    return 1


def local(activation):
    class Local(nn.Module):
        def forward(self, x):
            return activation(x)

    return Local


@pytest.mark.parametrize(
    "make", [lambda n: lambda: n, partial, local], ids=["lambda", "partial", "local"]
)
def test_what_has_no_name_is_read(make):
    one, again, other = make(at_top_level), make(at_top_level), make(local)
    assert fingerprint(one) == fingerprint(again) != fingerprint(other)


def test_what_cannot_be_read_is_refused():
    with open(__file__) as file, pytest.raises(TypeError, match=r"TextIOWrapper.*cannot be read"):
        fingerprint([file])
    with pytest.raises(TypeError, match="a tensor that cannot be read"):
        fingerprint(torch.ones(2, device="meta"))


class Rows(torch.utils.data.Dataset):
    """Rows on disk; what is set may count later, after the first epoch say."""

    def __init__(self, path, strength=0.0):
        self.path, self.strength = path, strength

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return np.load(self.path)[i], 0


def test_datasets_are_known_by_items_and_attributes(tmp_path):
    found = []
    for rows, strength in [(X, 0.0), (X, 0.0), (X + 1, 0.0), (X, 0.1)]:
        np.save(tmp_path / "rows.npy", rows)
        found.append(fingerprint(Rows(tmp_path / "rows.npy", strength)))
    assert found[0] == found[1]
    assert len(set(found)) == 3
    with open(__file__) as file, pytest.raises(TypeError, match="a Rows that holds a TextIO"):
        fingerprint(Rows(tmp_path / "rows.npy", file))


# -------------------------------------------------------------------------------------- of nets


def test_a_fit_and_a_clone_change_nothing(make_net, data):
    X, y = (array.copy() for array in data)
    stop = EarlyStopping(monitor="train_loss", patience=9)
    net = make_net(callbacks=[stop, EpochScoring("accuracy", on_train=True)], train_split=None)
    before = training_fingerprint(net)
    assert training_fingerprint(clone(net)) == before
    net.fit(X, y)
    assert training_fingerprint(net) == before
    assert training_fingerprint(clone(net)) == before


def test_verbose_is_left_out(make_net):
    assert training_fingerprint(make_net(verbose=0)) == training_fingerprint(make_net(verbose=1))


class Renamed(NeuralNetClassifier):
    pass


@pytest.mark.parametrize(
    "settings",
    [
        {"lr": 0.2},
        {"max_epochs": 5},
        {"batch_size": 17},
        {"device": "cuda"},
        {"criterion": nn.NLLLoss},
        {"criterion__label_smoothing": 0.1},
        {"criterion__weight": torch.ones(3)},
        {"optimizer": torch.optim.Adam},
        {"optimizer__momentum": 0.9},
        {"optimizer__param_groups": [("layers.0.*", {"lr": 1.0})]},
        {"module": nn.Identity},
        {"module": nn.Linear(4, 3)},
        {"module__dropout": 0.5},
        {"iterator_train__shuffle": True},
        {"callbacks": [EarlyStopping(patience=3)]},
        {"callbacks": "disable"},
        {"callbacks__print_log": None},
        {"callbacks": [LRScheduler("StepLR", step_size=2)]},
        {"train_split": None},
        {"train_split": predefined_split(Dataset(X, np.array([0, 1])))},
        {"classes": [0, 1, 2]},
        {"compile": True},
        {"cls": Renamed},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_every_setting_of_a_net_counts(make_net, settings):
    digest = training_fingerprint(make_net(**settings))
    assert digest != training_fingerprint(make_net())
    assert digest == training_fingerprint(clone(make_net(**settings)))


def test_settings_within_settings_count(make_net):
    def of(patience, rows):
        valid = predefined_split(Dataset(rows, np.array([0, 1])))
        stop = EarlyStopping(patience=patience)
        return training_fingerprint(make_net(callbacks=[("stop", stop)], train_split=valid))

    assert len({of(3, X), of(4, X), of(3, X + 1), of(3, X.copy())}) == 3


def test_the_setting_is_named(make_net):
    with open(__file__) as file:
        net = make_net(callbacks=[LRScheduler("LambdaLR", lr_lambda=file)])
        with pytest.raises(TypeError, match=r"The network's callbacks's lr_lambda holds a TextIO"):
            training_fingerprint(net, name="The network")


@pytest.mark.parametrize("package", ["torch", "skorch", "sklearn_difficulty"])
def test_versions_count(make_net, monkeypatch, package):
    before = training_fingerprint(make_net())
    monkeypatch.setattr(sys.modules[package], "__version__", "0.0.0")
    assert training_fingerprint(make_net()) != before


def test_the_versions_of_installed_code_count(monkeypatch):
    before = fingerprint(nn.Linear)
    monkeypatch.setattr(torch, "__version__", "0.0.0")
    assert fingerprint(nn.Linear) != before
