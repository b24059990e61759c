"""What a class guessed, drawn: every guess is counted once, and the answer appears only when it is given."""

import numpy as np
import pytest

from sdqviz.lessons import LESSONS
from sdqviz.lessons.lesson import Curve, Number, OneOf
from sdqviz.plots.guesses import draw_guesses
from sdqviz.plots.theme import Ink

KINDS = (Number, OneOf, Curve)
BY_KIND = {kind: next(cls for cls in LESSONS.values() if isinstance(cls.guess, kind)) for kind in KINDS}


def some(asked, count):
    random = np.random.default_rng(count)
    if isinstance(asked, OneOf):
        return [str(one) for one in random.choice(list(asked.options), count)]
    if isinstance(asked, Number):
        return [float(one) for one in random.uniform(asked.low, asked.high, count)]
    return [list(map(float, random.uniform(asked.low, asked.high, len(asked.at)))) for _ in range(count)]


@pytest.mark.parametrize("count", [0, 1, 40])
@pytest.mark.parametrize("kind", BY_KIND)
def test_every_guess_is_counted_once_and_the_answer_waits(kind, count):
    lesson = BY_KIND[kind]()
    guesses = some(lesson.guess, count)
    truth = some(lesson.guess, 2)[1]
    hidden = draw_guesses(lesson, guesses, None, None, Ink())
    shown = draw_guesses(lesson, guesses, truth, guesses[0] if guesses else None, Ink(dark=True))
    for panel in (hidden, shown):
        assert panel.alt.startswith(f"{count} guess{'' if count == 1 else 'es'} to “{lesson.title}”")
        table = panel.table()
        if kind is Curve:
            if count:
                np.testing.assert_allclose(table["median"], np.median(np.array(guesses), axis=0))
                points = np.asarray(panel.figure.data[0].y)
                assert np.count_nonzero(~np.isnan(points)) == count * len(lesson.guess.at)
        else:
            assert table["guesses"].sum() == count
    mark = "<b>" if kind is Number else "answer"
    drawn = [panel.figure.to_json().replace("\\u003c", "<").replace("\\u003e", ">") for panel in (hidden, shown)]
    assert mark not in drawn[0] and mark in drawn[1]
    assert "answer" not in hidden.alt and "off by" not in hidden.alt


def test_a_range_is_cut_into_bars_that_hold_both_ends():
    lesson = BY_KIND[Number]()
    low, high = lesson.guess.low, lesson.guess.high
    table = draw_guesses(lesson, [low, high, high], None, None, Ink()).table()
    assert table["guesses"][0] == 1 and table["guesses"][-1] == 2 and table["guesses"].sum() == 3
    assert table["from"][0] == low and table["to"][-1] == high


def test_an_answer_outside_the_range_of_guesses_is_still_on_the_axis():
    lesson = BY_KIND[Number]()
    above = lesson.guess.high * 2
    figure = draw_guesses(lesson, [lesson.guess.low], above, None, Ink()).figure
    assert figure.layout.xaxis.range[1] > above
