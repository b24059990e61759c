"""The navigation: pages in their order, and after them every further file of the folder."""

from __future__ import annotations

import ast

import streamlit as st

from sdqviz.asset import ROOT
from sdqviz.ui import two_up_link

PAGES = (
    # file, title, address
    ("start.py", "Start", ""),
    ("sigma_delta.py", "ΣΔ Lab", "sigma-delta"),
    ("frames.py", "Frames", "frames"),
    ("path_following.py", "Path following", "path-following"),
    ("network.py", "Network", "network"),
    ("geta.py", "GETA", "geta"),
    ("bounds.py", "Bounds", "bounds"),
    ("compare.py", "Compare", "compare"),
    ("two_up.py", "Two views", "two-up"),
    ("learn.py", "Learn", "learn"),
)


def listed() -> list[tuple[str, str, str]]:
    """Return file, title and address of the pages there are; a file without a line here comes last."""
    found = [entry for entry in PAGES if (ROOT / "pages" / entry[0]).is_file()]
    for file in sorted((ROOT / "pages").glob("*.py")):
        if file.name not in {name for name, _, _ in PAGES}:
            told = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or file.stem
            found.append((file.name, told.partition(":")[0].strip(), file.stem.replace("_", "-")))
    return found


def entries() -> list[st.Page]:
    """Return the pages; Start is the default."""
    return [
        st.Page(ROOT / "pages" / file, title=title, url_path=address or None, default=not address)
        for file, title, address in listed()
    ]


def main() -> None:
    """Draw the menu and run the chosen page."""
    st.set_page_config(page_title="sdqviz", layout="wide", initial_sidebar_state="auto")
    pages = entries()
    shown = st.navigation({"sdqviz": pages})
    shown.run()
    two_up_link.offer(shown.url_path, next(one for one in pages if one.url_path == two_up_link.ADDRESS))


if __name__ == "__main__":
    main()
