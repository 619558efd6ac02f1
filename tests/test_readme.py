# SPDX-License-Identifier: BSD-3-Clause
"""The README's Python runs as written, from top to bottom."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a page is written
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 4
    names = {"__name__": "readme"}
    for block in blocks:
        exec(block, names)
    assert names["scorer"].difficulty_.shape == (1347,)
    assert names["record"].n_epochs == 20
    assert names["is_wrong"][names["suspects"]["row"]].mean() > 0.8
    assert (tmp_path / "review.html").stat().st_size > 100_000


def test_pictures_are_there():
    for path in re.findall(r"!\[[^]]*\]\(([^)]*)\)", README):
        assert (ROOT / path).exists(), path


def test_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make (\w+)", README):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
