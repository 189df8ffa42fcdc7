"""What a rule does to a value before it looks at it."""

from __future__ import annotations

from enum import IntEnum


class Transformation(IntEnum):
    """Applied in order before the patterns. Semantics are ModSecurity's."""

    LOWERCASE = 0
    URL_DECODE = 1
    URL_DECODE_UNI = 2
    HTML_ENTITY_DECODE = 3
    COMPRESS_WHITESPACE = 4
    REMOVE_WHITESPACE = 5
    REMOVE_NULLS = 6
    REPLACE_COMMENTS = 7
    REMOVE_COMMENTS = 8
    NORMALIZE_PATH = 9
    JS_DECODE = 10
    CSS_DECODE = 11
    CMD_LINE = 12
    BASE64_DECODE = 13
    HEX_DECODE = 14
    TRIM = 15
    UTF8_TO_UNICODE = 16
    ESCAPE_SEQ_DECODE = 17
    BASE64_DECODE_EXT = 18  # forgiving: skips what is no digit
    BASE64_ENCODE = 19
    HEX_ENCODE = 20
    LENGTH = 21  # decimal, in bytes
    MD5 = 22  # raw digest
    SHA1 = 23  # raw digest
    NORMALIZE_PATH_WIN = 24
    PARITY_EVEN_7BIT = 25
    PARITY_ODD_7BIT = 26
    PARITY_ZERO_7BIT = 27
    REMOVE_COMMENTS_CHAR = 28
    REPLACE_NULLS = 29
    SQL_HEX_DECODE = 30
    TRIM_LEFT = 31
    TRIM_RIGHT = 32
    URL_ENCODE = 33
    UPPERCASE = 34
    PHP_ARGS_NAMES = 35  # the name under which PHP stores an argument
