"""Both of two matches: the same requests as each of them says, and no alternatives that nothing can match."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimitd.policy.compile import compile_match
from ratelimitd.policy.evaluate import evaluate
from ratelimitd.policy.matches import both, disjoint
from ratelimitd.policy.plan import Client, Match
from ratelimitd.policy.request import Request
from ratelimitd.policy.schema import ConditionSpec

PATHS = ["/", "/a", "/a/b", "/ab", "/b", "/a/", "/aB", "/a/b/c", "/*"]
texts = st.sampled_from(["/a", "/a/*", "/a/**", "/*", "/ab", "/b", "/a/b", "/**", "/a*", "/{x}", "/a/{x}", r"/\*"])
conditions = st.fixed_dictionaries(
    {},
    optional={
        "glob": st.lists(texts, min_size=1, max_size=2),
        "exact": st.lists(st.sampled_from(PATHS), min_size=1, max_size=2),
        "prefix": st.lists(st.sampled_from(PATHS), min_size=1, max_size=2),
    },
).filter(bool)
mappings = st.fixed_dictionaries(
    {},
    optional={
        "path": conditions,
        "method": st.sampled_from([{"exact": ["GET"]}, {"exact": ["POST", "GET"]}, {"not_": {"exact": ["GET"]}}]),
    },
)
matches = st.lists(mappings, min_size=1, max_size=2)


def compiled(spec: list[dict[str, dict[str, object]]]) -> Match:
    def condition(data: dict[str, object]) -> ConditionSpec:
        inner = data.get("not_")
        return ConditionSpec.model_validate({"not": inner} if inner else data)

    return compile_match([{key: condition(value) for key, value in mapping.items()} for mapping in spec])


def holds(match: Match, path: str, method: str) -> bool:
    return evaluate(match, Request(path=path.encode(), method=method.encode()), Client())[0]


@settings(max_examples=300, deadline=None)
@given(matches, matches)
def test_both_hold_where_each_holds(
    first: list[dict[str, dict[str, object]]], second: list[dict[str, dict[str, object]]]
) -> None:
    a, b = compiled(first), compiled(second)
    meet = both(a, b)
    for path in PATHS:
        for method in ("GET", "POST", "PUT"):
            assert holds(meet, path, method) == (holds(a, path, method) and holds(b, path, method))


def test_paths_that_cannot_meet_are_seen() -> None:
    def one(path: str) -> Match:
        return compile_match([{"path": ConditionSpec(any=[path])}])

    assert not both(one("/a/*"), one("/b/*")).alternatives
    assert not both(one("/a"), one("/b")).alternatives
    assert not both(one("/a"), one("/b/*")).alternatives
    assert both(one("/a/*"), one("/a/b*")).alternatives
    assert both(one("/*"), one("/a")).alternatives


def test_a_condition_is_not_apart_from_itself() -> None:
    (condition,) = compile_match([{"path": ConditionSpec(any=["/a/*"])}]).alternatives[0]
    assert not disjoint(condition, condition)
