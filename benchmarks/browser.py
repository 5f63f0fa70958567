"""Headless Chromium over its debugging pipe: opens a page at a size, and lists what a keyboard user can reach."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def browser() -> str | None:
    """Return the browser's command, if this machine has one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """One tab. Use as a context manager.

    Args:
        file: an HTML file.
        width: width of the window in CSS pixels.
        height: height of the window in CSS pixels.
        phone: emulate a phone, with touch screen and small pixels.
    """

    def __init__(self, file: Path, width: int = 1200, height: int = 900, phone: bool = False) -> None:
        self.file, self.size, self.phone = file, (width, height), phone
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._number = 0

    def __enter__(self) -> "Page":
        command = browser()
        assert command is not None, "no Chromium on this machine"
        ours, theirs = os.pipe(), os.pipe()  # we read from theirs, it reads from ours
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)

        def connect() -> None:
            reads, writes = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (ours[0], theirs[1]))
            os.dup2(reads, 3)
            os.dup2(writes, 4)

        flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--remote-debugging-pipe",
            f"--user-data-dir={self._profile.name}",
        ]
        self._process = subprocess.Popen(
            [command, *flags], close_fds=False, preexec_fn=connect, stderr=subprocess.DEVNULL
        )
        os.close(ours[0])
        os.close(theirs[1])
        self._to, self._from, self._rest = ours[1], theirs[0], b""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        width, height = self.size
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=self.phone
        )
        self.call("Page.navigate", url=self.file.resolve().as_uri())
        while self.evaluate("document.readyState") != "complete":
            pass
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)
        self._profile.cleanup()

    _session: str | None = None

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and return its result; events that arrive meanwhile are kept."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            found = self._read()
            if found.get("id") == self._number:
                assert "error" not in found, found["error"]
                return dict(found["result"])
            self._event(found)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def fits(self) -> bool:
        """Return whether the page fits the width of the window."""
        return bool(self.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))

    def tab_stops(self, most: int = 200) -> list[str]:
        """Return the names of all elements that the Tab key reaches, in order, until the first repeats."""
        found: list[str] = []
        for _ in range(most):
            for kind in ("keyDown", "keyUp"):
                self.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
            name = self.evaluate(
                "(e => e === document.body ? '' : e.tagName + ' ' + "
                "(e.getAttribute('aria-label') || e.textContent.trim().slice(0, 40)))(document.activeElement)"
            )
            if not name or name in found[:1]:
                break
            found.append(name)
        return found

    def screenshot(self, file: Path) -> None:
        """Return the whole page as PNG."""
        made = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(made["data"]))

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._from, 1 << 16)
            assert part, "the browser is gone"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def _event(self, event: dict[str, Any]) -> None:
        method, values = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(values["exceptionDetails"].get("text")))
        elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            self.complaints.append(values["entry"]["text"])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(str(values["args"]))
        elif method == "Page.javascriptDialogOpening":
            self.complaints.append(f"dialog: {values['message']}")
        elif method == "Network.requestWillBeSent" and not values["request"]["url"].startswith(("data:", "file:")):
            self.requests.append(values["request"]["url"])
