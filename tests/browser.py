"""A real browser for the pages: Debian's chromium or another of its kind, without a window."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC_CHROME = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
ROOT_USER = 0


@dataclass(frozen=True)
class Browser:
    """Opens pages; `folder` is its profile."""

    program: str
    folder: Path

    def dom(self, url: str) -> str:
        """Return a page's document once it is loaded."""
        return self._run("--dump-dom", url).stdout

    def screenshot(self, url: str, target: Path, *, width: int, height: int) -> Path:
        """Draw a page into a PNG file."""
        self._run(f"--window-size={width},{height}", f"--screenshot={target}", url)
        return target

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Its own sandbox does not run for root, as in a container; the pages are ours.
        options = ["--no-sandbox"] if os.geteuid() == ROOT_USER else []
        command = [
            self.program, "--headless", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
            f"--user-data-dir={self.folder}", *options, *arguments,
        ]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def find_browser(folder: Path) -> Browser:
    """Return a browser; skip the test, and say why, where the machine has none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    program = found or (MAC_CHROME if Path(MAC_CHROME).exists() else None)
    if program is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    return Browser(program, folder)
