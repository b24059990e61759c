"""Start: one neuron's weights before and after, from stored results, and ways on."""

import streamlit as st

from sdqviz.explore import preset
from sdqviz.explore import start as examples
from sdqviz.explore.wording import number, percent
from sdqviz.plots.start import draw_before_after
from sdqviz.ui import main, screen, show

with screen.page(
    "",
    "Can a network survive one-bit weights?",
    "Store each of its numbers as a few coarse steps, and let every step correct the one before: that is ΣΔ "
    "quantization. See it happen, and hold the theory beside the measurement.",
    seeded=False,
) as page:
    shown = preset.of_page("")
    name = page.ask(
        "preset",
        "neuron-one-bit",
        label="Example",
        help="\n".join(f"- `{key}`: {one.title}" for key, one in shown.items()),
        options=tuple(shown),
        where="what",
    )
    example = shown[name]
    result = example.result

    show.headlines(
        show.Headline(
            "Bits per original weight",
            number(result["bits_per_weight"]),
            f"{result['size']} levels of {example.choices['bits']} bit for {result['dimension']} weights, and the step",
            "N·b/d for the levels and 32/d for the stored step δ.",
        ),
        show.Headline(
            "Relative error",
            percent(result["relative_error"]),
            f"rounding the same coefficients: {percent(result['relative_error_pcm'])}",
            "‖x − x̃‖/‖x‖ over the weights.",
        ),
        show.Headline(
            "Bound holds?",
            "Yes" if result["bound_holds"] else "No",
            f"measured {percent(result['relative_error'])} ≤ proved {percent(result['bound'])}",
            "The tightest a-priori bound on the error, relative to ‖x‖; the ΣΔ Lab shows its hypotheses.",
        ),
    )
    lost = examples.verdict_on_rounding(result)
    if lost:
        st.markdown(f":material/balance: {lost}")
    show.panel(draw_before_after(example.choices, result, page.ink), page)
    page.code(f"from sdqviz.explore import start\n\nstart.summary({dict(example.choices)!r})")

    st.subheader("What to look for", anchor=False)
    st.markdown(
        "- **The state stays small.** In the ΣΔ Lab, watch what is left over at each step stay inside a narrow band.\n"
        "- **The tour matters.** In Frames, the same vectors visited in a bad order make the error bound useless.\n"
        "- **Nothing is free.** Bits are counted per *original* weight, and plain rounding stands beside every result."
    )
    st.subheader("Results", anchor=False)
    show.texts("results")
    st.subheader("Good to know", anchor=False)
    show.texts("guide")
    st.subheader("Worked examples", anchor=False)
    show.tiles({page.url_path: page for page in main.entries()}, examples.tile_numbers)
