"""The navigation: one line a page."""

from __future__ import annotations

import streamlit as st

from sdqviz.asset import ROOT

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
    ("learn.py", "Learn", "learn"),
)


def entries() -> list[st.Page]:
    """Return the pages whose files exist; Start is the default."""
    found = [entry for entry in PAGES if (ROOT / "pages" / entry[0]).is_file()]
    return [
        st.Page(ROOT / "pages" / file, title=title, url_path=address or None, default=not address)
        for file, title, address in found
    ]


def main() -> None:
    """Draw the menu and run the chosen page."""
    st.set_page_config(page_title="sdqviz", layout="wide", initial_sidebar_state="expanded")
    st.navigation({"sdqviz": entries()}).run()


if __name__ == "__main__":
    main()
