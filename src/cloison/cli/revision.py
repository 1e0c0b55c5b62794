"""The workspace as it was at another git revision: its data alone, in a folder of its own.

Objects are read from the object store (`git ls-tree`, `git cat-file`): the work tree stays as it is, no hook, filter or
attribute of the repository has a say, and no archive is unpacked.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from cloison.errors import InputError, TransportError
from cloison.model import Untrusted
from cloison.transport.local import LocalRunner
from cloison.workspace import INVENTORY, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FOLDERS: Final = (INVENTORY, "templates")
"""What is read of a revision. Playbooks and validators are code, and are not."""
_FILE_LIMIT: Final = 1_000_000
_TOTAL_LIMIT: Final = 64_000_000
_COUNT_LIMIT: Final = 20_000
_BATCH_BYTES: Final = 4_000_000
"""Of file content asked for at once; what a command may write is limited to twice that."""
_SAID_LIMIT: Final = 500
_ENTRY = re.compile(
    rb"(?P<mode>\d{6}) (?P<type>\w+) (?P<object>[0-9a-f]{40,64}) +(?P<size>\d+|-|BAD)\t(?P<path>.+)", re.DOTALL
)
_REVISION = re.compile(r"[^\x00-\x20\x7f]{1,200}")


@dataclass(frozen=True, slots=True)
class _Blob:
    """A file of a revision."""

    path: PurePosixPath
    """Relative to the workspace."""
    object: str
    size: int


def folder_in_repository(workspace: Workspace) -> PurePosixPath:
    """Return the workspace's folder relative to the top of the git work tree it is in; empty outside one."""
    for folder in (workspace.root, *workspace.root.parents):
        if (folder / ".git").exists():
            return PurePosixPath(workspace.root.relative_to(folder).as_posix())
    return PurePosixPath()


@contextlib.contextmanager
def workspace_at(workspace: Workspace, revision: str) -> Iterator[Workspace]:
    """Give the workspace as it was at a git revision, in a temporary folder that is gone afterwards.

    It is for the same network. Raises InputError when git is missing, the workspace is in no repository, the revision
    is unknown or holds no inventory, or when a file of it is a link or too large.
    """
    git = _Git(workspace)
    commit = git.commit(revision)
    blobs = git.blobs(commit, revision)
    with tempfile.TemporaryDirectory(prefix="cloison-") as name:
        root = Path(name).resolve()
        for folder in FOLDERS:
            (root / folder).mkdir()
        try:
            for blob, content in git.contents(blobs):
                (root / blob.path).parent.mkdir(parents=True, exist_ok=True)
                with (root / blob.path).open("xb") as file:
                    file.write(content)
        except FileExistsError as error:
            msg = f"revision {revision}: two entries for one name below {INVENTORY} or templates"
            raise InputError(msg) from error
        yield Workspace(root, workspace.network)


def revision_now(workspace: Workspace) -> str:
    """Return the commit that the workspace is at, with `+` when its data holds changes; empty outside a repository."""
    git = _Git(workspace)
    return git.now()


