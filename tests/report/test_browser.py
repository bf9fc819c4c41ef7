"""The page in a real Chromium: sorting, filtering, keyboard, phone, no script, no requests, no violations of accessibility."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import pytest

from caffe2neon.report.page import write_page
from tests.report.zoos import MARKUP, Made, publish

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

if importlib.util.find_spec("playwright") is None:
    pytest.skip("needs the package playwright: pip install --group test", allow_module_level=True)

#: As root Chromium runs without its sandbox only; the rest keeps it from calling home.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_MODELS = (
    Made("alpha", license="MIT", size=3000, top1=(60.0, 60.5), errors=(1e-7, 3e-6)),
    Made("beta", license="BSD-2-Clause", size=1000, top1=(None, None), errors=(5e-7,)),
    Made("gamma", license="Apache-2.0", size=20_000, top1=(70.0, 69.0), errors=(1e-9,)),
    Made("delta_with_a_name_that_is_much_too_long_for_any_phone", license="CC BY 4.0", size=9, top1=(9.5, 9.0), errors=(0.0,)),
    Made(MARKUP.replace("/", ""), license=MARKUP, size=50, top1=(55.0, None), errors=(1e-6,), record={"description": MARKUP}),
)
_NASTY = MARKUP.replace("/", "")
_DELTA = "delta_with_a_name_that_is_much_too_long_for_any_phone"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs Chromium: scripts/setup_browser.sh installs it, or set CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_page(publish(tmp_path_factory.mktemp("zoo"), _MODELS)).as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    mistakes: list[str] = []
    page.on("pageerror", lambda error: mistakes.append(str(error)))
    page.on("console", lambda message: mistakes.append(message.text))
    page.goto(address)
    yield page
    page.close()
    assert not mistakes


def shown(page: Page) -> list[str]:
    return [text.strip() for text in page.locator("#table tbody tr:visible th").all_inner_texts()]


@pytest.mark.parametrize("width", [1280, 390])
def test_no_requests_but_for_pictures_beside_it(browser: Browser, address: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked: list[str] = []

    def note(route: Route) -> None:
        asked.append(route.request.url)
        route.continue_()

    page.route("**/*", note)
    page.goto(address)
    page.wait_for_load_state("networkidle")
    assert asked == [address]
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.locator("img").first.scroll_into_view_if_needed()
    page.evaluate("document.images[0].decode()")
    folder = address.rsplit("/", 1)[0]
    assert len(asked) > 1
    assert all(url.startswith(folder) for url in asked)
    page.close()


@pytest.mark.parametrize(
    ("column", "ascending", "descending"),
    [
        ("Model", [_NASTY, "alpha", "beta", _DELTA, "gamma"], ["gamma", _DELTA, "beta", "alpha", _NASTY]),
        ("Licence", [_NASTY, "gamma", "beta", _DELTA, "alpha"], None),
        ("Size", [_DELTA, _NASTY, "beta", "alpha", "gamma"], ["gamma", "alpha", "beta", _NASTY, _DELTA]),
        ("Top-1 published", [_DELTA, _NASTY, "alpha", "gamma", "beta"], ["gamma", "alpha", _NASTY, _DELTA, "beta"]),
        ("Top-1 measured", [_DELTA, "alpha", "gamma"], ["gamma", "alpha", _DELTA]),
        ("Difference", ["gamma", _DELTA, "alpha"], ["alpha", _DELTA, "gamma"]),
        ("Top-5 measured", None, None),
        ("Parity", [_DELTA, "gamma", "beta", _NASTY, "alpha"], ["alpha", _NASTY, "beta", "gamma", _DELTA]),
    ],
)
def test_every_column_sorts(page: Page, column: str, ascending: list[str] | None, descending: list[str] | None) -> None:
    head = page.locator("#table thead th", has_text=column)
    if head.get_attribute("aria-sort") == "ascending":  # as it comes
        head.get_by_role("button").click()
    for order, direction in ((ascending, "ascending"), (descending, "descending")):
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == direction
        assert page.locator("#table th[aria-sort]").count() == 1
        if order:
            assert shown(page)[: len(order)] == order


def test_filter(page: Page) -> None:
    page.get_by_label("Filter").fill("ALPHA")
    assert shown(page) == ["alpha"]
    assert page.get_by_role("status").inner_text() == "1 of 5 shown"
    page.get_by_label("Filter").fill("apache called")  # licence and description, any order
    assert shown(page) == ["gamma"]
    page.get_by_label("Filter").fill("no such model")
    assert shown(page) == []
    assert page.get_by_text("No model fits this filter.").is_visible()
    page.get_by_label("Filter").fill("")
    assert len(shown(page)) == 5


def test_keyboard_alone(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the models"
    page.keyboard.press("Tab")
    page.keyboard.type("a")
    assert page.get_by_role("status").inner_text().endswith("shown")
    page.keyboard.press("Backspace")
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Size":
            break
    page.keyboard.press("Enter")
    assert shown(page)[0] == _DELTA
    page.locator("details.model summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details.model").first.get_attribute("open") is not None


def test_a_link_opens_its_model(page: Page) -> None:
    page.locator("#table").get_by_role("link", name="gamma", exact=True).click()
    body = page.locator("#model-gamma")
    body.wait_for(state="visible")
    assert "load_obj('gamma.prm')" in body.inner_text()


def test_read_without_script(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert len(shown(page)) == 5
    assert not page.locator("#filter").is_visible()
    assert page.locator("#table button").count() == 0
    page.locator("details.model", has_text="gamma").locator("summary").first.click()
    assert page.get_by_text("load_obj('gamma.prm')").is_visible()
    context.close()


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_page_never_scrolls_sideways(browser: Browser, address: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_hostile_names_run_nothing(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.wait_for_timeout(100)
    assert page.title() == "caffe2neon zoo"
    assert page.locator("script").count() == 1
    assert page.locator("img[src='x']").count() == 0
    assert page.locator("#table").get_by_text(_NASTY).is_visible()


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
def test_no_violations_of_accessibility(browser: Browser, address: str, scheme: Literal["light", "dark"], width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    # axe is injected by the test, so the policy, which would forbid it, is lifted here
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    page.close()


def test_the_policy_forbids_requests_outside(browser: Browser, address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as outside:
        outside.settimeout(0.3)
        url = f"http://127.0.0.1:{outside.getsockname()[1]}/"
        page = browser.new_page()
        page.goto(address)
        page.evaluate(
            "url => { fetch(url).catch(() => 0); new Image().src = url; const script = document.createElement('script');"
            " script.src = url; document.body.append(script); }",
            url,
        )
        with pytest.raises(TimeoutError):
            outside.accept()
        page.close()


def test_a_desktop_shows_every_column(page: Page) -> None:
    assert page.locator("#models .scroll").evaluate("element => element.scrollWidth <= element.clientWidth")
