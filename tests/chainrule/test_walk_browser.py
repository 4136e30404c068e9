"""The step-by-step page in a real browser: a headless Chromium, with the network off.

Skipped where there is no Chromium with its driver, or no selenium.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.viz.walk.numbers import first_elements, short
from chainrule.viz.walk.page import Page, page
from chainrule.viz.walk.stops import UPDATE
from tests.walkpages import example, model_of, recurrent, walked

webdriver = pytest.importorskip("selenium.webdriver")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="no chromium with its driver"),
]
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1440,1000",
)  # fmt: skip
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
RIGHT, LEFT, HOME, END, ENTER, TAB = "\ue014", "\ue012", "\ue011", "\ue010", "\ue007", "\ue004"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.chrome.service.Service(DRIVER)
    found = webdriver.Chrome(options=options, service=service)
    found.execute_cdp_cmd("Network.enable", {})
    off = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    found.execute_cdp_cmd("Network.emulateNetworkConditions", off)
    yield found
    found.quit()


@pytest.fixture(scope="module", params=["digits", "lenet", "sequences_mnist"])
def walk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    settings = {"units": "8"} if request.param == "sequences_mnist" else {}
    found = walked(example(request.param, **settings))
    file = tmp_path_factory.mktemp(request.param) / "walk.html"
    file.write_text(page(found), encoding="utf-8")
    return found, file.as_uri()


@pytest.fixture
def small(tmp_path: Path) -> tuple[Page, str]:
    found = walked(model_of(recurrent("rnn(5)", "adam(lr = 1e-2)")))
    file = tmp_path / "walk.html"
    file.write_text(page(found), encoding="utf-8")
    return found, file.as_uri()


def opened(browser: Any, address: str) -> None:
    browser.get("about:blank")
    browser.get(address)


def key(browser: Any, *keys: str) -> None:
    browser.switch_to.active_element.send_keys(*keys)


def state(browser: Any) -> dict[str, Any]:
    """What is lit, and what the current step says."""
    return dict(
        browser.execute_script(
            """
            const all = [...document.querySelectorAll('article.step')];
            const seen = all.filter((s) => s.getClientRects().length);
            const lit = (s) => [...document.querySelectorAll(s)].map((e) => e.id);
            return {
              steps: seen.map((s) => Number(s.id.slice(5))), text: seen[0].textContent,
              math: seen[0].querySelectorAll('math').length,
              line: lit('.code .lit'), node: lit('g.node.lit'), kernel: lit('.kernels .lit'),
              facts: {...seen[0].dataset}, count: document.getElementById('count').textContent,
              said: document.getElementById('status').textContent,
            };
            """
        )
    )


def is_in_step(found: Page, shown: dict[str, Any], k: int) -> None:
    """Step k is the one seen, everything of it is lit, and its numbers are the oracle's."""
    stop, facts = found.stops[k], shown["facts"]
    assert shown["steps"] == [k + 1]
    assert shown["line"] == [f"line-{facts['line']}"]
    assert shown["node"] == [facts["node"]]
    assert shown["kernel"] == ([f"kernel-{facts['kernel']}"] if "kernel" in facts else [])
    assert shown["math"] >= 1
    assert shown["count"] == f"{k + 1} of {len(found.stops)}"
    if stop.phase != UPDATE:
        array = np.asarray(found.numbers[stop.key])
        number = short(array.reshape(-1)[0]) if array.size == 1 else first_elements(array)
        assert number in shown["text"]


def test_every_step_forward_and_back_is_in_step(browser: Any, walk: tuple[Page, str]) -> None:
    found, address = walk
    opened(browser, address)
    last = len(found.stops) - 1
    for k in range(last + 1):
        shown = state(browser)
        is_in_step(found, shown, k)
        assert k == 0 or shown["said"].startswith(
            f"step {k + 1} of {last + 1}, {found.stops[k].phase}"
        )
        key(browser, RIGHT)
    for k in range(last, -1, -1):
        is_in_step(found, state(browser), k)
        key(browser, LEFT)
    key(browser, END)
    assert state(browser)["steps"] == [last + 1]
    key(browser, HOME)
    assert state(browser)["steps"] == [1]


