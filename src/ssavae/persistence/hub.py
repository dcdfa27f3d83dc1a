"""Model folders on the Hugging Face hub, and back; no pickle goes either way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ssavae._checks import check, require_package
from ssavae.persistence.model_folder import HISTORY_FILE, MODEL_FILE, WEIGHTS_FILE

SCHEME = "hf://"
MODEL_FILES = (MODEL_FILE, WEIGHTS_FILE, HISTORY_FILE)


def is_on_hub(folder: str | Path) -> bool:
    """Say whether a model is named on the hub rather than by a folder here.

    Examples
    --------
    >>> is_on_hub("hf://user/name"), is_on_hub("runs/mnist")
    (True, False)
    """
    return str(folder).startswith(SCHEME)


def fetch(name: str, revision: str | None = None) -> Path:
    """Return the folder of a model on the hub, downloaded where it is not here already.

    Parameters
    ----------
    name : str
        ``hf://user/name``.
    revision : str or None
        Branch, tag or commit; None takes the main branch.

    Raises
    ------
    ImportError
        If huggingface_hub is not installed.
    ValueError
        If the name is no name of a repository.
    OSError
        If there is no such repository or revision, or no way to it.
    """
    repo = name.removeprefix(SCHEME)
    check(repo.count("/") == 1 and all(repo.split("/")), f"{name!r}: wanted is {SCHEME}user/name")
    require_package("huggingface_hub", "hub", f"loading {name}")
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repo, revision=revision, allow_patterns=list(MODEL_FILES)))


def push(
    folder: Path, repo: str, files: Sequence[str], *, revision: str | None, private: bool, message: str
) -> str:
    """Put files of a folder into a repository of the hub, made where there is none, as one commit.

    Returns
    -------
    str
        The address of the commit.

    Raises
    ------
    ImportError
        If huggingface_hub is not installed.
    OSError, ValueError
        If the hub refuses the name or the token, or cannot be reached.
    """
    require_package("huggingface_hub", "hub", "pushing a model")
    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo(repo, private=private, exist_ok=True)
    if revision is not None:
        api.create_branch(repo, branch=revision, exist_ok=True)
    made = api.upload_folder(
        repo_id=repo,
        folder_path=folder,
        allow_patterns=list(files),
        revision=revision,
        commit_message=message,
    )
    return str(made.commit_url)
