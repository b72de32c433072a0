"""The page in a real browser: what a person does there, and what strangers try."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functorrent.errors import PEER_OUTCOMES
from tests.integration.harness.browser import Browser, PageServer, in_browser

HASHES = ["1" * 40, "2" * 40, "3" * 40]
#: What chromium itself says of an answer that is an error.
FAILED = "Failed to load resource"
ROW = "#rows a.row"
BAD_REPORT = {
    "trackers": [
        {
            "url": "udp://one.example:6969",
            "status": "ok",
            "peers": 4,
            "seeders": 0,
            "leechers": 4,
            "error": None,
        },
        {
            "url": "https://two.example/***",
            "status": "failed",
            "peers": 0,
            "seeders": None,
            "leechers": None,
            "error": "unregistered <b>torrent</b>",
        },
    ],
    "peers": {**dict.fromkeys(PEER_OUTCOMES, 0), "found": 4, "refused": 3, "no_metadata": 1},
    "reason": "1 of 2 trackers answered with 4 peers: 3 refused the connection, 1 does not share metadata",
}
GOOD_REPORT = {
    "trackers": BAD_REPORT["trackers"],
    "peers": {**dict.fromkeys(PEER_OUTCOMES, 0), "found": 3, "timed_out": 2, "fetched": 1},
    "reason": None,
}
FILES = [
    [["README"], 812],
    [["Season 1", "E01.mkv"], 734_003_200],
    [["Season 1", "Subs", "E01.srt"], 40_211],
    [["Extras", "cover.jpg"], 402_110],
]


@pytest.fixture(scope="module", autouse=True)
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PageServer, str]]:
    """A server that takes 100,000 magnets while the other tests run; its answer is due, and its address."""
    server = PageServer(tmp_path_factory.mktemp("crowded") / "log")
    url = server.fresh()
    server.ask("many", count=100_000)
    yield server, url
    server.kill()


def magnet(infohash: str, name: str | None = None) -> str:
    return f"magnet:?xt=urn:btih:{infohash}" + (f"&dn={name}" if name else "")


def fetched(server: PageServer, name: str, files: Any = FILES) -> str:
    """A job that is fetched; its key."""
    made = server("torrent", name=name, files=files)
    server("submit", magnets=[made["magnet"]])
    assert server("fetched", info=made["info"], name=name, files=files, report=GOOD_REPORT)
    return str(made["key"])


def row(page: Any, key: str) -> Any:
    return page.locator(f'{ROW}[href="#{key}"]')


def expect_text(locator: Any, text: str | re.Pattern[str]) -> None:
    """It has this text, sooner or later."""
    from playwright.sync_api import expect

    expect(locator).to_contain_text(text, timeout=10_000)


def expect_count(locator: Any, count: int) -> None:
    from playwright.sync_api import expect

    expect(locator).to_have_count(count, timeout=10_000)


# -- putting magnets in ---------------------------------------------------------------------------


@in_browser
def test_one_pasted(browser: Browser, page_server: PageServer) -> None:
    with browser.page(page_server.fresh()) as page:
        expect_text(page.locator("#empty"), "Nothing here yet")
        page.fill("#magnets", magnet(HASHES[0], "Sintel"))
        page.click("#add-button")
        expect_text(page.locator("#add-outcome"), "1 magnet accepted.")
        expect_text(row(page, HASHES[0]), "Sintel")
        expect_text(row(page, HASHES[0]), "Queued")
        assert page.input_value("#magnets") == ""
        assert page.locator("#empty").is_hidden()
        expect_text(page.locator('.tab:has(input[value="queued"])'), "1")
    assert page_server("status", key=HASHES[0]) == "queued"


@in_browser
def test_many_pasted_with_invalid_lines(browser: Browser, page_server: PageServer) -> None:
    lines = [magnet(HASHES[0]), "hello <i>there</i>", HASHES[1], "", "magnet:?xt=urn:btih:zz"]
    with browser.page(page_server.fresh()) as page:
        page.fill("#magnets", "\n".join(lines))
        page.keyboard.press("Control+Enter")
        expect_text(page.locator("#add-outcome"), "2 magnets accepted.")
        expect_text(page.locator("#add-outcome"), "2 lines not taken.")
        told = page.locator(".invalid li")
        expect_text(told.nth(0), "Line 2")
        expect_text(told.nth(0), "hello <i>there</i>")
        expect_text(told.nth(1), "Line 5")
        assert all(len(text) > 10 for text in page.locator(".invalid .why").all_inner_texts())
        # What is to be mended stays.
        assert page.input_value("#magnets") == f"{lines[1]}\n{lines[4]}"
        expect_count(page.locator(ROW), 2)


@in_browser
def test_nothing_valid(browser: Browser, page_server: PageServer) -> None:
    with browser.page(page_server.fresh(), loud=FAILED) as page:
        page.fill("#magnets", "nonsense")
        page.click("#add-button")
        expect_text(page.locator("#add-outcome"), "nothing was added")
        expect_text(page.locator(".invalid"), "nonsense")
        assert page.input_value("#magnets") == "nonsense"


@in_browser
def test_a_file_chosen(browser: Browser, page_server: PageServer, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("\n".join(magnet(key) for key in HASHES) + "\nwrong\n")
    with browser.page(page_server.fresh()) as page:
        page.set_input_files("#file", path)
        expect_text(page.locator("#add-outcome"), "3 magnets accepted.")
        expect_text(page.locator(".invalid"), "Line 4")
        expect_count(page.locator(ROW), 3)
        page.set_input_files("#file", {"name": "x.torrent", "mimeType": "", "buffer": b"d4:infode"})
        expect_text(page.locator("#add-outcome"), "is a .torrent file")


DROP = """([text, name]) => {
  const data = new DataTransfer();
  if (name) { data.items.add(new File([text], name, {type: "text/plain"})); }
  else { data.setData("text/plain", text); }
  for (const type of ["dragenter", "dragover", "drop"]) {
    document.querySelector("#list").dispatchEvent(
      new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true}));
    if (type === "dragover" && document.querySelector("#drop").hidden) { throw new Error("no veil"); }
  }
}"""


@in_browser
def test_a_file_and_a_link_dropped(browser: Browser, page_server: PageServer) -> None:
    with browser.page(page_server.fresh()) as page:
        page.evaluate(DROP, [f"{HASHES[0]}\n{HASHES[1]}\n", "magnets.txt"])
        expect_text(page.locator("#add-outcome"), "2 magnets accepted.")
        expect_count(page.locator(ROW), 2)
        assert page.locator("#drop").is_hidden()
        page.evaluate(DROP, [magnet(HASHES[2]), ""])
        assert page.input_value("#magnets") == magnet(HASHES[2])


# -- the list -------------------------------------------------------------------------------------


@in_browser
def test_a_row_lives(browser: Browser, page_server: PageServer) -> None:
    """From queued to fetched, without being touched; and one that fails says when it is tried again."""
    url = page_server.fresh()
    made = page_server("torrent", name="Big Buck Bunny", files=FILES)
    page_server("submit", magnets=[made["magnet"], magnet(HASHES[0])])
    with browser.page(url) as page:
        first = row(page, made["key"])
        expect_text(first, "Queued")
        page_server("begin", key=made["key"])
        expect_text(first, "Fetching")
        page_server("fetched", info=made["info"], name="Big Buck Bunny", files=FILES, report=GOOD_REPORT)
        expect_text(first, re.compile("Fetched.*Big Buck Bunny.*4 files.*700 MiB.*just now", re.S))
        page_server("failed", key=HASHES[0], report=BAD_REPORT, again=3600)
        expect_text(row(page, HASHES[0]), re.compile("Waiting.*again in (60 min|1 h)", re.S))
        page_server("failed", key=HASHES[0], report=BAD_REPORT, again=None)
        expect_text(row(page, HASHES[0]), re.compile("Gave up.*after 2 tries", re.S))
        expect_text(page.locator('.tab:has(input[value="gave_up"])'), "1")


@in_browser
def test_filter_and_search(browser: Browser, page_server: PageServer) -> None:
    url = page_server.fresh()
    key = fetched(page_server, "Tears of Steel")
    page_server("submit", magnets=[magnet(HASHES[0], "Elephants+Dream"), magnet(HASHES[1])])
    with browser.page(url) as page:
        expect_count(page.locator(ROW), 3)
        page.click('.tab:has(input[value="fetched"])')
        expect_count(page.locator(ROW), 1)
        assert row(page, key).count() == 1
        page.click('.tab:has(input[value="gave_up"])')
        expect_text(page.locator("#nothing"), "No magnet is given up.")
        page.click("#show-all")
        expect_count(page.locator(ROW), 3)
        page.keyboard.press("/")
        page.keyboard.type("eleph")
        expect_count(page.locator(ROW), 1)
        expect_count(row(page, HASHES[0]), 1)
        page.fill("#search", "xy")
        expect_text(page.locator("#search-hint"), "Three characters")
        page.fill("#search", "2222")
        expect_count(row(page, HASHES[1]), 1)
        expect_count(page.locator(ROW), 1)
        page.fill("#search", magnet(HASHES[0]))
        expect_count(row(page, HASHES[0]), 1)
        expect_count(page.locator(ROW), 1)
        page.fill("#search", "<b>none</b>")
        expect_text(page.locator("#nothing"), "Nothing matches “<b>none</b>”.")
        page.keyboard.press("Escape")
        expect_count(page.locator(ROW), 3)
        # What changes joins and leaves a filtered list.
        page.click('.tab:has(input[value="queued"])')
        page.mouse.move(5, 5)
        expect_count(page.locator(ROW), 2)
        page_server("begin", key=HASHES[0])
        expect_count(page.locator(ROW), 1)
        page_server("submit", magnets=[magnet(HASHES[2])])
        expect_count(row(page, HASHES[2]), 1)


@in_browser
def test_nothing_moves_under_the_pointer(browser: Browser, page_server: PageServer) -> None:
    url = page_server.fresh()
    page_server("many", count=60)
    with browser.page(url) as page:
        third = page.locator(ROW).nth(2)
        third.hover()
        key = third.get_attribute("href")
        before = page.locator(f'{ROW}[href="{key}"]').bounding_box()
        page_server("submit", magnets=[magnet(key) for key in HASHES])
        expect_text(page.locator("#fresh.there"), "3 new")
        assert page.locator(f'{ROW}[href="{key}"]').bounding_box() == before
        page.click("#fresh")
        expect_count(row(page, HASHES[2]), 1)
        expect_count(page.locator("#fresh.there"), 0)
        # Scrolled away: the same.
        page.mouse.move(5, 5)
        page.evaluate("scrollTo(0, 1200)")
        page.wait_for_timeout(150)
        seen = page.locator(ROW).first.get_attribute("href")
        page_server("submit", magnets=[magnet("4" * 40)])
        expect_text(page.locator("#fresh.there"), "1 new")
        assert page.locator(ROW).first.get_attribute("href") == seen
        # Back at the beginning, with nobody at the rows: it comes in by itself.
        page.evaluate("scrollTo(0, 0)")
        expect_count(row(page, "4" * 40), 1)


# -- one job --------------------------------------------------------------------------------------


@in_browser
def test_detail_of_a_fetched_one(browser: Browser, page_server: PageServer) -> None:
    url = page_server.fresh()
    key = fetched(page_server, "A Series")
    with browser.page(url, permissions=["clipboard-read", "clipboard-write"]) as page:
        row(page, key).click()
        expect_text(page.locator("#detail-name"), "A Series")
        assert page.url.endswith("#" + key)
        assert row(page, key).get_attribute("aria-current") == "true"
        expect_text(page.locator("#detail-body"), "It is here: it took 1.3 s.")
        tree = page.locator(".tree").first
        expect_text(tree, re.compile("README.*812 B.*Season 1.*700 MiB.*Subs.*39 KiB", re.S))
        folder = tree.locator("details", has_text="Season 1").first
        assert folder.get_attribute("open") is not None
        folder.locator("summary").first.click()
        assert page.get_by_text("E01.mkv").is_hidden()
        expect_text(page.locator(".peers"), re.compile("2.*did not answer.*1.*sent all of it", re.S))
        with page.expect_download() as download:
            page.get_by_role("link", name="Download .torrent").click()
        assert download.value.suggested_filename.endswith(".torrent")
        assert (
            b"6:Season" in Path(download.value.path()).read_bytes()
            or b"8:Season 1" in Path(download.value.path()).read_bytes()
        )
        page.get_by_role("button", name="Copy magnet").click()
        expect_text(page.locator("#toast"), "Magnet copied.")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.startswith(f"magnet:?xt=urn:btih:{key}")
        page.keyboard.press("Escape")
        assert page.locator("#detail").is_hidden()
        assert page.evaluate("document.activeElement.hash") == "#" + key
        page.go_back()
        expect_text(page.locator("#detail-name"), "A Series")


@in_browser
def test_many_files(browser: Browser, page_server: PageServer) -> None:
    url = page_server.fresh()
    files = [[[f"folder {n // 100}", f"file {n:04d}"], 10] for n in range(1200)]
    files.append([["__proto__", *(["deep"] * 60), "end"], 1])
    key = fetched(page_server, "Many", files)
    with browser.page(f"{url}#{key}") as page:
        more = page.get_by_role("button", name="Show more")
        expect_text(page.locator(".files h3"), "500 of 1,201")
        more.click()
        expect_text(page.locator(".files h3"), "1,000 of 1,201")
        more.click()
        expect_text(page.locator(".files h3"), "1,201")
        expect_count(more, 0)
        expect_text(page.locator(".tree").first, "__proto__")
        assert page.locator(".tree .tree .tree").count() < 30


@in_browser
def test_a_magnet_without_trackers(browser: Browser, page_server: PageServer) -> None:
    """It is said where it will be looked for, and where it was; a plugin's words are no markup."""
    url = page_server.fresh(dht=1520)
    page_server("submit", magnets=[magnet(HASHES[0], "Trackerless")])
    with browser.page(url) as page:
        expect_text(page.locator("#dht"), "DHT: 1,520 nodes")
        row(page, HASHES[0]).click()
        expect_text(page.locator(".report"), "The magnet names none.")
        expect_text(page.locator("[data-source=dht]"), re.compile("DHT.*1,520 nodes known", re.S))
        sources = [
            {"source": "dht", "peers": 0, "detail": "31 DHT nodes asked, none knew a peer"},
            {"source": "lsd", "peers": 1, "detail": None},
            {"source": "<b>own", "peers": 2, "detail": "a <i>plugin</i>\u202e's"},
        ]
        report = {
            "trackers": [],
            "peers": {**BAD_REPORT["peers"], "found": 3, "refused": 3},
            "reason": "no trackers; 31 DHT nodes asked, none knew a peer: 3 refused the connection",
            "sources": sources,
        }
        page_server("failed", key=HASHES[0], report=report, again=600)
        expect_text(page.locator(".reason"), "No trackers; 31 DHT nodes asked, none knew a peer")
        expect_text(page.locator(".report"), "None were asked.")
        dht, lsd, own = (page.locator(".trackers li").nth(number) for number in range(3))
        expect_text(dht, re.compile("DHT.*0 peers.*31 DHT nodes asked, none knew a peer\\.", re.S))
        expect_text(lsd, re.compile("Local network.*1 peer", re.S))
        expect_text(own, re.compile("<b>own.*2 peers.*A <i>plugin</i>\\\\u202e's\\.", re.S))


