"""Path following: one layer quantized weight after weight, each making up for the errors so far."""

from sdqviz.explore.layer_walks import choice, link, words
from sdqviz.explore.layer_walks import walk as walks
from sdqviz.explore.layer_walks.grains import GRAINS
from sdqviz.explore.scrub import path_following as scrubbed
from sdqviz.explore.wording import number, percent
from sdqviz.plots.path_following import grains, paths
from sdqviz.ui import screen, scrub, show

with screen.page(
    "path-following",
    "Path following",
    "How far does the error get when every weight makes up for those before it, and what can be promised?",
) as page:
    page.choose(
        choice.WalkChoice,
        where=dict.fromkeys(("source", "network", "layer", "inputs", "samples", "neurons", "drift"), "what"),
        unless={
            "network": lambda values: values["source"] != "network",
            "layer": lambda values: values["source"] != "network",
            "inputs": lambda values: values["source"] != "gaussian",
            "drift": lambda values: values["source"] != "gaussian",
            "bits": lambda values: values["operator"] == "one-bit",
            "threshold": lambda values: values["operator"] not in ("prune", "quantize-prune"),
        },
    )
    grain = page.ask(
        "grain",
        "weight",
        label="Step by",
        help="What Play and Step go through: the weights of one neuron, the neurons of the layer, or the layers of the "
        "network.",
        options={name: f"The {name}s" for name in GRAINS},
        where="what",
    )
    if grain == "weight":
        page.ask(
            "neuron",
            1,
            label="Neuron",
            help="Whose walk is shown weight by weight; beyond the last one it is the last.",
            minimum=1,
            maximum=64,
            where="what",
        )
    dragged = scrub.ask(page, scrubbed.ALONG)
    run = page.compute(link.build)
    stepped = page.compute(link.step)
    page.code(link.code(page.shown, run))

    holds, told = words.bound_verdict(run)
    show.headlines(
        show.Headline(
            "Bits per original weight",
            number(run.bits_per_weight),
            f"{percent(run.zeros)} of the weights are zero",
            "Of the unified framework's result as it would be stored: codes of the levels, a map of the zeros where "
            "that is shorter, 32 bits for values kept in float, and the shared step δ.",
        ),
        show.Headline(
            "Relative error",
            percent(run.relative_error("unified")),
            ", ".join(f"{words.SHORT[n]} {percent(run.relative_error(n))}" for n in walks.COMPARED[:-1]),
            "‖Xw − X̃q‖/‖Xw‖ over all neurons shown, of the unified framework with this operator and C. The others use "
            "nearest or random rounding to the same levels.",
        ),
        show.Headline("Bound holds?", holds, told, f"{run.sharpest.title}. {run.sharpest.because}"),
    )
    advice = words.range_advice(run)
    if advice:
        show.say(page, f":material/straighten: {advice}")

    scrub.show_scrubber(page, dragged, scrubbed.ALONG, scrubbed.scrub)
    show.panel(grains.draw(run, stepped, page.ink), page)
    show.panel(paths.draw_paths(run, page.ink), page)
    drawn = paths.panels(run, page.compute(link.align), page.compute(link.widen), page.ink)
    show.panels(drawn[:2], page)
    show.say(page, f"**All bounds on this error**\n\n{words.bound_table(run)}")
    show.panels(drawn[2:], page)
