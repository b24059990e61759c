"""Launcher: ``streamlit run app.py``, ``python app.py`` or, installed, ``sdqviz app``."""

import streamlit as st

from sdqviz.ui import launch

# in this form `streamlit run` recognises it
app = st.App(launch.MAIN, lifespan=launch.lifespan, routes=launch.routes(), middleware=launch.middleware())

if __name__ == "__main__":
    app.run(config=launch.CONFIG)
