"""Path following in a real browser: a link as the first request of a fresh server."""

METRICS = "[...document.querySelectorAll('[data-testid=stMetricValue]')].map(e => e.innerText)"


def settled(page):
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length >= 8")
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget]')")


def test_a_link_is_the_first_request_of_a_fresh_server(browser, fresh_server):
    numbers = []
    for _ in range(2):
        context = browser.new_context(viewport={"width": 1000, "height": 1000})
        page = context.new_page()
        outside = []
        page.on("request", lambda one, seen=outside: seen.append(one.url) if "127.0.0.1" not in one.url else None)
        page.goto(f"{fresh_server}/path-following?operator=quantize&bits=3&scaling=2&seed=5")
        settled(page)
        numbers.append(page.evaluate(METRICS))
        assert page.locator('[data-testid="stException"]').count() == 0
        assert [url for url in outside if url.startswith("http")] == []
        width = "(e => e.scrollWidth <= e.clientWidth + 2)(document.querySelector('[data-testid=stMain]'))"
        assert page.evaluate(width)
        context.close()
    assert numbers[0] == numbers[1] and len(numbers[0]) == 3 and numbers[0][2] == "Yes"
