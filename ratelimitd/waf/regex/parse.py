"""From a PCRE pattern, as bytes, to its tree.

The dialect is PCRE2's without UTF and UCP, as ModSecurity compiles it: patterncsyntax(3) of PCRE2 10.42. Case is folded
into the sets of bytes. What is not understood raises UnsupportedError, never a guess.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ratelimitd.waf.regex.nodes import (
    ALL,
    Alt,
    Anchor,
    Atomic,
    Back,
    Bytes,
    Group,
    Look,
    Node,
    alt,
    byte_set,
    fold_case,
    repeat,
    seq,
)

MAX_BYTES = 1 << 17
MAX_DEPTH = 120
MAX_REPEAT = 65_535

DIGIT = byte_set((0x30, 0x39))
WORD = DIGIT | byte_set((0x41, 0x5A), (0x61, 0x7A), b"_")
SPACE = byte_set(b"\t\n\v\f\r ")
NEWLINE = byte_set(b"\n")
_HORIZONTAL = byte_set(b"\t \xa0")
_VERTICAL = byte_set(b"\n\v\f\r\x85")

_ESCAPED_SETS = {
    "d": DIGIT,
    "D": ALL ^ DIGIT,
    "h": _HORIZONTAL,
    "H": ALL ^ _HORIZONTAL,
    "s": SPACE,
    "S": ALL ^ SPACE,
    "v": _VERTICAL,
    "V": ALL ^ _VERTICAL,
    "w": WORD,
    "W": ALL ^ WORD,
}
_ESCAPED_BYTES = {"a": 0x07, "e": 0x1B, "f": 0x0C, "n": 0x0A, "r": 0x0D, "t": 0x09}
_ESCAPED_ANCHORS = {
    "A": Anchor.START,
    "z": Anchor.END,
    "Z": Anchor.END_LINE,
    "G": Anchor.SEARCH_START,
    "b": Anchor.WORD,
    "B": Anchor.NOT_WORD,
}
_POSIX = {
    b"alnum": WORD ^ byte_set(b"_"),
    b"alpha": byte_set((0x41, 0x5A), (0x61, 0x7A)),
    b"ascii": byte_set((0, 0x7F)),
    b"blank": byte_set(b"\t "),
    b"cntrl": byte_set((0, 0x1F), 0x7F),
    b"digit": DIGIT,
    b"graph": byte_set((0x21, 0x7E)),
    b"lower": byte_set((0x61, 0x7A)),
    b"print": byte_set((0x20, 0x7E)),
    b"punct": byte_set((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)),
    b"space": SPACE,
    b"upper": byte_set((0x41, 0x5A)),
    b"word": WORD,
    b"xdigit": DIGIT | byte_set((0x41, 0x46), (0x61, 0x66)),
}
_HEX = b"0123456789abcdefABCDEF"


class UnsupportedError(ValueError):
    """A pattern that this package does not understand, or not one at all; says what and at which byte."""


@dataclass(frozen=True, slots=True)
class Flags:
    """PCRE2's options that change what a pattern matches; the defaults are ModSecurity's."""

    caseless: bool = False
    dotall: bool = True
    multiline: bool = True
    extended: bool = False


def parse(pattern: bytes, flags: Flags = Flags()) -> Node:
    """The tree of a pattern. Raises UnsupportedError; bounded in depth by MAX_DEPTH and in length by MAX_BYTES."""
    if len(pattern) > MAX_BYTES:
        raise UnsupportedError(f"longer than {MAX_BYTES} bytes")
    reader = _Reader(pattern, flags)
    tree = reader.alternation(0)
    if reader.at < len(pattern):
        raise reader.unsupported("an unmatched )")
    for number in reader.wanted:
        if number > reader.groups:
            raise UnsupportedError(f"a reference to group {number}, of {reader.groups}")
    return tree


class _Reader:
    """A cursor on the pattern; each method reads one construct and leaves the cursor behind it."""

    def __init__(self, pattern: bytes, flags: Flags) -> None:
        self.text = pattern
        self.at = 0
        self.flags = flags
        self.groups = 0
        self.names: dict[bytes, int] = {}
        self.wanted: set[int] = set()
        self.quoted = False

    def unsupported(self, what: str) -> UnsupportedError:
        return UnsupportedError(f"{what} at byte {self.at}")

    def looking_at(self, text: bytes) -> bool:
        return self.text.startswith(text, self.at)

    def take(self, text: bytes) -> bool:
        if not self.looking_at(text):
            return False
        self.at += len(text)
        return True

    def next(self) -> int:
        if self.at >= len(self.text):
            raise self.unsupported("the end of the pattern")
        self.at += 1
        return self.text[self.at - 1]

    def until(self, end: bytes) -> bytes:
        stop = self.text.find(end, self.at)
        if stop < 0:
            raise self.unsupported(f"no {end.decode()}")
        found = self.text[self.at : stop]
        self.at = stop + len(end)
        return found

    def one(self, mask: int) -> Node:
        return Bytes(fold_case(mask) if self.flags.caseless else mask)

    # -- structure

    def alternation(self, depth: int) -> Node:
        """Up to an unmatched ) or the end. Flags set inside hold for the later branches, and end with the group."""
        if depth > MAX_DEPTH:
            raise self.unsupported(f"deeper than {MAX_DEPTH}")
        outer = self.flags
        branches = [self.sequence(depth)]
        while not self.quoted and self.take(b"|"):
            branches.append(self.sequence(depth))
        self.flags = outer
        return branches[0] if len(branches) == 1 else alt(branches)

    def sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while self.at < len(self.text):
            if self.quoted:
                if self.take(b"\\E"):
                    self.quoted = False
                else:
                    parts.append(self.quantified(self.one(1 << self.next())))
                continue
            if self.skip() or self.at >= len(self.text):
                continue
            if self.looking_at(b"|") or self.looking_at(b")"):
                break
            atom = self.atom(depth)
            if atom is not None:
                parts.append(self.quantified(atom))
        return seq(parts)

    def skip(self) -> bool:
        """Over what stands for nothing: comments, \\Q and \\E, and with (?x) blanks."""
        if self.take(b"(?#"):
            self.until(b")")
            return True
        if self.take(b"\\Q"):
            self.quoted = True
            return True
        if self.take(b"\\E"):
            return True
        return self.skip_blanks()

    def skip_blanks(self) -> bool:
        if not self.flags.extended:
            return False
        start = self.at
        while self.at < len(self.text) and SPACE >> self.text[self.at] & 1:
            self.at += 1
        if self.take(b"#"):
            stop = self.text.find(b"\n", self.at)
            self.at = len(self.text) if stop < 0 else stop + 1
        return self.at > start

    def quantified(self, atom: Node) -> Node:
        while not self.quoted:
            if self.text.startswith(b"\\E", self.at):
                self.at += 2
                continue
            if self.skip_blanks():
                continue
            bounds = self.bounds()
            if bounds is None:
                return atom
            if isinstance(atom, Anchor):
                raise self.unsupported("a repeated anchor, which PCRE2 refuses")
            atom = repeat(atom, *bounds)
            if self.take(b"+"):
                atom = Atomic(atom)
            else:
                self.take(b"?")
        return atom

    def bounds(self) -> tuple[int, int | None] | None:
        if self.take(b"*"):
            return 0, None
        if self.take(b"+"):
            return 1, None
        if self.take(b"?"):
            return 0, 1
        if not self.looking_at(b"{"):
            return None
        stop = self.text.find(b"}", self.at)
        low, comma, high = self.text[self.at + 1 : stop if stop >= 0 else None].partition(b",")
        if stop < 0 or not low.isdigit() or not (high.isdigit() or not high):
            if stop >= 0 and not low.strip() and high.strip().isdigit():
                raise self.unsupported("{,n}, which PCRE2 reads in two ways")
            return None  # a brace like any other byte
        self.at = stop + 1
        least = int(low[:6])
        most = int(high[:6]) if high else (None if comma else least)
        if max(least, most or 0) > MAX_REPEAT or (most is not None and most < least):
            raise self.unsupported("a repeat out of bounds")
        return least, most

    def atom(self, depth: int) -> Node | None:
        byte = self.next()
        if byte == 0x28:  # (
            return self.group(depth)
        if byte == 0x5B:  # [
            return self.bracket()
        if byte == 0x5C:  # \
            return self.escape()
        if byte == 0x2E:  # .
            return Bytes(ALL if self.flags.dotall else ALL ^ NEWLINE)
        if byte == 0x5E:  # ^
            return Anchor.LINE_START if self.flags.multiline else Anchor.START
        if byte == 0x24:  # $
            return Anchor.LINE_END if self.flags.multiline else Anchor.END_LINE
        if byte in b"*+?":
            self.at -= 1
            raise self.unsupported("nothing to repeat")
        return self.one(1 << byte)

    # -- groups

    def group(self, depth: int) -> Node | None:
        if self.looking_at(b"*"):
            raise self.unsupported("a verb")
        if not self.take(b"?"):
            return self.capture(depth, b"")
        for opening, ahead, negative in ((b"=", True, False), (b"!", True, True), (b"<=", False, False)):
            if self.take(opening):
                return Look(self.closed(depth), ahead, negative)
        if self.take(b"<!"):
            return Look(self.closed(depth), False, True)
        if self.take(b">"):
            return Atomic(self.closed(depth))
        if self.take(b":"):
            return self.closed(depth)
        if self.take(b"P="):
            return self.named_back(self.until(b")"))
        for opening, end in ((b"P<", b">"), (b"<", b">"), (b"'", b"'")):
            if self.take(opening):
                return self.capture(depth, self.until(end))
        return self.options(depth)

    def closed(self, depth: int) -> Node:
        tree = self.alternation(depth + 1)
        if not self.take(b")"):
            raise self.unsupported("no )")
        return tree

    def capture(self, depth: int, name: bytes) -> Node:
        self.groups += 1
        number = self.groups
        if name:
            if name in self.names or not all(WORD >> byte & 1 for byte in name):
                raise self.unsupported("a name of a group")
            self.names[name] = number
        return Group(self.closed(depth), number)

    def options(self, depth: int) -> Node | None:
        """(?imsx-imsx) for the rest of the group, (?i:...) for its own."""
        outer = self.flags
        on = True
        if self.take(b"^"):
            self.flags = Flags(dotall=False, multiline=False)
        while (byte := self.next()) not in b":)":
            if byte == 0x2D:  # -
                on = False
                continue
            name = {0x69: "caseless", 0x6D: "multiline", 0x73: "dotall", 0x78: "extended"}.get(byte)
            if name is None or self.looking_at(b"x"):
                self.at -= 1
                raise self.unsupported(f"(?{chr(byte)}")
            self.flags = replace(self.flags, **{name: on})
        if byte == 0x29:  # )
            return None
        tree = self.closed(depth)
        self.flags = outer
        return tree

    # -- escapes

    def escape(self) -> Node | None:
        letter = chr(self.next())
        if letter in _ESCAPED_SETS:
            return Bytes(_ESCAPED_SETS[letter])
        if letter in _ESCAPED_ANCHORS:
            return _ESCAPED_ANCHORS[letter]
        if letter == "N":
            if self.looking_at(b"{"):
                raise self.unsupported("\\N{")
            return Bytes(ALL ^ NEWLINE)
        if letter == "R":
            return Atomic(Alt((seq([Bytes(1 << 13), Bytes(1 << 10)]), Bytes(_VERTICAL))))
        if letter == "K":
            return None  # moves where the match begins, not whether there is one
        if letter in "gk":
            return self.reference(letter)
        if letter in "123456789":
            return self.numbered()
        return self.one(1 << self.escaped_byte(letter))

    def numbered(self) -> Node:
        """\\1 to \\9 are references always; longer numbers only when there are so many groups, and else octal."""
        start = self.at - 1
        while self.at < len(self.text) and self.text[self.at] in b"0123456789" and self.at - start < 4:
            self.at += 1
        number = int(self.text[start : self.at])
        if number > 9:
            raise self.unsupported("a reference or an octal byte")
        return self.back(number)

    def reference(self, letter: str) -> Node:
        for opening, end in ((b"{", b"}"), (b"<", b">"), (b"'", b"'")):
            if letter == "g" and opening != b"{":
                continue
            if self.take(opening):
                name = self.until(end)
                break
        else:
            if letter == "k":
                raise self.unsupported("\\k")
            start = self.at
            self.take(b"-")
            while self.at < len(self.text) and self.text[self.at] in b"0123456789":
                self.at += 1
            name = self.text[start : self.at]
        digits = name.removeprefix(b"-")
        if not digits.isdigit() or letter == "k":
            return self.named_back(name)
        number = int(digits[:6])
        return self.back(self.groups + 1 - number if name != digits else number)

    def named_back(self, name: bytes) -> Node:
        if name not in self.names:
            raise self.unsupported("a reference to no group before it")
        return self.back(self.names[name])

    def back(self, number: int) -> Node:
        if number < 1:
            raise self.unsupported("a reference to no group")
        self.wanted.add(number)
        return Back(number, self.flags.caseless)

    def escaped_byte(self, letter: str) -> int:
        """The byte that an escape stands for, in a set or outside; the cursor is behind its letter."""
        if letter in _ESCAPED_BYTES:
            return _ESCAPED_BYTES[letter]
        if letter == "x":
            return self.hexadecimal()
        if letter in "01234567":
            self.at -= 1
            return self.octal(self.digits(b"01234567", 3))
        if letter == "o" and self.take(b"{"):
            return self.octal(self.until(b"}"))
        if letter == "c":
            control = self.next()
            if not 0x20 <= control < 0x7F:
                raise self.unsupported("\\c")
            return (control - 32 if 0x61 <= control <= 0x7A else control) ^ 0x40
        if letter.isascii() and letter.isalnum():
            raise self.unsupported(f"\\{letter}")
        return ord(letter)

    def digits(self, allowed: bytes, most: int) -> bytes:
        start = self.at
        while self.at < len(self.text) and self.at - start < most and self.text[self.at] in allowed:
            self.at += 1
        return self.text[start : self.at]

    def hexadecimal(self) -> int:
        digits = self.until(b"}") if self.take(b"{") else self.digits(_HEX, 2) or b"0"
        if not digits or any(digit not in _HEX for digit in digits) or int(digits, 16) > 0xFF:
            raise self.unsupported("a code above ff")
        return int(digits, 16)

    def octal(self, digits: bytes) -> int:
        if not digits or any(digit not in b"01234567" for digit in digits) or int(digits, 8) > 0xFF:
            raise self.unsupported("an octal code above 377")
        return int(digits, 8)

    # -- sets

    def bracket(self) -> Node:
        negated = self.take(b"^")
        mask = 0
        first = True
        while first or not self.looking_at(b"]"):
            first = False
            if self.take(b"\\E"):
                continue
            if self.looking_at(b"\\Q"):
                raise self.unsupported("\\Q in a set")
            low = self.member()
            if isinstance(low, int):
                mask |= self.ranged(low)
            else:
                mask |= low[0]
        self.at += 1
        if self.flags.caseless:
            mask = fold_case(mask)
        return Bytes(ALL ^ mask if negated else mask)

    def ranged(self, low: int) -> int:
        """The set of the range that begins with `low`, if one does: a - before ] or a whole set is itself."""
        if not self.looking_at(b"-") or self.text.startswith(b"-]", self.at):
            return 1 << low
        start = self.at
        self.at += 1
        high = self.member()
        if not isinstance(high, int):
            self.at = start
            return 1 << low
        if high < low:
            raise self.unsupported("a range out of order")
        return byte_set((low, high))

    def member(self) -> int | tuple[int]:
        """One byte of a set, or in a tuple the mask of a set within it."""
        byte = self.next()
        if byte == 0x5B and self.at < len(self.text) and self.text[self.at] in b":.=":
            found = self.posix()
            if found is not None:
                return (found,)
        if byte != 0x5C:
            return byte
        letter = chr(self.next())
        if letter in _ESCAPED_SETS:
            return (_ESCAPED_SETS[letter],)
        if letter == "b":
            return 0x08
        if letter in "BNRX89":
            raise self.unsupported(f"\\{letter} in a set")
        return self.escaped_byte(letter)

    def posix(self) -> int | None:
        """[:name:] with the cursor on its colon; None, and the [ is itself, when no such thing follows."""
        mark = self.text[self.at : self.at + 1]
        stop = self.text.find(mark + b"]", self.at + 1)
        name = self.text[self.at + 1 : stop] if stop >= 0 else b"!"
        if not name.removeprefix(b"^").isalpha():
            return None
        mask = _POSIX.get(name.removeprefix(b"^")) if mark == b":" else None
        if mask is None:
            raise self.unsupported("a POSIX class")
        self.at = stop + 2
        return ALL ^ mask if name.startswith(b"^") else mask
