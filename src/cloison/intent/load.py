"""From the files of a workspace to its intent: every mistake of every file at once, each with its place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from cloison.errors import IntentError, Problem, WorkspaceError
from cloison.intent.check import check
from cloison.intent.derive import derive
from cloison.intent.document import SIZE_LIMIT, Document, read_document
from cloison.intent.files import (
    DEFAULTS,
    GROUPS,
    INVARIANTS,
    INVENTORY,
    NETWORK,
    POLICY,
    InventoryFiles,
    blueprint_file,
    site_file,
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
from cloison.workspace import Network, Workspace, files_below, find_workspace, read_bounded

if TYPE_CHECKING:
    from pathlib import Path

    from cloison.intent.network import Intent

MODELS: dict[Path, type[Model]] = {
    NETWORK: NetworkFile,
    POLICY: PolicyFile,
    INVARIANTS: InvariantsFile,
    GROUPS: GroupsFile,
    DEFAULTS: DefaultsFile,
}
FOLDER_MODELS: dict[Path, type[Model]] = {
    blueprint_file("any").parent: BlueprintFile,
    site_file("any").parent: SiteFile,
}
SCHEMA_FOLDER = INVENTORY / ".schema"
ModelT = TypeVar("ModelT", bound=Model)


def load(workspace: Workspace | Path, network: Network | None = None) -> Intent:
    """Return the intent of a workspace, read, checked and derived.

    `network` says for which network it is checked (default: the workspace's own): the live one needs every host key.
    Raises IntentError with every problem found, WorkspaceError when there is no inventory.
    """
    place = workspace if isinstance(workspace, Workspace) else find_workspace(workspace)
    files = read(place)
    problems = check(files, network if network is not None else place.network)
    if problems:
        raise IntentError(problems)
    return derive(
        network=files.network,
        policy=files.policy,
        invariants=files.invariants,
        blueprints=files.blueprints,
        sites=tuple(files.sites.values()),
        groups=files.groups,
        defaults=files.defaults,
    )


def read(workspace: Workspace) -> InventoryFiles:
    """Return the files of the inventory, each sound by itself; their relations are for `check`.

    Raises IntentError with every problem of every file, WorkspaceError when there is no inventory.
    """
    reading = _Reading(workspace)
    models = reading.models()
    if reading.problems:
        raise IntentError(reading.problems)
    return InventoryFiles(
        network=_expect(models[NETWORK], NetworkFile),
        policy=_expect(models[POLICY], PolicyFile),
        invariants=_expect(models[INVARIANTS], InvariantsFile),
        blueprints=_folder(models, blueprint_file("any").parent, BlueprintFile),
        sites=_folder(models, site_file("any").parent, SiteFile),
        groups=_expect(models[GROUPS], GroupsFile),
        defaults=_expect(models[DEFAULTS], DefaultsFile),
        places={file: document.places for file, document in reading.documents.items()},
    )


def _expect(model: Model, kind: type[ModelT]) -> ModelT:
    if not isinstance(model, kind):
        raise TypeError(kind.__name__)
    return model


def _folder(models: dict[Path, Model], folder: Path, kind: type[ModelT]) -> dict[Name, ModelT]:
    return {Name(file.stem): _expect(model, kind) for file, model in models.items() if file.parent == folder}


class _Reading:
    """Reads the files of one workspace; `problems` and `documents` grow as it does."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.problems: list[Problem] = []
        self.documents: dict[Path, Document] = {}

    def models(self) -> dict[Path, Model]:
        """Return the model of every sound file, by path relative to the workspace."""
        models: dict[Path, Model] = {}
        for file, kind in self._kinds().items():
            model = self._model(file, kind)
            if model is not None:
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
            if file.is_relative_to(SCHEMA_FOLDER):
                continue
            kind = MODELS.get(file) or (FOLDER_MODELS.get(file.parent) if file.suffix == ".yaml" else None)
            if kind is None:
                expected = ", ".join(path.name for path in MODELS) + ", blueprints/*.yaml or sites/*.yaml"
                self.problems.append(Problem(file, 1, 1, "CL001", "a file of no known kind", expected, "remove it"))
            elif not _is_name(file.stem):
                message = f"the file name `{file.name}` is not a name followed by .yaml"
                self.problems.append(Problem(file, 1, 1, "CL004", message, Name.called))
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
            content = read_bounded(self.workspace.root / file, SIZE_LIMIT + 1)
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


def _is_name(text: str) -> bool:
    try:
        Name(text)
    except ValueError:
        return False
    return True
