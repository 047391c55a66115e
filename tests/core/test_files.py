"""Files: whole or not at all, and inside their folder or not at all."""

from __future__ import annotations

import os
import resource
import signal
import string
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terracube.core.errors import HostileInputError, InputError, StorageError
from terracube.core.files import atomic_path, is_remote, remove, resolve_below, safe_name, write_text

SAFE = set(string.ascii_letters + string.digits + "._+-")


def fail_half_way(path: Path, error: BaseException, below: str = "") -> None:
    """Start writing a file, or a folder with a file, and fail."""
    with atomic_path(path) as temporary:
        if below:
            temporary.mkdir()
        (temporary / below).write_text("half")
        raise error


class TestAtomic:
    def test_file_appears_when_whole(self, tmp_path):
        """Nothing is seen under the final name before the block ends, and only that afterwards."""
        path = tmp_path / "new" / "a.tif"
        with atomic_path(path) as temporary:
            temporary.write_text("content")
            assert not path.exists()
            assert temporary.suffix == ".tif"
            assert temporary.name.startswith(".writing-")
        assert path.read_text() == "content"
        assert os.listdir(path.parent) == ["a.tif"]

    @pytest.mark.parametrize("error", [InputError("no"), KeyError("no"), KeyboardInterrupt()])
    def test_an_exception_leaves_the_old_file(self, tmp_path, error):
        """If the block fails, the earlier file is untouched, nothing else is left, and the error is the same one."""
        path = tmp_path / "a.txt"
        write_text(path, "old")
        with pytest.raises(type(error)) as told:
            fail_half_way(path, error)
        assert told.value is error
        assert path.read_text() == "old"
        assert os.listdir(tmp_path) == ["a.txt"]

    def test_a_folder_can_be_written(self, tmp_path):
        """A folder appears whole too; a failed one leaves nothing."""
        with atomic_path(tmp_path / "group") as temporary:
            (temporary / "inner").mkdir(parents=True)
            (temporary / "inner" / "a").write_text("1")
        assert (tmp_path / "group" / "inner" / "a").read_text() == "1"
        with pytest.raises(InputError):
            fail_half_way(tmp_path / "other", InputError("no"), below="inner")
        assert os.listdir(tmp_path) == ["group"]

    def test_nothing_written_is_an_error(self, tmp_path):
        """A block that writes nothing cannot have made the file."""
        with pytest.raises(StorageError, match="could not write"), atomic_path(tmp_path / "a"):
            pass
        assert os.listdir(tmp_path) == []

    def test_a_parent_that_is_a_file(self, tmp_path):
        """A place that cannot be is a storage error that names it, not a bare one of the system."""
        (tmp_path / "file").touch()
        with pytest.raises(StorageError, match="file/a"):
            write_text(tmp_path / "file" / "a", "x")

    def test_two_threads_write_one_path(self, tmp_path):
        """Two writers of one path never mix: the last one wins, whole."""
        path, both = tmp_path / "a", threading.Barrier(2)

        def write(letter: str) -> None:
            with atomic_path(path) as temporary:
                both.wait()
                temporary.write_text(letter * 1000)
                both.wait()

        threads = [threading.Thread(target=write, args=(letter,)) for letter in "xy"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert path.read_text() in ("x" * 1000, "y" * 1000)
        assert os.listdir(tmp_path) == ["a"]

    def test_a_full_disk_is_told_and_leaves_nothing(self, tmp_path):
        """Where the system refuses to write, a StorageError says so and neither name exists."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        try:
            with pytest.raises(StorageError, match=r"a\.txt.*File too large"):
                write_text(tmp_path / "a.txt", "x" * 5000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert os.listdir(tmp_path) == []

    def test_a_killed_writer_leaves_no_final_name(self, tmp_path):
        """After kill -9 in the middle the final name does not exist; what is left says that it was being written."""
        program = (
            "import os, signal, sys; from pathlib import Path\n"
            "from terracube.core.files import atomic_path\n"
            "with atomic_path(Path(sys.argv[1])) as temporary:\n"
            "    temporary.write_text('half')\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.txt")], check=False)
        assert done.returncode == -signal.SIGKILL
        assert all(name.startswith(".writing-") for name in os.listdir(tmp_path))

    def test_content_is_on_the_disk_before_its_name(self, tmp_path, monkeypatch):
        """File, then the folder that holds its new name, are flushed: a power cut leaves all or nothing."""
        done, flush, rename = [], os.fsync, os.replace

        def note(handle: int) -> None:
            done.append(Path(os.readlink(f"/proc/self/fd/{handle}")))
            flush(handle)

        def move(source: Path, target: Path) -> None:
            done.append("rename")
            rename(source, target)

        monkeypatch.setattr(os, "fsync", note)
        monkeypatch.setattr(os, "replace", move)
        with atomic_path(tmp_path / "folder") as temporary:
            (temporary / "inner").mkdir(parents=True)
            (temporary / "inner" / "file").write_text("x")
        assert done == [temporary, temporary / "inner", temporary / "inner" / "file", "rename", tmp_path]

    def test_text_is_utf8(self, tmp_path):
        """Text is written in UTF-8 whatever the machine's language."""
        write_text(tmp_path / "a", "Škofja Loka · 北")
        assert (tmp_path / "a").read_bytes() == "Škofja Loka · 北".encode()


class TestRemove:
    def test_kinds(self, tmp_path):
        """Files, folders and links go; a link's target stays; what is not there is no error."""
        (tmp_path / "folder" / "inner").mkdir(parents=True)
        (tmp_path / "file").touch()
        (tmp_path / "link").symlink_to(tmp_path / "folder")
        (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
        for name in ("link", "dangling", "file", "missing", "file/below"):
            remove(tmp_path / name)
        assert os.listdir(tmp_path) == ["folder"]
        remove(tmp_path / "folder")
        assert os.listdir(tmp_path) == []


class TestSafeName:
    @given(st.text(max_size=200))
    def test_accepts_exactly_what_it_promises(self, name):
        """A name passes if and only if it is short, of safe characters, and starts with a letter or digit."""
        right = 0 < len(name) <= 128 and set(name) <= SAFE and name[0] not in "._+-"
        if right:
            assert safe_name(name, what="item id") == name
        else:
            with pytest.raises(HostileInputError, match="item id"):
                safe_name(name, what="item id")

    @given(st.text(st.sampled_from(sorted(SAFE)), min_size=1, max_size=128).filter(lambda n: n[0].isalnum()))
    def test_accepted_names_stay_in_their_folder(self, name):
        """An accepted name is one part of a path, below whatever folder it is joined to."""
        path = Path("/folder") / safe_name(name, what="item id")
        assert path.parent == Path("/folder")
        assert os.path.normpath(path) == str(path)

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\0b", "a\n", "-rf", ".hidden", "x" * 129, "a b"])
    def test_refuses(self, name):
        """Empty, dots, separators, NUL, line breaks, options, hidden and overlong names are refused."""
        with pytest.raises(HostileInputError):
            safe_name(name, what="asset key")

    def test_a_long_name_is_told_in_short(self):
        """The message holds the length rather than the whole of an overlong name."""
        with pytest.raises(HostileInputError, match=r"\(3000 characters\)") as told:
            safe_name("x" * 3000, what="item id")
        assert len(str(told.value)) < 500


class TestRemote:
    @pytest.mark.parametrize(
        "href",
        [
            "https://a/b.tif",
            "HTTP://a",
            "s3://a/b",
            "gs://a",
            "ftp://a",
            "/vsicurl/http://a",
            "/vsizip/a.zip/b",
            "data:image/png;base64,AA",
            "//[",
            "http://[::1",
        ],
    )
    def test_remote(self, href):
        """Addresses, GDAL's virtual files and malformed addresses are no files of this machine."""
        assert is_remote(href)

    @pytest.mark.parametrize("href", ["B04.tif", "./B04.tif", "../x", "/abs/B04.tif", "file:///abs/B04.tif", ""])
    def test_local(self, href):
        """Paths, also those that will be refused for other reasons, are local."""
        assert not is_remote(href)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a file, and links that stay, leave, and lead to themselves."""
    place = tmp_path_factory.mktemp("item")
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("secret")
    (place / "B04.tif").touch()
    (place / "inside").symlink_to("B04.tif")
    (place / "escape").symlink_to(outside)
    (place / "loop").symlink_to("loop")
    return place


class TestResolveBelow:
    @pytest.mark.parametrize("href", ["B04.tif", "./B04.tif", "a/../B04.tif", "inside", "not/there.tif", "loop"])
    def test_below(self, folder, href):
        """Paths below the folder are given, there or not, also over links that stay inside."""
        assert resolve_below(folder, href) == folder / href

    @pytest.mark.parametrize(
        "href",
        [
            "../x",
            "a/../../x",
            "/etc/passwd",
            "escape/secret",
            "a\0b",
            "https://a/b.tif",
            "/vsicurl/http://a",
            "x" * 300,
            "a/" * 600,
            "\ud800.tif",
            "//[",
            "//host/share",
            "file:///etc/passwd",
        ],
    )
    def test_refused(self, folder, href):
        """What is remote, absolute, leaves the folder, or can be no name of a file, is refused by name."""
        with pytest.raises(HostileInputError, match="leaves the folder"):
            resolve_below(folder, href)

    @given(st.text(st.sampled_from("ab./\\\0~%\ud800é "), max_size=20) | st.text(max_size=20))
    def test_never_outside(self, folder, href):
        """Whatever the href, the answer lies below the folder, or the href is refused; nothing else happens."""
        try:
            path = resolve_below(folder, href)
        except HostileInputError:
            return
        assert Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
        assert not path.is_file() or path.resolve() == folder.resolve() / "B04.tif"

    def test_folder_behind_a_link(self, folder, tmp_path):
        """An item's folder may itself be reached over a link."""
        (tmp_path / "way").symlink_to(folder)
        assert resolve_below(tmp_path / "way", "B04.tif").is_file()
