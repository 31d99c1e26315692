"""Pages in a browser: reports and the documentation, on a phone and on a screen, ask for nothing and fit.

Chromium is that of the system, playwright the extra `browser`; where either lacks these tests are skipped, or fail where
``LOCALDFA_REQUIRE_BROWSER`` is set.
"""

import os
import shutil

import pytest
from test_figures_degenerate import made, row

from localdfa import analysis
from localdfa.analysis import report

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--no-first-run")  # fmt: skip
WIDTHS = (390, 1440)
PHONE, SCREEN = WIDTHS
# One figure of most sections, which are drawn in a few seconds.
FIGURES = ["angles", "comparison", "confusion", "errors", "fields", "raster"]


def lacking(why):
    """There is no browser."""
    if os.environ.get("LOCALDFA_REQUIRE_BROWSER"):
        pytest.fail(f"LOCALDFA_REQUIRE_BROWSER is set, and {why}")
    pytest.skip(why)


@pytest.fixture(scope="module")
def browser():
    """The one browser of all tests here."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        lacking("there is no Chromium on this machine: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        lacking('playwright is not installed: pip install -e ".[browser]"')
    with sync_playwright() as started:
        found = started.chromium.launch(executable_path=path, args=list(QUIET))
        yield found
        found.close()


class Tab:
    """A page of a browser that is so wide, and what it complains of: errors, and requests that leave the disk."""

    def __init__(self, browser, width, look="light"):
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=look)
        self.complaints = []
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url))

    def _asked(self, url):
        if not url.startswith(("file:", "data:", "blob:")):
            self.complaints.append(url)

    def open(self, path):
        """Open a page: without complaint, and no wider than the window."""
        self.complaints.clear()
        self.page.goto(path.as_uri(), wait_until="load")
        self.fits(path)
        assert self.complaints == [], path

    def fits(self, what):
        wide, window = self.page.evaluate("[document.scrollingElement.scrollWidth, innerWidth]")
        assert wide <= window, what


@pytest.fixture(scope="module")
def tab(browser):
    """Tabs by width and look, each opened once."""
    tabs = {}

    def found(width, look="light"):
        if (width, look) not in tabs:
            tabs[width, look] = Tab(browser, width, look)
        return tabs[width, look]

    return found


@pytest.mark.parametrize(
    "wrong", [
        "<p style='width: 3000px'>wide</p>",
        "<script>throw new Error('wrong')</script>",
        "<img src='http://127.0.0.1:9/elsewhere.png'>",
        "<meta http-equiv='Content-Security-Policy' content=\"script-src 'none'\"><script>1</script>",
    ]
)  # fmt: skip
def test_what_is_wrong_with_a_page_is_found(tab, tmp_path, wrong):
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><title>A page</title>{wrong}", encoding="utf-8")
    with pytest.raises(AssertionError):
        tab(PHONE).open(page)
    page.write_text("<!doctype html><title>A page</title><p>right</p>", encoding="utf-8")
    tab(PHONE).open(page)


@pytest.fixture(scope="module")
def reports(rate_run, spiking_run, tmp_path_factory):
    """Reports: of a run, of two, and of one with 24 conditions whose names have no place to be broken."""
    folder = tmp_path_factory.mktemp("reports")
    many = made(
        folder / "many", rows=lambda job: [row(job, epoch, 1, test_error=50.0 / (1 + epoch)) for epoch in (0, 1)],
        condition=[{"name": f"condition{'x' * 40}{number}"} for number in range(24)], seeds=list(range(10)),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analysis, "names", lambda: FIGURES)
        one = report.write(rate_run, path=folder / "one.html")
        patch.setattr(analysis, "names", lambda: ["comparison", "errors", "raster"])
        two = report.write(rate_run, spiking_run, path=folder / "two.html")
        patch.setattr(analysis, "names", lambda: ["comparison", "errors"])
        return {"one": one, "two": two, "many": report.write(many, path=folder / "many.html")}


@pytest.mark.parametrize("look", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["one", "two", "many"])
def test_a_report_fits_and_asks_for_nothing(tab, reports, name, width, look):
    shown = tab(width, look)
    shown.open(reports[name])
    shown.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    shown.fits(name)
    dark, light = (shown.page.evaluate(f"getComputedStyle(document.body).{key}") for key in ("backgroundColor", "color"))
    assert (dark == "rgb(20, 23, 26)") == (look == "dark")
    assert dark != light
    sizes = shown.page.evaluate("[...document.querySelectorAll('figure img')].map(each => each.naturalWidth)")
    assert len(sizes) >= 2
    assert all(sizes)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_contents_of_a_report_lead_to_what_they_name(tab, reports, width):
    """Also into a section that is folded."""
    shown = tab(width)
    shown.open(reports["one"])
    shown.page.evaluate("document.querySelector('nav details').open = true")
    links = shown.page.evaluate("[...document.querySelectorAll('nav a')].map(each => each.getAttribute('href'))")
    assert len(links) > len(FIGURES)
    for link in links:
        shown.page.click(f'nav a[href="{link}"]')
        seen = f"(() => {{ const box = document.querySelector('{link}').getBoundingClientRect();"
        seen += " return box.height > 0 && box.top < innerHeight && box.bottom > 0; })()"
        shown.page.wait_for_function(seen, timeout=5000)


def test_the_table_of_a_report_fits_a_phone_and_has_all_columns_once_asked(tab, reports):
    """Without a scroll to the side, the condition, the error and the seeds are seen; a tick brings the others."""
    shown = tab(PHONE)
    for name in ("one", "many"):
        shown.open(reports[name])
        region = "(({scrollWidth, clientWidth}) => [scrollWidth, clientWidth])(document.querySelector('#results .scroll'))"
        wide, seen = shown.page.evaluate(region)
        assert wide <= seen
        count = "[...document.querySelectorAll('thead th')].filter(each => each.checkVisibility()).length"
        assert shown.page.evaluate(count) == 3
        shown.page.check(".all input")
        assert shown.page.evaluate(count) == shown.page.evaluate("document.querySelectorAll('thead th').length") > 6
        shown.fits(name)
    shown = tab(SCREEN)
    shown.open(reports["one"])
    assert shown.page.evaluate(count) > 6


def test_the_table_is_sorted_and_figures_are_enlarged(tab, reports):
    shown = tab(SCREEN)
    shown.open(reports["one"])
    values = "[...document.querySelectorAll('tbody tr')].map(each => Number(each.cells[1].dataset.value))"
    for order in (sorted, lambda found: sorted(found, reverse=True)):
        shown.page.click("thead th:nth-child(2) button")
        found = shown.page.evaluate(values)
        assert found == order(found)
    shown.page.click("#figure-errors .card")
    assert shown.page.evaluate("document.querySelector('dialog').open")
    shown.page.click("dialog button")
    assert not shown.page.evaluate("document.querySelector('dialog').open")


def test_a_report_is_printed_whole(tab, reports):
    """Folded sections as well, and no list of contents, whose links lead nowhere on paper."""
    shown = tab(SCREEN)
    shown.open(reports["one"])
    shown.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = false)")
    shown.page.emulate_media(media="print")
    shown.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    seen = "[...document.querySelectorAll('figure, pre')].every(each => each.checkVisibility())"
    assert shown.page.evaluate(seen)
    assert not shown.page.evaluate("document.querySelector('nav').checkVisibility()")
    shown.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert shown.page.evaluate("document.querySelectorAll('main details[open]').length") == 0
    shown.page.emulate_media(media="screen")


@pytest.mark.parametrize("width", WIDTHS)
def test_pages_of_the_documentation_fit_and_ask_for_nothing(tab, site, width):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for path in pages:
        tab(width).open(path)
