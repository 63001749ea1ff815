"""Puts the history that a published leaderboard tells into the folder that its next build goes to.

Usage: python .github/history.py ORG/SPACE SITE
"""

import shutil
import sys
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import RemoteEntryNotFoundError, RepositoryNotFoundError

FILE = "data/changelog.json"

space, site = sys.argv[1], Path(sys.argv[2])
try:
    found = hf_hub_download(space, FILE, repo_type="space")
except (RepositoryNotFoundError, RemoteEntryNotFoundError):
    # Any other error ends the job: a build without the history would be published over it.
    print(f"{space} has no history yet")
else:
    (site / FILE).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(found, site / FILE)
    (site / ".dispersion-leaderboard").touch()
    print(f"history of {space}: {Path(found).stat().st_size} bytes")
