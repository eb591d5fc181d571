"""What the hub says of a recipe's files: revisions, sizes, hashes, gates and licences. Fetches nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.errors import CannotRun, Problem, UsageError

if TYPE_CHECKING:
    from jobs.recipes.recipe import ModelFile, Recipe

ANSWER_S = 20.0


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file: `path` inside `repo` at commit `revision`; `size` in bytes. `sha256` is None where the hub
    keeps the file in git, whose own hash of it is `blob`."""

    repo: str
    revision: str
    path: str
    size: int
    sha256: str | None
    blob: str | None

    @property
    def key(self) -> str:
        """Name of the file in the record."""
        return f"{self.repo}/{self.path}"

    @property
    def place(self) -> str:
        """Where it goes, relative to the folder of models: below the name of its repository."""
        return f"{self.repo.rpartition('/')[2]}/{self.path}"


@dataclass(frozen=True, slots=True)
class HubRepo:
    """A repository: `gated` is `auto` or `manual` where its terms must be accepted first, `licence` what its
    card says."""

    repo: str
    revision: str
    pinned: bool
    gated: str
    licence: str
    files: tuple[HubFile, ...]


def survey(recipe: Recipe, pins: Mapping[str, str]) -> tuple[HubRepo, ...]:
    """Every repository that the recipe's files come from; `pins` are revisions by repository, other
    repositories are taken as the hub has them now.

    Raises CannotRun where the hub cannot be asked, UsageError for a repository or file that it does not have.
    """
    wanted: dict[str, list[ModelFile]] = {}
    for _, file in recipe.downloads:
        wanted.setdefault(file.repo, []).append(file)
    return tuple(_repo(repo, files, pins.get(repo)) for repo, files in wanted.items())


def _repo(repo: str, files: list[ModelFile], pin: str | None) -> HubRepo:
    api = hub().HfApi(endpoint=endpoint())
    with hub_errors(repo):
        info = api.model_info(repo, revision=pin, files_metadata=True, timeout=ANSWER_S)
    found = [_file(repo, info.sha, sibling) for sibling in info.siblings or () if _is_wanted(sibling, files)]
    missing = [each.file for each in files if each.file and each.file not in {file.path for file in found}]
    missing += [folder for each in files for folder in each.folders if not _holds(found, folder)]
    if missing:
        rule, remedy = f"a file of {repo} at {info.sha[:12]}", "see the repository for its new name"
        raise UsageError([Problem("RECIPE", str(name), rule, remedy) for name in missing])
    card = info.card_data or {}
    licence = card.get("license_name") or card.get("license") or "none named"
    return HubRepo(repo, info.sha, pin is not None, info.gated or "", str(licence), tuple(found))


def _is_wanted(sibling: Any, files: list[ModelFile]) -> bool:
    name = sibling.rfilename
    return any(name == each.file or name.startswith(tuple(f"{f}/" for f in each.folders)) for each in files)


def _holds(found: list[HubFile], folder: str) -> bool:
    return any(file.path.startswith(f"{folder}/") for file in found)


def _file(repo: str, revision: str, sibling: Any) -> HubFile:
    sha256 = sibling.lfs.sha256 if sibling.lfs else None
    return HubFile(repo, revision, sibling.rfilename, int(sibling.size or 0), sha256, sibling.blob_id)


def hub() -> Any:
    """The package huggingface_hub. Raises CannotRun where it is not installed."""
    try:
        import huggingface_hub
    except ImportError:
        raise CannotRun("models get: huggingface_hub is not installed: pip install huggingface_hub") from None
    return huggingface_hub


def endpoint() -> str | None:
    """A hub of one's own, from HF_ENDPOINT, as huggingface_hub itself reads it when it is imported."""
    return os.environ.get("HF_ENDPOINT") or None


@contextmanager
def hub_errors(repo: str, adapt: Callable[[str], str] = str) -> Iterator[None]:
    """The hub's refusals in the farm's words."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise CannotRun(gate(repo)) from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        rule = "a public repository of the hub, or one that your token may read"
        remedy = "run `hf auth login` where it needs a token, else see whether it has moved"
        raise UsageError([Problem("RECIPE", f"{repo}: {_first_line(error)}", rule, remedy)]) from None
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise CannotRun(adapt(f"{repo}: {_first_line(error)}; run the same command again.")) from None
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        raise CannotRun(
            adapt(f"{repo}: the hub cannot be reached ({_first_line(error)}); run the same command again.")
        ) from None


def gate(repo: str) -> str:
    """How to pass the gate of a repository."""
    return (
        f"{repo} is gated: accept its terms at https://huggingface.co/{repo}, then run `hf auth login`, or "
        "set HF_TOKEN, with a token that may read it."
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