@in_browser
def test_detail_of_a_failed_one(browser: Browser, page_server: PageServer) -> None:
    url = page_server.fresh()
    text = magnet(HASHES[0], "Lost") + "&tr=https%3A%2F%2Ftwo.example%2Fs3cr3tpasskey%2Fannounce"
    page_server("submit", magnets=[text])
    with browser.page(url) as page:
        row(page, HASHES[0]).click()
        expect_text(page.locator("#detail-body"), "it has not been tried yet")
        # Before a try: the trackers of the magnet, without what may be a passkey.
        expect_text(page.locator(".trackers"), "https://two.example")
        assert "s3cr3t" not in page.inner_text("body")
        page_server("failed", key=HASHES[0], report=BAD_REPORT, again=600)
        expect_text(page.locator(".reason"), "Why not yet")
        expect_text(
            page.locator(".reason"), "1 of 2 trackers answered with 4 peers: 3 refused the connection"
        )
        expect_text(page.locator(".standing"), re.compile(r"after 1 try\. Tries again in (10|9) min \(\d"))
        expect_text(page.locator(".trackers li").nth(0), re.compile("Answered.*4 peers, 0 seeders", re.S))
        expect_text(
            page.locator(".trackers li").nth(1), re.compile("Failed.*unregistered <b>torrent</b>", re.S)
        )
        expect_text(
            page.locator(".peers"),
            re.compile("3.*refused the connection.*1.*does not have the description", re.S),
        )
        # A report of before there were others has none, and nor has the page.
        expect_count(page.locator("[data-source]"), 0)
        page.get_by_role("button", name="Try now").click()
        expect_text(page.locator("#toast"), "Put into the queue.")
        expect_text(page.locator("#detail-state"), "Queued")
        assert page_server("status", key=HASHES[0]) == "queued"
        page.get_by_role("button", name="Cancel").click()
        expect_text(page.locator("#detail-state"), "Cancelled")
        assert page_server("status", key=HASHES[0]) == "cancelled"
        page.get_by_role("button", name="Undo").click()
        expect_text(page.locator("#detail-state"), "Queued")
        assert page_server("status", key=HASHES[0]) == "queued"
        page_server("failed", key=HASHES[0], report=BAD_REPORT, again=None)
        expect_text(page.locator(".reason"), "What went wrong")
        page.get_by_role("button", name="Try again").click()
        expect_text(page.locator("#detail-state"), "Queued")


