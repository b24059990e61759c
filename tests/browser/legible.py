"""Whether every text of an open page can be read, measured where it is drawn."""

from sdqviz.plots import theme

SKIPPED = """button[disabled], [data-testid^=stSlider], [data-testid=stIconMaterial], [aria-disabled=true],
svg, .js-plotly-plot, style, script, pre code"""
"""What is drawn elsewhere, is an icon, is switched off, or is code, whose colours are the highlighter's."""

SEEN = """(skipped) => {
  const shown = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (element && getComputedStyle(element).opacity === '0') continue;
    if (!node.textContent.trim() || !element || !element.getClientRects().length) continue;
    if (element.closest(skipped)) continue;
    let opacity = 1, background = null;
    for (let at = element; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      opacity *= parseFloat(style.opacity);
      const [r, g, b, a = 1] = (style.backgroundColor.match(/[0-9.]+/g) || []).map(Number);
      if (background === null && a > 0.9) background = [r, g, b];
    }
    const colour = getComputedStyle(element).color.match(/[0-9.]+/g).map(Number);
    shown.push([node.textContent.trim().slice(0, 60), colour, opacity, background || [255, 255, 255]]);
  }
  return shown;
}"""


def as_hex(rgb):
    return "#" + "".join(f"{round(min(max(value, 0), 255)):02x}" for value in rgb)


def check(page):
    """Find the contrast of every text with what lies behind it large enough."""
    page.wait_for_function(
        "document.getAnimations().every(one => one.playState !== 'running' || one.effect.getTiming().iterations > 9)"
    )
    texts = page.evaluate(SEEN, SKIPPED)
    assert len(texts) > 40
    for text, colour, opacity, background in texts:
        share = opacity * (colour[3] if len(colour) > 3 else 1.0)
        mixed = [share * c + (1 - share) * b for c, b in zip(colour[:3], background, strict=True)]
        assert theme.contrast(as_hex(mixed), as_hex(background)) >= theme.CONTRAST, (text, colour, opacity, background)
