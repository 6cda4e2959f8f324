"""Push a finished dataset folder to the Hugging Face Hub, only if the recipe says so."""

from pathlib import Path

from codedpo_plugin.errors import InfrastructureError


def push(folder: Path, name: str, *, private: bool) -> str:
    """Upload a dataset folder to the dataset repository `name`; returns its URL.

    The token is the one of `hf auth login` or `HF_TOKEN`.

    Raises:
        InfrastructureError: the Hub refused or cannot be reached; the folder is unchanged.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        repository = api.create_repo(name, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository.repo_id,
            repo_type="dataset",
            folder_path=folder,
            commit_message="codedpo build",
        )
    except Exception as error:  # hub 1 raises httpx errors, hub 2 httpx2's: no common base
        raise InfrastructureError(
            f"push to {name} failed: {error}\nThe dataset is complete in {folder}; log in with "
            "`hf auth login`, or check the name, and run the same command again."
        ) from None
    return str(repository)