@in_browser
def test_one_that_is_not_there(browser: Browser, page_server: PageServer) -> None:
    with browser.page(page_server.fresh() + "#" + "f" * 40, loud=FAILED) as page:
        expect_text(page.locator("#detail-body"), "There is no magnet with this infohash.")


# -- strangers ------------------------------------------------------------------------------------

HOSTILE = {
    "html": ("<img src=x onerror=alert(1)><script>alert(2)</script>", "<img src=x onerror=alert(1)>"),
    "turned": ("harmless\u202egpj.exe", "harmless\\u202egpj.exe"),
    "control": (
        "bell\x07 line\nesc\x1b[31m del\x7f c1\x9b",
        "bell\\x07 line\\x0aesc\\x1b[31m del\\x7f c1\\x9b",
    ),
    "tags": (
        "tag\U000e0041 zero\u200b mark\ufeff filler\u3164",
        "tag\\U000e0041 zero\\u200b mark\\ufeff filler\\u3164",
    ),
    "joined": ("نامه\u200cها 👩\u200d🚀", "نامه\u200cها 👩\u200d🚀"),
}


@in_browser
def test_hostile_names(browser: Browser, page_server: PageServer) -> None:
    url = page_server.fresh()
    keys = {}
    for word, (name, _) in HOSTILE.items():
        keys[word] = fetched(page_server, name, [[["a" + name.replace("/", ""), name.replace("/", "")], 1]])
    long = fetched(page_server, "W" * 10_000)
    with browser.page(url) as page:
        page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
        for word, (_, shown) in HOSTILE.items():
            name = row(page, keys[word]).locator(".name")
            expect_text(name, shown)
            assert shown in name.locator("bdi").get_attribute("title")
            row(page, keys[word]).click()
            expect_text(page.locator("#detail-name"), shown)
            expect_text(page.locator(".tree").first, "a" + shown.replace("/", ""))
        assert page.locator("#rows img, #rows script, #detail img, #detail script").count() == 0
        whole = page.inner_text("body") + page.evaluate(
            "[...document.querySelectorAll('[title]')].map((e) => e.title).join('')"
        )
        assert re.search("[\u202e\x00\x07\x1b\x9b\u200b\ufeff]", whole) is None
        row(page, long).click()
        expect_text(page.locator("#detail-name"), "WWWW")
        assert len(page.inner_text("#detail-name")) < 2000
        assert len(row(page, long).inner_text()) < 500
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        box = row(page, long).bounding_box()
        assert box["height"] < 60


