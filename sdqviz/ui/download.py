"""Downloads of a compressed network: packed, as safetensors, as ONNX; each made when it is asked for."""

from __future__ import annotations

import functools

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from sdqviz.explore.what_if import Answer
from sdqviz.explore.wording import size
from sdqviz.report import Report
from sdqviz.ui import job

NOT_YET = "Not yet: a stored result is shown while the libraries load."


def network(answer: Answer | None, report: Report) -> None:
    """Draw the three downloads; what cannot be had is disabled and says why."""
    packed, tensors, model = st.columns(3)
    packed.download_button(
        f"Packed network, {size(report.bytes)}",
        b"" if answer is None else answer.packed,
        "sdqviz-network.sdq", "application/octet-stream", on_click="ignore", width="stretch", disabled=answer is None,
        help=NOT_YET if answer is None else "What sq.load reads: levels bit-packed, scales and kept tensors; no code.",
    )  # fmt: skip
    tensors.download_button(
        f"Weights, safetensors, {size(report.original_bytes)}",
        b"" if answer is None else functools.partial(_safetensors, answer),
        "sdqviz-weights.safetensors", "application/octet-stream", on_click="ignore", width="stretch",
        disabled=answer is None,
        help=NOT_YET if answer is None else "The dequantized weights in float32, under the names of the state dict.",
    )  # fmt: skip
    _onnx(model, answer)


def _safetensors(answer: Answer) -> bytes:
    from sdqviz.compression import export

    return export.safetensors(answer.compression.network)


def _onnx(box: DeltaGenerator, answer: Answer | None) -> None:
    """Draw the button that writes ONNX beside the page, and the download once it is written."""
    slot: job.Job[bytes] = job.slot("onnx")
    running = slot.running  # asking takes a finished result over
    if answer is not None and slot.made_for == answer.question and slot.result is not None and not running:
        box.download_button(
            f"Network, ONNX, {size(len(slot.result))}", slot.result, "sdqviz-network.onnx", "application/octet-stream",
            on_click="ignore", width="stretch", help="Float32 weights; the first axis of the input counts inputs.",
        )  # fmt: skip
        return
    why = _why_no_onnx(answer)
    asked = box.button(
        "Write ONNX", key="_onnx", width="stretch", disabled=bool(why) or running,
        help=why or "Takes a few seconds; then it can be downloaded here.",
    )  # fmt: skip
    if asked and answer is not None:
        slot.start(lambda _progress, _should_stop: _written(answer), answer.question)
        st.rerun()
    if running or (slot.problem and answer is not None and slot.asked_for == answer.question):
        slot.show()


def _why_no_onnx(answer: Answer | None) -> str:
    from sdqviz.compression import export

    if answer is None:
        return NOT_YET
    if answer.compression.network.example_input is None:
        return "Weights alone have no forward pass to write."
    return export.missing_for_onnx()


def _written(answer: Answer) -> bytes:
    from sdqviz.compression import export

    return export.onnx(answer.compression.network)
