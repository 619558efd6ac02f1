# SPDX-License-Identifier: BSD-3-Clause
"""Labels of classes in JSON: they come back as they were."""

import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_difficulty.training.files.schema import classes_from_json, classes_to_json


@pytest.mark.parametrize(
    "classes",
    [
        np.array([3, 1, 2], dtype=">i4"),
        np.array([-(2**63), 2**63 - 1]),
        np.array([2**64 - 1, 1], dtype=np.uint64),
        np.array([0.1, 1 / 3, -1e300]),
        np.array([0.1, 6e4], dtype=np.float16),
        np.array(["\ud800", "\n", "ü"], dtype="U9"),
        np.array(["a", "b"], dtype=">U4"),
        np.array(["2020-01-01", "1969-12-31", "NaT"], dtype="M8[D]"),
        np.array(["2020-01-01T01:02:03.123456789"], dtype="M8[ns]"),
        np.array([np.str_("a"), "b"], dtype=object),
        np.array([], dtype=np.int64),
    ],
    ids=lambda classes: classes.dtype.str,
)
def test_labels_come_back(classes):
    again = classes_from_json(json.loads(json.dumps(classes_to_json(classes))))
    assert again.dtype == classes.dtype
    assert_array_equal(again, classes)