# -- keyboard, sizes, colours ---------------------------------------------------------------------


@in_browser
def test_by_keyboard_alone(browser: Browser, page_server: PageServer) -> None:
    url = page_server.fresh()
    page_server("many", count=150)
    with browser.page(url) as page:
        seen = []
        for _ in range(40):
            page.keyboard.press("Tab")
            seen.append(
                page.evaluate("(({id, className, name}) => id || className || name)(document.activeElement)")
            )
            if seen[-1].startswith("row"):
                break
        assert [name for name in seen if name in ("magnets", "add-button", "choose", "search")] == [
            "magnets",
            "add-button",
            "choose",
            "search",
        ]
        assert "status" in seen
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        at = "Number(document.activeElement.parentElement.getAttribute('aria-posinset'))"
        assert page.evaluate(at) == 1
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        assert page.evaluate(at) == 3
        page.keyboard.press("End")
        page.wait_for_function(f"{at} >= 100")
        here = page.evaluate("document.activeElement.getBoundingClientRect().top")
        assert 0 < here < 860
        page.keyboard.press("Home")
        assert page.evaluate(at) == 1
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect_text(page.locator("#detail-body"), "In the queue")
        assert page.evaluate("document.activeElement.id") == "detail-name"
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect_text(page.locator("#detail-state"), "Cancelled")
        page.keyboard.press("Escape")
        assert page.locator("#detail").is_hidden()
        assert page.evaluate(at) == 2
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "search"


