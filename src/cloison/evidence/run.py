"""The run folder `runs/<id>/`: made once, mode 0700, every file in it created exactly once and never through a link."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import contextmanager, suppress
from datetime import UTC
from typing import TYPE_CHECKING, BinaryIO, Self

from cloison.errors import EvidenceError, InputError, WorkspaceError
from cloison.evidence.capture import headers_only
from cloison.evidence.stream import read_stream
from cloison.model import EquipmentName, Name, Token, Untrusted
from cloison.workspace import read_start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from cloison.evidence.stream import Stream

STREAM_FILE = "audit.jsonl"
DOCUMENT_FILE = "audit.json"
PAGE_FILE = "page.html"
CAPTURES = "captures"
CONFIGURATION = "configuration"
_FILE_LIMIT = 256_000_000
_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,199}")
_RANDOM_BYTES = 3


class RunId(Token):
    """The identifier of a run: UTC date, UTC time, six random hexadecimal digits. Later runs sort later."""

    __slots__ = ()
    pattern = r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}"
    called = "a run (YYYYMMDD-HHMMSS-xxxxxx)"


class StreamFile:
    """The file `audit.jsonl`, to which lines are appended as they come."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path

    def append(self, line: bytes) -> None:
        """Append a line, given without its newline; it is in the file when the call returns."""
        try:
            self._file.write(line + b"\n")
            self._file.flush()
        except OSError as error:
            msg = f"{self._path}: cannot be written: {error.strerror}"
            raise EvidenceError(msg) from error

    def __enter__(self) -> Self:
        """Return the file itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()


class RunFolder:
    """The folder of one run. `create` makes it, `at` opens one that is there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = RunId(path.name)

    @classmethod
    def create(cls, runs: Path, now: datetime, random: Callable[[int], bytes]) -> Self:
        """Make the folder of a new run below `runs` (made when missing) and return it.

        `now` is an aware time; `random` returns so many random bytes. Raises EvidenceError.
        """
        if now.utcoffset() is None:
            msg = "a run needs an aware time; expected UTC"
            raise EvidenceError(msg)
        name = RunId(f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{random(_RANDOM_BYTES).hex()}")
        try:
            runs.mkdir(mode=0o700, exist_ok=True)
            with _folder(runs) as parent:
                os.mkdir(name, mode=0o700, dir_fd=parent)
        except OSError as error:
            msg = f"{runs / name}: cannot be made: {error.strerror}"
            raise EvidenceError(msg) from error
        return cls(runs / name)

    @classmethod
    def at(cls, path: Path) -> Self:
        """Return the run folder at a path; EvidenceError when there is none or it is a link."""
        try:
            found = cls(path)
            with _folder(path):
                return found
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            msg = f"{path}: not a run folder: {reason}"
            raise EvidenceError(msg) from error

    @classmethod
    def named(cls, runs: Path, name: str) -> Self:
        """Return the run of that name below `runs`; InputError when no run is called so."""
        if not re.fullmatch(RunId.pattern, name) or not (runs / name).is_dir():
            known = _names(runs)
            latest = f", for one {known[-1]}, the last" if known else ""
            msg = f"{Untrusted(name).shown(100)}: no such run below {runs}; expected YYYYMMDD-HHMMSS-xxxxxx{latest}"
            raise InputError(msg)
        return cls.at(runs / name)

    @classmethod
    def latest(cls, runs: Path) -> Self:
        """Return the latest run below `runs`; EvidenceError when there is none."""
        names = _names(runs)
        if not names:
            msg = f"{runs}: no run yet; `cloison audit` makes one"
            raise EvidenceError(msg)
        return cls.at(runs / names[-1])

    def open_stream(self) -> StreamFile:
        """Create the file of streamed lines and return it; EvidenceError when it is there already."""
        return StreamFile(self._create((), STREAM_FILE), self.path / STREAM_FILE)

    def read_stream(self) -> Stream:
        """Return what the streamed lines say, whole or cut off; an absent file says nothing. Raises EvidenceError."""
        path = self.path / STREAM_FILE
        content = self._read(path) if path.exists() or path.is_symlink() else b""
        return read_stream(content, str(path))

    def write_document(self, content: bytes) -> Path:
        """Write the final document; EvidenceError when it is there already."""
        return self._write((), DOCUMENT_FILE, content)

    def read_document(self) -> bytes:
        """Return the bytes of the final document; EvidenceError when it is missing, as of an audit cut short."""
        path = self.path / DOCUMENT_FILE
        if not os.path.lexists(path):
            ended = [name for name in _names(self.path.parent) if (self.path.parent / name / DOCUMENT_FILE).exists()]
            other = f"`cloison report {ended[-1]}` shows the last that did" if ended else "run `cloison audit` again"
            msg = f"{path}: is not there, so this audit did not come to its end; {other}"
            raise EvidenceError(msg)
        return self._read(path)

    def write_page(self, text: str) -> Path:
        """Write the page; EvidenceError when it is there already."""
        return self._write((), PAGE_FILE, text.encode("utf-8"))

    def write_configuration(self, device: EquipmentName, section: Name, text: str) -> Path:
        """Write one section as read back from a device, to `configuration/<site>/<device>/<section>.txt`."""
        folders = (CONFIGURATION, str(device.site), str(device.equipment))
        return self._write(folders, f"{section}.txt", text.encode("utf-8", "surrogateescape"))

    def discard(self) -> None:
        """Remove the folder of a run in which nothing was asked."""
        shutil.rmtree(self.path)

    def captures(self) -> Path:
        """Return the folder of the captures, made when missing, for a process that cuts them to headers itself."""
        try:
            with _folder(self.path, CAPTURES):
                return self.path / CAPTURES
        except OSError as error:
            msg = f"{self.path / CAPTURES}: cannot be made: {error.strerror}"
            raise EvidenceError(msg) from error

    def write_capture(self, name: str, pcap: bytes) -> Path:
        """Write a capture to `captures/<name>.pcap`, cut down to the headers of each packet."""
        return self._write((CAPTURES,), f"{name}.pcap", headers_only(pcap))

    def _write(self, folders: tuple[str, ...], name: str, content: bytes) -> Path:
        with self._create(folders, name) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return self.path.joinpath(*folders, name)

    def _create(self, folders: tuple[str, ...], name: str) -> BinaryIO:
        """Create a file that is not there yet, below folders of the run, following no link anywhere below it."""
        path = self.path.joinpath(*folders, name)
        if not all(_FILE_NAME.fullmatch(part) for part in (*folders, name)):
            msg = f"{path}: not the name of a file of a run (lower-case letters, digits, dot and hyphen)"
            raise EvidenceError(msg)
        try:
            with _folder(self.path, *folders) as folder:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_APPEND
                return os.fdopen(os.open(name, flags, 0o600, dir_fd=folder), "ab")
        except OSError as error:
            msg = f"{path}: cannot be written: {error.strerror}"
            raise EvidenceError(msg) from error

    def _read(self, path: Path) -> bytes:
        try:
            content = read_start(path, _FILE_LIMIT)
        except WorkspaceError as error:
            raise EvidenceError(str(error)) from error
        if len(content) > _FILE_LIMIT:
            msg = f"{path}: larger than {_FILE_LIMIT} bytes"
            raise EvidenceError(msg)
        return content


def _names(runs: Path) -> list[str]:
    """Return the names of the runs below a folder, the latest last; none of a folder that is not there yet."""
    try:
        return sorted(entry.name for entry in runs.iterdir() if re.fullmatch(RunId.pattern, entry.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        msg = f"{runs}: {error.strerror}; expected the runs of `cloison audit`"
        raise EvidenceError(msg) from error


@contextmanager
def _folder(path: Path, *below: str) -> Iterator[int]:
    """Open a folder, then folders below it (made when missing), following no link; the descriptor is closed after."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        for name in below:
            # One made by an earlier file of this run is used again; if it is no folder, the open below says so.
            with suppress(FileExistsError):
                os.mkdir(name, mode=0o700, dir_fd=descriptor)
            inner = os.open(name, flags, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)