class _Git:
    """Asks git about the repository of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._root = workspace.root
        # A hook runs with the variables of the repository that it is for, which would decide instead of the folder.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        quiet = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_NO_REPLACE_OBJECTS": "1"}
        self._runner = LocalRunner(environment=kept | quiet)

    def commit(self, revision: str) -> str:
        """Return the commit that a revision is."""
        if not _REVISION.fullmatch(revision):
            msg = f"--against {Untrusted(revision).shown(_SAID_LIMIT)!r}: not a git revision"
            raise InputError(msg)
        if self._ask("rev-parse", "--is-inside-work-tree").strip() != b"true":
            msg = f"{self._root}: not in the work tree of a git repository; --against needs one"
            raise InputError(msg)
        name = f"{revision}^{{commit}}"
        found = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", name)
        commit = found.strip().decode("ascii", "replace") if found is not None else ""
        if not re.fullmatch(r"[0-9a-f]{40,64}", commit):
            msg = (
                f"--against {revision}: no such revision in the repository of {self._root}; expected a branch, a tag "
                "or a commit. A shallow clone lacks most: fetch it (`git fetch origin BRANCH`, or the whole history)"
            )
            raise InputError(msg)
        return commit

    def now(self) -> str:
        """Return the commit of the work tree, followed by `+` when a file of the workspace's data differs from it."""
        try:
            found = self._run("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
            differs = self._run("status", "--porcelain", "--", *FOLDERS) if found else None
        except InputError:  # git is not installed: there is no revision to tell
            return ""
        return f"{found.decode('ascii', 'replace').strip()}{'+' if differs else ''}" if found else ""

    def blobs(self, commit: str, revision: str) -> list[_Blob]:
        """Return the files of the workspace's data at a commit; InputError when one of them cannot be taken."""
        prefix = self._ask("rev-parse", "--show-prefix").decode("utf-8", "surrogateescape").removesuffix("\n")
        wanted = [f"{prefix}{folder}/" for folder in FOLDERS]
        listed = self._ask("ls-tree", "-r", "-z", "-l", "--full-tree", commit, "--", *wanted)
        entries = [entry for entry in listed.split(b"\0") if entry]
        blobs = [_blob(entry, prefix, revision) for entry in entries]
        if len(blobs) > _COUNT_LIMIT or sum(blob.size for blob in blobs) > _TOTAL_LIMIT:
            msg = f"revision {revision}: over {_COUNT_LIMIT} files or {_TOTAL_LIMIT} bytes in {' and '.join(FOLDERS)}"
            raise InputError(msg)
        if not any(blob.path.parts[0] == INVENTORY for blob in blobs):
            msg = f"revision {revision}: no {prefix}{INVENTORY}; expected a revision in which the workspace was there"
            raise InputError(msg)
        return blobs

    def contents(self, blobs: Sequence[_Blob]) -> Iterator[tuple[_Blob, bytes]]:
        """Yield the files with their content."""
        batch: list[_Blob] = []
        size = 0
        for blob in blobs:
            if batch and size + blob.size > _BATCH_BYTES:
                yield from self._batch(batch)
                batch, size = [], 0
            batch.append(blob)
            size += blob.size
        yield from self._batch(batch)

    def _batch(self, blobs: Sequence[_Blob]) -> Iterator[tuple[_Blob, bytes]]:
        """Yield the content of some files.

        Git answers `<object> blob <size>`, a newline, the bytes, a newline for each (git-cat-file(1), `--batch`).
        """
        asked = "".join(f"{blob.object}\n" for blob in blobs).encode()
        answer = self._ask("cat-file", "--batch", stdin=asked)
        start = 0
        for blob in blobs:
            head = f"{blob.object} blob {blob.size}\n".encode()
            end = start + len(head) + blob.size
            if answer[start : start + len(head)] != head or answer[end : end + 1] != b"\n":
                msg = f"{blob.path}: git does not have its content; a partial clone lacks it: fetch the whole history"
                raise InputError(msg)
            yield blob, answer[start + len(head) : end]
            start = end + 1

    def _ask(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Return what git writes; InputError, with what it says, when it refuses."""
        found = self._run(*arguments, stdin=stdin, refuse=True)
        return found if found is not None else b""

    def _run(self, *arguments: str, stdin: bytes = b"", refuse: bool = False) -> bytes | None:
        """Return what git writes, None when it fails and that is an answer; InputError when it is not there."""
        command = ["git", "-C", str(self._root), "--no-pager", "--literal-pathspecs", *arguments]
        try:
            done = self._runner.run(command, stdin=stdin)
        except TransportError as error:
            msg = f"--against needs git: {error}"
            raise InputError(msg) from error
        if done.exit_status == 0:
            return done.stdout
        if not refuse:
            return None
        said = Untrusted(done.stderr.strip()).shown(_SAID_LIMIT)
        msg = f"{self._root}: --against needs a git repository that can be read; git says: {said}"
        raise InputError(msg)


def _blob(entry: bytes, prefix: str, revision: str) -> _Blob:
    """Return a file from a line of `git ls-tree -l`; InputError for what is no plain file, or stands elsewhere."""
    found = _ENTRY.fullmatch(entry)
    shown = Untrusted(entry.partition(b"\t")[2]).shown(_SAID_LIMIT)
    place = f"revision {revision}: {shown}"
    if found is None or found["mode"] not in {b"100644", b"100755"} or found["type"] != b"blob":
        msg = f"{place}: neither a file nor a folder; expected no link and no submodule"
        raise InputError(msg)
    if found["size"] == b"BAD":
        msg = f"{place}: git does not have its content; a partial clone lacks it: fetch the whole history"
        raise InputError(msg)
    if int(found["size"]) > _FILE_LIMIT:
        msg = f"{place}: larger than {_FILE_LIMIT} bytes"
        raise InputError(msg)
    try:
        name = found["path"].decode("utf-8")
    except UnicodeDecodeError as error:
        msg = f"{place}: its name is not UTF-8"
        raise InputError(msg) from error
    parts = name.removeprefix(prefix).split("/")
    if not name.startswith(prefix) or parts[0] not in FOLDERS or not {"", ".", ".."}.isdisjoint(parts):
        msg = f"{place}: not a path below {INVENTORY} or templates"
        raise InputError(msg)
    return _Blob(PurePosixPath(*parts), found["object"].decode(), int(found["size"]))
