"""Files of public data: the named folder first, then the cache, then a download that is whole or absent."""

import gzip
import hashlib
import http.server
import threading
import urllib.request

import pytest

from bayesrepair import status
from bayesrepair.datasets import download, load, mnist, public
from bayesrepair.datasets.download import PublicFile, locate


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test here sees the user's cache or data."""
    monkeypatch.setattr(download.platformdirs, "user_cache_path", lambda name: tmp_path / "cache")
    monkeypatch.delenv(download.VARIABLE, raising=False)
    return tmp_path / "cache" / "data"


GOOD = b"a,b\n" + b"1,2\n" * 50_000


class Server(http.server.BaseHTTPRequestHandler):
    """Serves one content in several states; counts what was asked for."""

    asked: list[str]

    def do_GET(self):
        self.asked.append(self.path)
        if self.path == "/absent":
            self.send_error(404)
            return
        body = {"/wrong": GOOD[:-2] + b"3\n", "/packed.gz": gzip.compress(GOOD, 1)}.get(self.path, GOOD)
        sent = body[: len(body) // 2] if self.path in ("/truncated", "/short") else body
        self.send_response(200)
        if self.path != "/short":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = type("Handler", (Server,), {"asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.asked = handler.asked
        running.url = f"http://127.0.0.1:{running.server_port}"
        yield running
        running.shutdown()
        thread.join()


def wanted(server, *pages, name="set/table.csv"):
    return PublicFile(name, hashlib.sha256(GOOD).hexdigest(), tuple(server.url + page for page in pages))


def test_download_happens_once(server, own_cache):
    path = locate(wanted(server, "/good"))
    assert path == own_cache / "set" / "table.csv"
    assert path.read_bytes() == GOOD
    assert locate(wanted(server, "/good")) == path
    assert server.asked == ["/good"]


def test_packed_files_are_checked_by_their_content(server):
    path = locate(wanted(server, "/packed.gz", name="set/table.csv.gz"))
    assert gzip.decompress(path.read_bytes()) == GOOD


@pytest.mark.parametrize(("page", "reason"), [
    ("/absent", "HTTP status 404"),
    ("/wrong", "wrong content"),
    ("/truncated", "broke off after 100002 of 200004 bytes"),
    ("/short", "wrong content"),
])  # fmt: skip
def test_a_bad_download_is_one_clear_error_and_leaves_nothing(server, own_cache, page, reason):
    with pytest.raises(status.MissingDataError) as caught:
        locate(wanted(server, page))
    text = str(caught.value)
    for part in (
        reason,
        "set/table.csv",
        hashlib.sha256(GOOD).hexdigest(),
        download.VARIABLE,
        str(own_cache),
    ):
        assert part in text
    assert [path for path in own_cache.rglob("*") if path.is_file()] == []


def test_a_broken_archive_is_refused(server):
    with pytest.raises(status.MissingDataError, match="damaged archive"):
        locate(wanted(server, "/good", name="set/table.csv.gz"))


def test_the_second_address_serves_when_the_first_fails(server):
    assert locate(wanted(server, "/absent", "/truncated", "/good")).read_bytes() == GOOD
    assert server.asked == ["/absent", "/truncated", "/good"]


def test_offline_is_one_clear_error(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    file = PublicFile("set/table.csv", "ab" * 32, ("http://127.0.0.1:9/table.csv",))
    with pytest.raises(status.MissingDataError, match=r"abababab.*not reached") as caught:
        locate(file)
    assert isinstance(caught.value, status.DataError)


def test_an_interrupted_download_is_never_taken_for_a_file(server, own_cache, monkeypatch):
    class Answer:
        headers = {"Content-Length": str(len(GOOD))}  # noqa: RUF012
        pieces = iter([GOOD[:1000]])

        def __enter__(self):
            return self

        def __exit__(self, *args):
            return None

        def read(self, size):
            for piece in self.pieces:
                return piece
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(urllib.request, "urlopen", lambda request, timeout: Answer())
        with pytest.raises(KeyboardInterrupt):
            locate(wanted(server, "/good"))
    assert [path for path in own_cache.rglob("*") if path.is_file()] == []
    assert locate(wanted(server, "/good")).read_bytes() == GOOD


def test_a_damaged_cache_is_fetched_again_with_a_warning(server):
    path = locate(wanted(server, "/good"))
    path.write_bytes(GOOD[:-1])
    with pytest.warns(status.BayesRepairWarning, match="damaged"):
        assert locate(wanted(server, "/good")).read_bytes() == GOOD
    assert server.asked == ["/good", "/good"]


def test_the_named_folder_comes_first(server, tmp_path, monkeypatch):
    (tmp_path / "shared" / "set").mkdir(parents=True)
    monkeypatch.setenv(download.VARIABLE, str(tmp_path / "shared"))
    file = wanted(server, "/good")
    assert "cache" in str(locate(file))
    (tmp_path / "shared" / "set" / "table.csv").write_bytes(GOOD)
    assert locate(file) == tmp_path / "shared" / "set" / "table.csv"
    assert server.asked == ["/good"]


def test_wrong_bytes_in_the_named_folder_are_an_error_not_a_download(server, tmp_path, monkeypatch):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "table.csv").write_bytes(GOOD + b"3,4\n")
    monkeypatch.setenv(download.VARIABLE, str(tmp_path))
    with pytest.raises(status.DataError, match=hashlib.sha256(GOOD).hexdigest()):
        locate(wanted(server, "/good"))
    assert server.asked == []


def test_a_named_folder_that_is_not_there_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv(download.VARIABLE, str(tmp_path / "typo"))
    with pytest.raises(status.DataError, match=r"BAYESREPAIR_DATA to name a folder; got '.*typo'"):
        load("pima")


def test_generated_sets_need_no_folder(monkeypatch, tmp_path):
    monkeypatch.setenv(download.VARIABLE, str(tmp_path / "typo"))
    assert len(load("spiral").frame) == 1000


def test_addresses_are_pinned_and_checksums_whole():
    files = [table.file for table in public.TABLES.values()] + list(mnist.FILES.values())
    assert len({file.path for file in files}) == 9
    for file in files:
        assert len(bytes.fromhex(file.sha256)) == 32
        assert file.urls
        assert all(url.startswith("https://") for url in file.urls)
