"""From the files of a workspace to its intent: every mistake of every file at once, each with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from cloison.errors import IntentError, Problem, WorkspaceError
from cloison.intent.check import check, check_flows
from cloison.intent.derive import derive
from cloison.intent.document import SIZE_LIMIT, Document, read_document
from cloison.intent.files import (
    DEFAULTS,
    GROUPS,
    INVARIANTS,
    NETWORK,
    POLICY,
    InventoryFiles,
)
from cloison.intent.models import (
    BlueprintFile,
    DefaultsFile,
    GroupsFile,
    InvariantsFile,
    NetworkFile,
    PolicyFile,
    SiteFile,
)
from cloison.intent.structure import structure_mistakes
from cloison.model import Model, Name
from cloison.workspace import BLUEPRINTS, SCHEMAS, SITES, Network, Workspace, files_below, find_workspace, read_start

if TYPE_CHECKING:
    from cloison.intent.network import Intent

MODELS: dict[Path, type[Model]] = {
    NETWORK: NetworkFile,
    POLICY: PolicyFile,
    INVARIANTS: InvariantsFile,
    GROUPS: GroupsFile,
    DEFAULTS: DefaultsFile,
}
FOLDER_MODELS: dict[Path, type[Model]] = {
    Path(BLUEPRINTS): BlueprintFile,
    Path(SITES): SiteFile,
}
ModelT = TypeVar("ModelT", bound=Model)


def load(workspace: Workspace | Path, network: Network | None = None) -> Intent:
    """Return the intent of a workspace, read, checked and derived.

    `network` says for which network it is checked (default: the workspace's own): the live one needs every host key.
    Raises IntentError with every problem found, WorkspaceError when there is no inventory.
    """
    files = read(workspace, network)
    intent = derive(
        network=files.network,
        policy=files.policy,
        invariants=files.invariants,
        blueprints=files.blueprints,
        sites=tuple(files.sites.values()),
        groups=files.groups,
        defaults=files.defaults,
    )
    problems = list(check_flows(files, intent))
    if problems:
        raise IntentError(problems)
    return intent


def read(workspace: Workspace | Path, network: Network | None = None) -> InventoryFiles:
    """Return the checked files of the inventory; as `load`, without what follows from them.

    While a blueprint or a site is wrong by itself the others are judged all the same; while another file is, no
    relation between files is judged.
    """
    place = workspace if isinstance(workspace, Workspace) else find_workspace(workspace)
    reading = _Reading(place)
    models = reading.models()
    files = _inventory(models, reading) if all(file in models for file in MODELS) else None
    problems = reading.problems
    if files is not None:
        problems = [*problems, *check(files, network if network is not None else place.network)]
    if problems or files is None:
        raise IntentError(problems)
    return files


def _inventory(models: dict[Path, Model], reading: _Reading) -> InventoryFiles:
    return InventoryFiles(
        network=_expect(models[NETWORK], NetworkFile),
        policy=_expect(models[POLICY], PolicyFile),
        invariants=_expect(models[INVARIANTS], InvariantsFile),
        blueprints=_folder(models, Path(BLUEPRINTS), BlueprintFile),
        sites=_folder(models, Path(SITES), SiteFile),
        groups=_expect(models[GROUPS], GroupsFile),
        defaults=_expect(models[DEFAULTS], DefaultsFile),
        places={file: document.places for file, document in reading.documents.items()},
        unsound=frozenset(reading.unsound),
    )


def _expect(model: Model, kind: type[ModelT]) -> ModelT:
    if not isinstance(model, kind):
        raise TypeError(kind.__name__)
    return model


def _folder(models: dict[Path, Model], folder: Path, kind: type[ModelT]) -> dict[Name, ModelT]:
    return {Name(file.stem): _expect(model, kind) for file, model in models.items() if file.parent == folder}


class _Reading:
    """Reads the files of one workspace; `problems`, `documents` and `unsound` grow as it does."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.problems: list[Problem] = []
        self.documents: dict[Path, Document] = {}
        self.unsound: set[Path] = set()

    def models(self) -> dict[Path, Model]:
        """Return the model of every sound file, by path relative to the workspace."""
        models: dict[Path, Model] = {}
        for file, kind in self._kinds().items():
            model = self._model(file, kind)
            if model is None:
                self.unsound.add(file)
            else:
                models[file] = model
        return models

    def _kinds(self) -> dict[Path, type[Model]]:
        """Return which model each file of the inventory has; every other file is a problem."""
        if self.workspace.inventory.is_symlink():
            msg = f"{self.workspace.inventory}: a symbolic link; expected the folder itself"
            raise WorkspaceError(msg)
        found = [self.workspace.shown(path) for path in files_below(self.workspace.inventory)]
        kinds: dict[Path, type[Model]] = {}
        for file in found:
            if file.is_relative_to(SCHEMAS):
                continue
            kind = MODELS.get(file) or (FOLDER_MODELS.get(file.parent) if file.suffix == ".yaml" else None)
            if kind is None:
                expected = ", ".join(path.name for path in MODELS) + ", blueprints/*.yaml or sites/*.yaml"
                message, hint = "a file of no known kind", "remove it"
                self.problems.append(Problem(_printable(file), 1, 1, "CL001", message, expected, hint))
            elif not _is_name(file.stem):
                message = f"the file name `{_printable(file).name}` is not a name followed by .yaml"
                self.problems.append(Problem(_printable(file), 1, 1, "CL004", message, Name.called))
                self.unsound.add(file)
            else:
                kinds[file] = kind
        self.problems.extend(
            Problem(file, 1, 1, "CL002", "the file is missing") for file in MODELS if file not in found
        )
        self.problems.extend(
            Problem(folder, 1, 1, "CL002", "the folder holds no .yaml file")
            for folder in FOLDER_MODELS
            if not any(file.parent == folder for file in found)
        )
        return kinds

    def _model(self, file: Path, kind: type[Model]) -> Model | None:
        try:
            content = read_start(self.workspace.root / file, SIZE_LIMIT)
        except WorkspaceError as error:
            reason = str(error).removeprefix(f"{self.workspace.root / file}: ")
            self.problems.append(Problem(file, 1, 1, "CL003", f"the file cannot be read: {reason}"))
            return None
        document = read_document(content)
        self.documents[file] = document
        mistakes = list(document.mistakes)
        model: Model | None = None
        if () not in document.refused:
            try:
                model = kind.model_validate_json(json.dumps(document.data), strict=True)
            except ValidationError as error:
                mistakes.extend(structure_mistakes(error, kind, document))
        self.problems.extend(Problem(file, *mistake.place, *mistake[1:]) for mistake in mistakes)
        return None if mistakes else model


def _printable(file: Path) -> Path:
    """Return the path with every character escaped that could deceive, or not be printed at all."""
    return Path("".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(file)))


def _is_name(text: str) -> bool:
    try:
        Name(text)
    except ValueError:
        return False
    return True
