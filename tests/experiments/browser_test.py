"""The site in a real browser, where there is one: no console errors, narrow screens, sorting, and large figures."""

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.request

import pytest

from experiments.report import site

DRIVER, BROWSER = shutil.which("chromedriver"), shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DRIVER and BROWSER), reason="Chromium and its driver are not installed"),
]
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")


class Browser:
    """Headless Chromium, by the WebDriver protocol."""

    def __init__(self, port, folder, width):
        self.root, self.width = f"http://127.0.0.1:{port}", width
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", *QUIET, f"--user-data-dir={folder}"]
        options = {"binary": BROWSER, "args": [*arguments, f"--window-size={width},900"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self.post("/session", {"capabilities": {"alwaysMatch": wanted}})
        self.root += f"/session/{session['sessionId']}"
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}  # a window is 500 at least
        self.post("/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": screen})

    def close(self):
        urllib.request.urlopen(urllib.request.Request(self.root, method="DELETE"), timeout=60).close()

    def post(self, path, value):
        body = json.dumps(value).encode()
        request = urllib.request.Request(self.root + path, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)["value"]

    def open(self, path):
        self.post("/url", {"url": path.as_uri()})

    def __call__(self, script):
        return self.post("/execute/sync", {"script": script, "args": []})

    def errors(self):
        return [each for each in self.post("/se/log", {"type": "browser"}) if each["level"] in ("SEVERE", "WARNING")]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    return site.build(tmp_path_factory.mktemp("site"), ["mnist_vib"])


@pytest.fixture(params=[400, 1280])
def browser(request, tmp_path):
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen([DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        browser = Browser(port, tmp_path, request.param)
        yield browser
        browser.close()
    finally:
        driver.kill()
        driver.wait()


def test_pages_fit_sort_and_enlarge_without_an_error(pages, browser):
    for path in pages:
        browser.open(path)
        assert browser("return window.innerWidth") == browser.width
        assert browser("return document.documentElement.scrollWidth") <= browser.width
    assert browser("return [...document.images].every(image => image.complete && image.naturalWidth && image.alt)")
    column = "[...document.querySelector('table.sortable').tBodies[0].rows].map(row => row.cells[2].dataset.value)"
    browser.open(pages[0])
    for times in (1, 2):
        browser("document.querySelectorAll('table.sortable th')[2].click()")
        values = [float(value) for value in browser(f"return {column}") if value]
        assert len(values) > 1
        assert values == sorted(values, reverse=times == 2)
    browser.open(pages[-1])
    browser("document.querySelector('figure a').click()")
    assert browser("return document.querySelector('dialog').open && document.querySelector('dialog img').alt !== ''")
    browser("document.querySelector('dialog').click()")
    assert not browser("return document.querySelector('dialog').open")
    assert browser.errors() == []
