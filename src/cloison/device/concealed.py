"""Keeps what is secret in a read-back out of it, before it becomes a text that is kept, shown, hashed or compared.

No section that Cloison loads holds a secret: private keys are files of the device, and the text of a section names
them. What somebody added by hand may hold one (`options:psk` of a tunnel port, a section `secrets` of swanctl.conf).
"""

from __future__ import annotations

import re

CONCEALED = "<not-shown>"
"""Stands for a secret; two of them are not told apart."""
_SECRET_KEY = re.compile(r"[\w-]*(psk|secret|passw|passphrase|private_key_pem|auth_key)[\w-]*|pin", re.IGNORECASE)
"""Keys of ovs-vswitchd.conf.db(5), `options:psk` of ovs-monitor-ipsec(8), `secret` and `pin` of swanctl.conf(5)."""
_ASSIGNMENT = re.compile(r"(\s*)([\w-]+)(\s*=\s*)(\S.*)")


def is_secret(key: str) -> bool:
    """Tell whether the value of a key is a secret."""
    return _SECRET_KEY.fullmatch(key) is not None


def concealed_lines(text: str) -> str:
    """Return a text of lines `key = value` in which every secret value is concealed."""
    return "".join(map(_concealed_line, text.splitlines(keepends=True)))


def _concealed_line(line: str) -> str:
    found = _ASSIGNMENT.match(line)
    if found is None or not is_secret(found[2]):
        return line
    return f"{found[1]}{found[2]}{found[3]}{CONCEALED}\n"
