from sdqviz.recent import Recent


def test_recent_keeps_the_newest_within_number_and_weight():
    kept = Recent(3, 10.0)
    for key in range(4):
        kept.put(key, key * 10)
    assert kept.get(0) is None and kept.get(3) == 30 and len(kept) == 3
    kept.get(1)  # now the newest
    kept.put(9, 90, weight=10.0)
    assert kept.get(9) == 90 and kept.get(1) == 10  # weights of the others are 0
    kept.put(10, 100, weight=99.0)  # alone heavier than allowed: kept, everything else goes
    assert kept.get(10) == 100 and len(kept) == 1
