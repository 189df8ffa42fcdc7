"""What each diagnostic code means. A code is stable: it is never given another meaning, only retired."""

from __future__ import annotations

CODES = {
    "S101": "a file cannot be read",
    "S102": "a bound is exceeded: size, depth, files, values",
    "S103": "an Include that finds nothing, or includes itself",
    "S201": "an unknown directive, or no directive",
    "S202": "an argument is missing or too many",
    "S203": "a value that the directive does not take",
    "S204": "a quote that is not closed, or the wrong quote",
    "S301": "an unknown variable",
    "S302": "a selector that cannot be read",
    "S401": "an unknown operator",
    "S402": "an operator without its argument, or with one too many",
    "S403": "a number range, byte range or address that cannot be read",
    "S501": "an unknown action",
    "S502": "an action list that cannot be read",
    "S503": "an action's argument is missing, wrong, or too much",
    "S504": "an unknown transformation",
    "S505": "an unknown ctl option, or a value that it does not take",
    "S506": "a setvar that cannot be read",
    "S507": "a macro that cannot be read",
    "S601": "a rule without an id",
    "S602": "an id that is taken",
    "S603": "a chain that does not go on",
    "S604": "SecDefaultAction: no phase, one too many for a phase, or an action that it cannot have",
    "S701": "a rule that may run needs what the engine does not do",
    "S702": "a directive that is not supported",
}
