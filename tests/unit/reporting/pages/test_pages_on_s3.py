"""The pages in a bucket."""

from pathlib import Path

import s3fs

from pipeline_lib.reporting.pages.index_page import write_index
from pipeline_lib.reporting.pages.writing import write_page
from tests.helpers.watching.night_files import MadeNight, night


def test_pages_are_made_from_a_bucket_and_into_it_so_that_a_browser_shows_them(
    tmp_path: Path, s3_server: str
) -> None:
    del s3_server  # libraries find it by the environment
    store = s3fs.S3FileSystem()
    store.mkdir("pages")
    stats = MadeNight(0).statistics()
    MadeNight(0).write(tmp_path)
    MadeNight(1, earlier=[stats], held_by="max_reject_rate", error="too many").write(tmp_path)
    store.put(f"{tmp_path}/", "pages/scores/", recursive=True)
    where = "s3://pages/scores/ds={date}"
    assert write_page(where, night(0)) == "s3://pages/scores/ds=2026-11-01/_report.html"
    held = write_page(where, night(1))
    assert held.startswith("s3://pages/scores/ds=2026-11-02/_staging/")
    for output in (where, "s3://pages/scores", "s3://pages/scores/ds=2026-11-02"):
        assert write_index(output) == "s3://pages/scores/_index.html"
    store.invalidate_cache()
    index = store.cat_file("pages/scores/_index.html").decode()
    assert 'href="ds%3D2026-11-01/_report.html"' in index
    assert "held by max_reject_rate" in index
    for page in ("pages/scores/_index.html", held.removeprefix("s3://")):
        assert store.info(page)["ContentType"] == "text/html; charset=utf-8"
