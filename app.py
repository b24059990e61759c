"""Launcher: ``streamlit run app.py``, ``python app.py`` or, installed, ``sdqviz app``."""

from sdqviz.ui.launch import app

if __name__ == "__main__":
    app.run()