@in_browser
def test_said_to_screen_readers(browser: Browser, page_server: PageServer) -> None:
    url = page_server.fresh()
    fetched(page_server, "Sintel")
    page_server("submit", magnets=[magnet(HASHES[0])])
    page_server("minutes", minutes=minutes())
    with browser.page(url) as page:
        expect_text(page.locator("#spoken"), "2 magnets: 1 queued, 1 fetched.")
        chart = page.get_by_role(
            "img", name=re.compile("In the last hour 120 magnets were fetched, 60 tries failed")
        )
        expect_count(chart, 1)
        expect_count(page.get_by_role("link", name=re.compile("^Fetched Sintel 4 files 700 MiB")), 1)
        for name in ("Magnet links or infohashes, one a line", "Search by name or infohash"):
            expect_count(page.get_by_label(name), 1)
        nameless = page.evaluate(
            """[...document.querySelectorAll("button, a, input, textarea")]
                 .filter((e) => !(e.textContent.trim() || e.labels?.length || e.getAttribute("aria-label")
                                  || e.type === "text" || e.id === "fresh"))
                 .map((e) => e.outerHTML)"""
        )
        assert nameless == []


def minutes() -> list[dict[str, Any]]:
    at = time.time() // 60 * 60
    return [
        {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at - 60 * (59 - n))),
            "fetched": 2,
            "failed": 1,
            "gave_up": 0,
        }
        for n in range(60)
    ]


