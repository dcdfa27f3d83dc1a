"""Model folders uploaded to and downloaded from the Hugging Face hub, without pickles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ssavae._checks import check, require_package
from ssavae.persistence.model_folder import HISTORY_FILE, MODEL_FILE, WEIGHTS_FILE

SCHEME = "hf://"
MODEL_FILES = (MODEL_FILE, WEIGHTS_FILE, HISTORY_FILE)


def is_on_hub(folder: str | Path) -> bool:
    """Return whether a name is that of a model on the hub, not of a local folder.

    Examples
    --------
    >>> is_on_hub("hf://user/name"), is_on_hub("runs/mnist")
    (True, False)
    """
    return str(folder).startswith(SCHEME)


def fetch(name: str, revision: str | None = None) -> Path:
    """Return the local folder of a model on the hub, downloaded unless it is in the cache.

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
        If the name is not that of a repository.
    OSError
        If there is no such repository or revision, or the hub cannot be reached.
    """
    repo = name.removeprefix(SCHEME)
    check(repo.count("/") == 1 and all(repo.split("/")), f"{name!r}: wanted is {SCHEME}user/name")
    require_package("huggingface_hub", "hub", f"loading {name}")
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repo, revision=revision, allow_patterns=list(MODEL_FILES)))


def push(
    folder: Path, repo: str, files: Sequence[str], *, revision: str | None, private: bool, message: str
) -> str:
    """Upload files of a folder to a repository on the hub as one commit; create the repository if needed.

    Returns
    -------
    str
        The URL of the commit.

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
    commit = api.upload_folder(
        repo_id=repo,
        folder_path=folder,
        allow_patterns=list(files),
        revision=revision,
        commit_message=message,
    )
    return str(commit.commit_url)
