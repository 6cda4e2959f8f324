"""Push a finished dataset folder to the Hugging Face Hub. Never done unless asked."""

from pathlib import Path

from codedpo_plugin.errors import InfrastructureError


def push(folder: Path, name: str, *, private: bool) -> str:
    """Upload a dataset folder to the dataset repository `name`; returns its address.

    The token is the one of `hf auth login` or `HF_TOKEN`.

    Raises:
        InfrastructureError: the hub refused or cannot be reached; the folder stays as it is.
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
            f"push to {name} failed: {error}\nThe dataset is whole in {folder}; log in with "
            "`hf auth login`, or check the name, and run the same command again."
        ) from None
    return str(repository)