@in_browser
def test_the_last_hour(browser: Browser, page_server: PageServer) -> None:
    url = page_server.fresh()
    page_server("minutes", minutes=minutes())
    with browser.page(url) as page:
        expect_count(page.locator("#chart rect.fetched"), 60)
        expect_count(page.locator("#chart rect.gave_up"), 0)
        expect_text(page.locator("#hour-fetched"), "120")
        expect_text(page.locator("#chart-top"), "5 a minute")


@in_browser
def test_on_a_phone(browser: Browser, page_server: PageServer) -> None:
    url = page_server.fresh()
    key = fetched(page_server, "A" * 300)
    page_server("submit", magnets=[magnet(HASHES[0])])
    page_server("failed", key=HASHES[0], report=BAD_REPORT, again=60)
    options = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    with browser.page(url, **options) as page:
        fits = "document.documentElement.scrollWidth <= 360"
        expect_count(page.locator(ROW), 2)
        assert page.evaluate(fits)
        for chosen in (key, HASHES[0]):
            row(page, chosen).tap()
            expect_text(page.locator("#detail-body"), "Trackers")
            assert page.evaluate(fits)
            for part in ("detail", "document.getElementById('detail-name')"):
                assert page.evaluate(f"{part}.scrollWidth <= {part}.clientWidth")
            assert page.locator("#detail").bounding_box()["width"] == 360
            # What lies under it cannot be reached meanwhile.
            assert page.evaluate("document.getElementById('page').inert")
            page.locator("#detail-close").tap()
            assert not page.evaluate("document.getElementById('page').inert")
        small = page.evaluate(
            """[...document.querySelectorAll("button, .row, .tab")].filter((e) => e.checkVisibility())
                 .map((e) => e.getBoundingClientRect().height).filter((height) => height < 28)"""
        )
        assert small == []


