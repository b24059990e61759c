"""When an open page stands still: its plots are there, and no run of its script is under way or asked for."""

RESTED = "document.querySelector('[data-testid=stApp]')?.getAttribute('data-test-script-state') === 'notRunning'"
"""No script runs. The sign in the corner comes some time after a run has begun: until then only this tells."""

STILL = f"""plots => {{
  const still = {RESTED} && document.querySelectorAll('.js-plotly-plot:has(.main-svg)').length >= plots
    && !document.querySelector('[data-testid=stStatusWidget], [data-testid=stProgress]')
    && [...document.querySelectorAll('.sdqviz-chart')].every(one => !one.clientWidth || one.querySelector('.main-svg'));
  window.stillSince = still ? window.stillSince ?? performance.now() : undefined;
  return still && performance.now() - window.stillSince > 200;
}}"""
"""For a fifth of a second: a click takes some milliseconds to the server and back before its run is told."""


def settled(page, plots=1, timeout=90_000):
    """Wait until a page with at least so many plots stands still."""
    page.evaluate("() => { window.stillSince = undefined; }")
    page.wait_for_function(STILL, arg=plots, timeout=timeout)
