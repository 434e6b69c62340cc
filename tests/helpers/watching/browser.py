"""A real browser: Debian's Chromium, or Chrome, with the network off."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

_BROWSERS = ("chromium", "google-chrome", "google-chrome-stable")
PHONE, DESK = 380, 1100


# Text and background of each element with a text of its own; backgrounds that are partly transparent are left out.
_COLOURS = """[...document.body.querySelectorAll('*')].filter(each => !each.closest('style, title') &&
    [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim())).flatMap(each => {
        let behind = each;
        const colour = name => getComputedStyle(name).backgroundColor;
        while (behind && colour(behind) === 'rgba(0, 0, 0, 0)') behind = behind.parentElement;
        const style = getComputedStyle(each);
        const text = each.closest('svg') ? style.fill : style.color;
        const pair = [text, behind ? colour(behind) : 'rgb(255, 255, 255)'];
        if (!pair.every(each => each.startsWith('rgb('))) return [];
        return [pair.map(each => each.match(/[0-9.]+/g).map(Number))];
    })"""


def _contrast(one: list[float], other: list[float]) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: list[float]) -> float:
    parts = [part / 255 for part in colour]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


class Browser:
    """A browser that shows pages of this machine's disk.

    Args:
        driver: selenium's.
    """

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver

    def open(self, page: Path, width: int = DESK) -> None:
        """Show a page.

        Args:
            page: its file.
            width: of the window, in pixels of CSS.
        """
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self._driver.get(f"file://{quote(str(page))}")

    def ask(self, script: str) -> Any:
        """Return what a script finds in the page; it comes from outside, so the page's own policy allows it."""
        return self._driver.execute_script(f"return {script}")

    def prefer(self, scheme: str) -> None:
        """Show the next pages as whoever prefers `light` or `dark` sees them."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    @property
    def contrasts(self) -> dict[str, float]:
        """The contrast of each pair of colours of a text and what is behind it, by WCAG 2.2."""
        pairs: list[list[list[float]]] = self.ask(_COLOURS)
        return {f"{text} on {behind}": _contrast(text, behind) for text, behind in pairs}

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What the page wrote on the console, such as what its policy refused."""
        found: list[dict[str, Any]] = self._driver.get_log("browser")  # type: ignore[no-untyped-call]
        return found

    @property
    def requested(self) -> list[str]:
        """The addresses of all that the page asked for, but itself."""
        found: list[str] = self.ask("performance.getEntriesByType('resource').map(each => each.name)")
        return found

    @property
    def overflow(self) -> int:
        """How many pixels the page is wider than the window."""
        return int(self.ask("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@contextlib.contextmanager
def browser(home: Path) -> Iterator[Browser]:
    """Start a browser, which ends with the block; skip the test where there is none.

    Args:
        home: for its profile.
    """
    program = next(filter(None, map(shutil.which, _BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip("there is no Chromium with its driver; on Debian, `make browser` gets them")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for option in ("--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    try:
        started.execute_cdp_cmd("Network.enable", {})
        off = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        started.execute_cdp_cmd("Network.emulateNetworkConditions", off)
        yield Browser(started)
    finally:
        started.quit()
