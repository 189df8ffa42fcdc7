"""The fuzzers' house is in order; that they find nothing is for `make fuzz` to say."""

from __future__ import annotations

from .__main__ import HERE, targets


def test_every_target_has_seeds_and_they_are_small() -> None:
    corpora = {folder.name: [*folder.iterdir()] for folder in (HERE / "corpus").iterdir()}
    assert sorted(corpora) == targets()
    for name, files in corpora.items():
        assert 0 < sum(file.stat().st_size for file in files) < 16_384, name