def test_no_request_leaves_and_nothing_goes_wrong(browser: Any, walk: tuple[Page, str]) -> None:
    browser.get_log("performance")
    browser.get_log("browser")
    opened(browser, walk[1])
    for _ in range(5):
        key(browser, RIGHT)
    logged = [json.loads(e["message"])["message"] for e in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in logged
             if m["method"] == "Network.requestWillBeSent"]  # fmt: skip
    assert asked
    assert all(a.startswith(("file:", "data:", "about:")) for a in asked)
    assert browser.get_log("browser") == []  # no error, and nothing that the policy had to refuse
    refused = browser.execute_async_script(
        "const done = arguments[0];"
        "fetch('https://example.org/').then(() => done(false), () => done(true));"
    )
    assert refused is True


def test_a_click_on_a_line_a_node_or_a_kernel_goes_to_its_steps(browser: Any, small: Any) -> None:
    found, address = small
    opened(browser, address)
    for k in [k for k, s in enumerate(found.stops) if s.title.startswith(("out:", "∂L/∂out"))]:
        key(browser, HOME, *[RIGHT] * k)
        wanted = state(browser)
        node, kernel = wanted["facts"]["node"], wanted["facts"].get("kernel")
        key(browser, HOME)
        browser.execute_script(
            "const click = new MouseEvent('click', {bubbles: true});"
            "document.getElementById(arguments[0]).dispatchEvent(click)",
            node,
        )
        assert state(browser)["node"] == [node]
        if kernel is not None:
            key(browser, HOME)
            pane = browser.find_element("css selector", f"#kernel-{kernel}")
            browser.execute_script("arguments[0].open = true", pane)
            pane.find_element("css selector", "a").click()
            assert state(browser)["kernel"] == [f"kernel-{kernel}"]
    line = 4  # rows = x -> rnn(5)
    link = browser.find_element("css selector", f"#line-{line} a")
    visited = set()
    for _ in range(3):
        link.click()
        shown = state(browser)
        assert shown["line"] == [f"line-{line}"]
        visited.add(shown["steps"][0])
    assert len(visited) == 3


def test_the_links_of_a_step_lead_to_what_is_lit(browser: Any, small: Any) -> None:
    opened(browser, small[1])
    key(browser, *[RIGHT] * 4)
    shown = state(browser)
    for kind, target in (("line", shown["line"][0]), ("kernel", shown["kernel"][0])):
        link = browser.find_element("css selector", f"article:not([hidden]) a[href='#{target}']")
        link.click()
        inside = browser.execute_script(
            "return document.getElementById(arguments[0]).contains(document.activeElement)", target
        )
        assert inside, kind
    browser.find_element("css selector", "article:not([hidden]) .uses a").click()
    assert state(browser)["steps"][0] < shown["steps"][0]


def test_the_keyboard_alone_is_enough(browser: Any, small: Any) -> None:
    address = small[1]
    opened(browser, address)
    reached = []
    for _ in range(90):
        key(browser, TAB)
        here = browser.execute_script(
            """
            const e = document.activeElement, own = e.labels && e.labels.length ? e.labels[0] : e;
            return [e.id, e.tagName, e.getAttribute('role') || '',
                    e.getAttribute('aria-label') || own.textContent.trim().slice(0, 40)];
            """
        )
        reached.append(tuple(here))
    ids = [r[0] for r in reached]
    assert ids.index("next") < ids.index("rate") < ids.index("present")
    nodes = [r for r in reached if r[2] == "button"]
    assert nodes
    assert all(r[3] for r in reached if r[1] in ("A", "BUTTON", "INPUT", "g"))  # all have a name
    opened(browser, address)
    node = next(r for r in nodes if r[0] != state(browser)["node"][0])
    browser.execute_script("document.getElementById(arguments[0]).focus()", node[0])
    key(browser, ENTER)
    assert state(browser)["node"] == [node[0]]
    browser.execute_script("document.getElementById('next').focus()")
    before = state(browser)["steps"][0]
    key(browser, ENTER)
    assert state(browser)["steps"] == [before + 1]
    assert "step" in state(browser)["said"]