CONTRAST = """() => {
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).slice(0, 3)
      .map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$|transparent/.test(colour)) { return colour; }
    }
    return "rgb(255, 255, 255)";
  };
  const poor = [];
  for (const e of document.querySelectorAll("body *")) {
    const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!text || !e.checkVisibility({visibilityProperty: true, opacityProperty: true})) { continue; }
    const [a, b] = [luminance(getComputedStyle(e).color), luminance(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) { poor.push(`${e.className} ${e.textContent.slice(0, 30)}: ${ratio.toFixed(2)}`); }
  }
  return [poor, getComputedStyle(document.body).backgroundColor];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@in_browser
def test_legible(browser: Browser, page_server: PageServer, scheme: str) -> None:
    """4.5 to 1 for every text (WCAG 1.4.3), in every state."""
    url = page_server.fresh()
    fetched(page_server, "Sintel")
    page_server("submit", magnets=[magnet(key) for key in [*HASHES, "4" * 40]])
    page_server("begin", key=HASHES[0])
    page_server("failed", key=HASHES[1], report=BAD_REPORT, again=60)
    page_server("failed", key=HASHES[2], report=BAD_REPORT, again=None)
    page_server("minutes", minutes=minutes())
    with browser.page(url, color_scheme=scheme, reduced_motion="reduce") as page:
        row(page, HASHES[1]).click()
        expect_text(page.locator("#detail-body"), "Peers")
        page.fill("#magnets", "wrong\n" + HASHES[0])
        page.click("#add-button")
        expect_text(page.locator("#add-outcome"), "not taken")
        page.mouse.move(5, 5)
        page.wait_for_timeout(200)
        poor, ground = page.evaluate(CONTRAST)
        assert poor == []
        assert (sum(map(int, re.findall(r"\d+", ground))) > 600) == (scheme == "light")
        assert page.evaluate("document.getAnimations().length") == 0


# -- doors and the connection ---------------------------------------------------------------------


@in_browser
def test_login(browser: Browser, page_server: PageServer) -> None:
    url = page_server.fresh(token="open sesame 0123456789")
    page_server("submit", magnets=[magnet(HASHES[0], "Secret")])
    with browser.page(url, wait=False, loud=FAILED) as page:
        page.wait_for_selector("dialog[open]")
        assert page.evaluate("document.activeElement.id") == "token"
        assert "Secret" not in page.content()
        page.keyboard.press("Escape")
        assert page.locator("dialog").is_visible()
        page.fill("#token", "wrong")
        page.keyboard.press("Enter")
        expect_text(page.locator("#login-problem"), "This is not the token.")
        page.fill("#token", "open sesame 0123456789")
        page.keyboard.press("Enter")
        expect_text(row(page, HASHES[0]), "Secret")
        assert page.locator("dialog").is_hidden()
        assert page.evaluate("document.cookie") == ""
        # Once: not again at the next visit.
        page.reload()
        expect_text(row(page, HASHES[0]), "Secret")
        page.click("#log-out")
        page.wait_for_selector("dialog[open]")
        expect_count(page.locator(ROW), 0)


@pytest.mark.parametrize("anew", [False, True], ids=["cut", "restarted"])
@in_browser
def test_the_connection_is_lost_and_comes_back(browser: Browser, page_server: PageServer, anew: bool) -> None:
    url = page_server.fresh()
    page_server("submit", magnets=[magnet(HASHES[0])])
    with browser.page(url, loud=FAILED) as page:
        expect_text(row(page, HASHES[0]), "Queued")
        page_server("away")
        expect_text(page.locator("#lost"), "The connection to the daemon is lost.")
        page.locator("#lost").wait_for(state="visible")
        page_server("failed", key=HASHES[0], report=BAD_REPORT, again=600)
        page_server("submit", magnets=[magnet(HASHES[1])])
        page_server("back", anew=anew)
        expect_text(row(page, HASHES[0]), "Waiting")
        expect_count(row(page, HASHES[1]), 1)
        assert page.locator("#lost").is_hidden()


@in_browser
def test_refused_streams_are_asked_for_again(browser: Browser, page_server: PageServer) -> None:
    """An answer that is no stream ends the browser's own tries for good."""
    url = page_server.fresh()
    with browser.page(url, loud=FAILED) as page:
        page.route("**/api/v1/events", lambda route: route.fulfill(status=503, body="busy"))
        page.reload()
        page.locator("#lost").wait_for(state="visible")
        page_server("submit", magnets=[magnet(HASHES[0])])
        page.unroute("**/api/v1/events")
        expect_count(row(page, HASHES[0]), 1)
        page.locator("#lost").wait_for(state="hidden")


