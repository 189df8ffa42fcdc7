"""Reading files and directories: bounds, order, and mistakes between files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ratelimitd.errors import Diagnostic, PolicyError
from ratelimitd.policy import load_policy, load_text
from ratelimitd.policy.nodes import MAX_BYTES

SHOP = "version: 1\ndomain: shop\n"
BLOG = "version: 1\ndomain: blog\n"


def refused(path: Path) -> list[Diagnostic]:
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    return caught.value.diagnostics


def test_a_directory_is_one_policy_in_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text(SHOP)
    (tmp_path / "a.yaml").write_text(BLOG)
    (tmp_path / "notes.txt").write_text("not a policy")
    (tmp_path / ".hidden.yaml").write_text("not a policy")
    (tmp_path / "sub.yaml").mkdir()
    policy = load_policy(tmp_path)
    assert [domain.name for domain in policy.plan.domains] == [b"blog", b"shop"]
    assert [Path(source.file).name for source in policy.sources] == ["a.yaml", "b.yml"]
    assert not policy.plan.default_domain


def test_the_default_domain_stands_first(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(BLOG)
    (tmp_path / "b.yaml").write_text(SHOP + "default: true\n")
    plan = load_policy(tmp_path).plan
    assert [domain.name for domain in plan.domains] == [b"shop", b"blog"]
    assert plan.default_domain


def test_the_only_domain_is_the_default_unless_it_says_no() -> None:
    assert load_text(SHOP).plan.default_domain
    assert not load_text(SHOP + "default: false\n").plan.default_domain


def test_kubernetes_links_are_followed_and_not_read_twice(tmp_path: Path) -> None:
    (tmp_path / "..2024").mkdir()
    (tmp_path / "..2024" / "shop.yaml").write_text(SHOP)
    (tmp_path / "..data").symlink_to("..2024")
    (tmp_path / "shop.yaml").symlink_to("..data/shop.yaml")
    assert [domain.name for domain in load_policy(tmp_path).plan.domains] == [b"shop"]


def test_a_domain_in_two_files_names_both(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SHOP)
    (tmp_path / "b.yaml").write_text("# again\n" + SHOP)
    (told,) = refused(tmp_path)
    assert (told.code, str(told.position)) == ("P301", f"{tmp_path}/b.yaml:3:9")
    assert f"{tmp_path}/a.yaml:2:9" in told.hint


def test_two_defaults_name_both(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SHOP + "default: true\n")
    (tmp_path / "b.yaml").write_text(BLOG + "default: true\n")
    (told,) = refused(tmp_path)
    assert (told.code, str(told.position)) == ("P318", f"{tmp_path}/b.yaml:3:10")


def test_errors_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("version: 1\ndomain: [\n")
    (tmp_path / "b.yaml").write_text("version: 1\ndomian: x\n")
    (tmp_path / "c.yaml").write_text(SHOP + "limits: {a: {key: path.x, limit: 1, window: 1s}}\n")
    assert [told.code for told in refused(tmp_path)] == ["P101", "P203", "P304"]


def test_a_file_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"version: 1\ndomain: caf\xe9\n")
    (tmp_path / "b.yaml").write_text(SHOP + "limits: {a: {key: path.x, limit: 1, window: 1s}}\n")
    assert [told.code for told in refused(tmp_path)] == ["P107", "P304"]


def test_what_cannot_be_read_is_an_error_at_its_place(tmp_path: Path) -> None:
    (missing,) = refused(tmp_path / "missing.yaml")
    assert (missing.code, "No such file" in missing.message) == ("P107", True)
    (empty,) = refused(tmp_path)
    assert (empty.code, "no policy" in empty.message) == ("P107", True)
    (tmp_path / "latin.yaml").write_bytes(b"version: 1\ndomain: caf\xe9\n")
    (latin,) = refused(tmp_path / "latin.yaml")
    assert (latin.code, latin.message, str(latin.position)) == ("P107", "not UTF-8", f"{tmp_path}/latin.yaml:2:12")
    os.mkfifo(tmp_path / "pipe.yaml")
    (pipe,) = refused(tmp_path / "pipe.yaml")
    assert (pipe.code, pipe.message) == ("P107", "not a regular file")


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    (told,) = refused(path)
    assert told.code == "P106"


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbf" + SHOP.encode())
    assert load_policy(tmp_path / "bom.yaml").plan.domains[0].name == b"shop"


def test_the_digest_follows_names_and_contents(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(SHOP)
    first = load_policy(path).plan.digest
    assert first == load_policy(path).plan.digest
    path.write_text(SHOP + "# edited\n")
    assert load_policy(path).plan.digest != first


def test_an_excerpt_is_the_line_that_was_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(SHOP + "limist: {}\n")
    (told,) = refused(path)
    assert told.excerpt == "limist: {}"
    assert told.hint == "did you mean 'limits'?"


def test_stages_are_named_and_timed(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SHOP)
    stages = load_policy(tmp_path).stages
    assert [name for name, _ in stages] == ["read", "compose", "shape", "rules", "validate", "programs", "compile"]
    assert all(milliseconds >= 0 for _, milliseconds in stages)
