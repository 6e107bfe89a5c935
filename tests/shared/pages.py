"""Pages of HTML that stand alone: what must hold of each, and what a browser makes of them."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

VOID = {"meta", "img", "br", "input", "link"}
BROWSERS = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome", "google-chrome-stable")
OF_SVG = {"path", "circle"}


class Page(HTMLParser):
    """Elements, ids, targets and words of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID | OF_SVG:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in OF_SVG:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words += data

    def values(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]

    @property
    def links(self) -> list[str]:
        return self.values("href")

    def check(self) -> None:
        """What holds of every page: tags closed, ids there and unique, pictures whole, nothing from elsewhere."""
        assert self.open == []
        ids = self.values("id")
        assert len(ids) == len(set(ids))
        code = "".join(re.findall(r"<(?:script|style)>(.*?)</(?:script|style)>", self.source, re.DOTALL))
        named = re.findall(r"""getElementById\(["']([\w-]+)|(?<=has\()#([\w-]+)""", code)
        wanted = {name for pair in named for name in pair if name}
        wanted |= {link.removeprefix("#") for link in self.links if link.startswith("#")} | set(self.values("for"))
        assert wanted <= set(ids)
        for source in self.values("src"):
            head, _, content = source.partition(",")
            assert re.fullmatch(r"data:image/(png|jpeg);base64", head), source[:60]
            with Image.open(io.BytesIO(base64.b64decode(content, validate=True))) as picture:
                picture.load()
        assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttpRequest|<link|<iframe|<object", self.source)


def browser() -> str:
    """A browser that needs no screen; without one the test is left out."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser found that needs no screen (looked for {', '.join(BROWSERS)})")
    return found


def in_browser(path: Path, script: str, size: tuple[int, int] = (1280, 800)) -> Any:
    """What an asynchronous function returns within a page that a browser shows.

    Parameters
    ----------
    path : path
        The page; a copy beside it gets the function.
    script : str
        Body of the function, in JavaScript; ``wait()`` lets the page catch up, ``press(key)`` presses a key.
    size : pair of int
        Of the window [px].
    """
    runner = f"""<script>
    const failures = [];
    addEventListener("error", event => failures.push(event.message));
    const wait = () => new Promise(done => setTimeout(done, 50));
    const press = async key => {{
      document.dispatchEvent(new KeyboardEvent("keydown", {{key, bubbles: true, cancelable: true}}));
      await wait();
    }};
    addEventListener("load", async () => {{
      let told;
      try {{ told = await (async () => {{ {script} }})(); }} catch (error) {{ failures.push(String(error)); }}
      const held = document.createElement("template");
      held.id = "told-by-test";
      held.setAttribute("data-told", JSON.stringify({{told, failures}}));
      document.body.append(held);
    }});
    </script>"""
    copy = path.with_name(f"shown-{path.name}")
    copy.write_text(path.read_text(encoding="utf-8").replace("<body", f"{runner}<body", 1), encoding="utf-8")
    command = [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"]
    command += [
        f"--window-size={size[0]},{size[1]}",
        "--virtual-time-budget=20000",
        f"--user-data-dir={path.parent}/profile",
    ]
    done = subprocess.run([*command, copy.as_uri()], capture_output=True, text=True, timeout=120)
    found = re.search(r'id="told-by-test" data-told="([^"]*)"', done.stdout)
    assert found, done.stdout[-500:] + done.stderr[-2000:]
    told = json.loads(found.group(1).replace("&quot;", '"').replace("&amp;", "&"))
    assert told["failures"] == []
    return told["told"]
