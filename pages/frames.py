"""Frames: the vectors, how evenly they spread, and the tour ΣΔ makes through them."""

import streamlit as st

import sdqviz as sq
from sdqviz.explore import frames as explored
from sdqviz.explore import signs as behind
from sdqviz.explore.scrub import frames as scrubbed
from sdqviz.explore.wording import number
from sdqviz.plots.frames import gram, orderings, signs, tour
from sdqviz.ui import screen, scrub, show

with screen.page(
    "frames",
    "Frames",
    "How evenly do the vectors cover the sphere, and how short is the tour through all of them?",
) as page:
    family = page.frame(limits={"dimension": (2, 64), "size": (2, 2048)}, defaults={"dimension": 3, "size": 60})
    walk = page.pick(sq.PERMUTATIONS, "permutation", "identity", where="how", prefix="permutation_", **show.QUICK)
    anyway = family.size > explored.COMPARED_UP_TO and page.ask(
        "compare",
        False,
        label="Compare all orderings",
        help=f"Above N = {explored.COMPARED_UP_TO} this takes up to {explored.COMPARED_WITHIN:g} s for each ordering.",
    )

    dragged = scrub.ask(page, scrubbed.ALONG)

    found = page.compute(explored.build, dimension=family.dimension, size=family.size)
    frame = found.frame
    page.code(explored.code(page.shown, found))

    lower, upper = frame.bounds
    show.headlines(
        show.Headline(
            "Frame bounds A, B",
            f"{number(lower)}, {number(upper)}",
            f"tightness residual {number(frame.tightness)}",
            "A‖x‖² ≤ Σ⟨x,eₙ⟩² ≤ B‖x‖². Equal bounds, here N/d, mean that the frame is tight. The residual "
            "‖S − (N/d)I‖/(N/d) is measured from the vectors.",
        ),
        show.Headline(
            "Coherence",
            number(frame.coherence),
            f"no {frame.size} vectors can have less than {number(explored.welch(frame.dimension, frame.size))}",
            "The largest |⟨eₘ,eₙ⟩| of two different vectors; the lower limit is Welch's.",
        ),
        show.limit("Wang's limit (8) kept?", found.wang, found.walk.variation),
    )

    scrub.show_scrubber(page, dragged, scrubbed.ALONG, scrubbed.scrub)
    show.panels([tour.draw_tour(found, page.ink), gram.draw_gram(found, page.ink)], page)
    spread = behind.spread(frame, int(page.shown["seed"]))
    below = [tour.draw_running(found, page.ink), signs.draw_signs(spread, page.ink)]
    if found.choice.any_dimension:
        grown = page.compute(explored.growth, dimension=family.dimension, size=family.size)
        below.append(orderings.draw_growth(found, grown, page.ink))
    if frame.size <= explored.COMPARED_UP_TO or anyway:
        compared = page.compute(explored.compare_orderings, dimension=family.dimension, size=family.size)
        below.append(orderings.draw_orderings(found, compared, walk.name, page.ink))
    else:
        st.caption(f"Above N = {explored.COMPARED_UP_TO} orderings are compared on request: switch it on at the left.")
    show.panels(below, page)
