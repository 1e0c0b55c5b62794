"""The shapes of rules: each is parsed by the grammar once, and filled with the literals of every line that has it.

A line's literals (addresses, numbers, texts) are put aside and a mark of their kind stands in their place: what is left
is the shape. A fleet has thousands of lines and a few dozen shapes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lark import Lark, Token, Tree

MARKS: Final = {"string": "\x01", "ether": "\x02", "ipv6": "\x03", "ipv4": "\x04", "number": "\x05"}
"""What stands in the place of a literal: characters that no text of nft holds."""
SPELT: Final = {mark: kind for kind, mark in MARKS.items()}
_LITERAL = re.compile(
    r"""
    "(?P<string>[^"]*)"
  | \#.*
  | (?P<kept>&\ [0-9a-fA-F:][\w.:]*
            | [!=]=\ 0(?:x0+)?(?!\S) | tcp\ flags\ (?:[!=]=?\ )?\d\w* | (?:jump|goto)\ \S+ | @\S+)
  | (?<![^\s{(\[,:!/-])(?:
      (?P<number>(?:(?<![A-Za-z_]-)|(?<=[0-9a-f]-))(?:0x[0-9a-fA-F]+|\d+)(?![\w.:])(?!-[A-Za-z]))
    | (?P<ipv4>\d+\.\d+\.\d+\.\d+(?:/\d+)?)(?![\w.])
    | (?P<ether>[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}(?![\w:]))
    | (?P<ipv6>[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}(?:\.\d+){0,3}(?:/\d+)?(?![\w:.]))
    )
    """,
    re.VERBOSE,
)


class Unreadable(ValueError):  # noqa: N818  reads as what the text is
    """A line is not made of nft's words; the text says what was expected."""


def shape_of(line: str) -> tuple[str, list[str]]:
    """Return the shape of a line and its literals, in their order; comments are left out."""
    literals: list[str] = []

    def aside(found: re.Match[str]) -> str:
        kind = found.lastgroup
        if kind is None:  # a comment
            return ""
        if kind == "kept":
            return found[0]
        literals.append(found[kind])
        return MARKS[kind]

    return _LITERAL.sub(aside, line).strip(), literals


# Longest first. The operands that nft has, and not only those that are modelled: what is known is where each ends.
_FIELDS: Final = {
    "ether": "saddr|daddr|type",
    "vlan": "id|dei|cfi|pcp|type",
    "arp": "htype|ptype|hlen|plen|operation|[sd]addr (?:ip|ether)",
    "ip": "version|hdrlength|dscp|ecn|length|id|frag-off|ttl|protocol|checksum|saddr|daddr",
    "ip6": "version|dscp|ecn|flowlabel|length|nexthdr|hoplimit|saddr|daddr",
    "icmp": "type|code|checksum|id|sequence|gateway|mtu",
    "icmpv6": "type|code|checksum|parameter-problem|packet-too-big|id|sequence|max-delay|taddr|daddr",
    "igmp": "type|checksum|mrt|group",
    "tcp": "sport|dport|sequence|ackseq|doff|reserved|flags|window|checksum|urgptr",
    "udp": "sport|dport|length|checksum",
    "udplite": "sport|dport|checksum",
    "sctp": "sport|dport|vtag|checksum",
    "dccp": "sport|dport|type",
    "th": "sport|dport",
    "ah": "nexthdr|hdrlength|reserved|spi|sequence",
    "esp": "spi|sequence",
    "comp": "nexthdr|flags|cpi",
    "frag": "nexthdr|frag-off|reserved2|more-fragments|id|reserved",
    "mh": "nexthdr|hdrlength|type|reserved|checksum",
    "rt": "nexthdr|hdrlength|type|seg-left|mtu|ipsec|classid|nexthop",
    "exthdr": "hbh|frag|rt|dst|mh|srh",
    "tcp option": r"[\w-]+(?: (?:kind|length|size|count|left|right|tsval|tsecr))?",
    "ip option": r"[\w-]+(?: (?:type|length|value|ptr|addr))?",
    "meta": r"[\w-]+",
    "ct": r"(?:(?:original|reply) )?(?:ip6? )?[\w-]+",
}
_FIB = r"fib (?:(?:saddr|daddr|mark|iif|oif)(?: \. )?)+ (?:oifname|oif|type)"
_KEY = "|".join([_FIB, *(f"{header} (?:{fields})" for header, fields in _FIELDS.items())])
_BARE = "iifname|oifname|iiftype|oiftype|iif|oif|iifgroup|oifgroup|skuid|skgid|nftrace|rtclassid|cgroup|mark"
_TOKEN = re.compile(
    rf"""
    (?P<LIMIT>(?:limit|quota|ct\ count)(?![\w-]))
  | (?P<KEY>(?:{_KEY.replace(" ", chr(92) + " ")}|{_BARE})(?![\w./-])|@(?:ll|nh|th|ih),\d+,\d+)
  | (?P<HOLE>[\x01-\x05])
  | (?P<REFERENCE>@[A-Za-z_][\w./-]*)
  | (?P<NAME>(?:::)?[A-Za-z0-9_][\w.:/-]*\*?)
  | (?P<SIGN>==|!=|<=|>=|<<|>>|[{{}}(),:.\-|&/<>!^=\[\];*])
  | (?P<SPACE>\s+)
    """,
    re.VERBOSE,
)
_SIGNS: Final = {
    "==": "EQUAL", "!=": "UNEQUAL", "<": "LESS", ">": "GREATER", "<=": "AT_MOST", ">=": "AT_LEAST", "!": "NOT",
    "{": "LBRACE", "}": "RBRACE", "(": "LPAR", ")": "RPAR", ",": "COMMA", ":": "COLON", ".": "DOT", "-": "MINUS",
    "|": "VBAR", "&": "AMPERSAND", "/": "SLASH",
}  # fmt: skip
_WORDS: Final = {
    **{word: word.upper() for word in ("accept", "drop", "return", "continue", "jump", "goto", "reject")},
    **{word: word.upper() for word in ("vmap", "map", "set", "with", "counter", "comment", "log")},
    **dict.fromkeys(("packets", "bytes"), "COUNT"),
    **dict.fromkeys(("prefix", "group", "snaplen", "queue-threshold", "level", "flags"), "LOG_OPTION"),
}


class Lexeme:
    """One word of a shape: the type of its terminal, its text, and where it stands."""

    __slots__ = ("end", "hole", "start", "text", "type")

    def __init__(self, kind: str, text: str, start: int, hole: int) -> None:
        self.type, self.text, self.start, self.end, self.hole = kind, text, start, start + len(text), hole


def lexemes(shape: str) -> list[Lexeme]:
    """Return the words of a shape; Unreadable for a character that belongs to none, or for braces without a pair."""
    found: list[Lexeme] = []
    place = holes = depth = 0
    while place < len(shape):
        match = _TOKEN.match(shape, place)
        if match is None:
            msg = f"expected a word of nft, found {shape[place : place + 20]!r}"
            raise Unreadable(msg)
        text, kind = match[0], match.lastgroup or ""
        if kind == "SIGN":
            kind = _SIGNS.get(text, "OTHER_SIGN")
            depth += (text in "{(") - (text in "})")
        elif kind == "NAME":
            kind = _WORDS.get(text, kind)
        if depth < 0:
            msg = f"expected no {text!r} that closes nothing"
            raise Unreadable(msg)
        if kind != "SPACE":
            found.append(Lexeme(kind, text, place, holes))
            holes += kind == "HOLE"
        place = match.end()
    if depth:
        msg = "expected a closing brace"
        raise Unreadable(msg)
    return found


@lru_cache(maxsize=1)
def grammar() -> Lark:
    """Return the parser of the grammar beside this module, built when the first shape is met."""
    from lark import Lark, Token  # noqa: PLC0415  heavy, and not needed by what reads no filter
    from lark.lexer import Lexer  # noqa: PLC0415

    class Given(Lexer):
        """Hands over the words that are already found."""

        def __init__(self, _conf: object) -> None:
            pass

        def lex(self, data: list[Lexeme]) -> Iterator[Token]:  # type: ignore[override]  # our own kind of text
            for one in data:
                yield Token(one.type, one.text, start_pos=one.start, end_pos=one.end, line=one.hole)

    text = files("cloison.prove.parse").joinpath("nftables.lark").read_text(encoding="utf-8")
    return Lark(text, parser="lalr", lexer=Given, start=["rule", "elements"], propagate_positions=True)


def tree_of(words: list[Lexeme], start: str) -> Tree[Token] | None:
    """Return the tree of words, or None where the grammar has no such sentence."""
    from lark.exceptions import UnexpectedInput  # noqa: PLC0415

    try:
        return grammar().parse(words, start=start)
    except UnexpectedInput:
        return None
