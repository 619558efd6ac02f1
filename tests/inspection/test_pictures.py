# SPDX-License-Identifier: BSD-3-Clause
"""Pictures look as they did. To draw them anew: ``PYTHONPATH=tests python THIS_FILE``."""

from pathlib import Path

import matplotlib
import pytest
from display_scenes import SCENES
from matplotlib import pyplot as plt
from matplotlib.testing.compare import compare_images

BASELINES = Path(__file__).parent / "baselines"
DRAWN_WITH = "3.11"  # another minor release of matplotlib may place texts and ticks otherwise
TOLERANCE = 3  # root mean square of colours: a word more is about 5, another machine far less


def draw(name, folder):
    """Draw a scene into a file, whatever the settings of the user are."""
    with plt.rc_context(), plt.style.context("default"):
        figure, ax = plt.subplots(figsize=(3.3, 2.6), layout="constrained")
        SCENES[name](ax=ax)
        path = folder / f"{name.replace(' ', '_')}.png"
        figure.savefig(path, dpi=80, metadata={"Software": None})
        plt.close(figure)
    return path


@pytest.mark.skipif(
    not matplotlib.__version__.startswith(f"{DRAWN_WITH}."),
    reason=f"the pictures were drawn with matplotlib {DRAWN_WITH}, this is "
    f"{matplotlib.__version__}",
)
@pytest.mark.parametrize("name", SCENES)
def test_looks_as_before(name, tmp_path):
    actual = draw(name, tmp_path)
    problem = compare_images(BASELINES / actual.name, actual, TOLERANCE)
    assert problem is None, problem


def test_there_is_a_picture_of_every_scene():
    known = {path.stem.replace("_", " ") for path in BASELINES.glob("*.png")}
    assert known == set(SCENES)


if __name__ == "__main__":
    matplotlib.use("agg")
    BASELINES.mkdir(exist_ok=True)
    for scene in SCENES:
        draw(scene, BASELINES)