def test_the_learning_rate_moves_the_parameters_and_the_loss(browser: Any, small: Any) -> None:
    found, address = small
    opened(browser, address)
    key(browser, END)
    slope = found.slopes[found.stops[-1].key]
    for place in (0, 16, 20, 32):
        browser.execute_script(
            "const r = document.getElementById('rate'); r.value = arguments[0];"
            "r.dispatchEvent(new Event('input'))", place,
        )  # fmt: skip
        cells = browser.find_elements("css selector", "article:not([hidden]) td.new")
        rate = found.rates[place]
        expected = [short(a - rate * d) for a, d in zip(slope.theta, slope.move, strict=True)]
        assert [c.text for c in cells] == expected
        assert browser.find_element("id", "after").text == short(found.losses[place])
        assert browser.find_element("id", "eta").text == short(rate)


def test_on_a_phone_nothing_is_wider_than_the_screen(browser: Any, walk: tuple[Page, str]) -> None:
    found, address = walk
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    try:
        opened(browser, address)
        for k in (0, len(found.stops) // 2, len(found.stops) - 1):
            key(browser, HOME, *[RIGHT] * k)
            wide = browser.execute_script("return document.documentElement.scrollWidth")
            assert wide <= PHONE["width"]
            box = browser.find_element("id", "next").rect
            assert box["height"] >= 30
            assert 0 < box["x"] < PHONE["width"] - box["width"]
        browser.find_element("id", "back").click()
        assert state(browser)["steps"] == [len(found.stops) - 1]
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def contrast(browser: Any, selector: str) -> float:
    """Of the text of an element with what lies behind it (WCAG 2.2, 1.4.3)."""
    colours = browser.execute_script(
        """
        const e = document.querySelector(arguments[0]);
        let back = e;
        const colour = (x) => getComputedStyle(x).backgroundColor;
        while (back && colour(back) === 'rgba(0, 0, 0, 0)') back = back.parentElement;
        return [getComputedStyle(e).color, colour(back)];
        """,
        selector,
    )

    def light(colour: str) -> float:
        parts = [float(x) / 255 for x in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted(map(light, colours))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast_in_light_and_dark(browser: Any, small: Any, dark: bool) -> None:
    opened(browser, small[1])
    if dark:
        key(browser, "d")
        assert browser.execute_script("return document.documentElement.dataset.theme") == "dark"
    key(browser, *[RIGHT] * 12)
    seen = ("body", "h1", ".words", ".where", "article:not([hidden]) h3", ".links", ".links a",
            ".note", ".code .lit code", ".kernels .lit > summary", "button", ".facts dt",
            'button[aria-pressed="true"]')  # fmt: skip
    for selector in seen:
        if browser.find_elements("css selector", selector):
            assert contrast(browser, selector) >= 4.5, selector
    fill, ink = browser.execute_script(
        "const n = document.querySelector('g.node:not(.lit)');"
        "return ['path', 'text'].map((part) => getComputedStyle(n.querySelector(part)).fill)"
    )
    assert fill != ink


def test_presenter_mode_is_large(browser: Any, small: Any) -> None:
    opened(browser, small[1])
    size = (
        "const title = document.querySelector('article:not([hidden]) h3');"
        "return parseFloat(getComputedStyle(title).fontSize)"
    )
    before = browser.execute_script(size)
    key(browser, "p")
    assert browser.execute_script(size) >= 1.4 * before
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def test_printed_every_step_is_there(browser: Any, small: Any) -> None:
    found, address = small
    opened(browser, address)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert len(state(browser)["steps"]) == len(found.stops)
        assert not browser.find_element("css selector", ".tools").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_a_dark_system_gets_a_dark_page(browser: Any, small: Any) -> None:
    feature = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": feature})
    try:
        opened(browser, small[1])
        assert browser.execute_script("return document.documentElement.dataset.theme") == "dark"
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_without_its_script_the_page_is_a_list(browser: Any, small: Any) -> None:
    found, address = small
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        opened(browser, address)
        steps = browser.find_elements("css selector", "article.step")
        assert len([s for s in steps if s.is_displayed()]) == len(found.stops)
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