@in_browser
def test_a_list_that_fails_is_asked_for_again(browser: Browser, page_server: PageServer) -> None:
    url = page_server.fresh()
    page_server("submit", magnets=[magnet(HASHES[0])])
    with browser.page(url, loud=FAILED) as page:
        problem = {"title": "Error", "status": 500, "detail": "The store is <b>away</b>."}
        page.route("**/api/v1/magnets?*", lambda route: route.fulfill(status=500, json=problem))
        page.reload()
        expect_text(page.locator("#list-problem"), "The list could not be loaded: The store is <b>away</b>.")
        page.unroute("**/api/v1/magnets?*")
        expect_count(row(page, HASHES[0]), 1)
        page.locator("#list-problem").wait_for(state="hidden")


@in_browser
def test_100_000_rows(browser: Browser, crowded: tuple[PageServer, str]) -> None:
    server, url = crowded
    assert server.answer() == 100_000
    begun = time.monotonic()
    with browser.page(url, wait=False) as page:
        page.wait_for_selector(ROW)
        first = time.monotonic() - begun
        expect_text(page.locator('.tab:has(input[value=""])'), "100,000")
        assert first < 3.0, first
        for _ in range(8):
            page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
            page.wait_for_timeout(120)
        assert page.evaluate("Number(getComputedStyle(rows).getPropertyValue('--n'))") >= 300
        assert page.locator(ROW).count() < 80
        page.evaluate("scrollTo(0, 0)")
        # A burst of thousands: the page goes on answering, and shows the newest in the end.
        page.mouse.move(5, 5)
        page.evaluate(
            """() => {
              window.longest = 0; let last = performance.now();
              const tick = () => { const now = performance.now();
                window.longest = Math.max(window.longest, now - last); last = now;
                requestAnimationFrame(tick); };
              requestAnimationFrame(tick);
            }"""
        )
        for number in range(20):
            server("many", count=500, word=f"burst {number:02d}")
            page.wait_for_timeout(20)
        server("many", count=10_000, word="flood")
        expect_text(page.locator(ROW).first, "flood 009999")
        expect_text(page.locator('.tab:has(input[value=""])'), "120,000")
        assert page.locator(ROW).count() < 80
        longest = page.evaluate("window.longest")
        print(f"first rows after {first:.2f} s; longest gap between two frames in a burst {longest:.0f} ms")
        assert longest < 1500


@in_browser
def test_served_as_it_should_be(browser: Browser, page_server: PageServer) -> None:
    url = page_server.fresh()
    with browser.page(url, loud="'TrustedHTML'") as page:
        ask = """async (path) => {
          const answer = await fetch(path, {cache: "no-store"});
          return [answer.status, Object.fromEntries(answer.headers)];
        }"""
        for path in ("/", "/page/app.js", "/page/app.css", "/page/icon.svg"):
            status, headers = page.evaluate(ask, path)
            assert status == 200
            assert (
                "default-src 'none'; script-src 'self'; style-src 'self'"
                in headers["content-security-policy"]
            )
            assert headers["x-content-type-options"] == "nosniff"
            assert re.fullmatch('"[0-9a-f]{32}"', headers["etag"])
        # Nothing of it is from elsewhere, and nothing inline; a script that tried would be refused.
        hosts = page.evaluate("performance.getEntriesByType('resource').map((e) => new URL(e.name).origin)")
        assert set(hosts) == {url.rstrip("/")}
        assert (
            page.evaluate(
                "document.querySelectorAll('[style]:not(#rows, #rows li, .share), [onclick]').length"
            )
            == 0
        )
        refused = page.evaluate(
            "(() => { try { document.body.innerHTML = '<b>'; return false; } catch { return true; } })()"
        )
        assert refused, "trusted types are not asked for"
