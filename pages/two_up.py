"""Two-up: two views of one page beside each other on the same axes."""

from sdqviz.ui import screen, two_up

with screen.page(
    "two-up",
    "Two views",
    "What changes between A and B, when both are drawn to the same scale?",
    seeded=False,
) as page:
    address, choices = two_up.ask(page)
    page.code(two_up.code(address, choices))
    two_up.draw(page, address, choices)
