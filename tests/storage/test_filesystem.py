"""Network file systems are told from local ones, by the mount that a path is really on."""

import os
from pathlib import Path

import pytest

from nasturtium.storage.filesystem import network_file_system

MOUNTS = r"""/dev/vda / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/vdb /home/local ext4 rw 0 0
//server/share /mnt/team\040data cifs rw 0 0
me@server: /mnt/ssh fuse.sshfs rw 0 0
overlay /mnt/overlay fuse.fuse-overlayfs rw 0 0
bucket /mnt/bucket fuse.s3fs rw 0 0
/dev/sdc /mnt/usb fuseblk rw 0 0
host /mnt/host 9p rw 0 0
server:/old /mnt/twice nfs rw 0 0
/dev/vdc /mnt/twice xfs rw 0 0
server:/home2 /mnt/home nfs rw 0 0

broken
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/var/lib/history.db", None, id="root"),
        pytest.param("/home/me/history.db", "nfs4", id="nfs"),
        pytest.param("/home/local/history.db", None, id="disk-below-nfs"),
        pytest.param("/homestead/history.db", None, id="only-begins-alike"),
        pytest.param("/home/local/../me/history.db", "nfs4", id="dots"),
        pytest.param("/mnt/team data/history.db", "cifs", id="blank-in-name"),
        pytest.param("/mnt/ssh/a/b/c.db", "fuse.sshfs", id="sshfs"),
        pytest.param("/mnt/overlay/history.db", None, id="local-fuse"),
        pytest.param("/mnt/usb/history.db", None, id="fuseblk"),
        pytest.param("/mnt/bucket/history.db", "fuse.s3fs", id="bucket"),
        pytest.param("/mnt/host/history.db", "9p", id="9p"),
        pytest.param("/mnt/twice/history.db", None, id="mounted-over"),
        pytest.param("/mnt/home", "nfs", id="the-mount-itself"),
    ],
)
def test_the_file_system_of_a_path(tmp_path, path, expected):
    (tmp_path / "mounts").write_text(MOUNTS)
    assert network_file_system(Path(path), mounts=tmp_path / "mounts") == expected


def test_a_link_is_followed(tmp_path):
    (tmp_path / "mounts").write_text(f"/dev/vda / ext4 rw 0 0\nserver:/x {tmp_path / 'there'} nfs rw 0 0\n")
    (tmp_path / "there").mkdir()
    (tmp_path / "here").symlink_to(tmp_path / "there")
    assert network_file_system(tmp_path / "here" / "history.db", mounts=tmp_path / "mounts") == "nfs"


def test_a_system_that_does_not_tell(tmp_path):
    assert network_file_system(tmp_path, mounts=tmp_path / "absent") is None


@pytest.mark.skipif(not os.path.exists("/proc/self/mounts"), reason="only Linux has /proc")  # noqa: PTH110
def test_the_system_itself_answers(tmp_path):
    assert network_file_system(Path("/proc/self/status")) is None
