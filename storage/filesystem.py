"""What kind of disk a file is on: SQLite's log needs memory that its processes share, which a network cannot give."""

import re
from pathlib import Path
from typing import Final

_MOUNTS = Path("/proc/self/mounts")
# As the kernel calls them; every file system of FUSE but those of local disks is somebody's network.
_NETWORK: Final = {
    *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs"),
    *("prl_fs", "smb3", "smbfs", "vboxsf", "virtiofs"),
}
_LOCAL_FUSE: Final = {"fuse.fuse-overlayfs", "fuse.ntfs-3g", "fuse.exfat", "fuse.mergerfs", "fuseblk"}
_ESCAPED = re.compile(r"\\([0-7]{3})")  # blanks, tabs, newlines and backslashes in the names of mount points


def network_file_system(path: Path, *, mounts: Path = _MOUNTS) -> str | None:
    """The name of the network file system that `path` is on, such as "nfs4".

    Args:
        path: need not exist.
        mounts: Linux's table of mounts.

    Returns:
        None on a local disk, and on systems (other than Linux) that do not tell.
    """
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
        where = path.resolve()
    except (OSError, ValueError):  # ValueError: a NUL in the name, which whoever opens it will say
        return None
    found, depth = "", 0
    for line in lines:
        _, point, kind, *_ = [*line.split(" "), "", "", ""]
        mounted = Path(_ESCAPED.sub(lambda match: chr(int(match[1], 8)), point))
        if point.startswith("/") and where.is_relative_to(mounted) and len(mounted.parts) >= depth:
            found, depth = kind, len(mounted.parts)  # the last of several at one place is on top
    return found if found in _NETWORK or (found.startswith("fuse.") and found not in _LOCAL_FUSE) else None
