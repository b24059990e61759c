"""ΣΔ Lab: one vector, a frame and a few bits; every step of the walk."""

import sdqviz as sq
from sdqviz.explore import sigma_delta as lab
from sdqviz.explore import vector
from sdqviz.explore.orders import orders
from sdqviz.explore.scrub import sigma_delta as scrubbed
from sdqviz.explore.wording import number, percent
from sdqviz.plots.sigma_delta import steps
from sdqviz.plots.sigma_delta import vector as vector_plots
from sdqviz.plots.sigma_delta.orders import draw_best, draw_orders
from sdqviz.ui import screen, scrub, show

with screen.page(
    "sigma-delta",
    "ΣΔ Lab",
    "What happens when a vector is stored as a few coarse levels, and each step corrects the last?",
) as page:
    where = dict.fromkeys(("input", "network", "layer", "column", "pasted"), "what") | {"order": "how"}
    asked = page.attempt(lambda: page.choose(vector.VectorChoice, where=where, unless=lab.UNLESS), vector.VectorChoice)
    length = page.attempt(lambda: asked.fixed_dimension, lambda: None)
    page.frame(limits={"dimension": (2, 256), "size": (2, 4096)}, defaults={"size": 64}, dimension=length)
    page.pick(sq.PERMUTATIONS, "permutation", "identity", where="how", prefix="permutation_", **show.QUICK)

    dragged = scrub.ask(page, scrubbed.ALONG)
    run = page.compute(lab.build)
    page.code(lab.code(page.shown, run))

    show.headlines(
        show.Headline(
            "Bits per original weight",
            number(run.bits_per_weight),
            f"{number(run.level_bits)} for the levels, {number(run.step_bits)} for the stored step",
            f"N·b/d = {run.frame.size}·{run.bits}/{run.frame.dimension} bits for the levels, and 32/d for δ. The "
            "frame's name, N and seed (72 bits) are stored once for a whole layer and are not counted here; order, "
            "filter and dual cost nothing for a vector.",
        ),
        show.Headline(
            "Relative error",
            percent(run.error / run.norm),
            f"rounding on the same frame (PCM): {percent(run.rounded_error / run.norm)}",
            "‖x − x̃‖/‖x‖, with the same frame and levels for both"
            + (", and the same step." if run.rounded.step == run.step else "; δ is what each needs by the same rule."),
        ),
        show.verdict(run.tightest, run.error),
    )
    if not run.trace.stable:
        show.say(
            page,
            f"The quantizer is overloaded at {run.overload} of {run.frame.size} steps: {run.trace.reason}. "
            "No bound applies.",
            "warning",
        )
    tie, lost = lab.verdict_on_tie(run), lab.verdict_on_rounding(run)
    if tie:
        show.say(page, f":material/balance: {tie}")
    if lost:
        show.say(page, f":material/balance: {lost}")

    scrub.show_scrubber(page, dragged, scrubbed.ALONG, scrubbed.scrub)
    show.panel(steps.draw_steps(run, page.ink), page)
    show.panels(vector_plots.panels(run, page.ink), page, beside=lambda: show.bounds(page, run.bounds, run.error))
    if run.norm > 0:
        every = orders(run.vector)
        show.panels([draw_orders(every, page.ink), draw_best(every, page.ink)], page)
