"""A tree back to text that people read and that parses to the same tree: one action to a line, canonical words."""

from __future__ import annotations

import re

from ratelimitd.waf.seclang.tree import (
    Action,
    Ctl,
    DefaultAction,
    Directive,
    IdRange,
    Marker,
    Operator,
    RemoveRules,
    Rule,
    Script,
    Selector,
    Setting,
    SetVar,
    Template,
    UpdateAction,
    UpdateTarget,
)
from ratelimitd.waf.seclang.words import ACTIONS, OPERATORS

_BREAK = " \\\n    "
_PLAIN = re.compile(rb"[^\s\"\\#]+\Z")
_BY = {"id": "ById", "tag": "ByTag", "msg": "ByMsg"}
# libmodsecurity takes `ver` and these settings in quotes only, and `initcol` only without.
_SIGNATURES = frozenset({"SecComponentSignature", "SecServerSignature"})
_UNQUOTED = frozenset({"number", "phase", "severity", "name"})


def render(directive: Directive) -> str:
    """The directive as SecLang, without a line end. Bytes that are not UTF-8 are shown as \\xNN.

    Put an empty line between two: libmodsecurity looks for the actions of a rule that has none on the next line.
    """
    match directive:
        case Rule():
            return _rule(directive)
        case Script():
            head = f"SecRuleScript {_argument(directive.path.encode('utf-8', 'surrogateescape'))}"
            return head + _actions(_listed(0, 0, False, directive.transformations, directive.actions))
        case Marker():
            return f"SecMarker {_argument(directive.name)}"
        case DefaultAction():
            listed = _listed(0, directive.phase, False, directive.transformations, directive.actions)
            return f'SecDefaultAction "{",".join(listed)}"'
        case Setting(name=name, arguments=(text,)) if name in _SIGNATURES:
            return f'{name} "{_text(text)}"'
        case Setting():
            return " ".join([directive.name, *map(_argument, directive.arguments)])
        case UpdateTarget():
            which = render_ids(directive.ids) if directive.by == "id" else _argument(directive.text)
            return f'SecRuleUpdateTarget{_BY[directive.by]} {which} "{render_selectors(directive.selectors)}"'
        case UpdateAction():
            which = f"{directive.id}:{directive.link}" if directive.link else str(directive.id)
            listed = _listed(0, 0, directive.resets, directive.transformations, directive.actions)
            return f'SecRuleUpdateActionById {which} "{",".join(listed)}"'
        case RemoveRules():
            which = render_ids(directive.ids) if directive.by == "id" else _argument(directive.text)
            return f"SecRuleRemove{_BY[directive.by]} {which}"


def _rule(rule: Rule, *, link: bool = False) -> str:
    phase = 0 if link else rule.phase
    listed = _listed(rule.id, phase, rule.resets, rule.transformations, rule.actions)
    if rule.operator is None:
        return f"SecAction{_actions(listed)}"
    head = f'SecRule {render_selectors(rule.selectors)} "{render_operator(rule.operator)}"'
    text = head + (_actions(listed) if listed else "")
    return f"{text}\n{_rule(rule.chained, link=True)}" if rule.chained else text


def _listed(
    number: int, phase: int, resets: bool, transformations: tuple[str, ...], actions: tuple[Action, ...]
) -> list[str]:
    listed = [f"id:{number}"] if number else []
    listed += [f"phase:{phase}"] if phase else []
    listed += ["t:none"] if resets else []
    listed += [f"t:{name}" for name in transformations]
    return listed + [render_action(action) for action in actions]


def _actions(listed: list[str]) -> str:
    return f'{_BREAK}"{(f",{_BREAK}").replace(" ", "", 1).join(listed)}"'


def render_selectors(selectors: tuple[Selector, ...]) -> str:
    """`ARGS|!ARGS:token|TX:'/^a|b/'`"""
    return "|".join(render_selector(selector) for selector in selectors)


def render_selector(selector: Selector) -> str:
    mark = "&" if selector.count else "!" if selector.exclude else ""
    if selector.regex is not None:
        return f"{mark}{selector.variable}:'/{_text(selector.regex)}/'"
    return f"{mark}{selector.variable}" + (f":{_text(selector.name)}" if selector.name is not None else "")


def render_operator(operator: Operator) -> str:
    """`!@rx ^a`"""
    name = f"{'!' if operator.negated else ''}@{OPERATORS[operator.name]}"
    return f"{name} {_text(operator.argument)}" if operator.argument else name


def render_action(action: Action) -> str:
    """`msg:'a, b'`"""
    if action.argument is None:
        return action.name
    if isinstance(action.value, SetVar) and action.name == "setvar":
        return f"setvar:'{render_setvar(action.value)}'"
    if isinstance(action.value, Ctl):
        return f"ctl:{render_ctl(action.value)}"
    text = _text(action.argument)
    plain = action.name == "initcol" or (ACTIONS[action.name] in _UNQUOTED and action.name != "ver")
    return f"{action.name}:{text}" if plain else f"{action.name}:'{text}'"


def render_setvar(node: SetVar) -> str:
    name = f"{node.collection.lower()}.{render_template(node.name)}"
    if node.operation == "!":
        return f"!{name}"
    return f"{name}={node.operation.removeprefix('=')}{render_template(node.value)}"


def render_ctl(node: Ctl) -> str:
    text = render_ids(node.ids, ",") if node.ids else _text(node.text)
    return f"{node.option}={text}" + (f";{render_selector(node.target)}" if node.target else "")


def render_ids(ids: tuple[IdRange, ...], between: str = " ") -> str:
    return between.join(str(r.first) if r.first == r.last else f"{r.first}-{r.last}" for r in ids)


def render_template(template: Template) -> str:
    """`over %{TX.limit}`"""
    parts = []
    for part in template:
        if isinstance(part, bytes):
            parts.append(_text(part))
        else:
            parts.append(f"%{{{part.collection}{'' if part.name is None else '.' + _text(part.name)}}}")
    return "".join(parts)


def _argument(text: bytes) -> str:
    return _text(text) if _PLAIN.match(text) else f'"{_text(text)}"'


def _text(text: bytes) -> str:
    return text.decode("utf-8", "backslashreplace")
