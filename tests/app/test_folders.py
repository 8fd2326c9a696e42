import os

from app.folders import remove_folder

DEEPER_THAN_CALLS_CAN_GO = 2000


def make_deep(folder):
    """Make folders in each other, deeper than any path can name."""
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(DEEPER_THAN_CALLS_CAN_GO):
        os.mkdir("below", dir_fd=descriptor)
        below = os.open("below", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)


def test_removes_files_and_folders(tmp_path):
    folder = tmp_path / "folder"
    (folder / "one" / "two").mkdir(parents=True)
    (folder / "one" / "file").write_bytes(b"1")
    (folder / "one" / "two" / "file").write_bytes(b"2")

    remove_folder(folder)

    assert not folder.exists()


def test_removes_folders_of_any_depth(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    make_deep(folder)

    remove_folder(folder)

    assert not folder.exists()


def test_removes_folders_closed_to_their_owner(tmp_path):
    folder = tmp_path / "folder"
    (folder / "closed" / "inner").mkdir(parents=True)
    (folder / "closed" / "inner").chmod(0)
    (folder / "closed").chmod(0)
    folder.chmod(0)

    remove_folder(folder)

    assert not folder.exists()


def test_follows_no_link(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"1")
    outside.chmod(0o755)
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "link").symlink_to(outside)
    (folder / "inner" / "link").symlink_to(outside)

    remove_folder(folder)

    assert not folder.exists()
    assert (outside / "kept").exists()
    assert outside.stat().st_mode & 0o777 == 0o755


def test_a_folder_that_is_gone_is_no_fault(tmp_path):
    remove_folder(tmp_path / "gone")
