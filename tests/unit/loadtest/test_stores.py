from pathlib import Path

from loadtest.stores import measured


async def test_a_store_is_measured_at_every_length_and_reads_no_more_of_a_longer_conversation(
    tmp_path: Path,
) -> None:
    told = await measured([f"sqlite:{tmp_path}/turns.sqlite"], lengths=(2, 40, 80))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines()[-3:]]
    assert [row[:2] for row in rows] == [["sqlite", "2"], ["sqlite", "40"], ["sqlite", "80"]]
    assert all(float(cell) > 0 for row in rows for cell in row[2:6])
    read = [int(row[6]) for row in rows]
    assert read[0] == 2
    assert 20 < read[1] <= 40
    assert read[2] <= read[1] + 8
