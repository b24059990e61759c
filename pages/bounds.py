"""Bounds: what is proved and what is measured, along a sweep, on logarithmic axes."""

from sdqviz.explore.bounds import link, tables, words
from sdqviz.explore.scrub import bounds as scrubbed
from sdqviz.plots.bounds.curves import draw_curves
from sdqviz.plots.bounds.ladder import draw_ladder
from sdqviz.plots.bounds.ratio import draw_ratio
from sdqviz.ui import bounds, screen, scrub, show

with screen.page(
    "bounds",
    "Bounds",
    "How does the error fall as more is spent, and how far above it lies what can be proved?",
) as page:
    sweep = bounds.ask(page)
    dragged = scrub.ask(page, scrubbed.along(page.choices))
    curve = bounds.run(page, sweep)
    if curve is not None:
        page.code(link.code(curve))
        ratio, where = words.ratio_headline(curve)
        count, told = words.verdict(curve)
        show.headlines(
            show.Headline(
                "Fitted slope",
                words.slope_value(curve.fit),
                words.slope_note(curve),
                "Least squares of log error against the logarithm of what is swept, over the points where an a-priori "
                "bound applies; ± is half of the 95 % interval by Student's t.",
            ),
            show.Headline(
                "Smallest bound / measured",
                ratio,
                where,
                "Over all bounds, points and runs with all hypotheses met. 1 would be attained, below 1 violated.",
            ),
            show.Headline(
                "Violations",
                count,
                told,
                "A comparison is one bound at one point for one run, where all hypotheses of the bound were verified.",
            ),
        )
        if curve.sweep.left_out:
            show.say(page, words.left_out(curve), "caption")
        if curve.violations:
            show.say(
                page, f"These runs lie above a bound that should hold:\n\n{tables.violation_table(curve)}", "error"
            )
        equal = bool(page.choices.get("equal", False))
        scrub.show_scrubber(page, dragged, scrubbed.along(page.choices), scrubbed.scrub)
        show.panel(draw_curves(curve, page.ink, equal), page)
        place = link.place_of(curve, page.choices["at"])
        show.panels([draw_ladder(curve, place, page.ink, equal), draw_ratio(curve, page.ink)], page)
        show.say(page, f"**All bounds on this error**\n\n{tables.bound_table(curve)}")
    bounds.published(page)
