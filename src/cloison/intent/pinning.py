"""Puts a host key into the file of a site where a person would have, and leaves every other character alone."""

from __future__ import annotations

import copy
import difflib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from cloison.errors import InputError, OutputError
from cloison.intent.document import SIZE_LIMIT, read_document
from cloison.intent.files import site_file
from cloison.workspace import read_start

if TYPE_CHECKING:
    from pathlib import Path

    from cloison.model import EquipmentName, HostKeyFingerprint
    from cloison.workspace import Workspace

_KEY = "host_key"
_EQUIPMENT = "equipment"


@dataclass(frozen=True, slots=True)
class Pinning:
    """The file of a site before and after a host key is put into it."""

    file: Path
    """Relative to the workspace."""
    before: str
    after: str

    @property
    def diff(self) -> str:
        """A unified diff that patch(1) and `git apply` take."""
        before, after = (re.findall(r"[^\n]*\n|[^\n]+", text) for text in (self.before, self.after))
        name = self.file.as_posix()
        found = difflib.unified_diff(before, after, f"a/{name}", f"b/{name}")
        return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in found)

    def write(self, workspace: Workspace) -> None:
        """Write the file, whole or not at all; OutputError when it cannot be written."""
        path = workspace.root / self.file
        fresh = path.with_name(f".{path.name}.new")
        try:
            mode = path.stat().st_mode & 0o777
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(self.after.encode())
                os.fsync(stream.fileno())
            fresh.replace(path)
        except OSError as error:
            msg = f"{self.file}: {error.strerror}; nothing was written"
            raise OutputError(msg) from error


def pin(workspace: Workspace, device: EquipmentName, key: HostKeyFingerprint) -> Pinning:
    """Return the file of the device's site with this `host_key`; nothing is written.

    Raises WorkspaceError when the file cannot be read, InputError when it is written in a way in which no place for
    the key can be found that says just that.
    """
    file = site_file(device.site)
    before = read_start(workspace.root / file, SIZE_LIMIT).decode()
    document = read_document(before.encode())
    wanted: Any = copy.deepcopy(document.data)
    try:
        wanted.setdefault(_EQUIPMENT, {}).setdefault(str(device.equipment), {})[_KEY] = str(key)
        after = _pinned(before, str(device.equipment), str(key))
        said = read_document(after.encode())
    except (AttributeError, TypeError, ValueError, yaml.YAMLError):
        said = None
    if said is None or said.mistakes or said.data != wanted:
        msg = f'{file}: no place for the key was found; write `host_key: "{key}"` to `{device.equipment}` by hand'
        raise InputError(msg)
    return Pinning(file, before, after)


def _pinned(text: str, equipment: str, key: str) -> str:
    """Return the text with the key; TypeError or a text that says something else where it is written unusually."""
    root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    value = f'"{key}"'
    every = _value(root, _EQUIPMENT)
    if every is None:
        return _with_entry(text, _mapping(root), f"{_EQUIPMENT}: {{{equipment}: {{{_KEY}: {value}}}}}")
    one = _value(every, equipment)
    if one is None:
        return _with_entry(text, _mapping(every), f"{equipment}: {{{_KEY}: {value}}}")
    old = _value(one, _KEY)
    if old is None:
        return _with_entry(text, _mapping(one), f"{_KEY}: {value}")
    return text[: old.start_mark.index] + value + text[old.end_mark.index :]


def _mapping(node: yaml.Node | None) -> yaml.MappingNode:
    if not isinstance(node, yaml.MappingNode):
        raise TypeError(_EQUIPMENT)
    return node


def _value(node: yaml.Node | None, name: str) -> yaml.Node | None:
    found: list[yaml.Node] = [value for key, value in _mapping(node).value if key.value == name]
    return found[0] if found else None


def _with_entry(text: str, mapping: yaml.MappingNode, entry: str) -> str:
    """Put an entry last into `{…}`, and on a line of its own before the first one of a mapping in lines."""
    start, end = mapping.start_mark, mapping.end_mark
    if mapping.flow_style:
        at = mapping.value[-1][1].end_mark.index if mapping.value else end.index - 1
        return text[:at] + (f", {entry}" if mapping.value else entry) + text[at:]
    ended = "\r\n" if "\r\n" in text else "\n"
    return text[: start.index] + entry + ended + " " * start.column + text[start.index :]
