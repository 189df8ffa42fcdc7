"""The Core Rule Set as a list of sources for an engine, with the host's own setup before it."""

from __future__ import annotations

from pathlib import Path

# The host's report of a body that could not be parsed.
UNPARSED = 200002

# What ModSecurity's recommended configuration has of meaning for the rules: bodies are read, XML and JSON are parsed
# as such, and a body that cannot be parsed is reported.
BASE = r"""
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecRequestBodyLimit 13107200
SecRequestBodyNoFilesLimit 1048576
SecRequestBodyLimitAction Reject
SecRequestBodyJsonDepthLimit 512
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html text/xml application/json
SecResponseBodyLimit 524288
SecResponseBodyLimitAction ProcessPartial
SecArgumentSeparator &
SecCookieFormat 0
SecRule REQUEST_HEADERS:Content-Type "@rx ^(?:application(?:/soap\+|/)|text/)xml" \
    "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "@rx ^application/(?:[a-z0-9.-]+[+])?json" \
    "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQBODY_ERROR "!@eq 0" "id:200002,phase:2,t:none,log,pass,status:400,severity:2,msg:'Request body not parsed'"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" "id:200003,phase:2,t:none,log,pass,status:400,severity:2,msg:'Multipart error'"
"""

# The suite's own: everything is looked for, everything is allowed, and the limits that its tests reach are set.
SUITE = r"""
SecAction "id:900005,phase:1,nolog,pass,ctl:ruleEngine=DetectionOnly,ctl:ruleRemoveById=910000,\
    setvar:tx.blocking_paranoia_level=4,setvar:tx.crs_validate_utf8_encoding=1,setvar:tx.arg_name_length=100,\
    setvar:tx.arg_length=400,setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,\
    setvar:tx.max_file_size=64100,setvar:tx.combined_file_size=65535"
"""


def paranoia(level: int) -> str:
    """A setup that blocks, and looks, at one paranoia level."""
    return f'SecAction "id:900000,phase:1,nolog,pass,t:none,setvar:tx.blocking_paranoia_level={level}"'


def sources(crs: Path, setup: str, base: str = BASE) -> list[str | Path]:
    """Base, the rule set's own example of a setup, the given setup, the rules: in that order."""
    return [base, crs / "crs-setup.conf.example", setup, *sorted((crs / "rules").glob("*.conf"))]
