"""The screens, in Streamlit: how a page is opened, what it is asked for and how it shows what it found.

How a page is written
---------------------
A page is one script of about 60 lines in ``pages/`` and one line in `sdqviz.ui.main`. It reads
like a description: open, choose, run, show::

    import sdqviz as sq
    from sdqviz.explore import frames
    from sdqviz.plots.frames.tour import draw_tour
    from sdqviz.ui import screen, show

    with screen.page("frames", "Frames", "How evenly do the vectors cover the sphere?") as page:
        choice = page.pick(sq.FRAMES, "frame", default="harmonic", limits={"size": (2, 2048)})
        bits = page.ask("bits", field(...), int)              # one more control
        info = page.compute(frames.build)                     # pure: numbers of the choices only
        page.code(f"frame = sq.FRAMES[{choice.name!r}](...)") # the lines that give these numbers
        show.headlines(show.Headline("Tightness", "1e-16", "why it is what it is"), ...)
        show.panel(draw_tour(info, page.ink), page)     # plot, formula, downloads, alt, table

- ``page.choose(ChoiceClass)`` draws the form of any `sdqviz.choice.Choice` from its field metadata;
  ``page.pick(REGISTRY, key, default)`` draws a box of names and the form of the chosen class, so a
  new family needs no change here. Names with options and switches appear under *How*, numbers under
  *How much*, advanced fields under *More*; ``where={"field": "what"}`` moves one, ``limits``
  narrows a range to what the page can show, ``fixed`` sets a field without asking.
- ``options`` given as a mapping hold what the box shows beside each name; registries have ``titles()``. The address and
  the link hold the names.
- Every control is in the link. A bad value in a link becomes the default, with a notice.
- ``page.seed`` is the seed; ``page.ink`` the text colour of the current theme.
- Raise `sdqviz.error.InputError` (or let the engine raise it): the page shows its sentence. What
  ``page.frame`` and ``page.pick`` cannot use is raised by ``page.compute`` (or ``page.check()``), when
  the whole form has been drawn, so that no control forgets its value; ``page.attempt`` does the same.
- ``page.compute(function)`` calls a module-level function of the choices and keeps its last results.
- What a page computes, says and links to is in `sdqviz.explore`; a *draw* function in ``sdqviz/plots/<page>/``
  is given those values and returns a `sdqviz.plots.panel.Panel`.
- A page keeps its choices while the visitor is elsewhere, and they can be undone (`sdqviz.ui.choices`). An `InputError`
  with a remedy moves the controls there; without one the page goes on, dimmed, with what worked last.
- Verdicts and tables are written with ``show.say``, which puts them into the report too.
- Work that may take over a second goes through `sdqviz.ui.job`: ``job.slot("run")`` with
  ``start(function)``, ``show()``, ``result``; the function gets ``progress`` and ``should_stop`` and
  must not touch Streamlit.
- Every panel that is shown, the headlines and ``page.tables`` make up the page's HTML report
  (`sdqviz.ui.html_report`), which the sidebar offers by itself. What a page has compressed it gives to
  `sdqviz.ui.history.remember`: it is then among the runs of the Compare page.
- Presets are JSON files in ``assets/presets`` (`sdqviz.explore.preset`); the box lists those of the page.
"""
