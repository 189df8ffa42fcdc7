"""The words of SecLang, as libmodsecurity 3.0.15 knows them. All are read without regard to case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ratelimitd.waf.seclang.tree import Effect

PERSISTENT = frozenset({"GLOBAL", "IP", "RESOURCE", "SESSION", "USER"})  # kept between requests
SETTABLE = PERSISTENT | {"TX"}

COLLECTIONS = SETTABLE | {
    "ARGS", "ARGS_GET", "ARGS_GET_NAMES", "ARGS_NAMES", "ARGS_POST", "ARGS_POST_NAMES", "ENV", "FILES", "FILES_NAMES",
    "FILES_SIZES", "FILES_TMPNAMES", "FILES_TMP_CONTENT", "GEO", "MATCHED_VARS", "MATCHED_VARS_NAMES",
    "MULTIPART_FILENAME", "MULTIPART_NAME", "MULTIPART_PART_HEADERS", "REQUEST_COOKIES", "REQUEST_COOKIES_NAMES",
    "REQUEST_HEADERS", "REQUEST_HEADERS_NAMES", "RESPONSE_HEADERS", "RESPONSE_HEADERS_NAMES", "RULE", "XML",
}  # fmt: skip
"""What may have a selector: `ARGS:name`."""

SCALARS = frozenset({
    "ARGS_COMBINED_SIZE", "AUTH_TYPE", "DURATION", "FILES_COMBINED_SIZE", "FULL_REQUEST", "FULL_REQUEST_LENGTH",
    "HIGHEST_SEVERITY", "INBOUND_DATA_ERROR", "MATCHED_VAR", "MATCHED_VAR_NAME", "MODSEC_BUILD",
    "MULTIPART_BOUNDARY_QUOTED", "MULTIPART_BOUNDARY_WHITESPACE", "MULTIPART_CRLF_LF_LINES", "MULTIPART_DATA_AFTER",
    "MULTIPART_DATA_BEFORE", "MULTIPART_FILE_LIMIT_EXCEEDED", "MULTIPART_HEADER_FOLDING",
    "MULTIPART_INVALID_HEADER_FOLDING", "MULTIPART_INVALID_PART", "MULTIPART_INVALID_QUOTING", "MULTIPART_LF_LINE",
    "MULTIPART_MISSING_SEMICOLON", "MULTIPART_SEMICOLON_MISSING", "MULTIPART_STRICT_ERROR",
    "MULTIPART_UNMATCHED_BOUNDARY", "OUTBOUND_DATA_ERROR", "PATH_INFO", "QUERY_STRING", "REMOTE_ADDR", "REMOTE_HOST",
    "REMOTE_PORT", "REMOTE_USER", "REQBODY_ERROR", "REQBODY_ERROR_MSG", "REQBODY_PROCESSOR",
    "REQBODY_PROCESSOR_ERROR", "REQBODY_PROCESSOR_ERROR_MSG", "REQUEST_BASENAME", "REQUEST_BODY",
    "REQUEST_BODY_LENGTH", "REQUEST_FILENAME", "REQUEST_LINE", "REQUEST_METHOD", "REQUEST_PROTOCOL", "REQUEST_URI",
    "REQUEST_URI_RAW", "RESPONSE_BODY", "RESPONSE_CONTENT_LENGTH", "RESPONSE_CONTENT_TYPE", "RESPONSE_PROTOCOL",
    "RESPONSE_STATUS", "SERVER_ADDR", "SERVER_NAME", "SERVER_PORT", "SESSIONID", "STATUS", "STATUS_LINE", "TIME",
    "TIME_DAY", "TIME_EPOCH", "TIME_HOUR", "TIME_MIN", "TIME_MON", "TIME_SEC", "TIME_WDAY", "TIME_YEAR", "UNIQUE_ID",
    "URLENCODED_ERROR", "USERID", "WEBAPPID",
})  # fmt: skip

VARIABLES = COLLECTIONS | SCALARS

# Operators by what stands behind the word: nothing, text, or the names of files.
_PLAIN = (
    "detectSQLi", "detectXSS", "geoLookup", "noMatch", "unconditionalMatch", "validateUrlEncoding",
    "validateUtf8Encoding",
)  # fmt: skip
_WITH_ARGUMENT = (
    "beginsWith", "contains", "containsWord", "endsWith", "eq", "fuzzyHash", "ge", "gsbLookup", "gt", "inspectFile",
    "ipMatch", "le", "lt", "pm", "rbl", "rsub", "rx", "rxGlobal", "streq", "strmatch", "validateByteRange",
    "validateDTD", "validateHash", "validateSchema", "verifyCC", "verifyCPF", "verifySSN", "verifySVNR", "within",
)  # fmt: skip
_FROM_FILE = ("ipMatchFromFile", "pmFromFile")

NO_ARGUMENT = frozenset(word.lower() for word in _PLAIN)
FROM_FILE = frozenset(word.lower() for word in _FROM_FILE)
OPERATORS = {word.lower(): word for word in (*_PLAIN, *_WITH_ARGUMENT, *_FROM_FILE)}
"""In lower case -> as documented."""
OPERATOR_ALIASES = {"ipmatchf": "ipmatchfromfile", "pmf": "pmfromfile"}

TRANSFORMATIONS = {
    word.lower(): word
    for word in (
        "base64Decode", "base64DecodeExt", "base64Encode", "cmdLine", "compressWhitespace", "cssDecode",
        "escapeSeqDecode", "hexDecode", "hexEncode", "htmlEntityDecode", "jsDecode", "length", "lowercase", "md5",
        "normalizePath", "normalizePathWin", "parityEven7bit", "parityOdd7bit", "parityZero7bit", "phpArgsNames",
        "removeComments", "removeCommentsChar", "removeNulls", "removeWhitespace", "replaceComments", "replaceNulls",
        "sha1", "sqlHexDecode", "trim", "trimLeft", "trimRight", "uppercase", "urlDecode", "urlDecodeUni", "urlEncode",
        "utf8toUnicode",
    )
}  # fmt: skip
"""In lower case -> as documented. `none` is not one: it takes away those before it."""
TRANSFORMATION_ALIASES = {"normalisepath": "normalizePath", "normalisepathwin": "normalizePathWin"}

Kind: TypeAlias = Literal[
    "flag", "number", "text", "optional", "setvar", "collection", "key", "over time", "ctl", "phase", "severity", "name"
]  # fmt: skip
"""What an action's argument is, and so what Action.value is.

