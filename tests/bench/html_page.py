"""A page of HTML, as far as the tests of reports ask about it."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "br", "link", "img", "input", "hr"}
LOADING = ("src", "href", "xlink:href", "srcset", "data", "action")


class Page(HTMLParser):
    """Checks that tags are closed in order; collects attributes that could load something, ids, tags and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.links, self.ids, self.tags, self.text = [], [], [], set(), []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.links += [value for name, value in attributes if name in LOADING]
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