flag: none. number: an int. text: a Template. optional: none, or a Template. name: bytes as they are (value None).
setvar, collection, key, over time: a SetVar. ctl: the node. phase, severity: an int (severity 0 EMERGENCY to 7 DEBUG).
"""

ACTIONS: dict[str, Kind] = {
    "accuracy": "number",
    "allow": "name",
    "append": "optional",
    "auditlog": "flag",
    "block": "flag",
    "capture": "flag",
    "chain": "flag",
    "ctl": "ctl",
    "deny": "flag",
    "deprecatevar": "over time",
    "drop": "flag",
    "exec": "name",
    "expirevar": "over time",
    "id": "number",
    "initcol": "collection",
    "log": "flag",
    "logdata": "text",
    "maturity": "number",
    "msg": "text",
    "multiMatch": "flag",
    "noauditlog": "flag",
    "nolog": "flag",
    "pass": "flag",
    "pause": "optional",
    "phase": "phase",
    "prepend": "optional",
    "proxy": "optional",
    "redirect": "text",
    "rev": "name",
    "sanitiseArg": "optional",
    "sanitiseMatched": "optional",
    "sanitiseMatchedBytes": "optional",
    "sanitiseRequestHeader": "optional",
    "sanitiseResponseHeader": "optional",
    "setenv": "text",
    "setrsc": "key",
    "setsid": "key",
    "setuid": "key",
    "setvar": "setvar",
    "severity": "severity",
    "skip": "number",
    "skipAfter": "name",
    "status": "number",
    "tag": "text",
    "ver": "name",
    "xmlns": "name",
}
ACTION_WORDS = {word.lower(): word for word in ACTIONS}
DISRUPTIVE = frozenset({"allow", "block", "deny", "drop", "pass", "proxy", "redirect"})

PHASES = {b"request": 2, b"response": 4, b"logging": 5}
SEVERITIES = (b"emergency", b"alert", b"critical", b"error", b"warning", b"notice", b"info", b"debug")

_ENGINE = ("On", "Off", "DetectionOnly")
_SWITCH = ("On", "Off")
CTL_OPTIONS: dict[str, tuple[str, ...] | None] = {
    "auditEngine": ("On", "Off", "RelevantOnly"),
    "auditLogParts": None,
    "forceRequestBodyVariable": _SWITCH,
    "parseXmlIntoArgs": ("On", "Off", "OnlyArgs"),
    "requestBodyAccess": _SWITCH,
    "requestBodyProcessor": ("JSON", "MULTIPART", "URLENCODED", "XML"),
    "ruleEngine": _ENGINE,
    "ruleRemoveById": None,
    "ruleRemoveByTag": None,
    "ruleRemoveTargetById": None,
    "ruleRemoveTargetByTag": None,
}
"""Option -> the words it takes; None when it takes something else."""
CTL_WORDS = {word.lower(): word for word in CTL_OPTIONS}


@dataclass(frozen=True, slots=True)
class SettingSpec:
    """`shape`: the words it takes, or "number", "text" (one argument), "texts" (one or more), "none", "any"."""

    shape: tuple[str, ...] | Literal["number", "text", "texts", "none", "any"]
    effect: Effect = "used"


SETTINGS = {
    "SecArgumentSeparator": SettingSpec("text"),
    "SecArgumentsLimit": SettingSpec("number"),
    "SecAuditEngine": SettingSpec(("On", "Off", "RelevantOnly"), "none"),
    "SecAuditLog": SettingSpec("text", "none"),
    "SecAuditLog2": SettingSpec("text", "none"),
    "SecAuditLogDirMode": SettingSpec("text", "none"),
    "SecAuditLogFileMode": SettingSpec("text", "none"),
    "SecAuditLogFormat": SettingSpec(("JSON", "Native"), "none"),
    "SecAuditLogParts": SettingSpec("text", "none"),
    "SecAuditLogPrefix": SettingSpec("text", "none"),
    "SecAuditLogRelevantStatus": SettingSpec("text", "none"),
    "SecAuditLogStorageDir": SettingSpec("text", "none"),
    "SecAuditLogType": SettingSpec(("Serial", "Parallel", "Concurrent", "HTTPS"), "none"),
    "SecCacheTransformations": SettingSpec("any", "none"),
    "SecChrootDir": SettingSpec("text", "none"),
    "SecCollectionTimeout": SettingSpec("number"),
    "SecComponentSignature": SettingSpec("text", "none"),
    "SecConnEngine": SettingSpec("any", "none"),
    "SecConnReadStateLimit": SettingSpec("any", "none"),
    "SecConnWriteStateLimit": SettingSpec("any", "none"),
    "SecContentInjection": SettingSpec(_SWITCH, "none"),
    "SecCookieFormat": SettingSpec("number"),
    "SecCookieV0Separator": SettingSpec("text"),
    "SecDataDir": SettingSpec("text", "none"),
    "SecDebugLog": SettingSpec("text", "none"),
    "SecDebugLogLevel": SettingSpec("number", "none"),
    "SecDisableBackendCompression": SettingSpec(_SWITCH, "none"),
    "SecGeoLookupDb": SettingSpec("text"),
    "SecGsbLookupDb": SettingSpec("text", "refused"),
    "SecGuardianLog": SettingSpec("any", "none"),
    "SecHashEngine": SettingSpec(_SWITCH, "refused"),
    "SecHashKey": SettingSpec("any", "refused"),
    "SecHashMethodPm": SettingSpec("any", "refused"),
    "SecHashMethodRx": SettingSpec("any", "refused"),
    "SecHashParam": SettingSpec("any", "refused"),
    "SecHttpBlKey": SettingSpec("text"),
    "SecInterceptOnError": SettingSpec(_SWITCH, "refused"),
    "SecParseXmlIntoArgs": SettingSpec(("On", "Off", "OnlyArgs")),
    "SecPcreMatchLimit": SettingSpec("number"),
    "SecPcreMatchLimitRecursion": SettingSpec("number"),
    "SecRemoteRules": SettingSpec("texts", "refused"),
    "SecRemoteRulesFailAction": SettingSpec(("Abort", "Warn"), "none"),
    "SecRequestBodyAccess": SettingSpec(_SWITCH),
    "SecRequestBodyInMemoryLimit": SettingSpec("number", "none"),
    "SecRequestBodyJsonDepthLimit": SettingSpec("number"),
    "SecRequestBodyLimit": SettingSpec("number"),
    "SecRequestBodyLimitAction": SettingSpec(("ProcessPartial", "Reject")),
    "SecRequestBodyNoFilesLimit": SettingSpec("number"),
    "SecResponseBodyAccess": SettingSpec(_SWITCH),
    "SecResponseBodyLimit": SettingSpec("number"),
    "SecResponseBodyLimitAction": SettingSpec(("ProcessPartial", "Reject")),
    "SecResponseBodyMimeType": SettingSpec("texts"),
    "SecResponseBodyMimeTypesClear": SettingSpec("none"),
    "SecRuleEngine": SettingSpec(_ENGINE),
    "SecRuleInheritance": SettingSpec(_SWITCH, "none"),
    "SecRulePerfTime": SettingSpec("number", "none"),
    "SecSensorId": SettingSpec("any", "none"),
    "SecServerSignature": SettingSpec("text", "none"),
    "SecStatusEngine": SettingSpec(_SWITCH, "none"),
    "SecStreamInBodyInspection": SettingSpec(_SWITCH, "none"),
    "SecStreamOutBodyInspection": SettingSpec(_SWITCH, "none"),
    "SecTmpDir": SettingSpec("text", "none"),
    "SecTmpSaveUploadedFiles": SettingSpec(_SWITCH, "none"),
    "SecUnicodeMapFile": SettingSpec("texts"),
    "SecUploadDir": SettingSpec("text", "none"),
    "SecUploadFileLimit": SettingSpec("number"),
    "SecUploadFileMode": SettingSpec("text", "none"),
    "SecUploadKeepFiles": SettingSpec((*_SWITCH, "RelevantOnly"), "none"),
    "SecWebAppId": SettingSpec("text"),
    "SecXmlExternalEntity": SettingSpec(_SWITCH),
}

NODES = (
    "Include", "IncludeOptional", "SecAction", "SecDefaultAction", "SecMarker", "SecRule", "SecRuleRemoveById",
    "SecRuleRemoveByMsg", "SecRuleRemoveByTag", "SecRuleScript", "SecRuleUpdateActionById", "SecRuleUpdateTargetById",
    "SecRuleUpdateTargetByMsg", "SecRuleUpdateTargetByTag",
)  # fmt: skip
"""The directives that are more than settings."""
DIRECTIVES = {word.lower(): word for word in (*NODES, *SETTINGS)}
