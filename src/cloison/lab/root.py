"""The file system of a node: the host's programs, read-only, under a root that holds nothing else of the host.

A node has a disk (its root, which outlives a reboot) and what every boot makes anew: /run, /tmp, /dev, /proc.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Final

from cloison.lab.kernel import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    bind_read_only,
    mount,
    pivot_root,
    set_host_name,
)

STAGE: Final = Path("/run")
"""Where the daemon, in its own mount namespace, keeps the layers and the disks; it hides the host's /run from it."""
_LAYER: Final = STAGE / "usr"
DISK_SIZE: Final = "768m"
"""The most that a node's disk may hold; memory is used only for what is written."""

HIDDEN_UNDER_USR: Final = ("local", "src")
"""Folders of /usr where an administrator keeps their own things: the host's are not seen in a node."""
FOLDERS: Final = (
    ("dev", 0o755),
    ("etc", 0o755),
    ("etc/ssl/private", 0o700),
    ("etc/ssl/certs", 0o755),
    ("home", 0o755),
    ("opt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("srv", 0o755),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/local", 0o755),
    ("var/cache", 0o755),
    ("var/empty", 0o755),
    ("var/lib", 0o755),
    ("var/log", 0o755),
    ("var/spool", 0o755),
    ("var/tmp", 0o1777),
)
LINKS: Final = (
    ("bin", "usr/bin"),
    ("lib", "usr/lib"),
    ("lib32", "usr/lib32"),
    ("lib64", "usr/lib64"),
    ("sbin", "usr/sbin"),
    ("var/run", "../run"),
    ("var/lock", "../run/lock"),
    ("etc/mtab", "../proc/self/mounts"),
)
FROM_HOST: Final = ("ld.so.cache", "alternatives", "protocols", "services", "fonts")
"""What of the host's /etc a node is given: what packages put there for programs to run, none of it a setting."""
_HOST: Final = Path("/etc")
USERS: Final = (
    ("root", 0, "/root", "/bin/bash"),
    ("daemon", 1, "/usr/sbin", "/usr/sbin/nologin"),
    ("www-data", 33, "/var/www", "/usr/sbin/nologin"),
    ("nobody", 65534, "/nonexistent", "/usr/sbin/nologin"),
    ("sshd", 101, "/run/sshd", "/usr/sbin/nologin"),
    ("_chrony", 102, "/var/lib/chrony", "/usr/sbin/nologin"),
    ("tcpdump", 103, "/nonexistent", "/usr/sbin/nologin"),
    ("openvswitch", 104, "/var/lib/openvswitch", "/usr/sbin/nologin"),
)
GROUPS: Final = (("adm", 4), ("tty", 5), ("shadow", 42), ("utmp", 43), ("video", 44))
"""Beside one group a user, of the same number."""
TEXTS: Final = {
    "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\nprotocols: files\n",
    "host.conf": "multi on\n",
    "shells": "/bin/sh\n/bin/bash\n",
    "ssl/openssl.cnf": "openssl_conf = init\n[init]\n[req]\ndistinguished_name = name\n[name]\n",
    "profile": "umask 022\n",
    "login.defs": "UMASK 022\n",
}
DEVICES: Final = (
    ("null", 1, 3, 0o666),
    ("zero", 1, 5, 0o666),
    ("full", 1, 7, 0o666),
    ("random", 1, 8, 0o666),
    ("urandom", 1, 9, 0o666),
    ("tty", 5, 0, 0o666),
    ("net/tun", 10, 200, 0o600),
)
MASKED: Final = (
    "kcore",
    "kmsg",
    "sysrq-trigger",
    "kallsyms",
    "kpagecount",
    "kpageflags",
    "partitions",
    "diskstats",
    "keys",
    "timer_list",
)
"""Files of /proc that show or touch the machine and not the node."""


def prepare_layers(unpacked: Path) -> None:
    """Make the read-only /usr that every node gets: the host's, with `unpacked` over it when that folder exists.

    Called once, by the daemon, in its own mount namespace.
    """
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    mount("stage", str(STAGE), "tmpfs", MS_NOSUID, "mode=700")
    _LAYER.mkdir()
    if unpacked.is_dir():
        over = str(unpacked).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
        mount("usr", str(_LAYER), "overlay", MS_RDONLY, f"lowerdir={over}:/usr")
    else:
        bind_read_only("/usr", str(_LAYER))
    for folder in HIDDEN_UNDER_USR:
        if (_LAYER / folder).is_dir():
            mount("none", str(_LAYER / folder), "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV, "mode=755,size=4k")


def make_disk(disk: Path, host_name: str, full_name: str) -> None:
    """Make the root of a node at `disk`: an empty tmpfs with the folders, links and /etc that every node has."""
    disk.mkdir(parents=True)
    mount("disk", str(disk), "tmpfs", MS_NOSUID, f"mode=755,size={DISK_SIZE}")
    for folder, mode in FOLDERS:
        (disk / folder).mkdir(parents=True, exist_ok=True)
        (disk / folder).chmod(mode)
    for link, target in LINKS:
        (disk / link).symlink_to(target)
    etc = disk / "etc"
    for name in FROM_HOST:
        if (source := _HOST / name).is_dir():
            shutil.copytree(source, etc / name, symlinks=True, copy_function=shutil.copyfile)
        elif source.is_file():
            shutil.copyfile(source, etc / name)
    for name, text in TEXTS.items():
        (etc / name).write_text(text, encoding="ascii")
    (etc / "hostname").write_text(f"{host_name}\n", encoding="ascii")
    hosts = f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {full_name} {host_name}\n"
    (etc / "hosts").write_text(hosts, encoding="ascii")
    _write_accounts(etc)


def _write_accounts(etc: Path) -> None:
    users = [f"{name}:x:{number}:{number}::{home}:{shell}\n" for name, number, home, shell in USERS]
    groups = [f"{name}:x:{number}:\n" for name, number in (*((user[0], user[1]) for user in USERS), *GROUPS)]
    (etc / "passwd").write_text("".join(users), encoding="ascii")
    (etc / "group").write_text("".join(groups), encoding="ascii")
    # No password matches `*`; unlike `!`, it does not lock the account for sshd's public keys.
    (etc / "shadow").write_text("".join(f"{user[0]}:*:::::::\n" for user in USERS), encoding="ascii")
    (etc / "shadow").chmod(0o640)


def enter_disk(disk: Path, host_name: str) -> None:
    """Make the calling process, first of its namespaces, live on the disk: nothing else is visible from here on."""
    root = str(disk)
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    mount(root, root, flags=MS_BIND)
    own = os.open(f"{root}/usr/local", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)  # the node's, under the host's /usr
    mount(str(_LAYER), f"{root}/usr", flags=MS_BIND | MS_REC)
    mount(f"/proc/self/fd/{own}", f"{root}/usr/local", flags=MS_BIND)
    os.close(own)
    for name, mode in (("run", "755"), ("tmp", "1777")):
        mount(name, f"{root}/{name}", "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode},size=128m")
    for name in ("lock", "sshd"):
        (disk / "run" / name).mkdir(0o755)
    _make_devices(disk / "dev")
    mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    pivot_root(root)
    _guard_proc()
    set_host_name(host_name)


def _make_devices(dev: Path) -> None:
    mount("dev", str(dev), "tmpfs", MS_NOSUID, "mode=755,size=64m")
    for name, mode in (("pts", 0o755), ("net", 0o755), ("shm", 0o1777)):
        (dev / name).mkdir()
        (dev / name).chmod(mode)
    for name, major, minor, mode in DEVICES:
        os.mknod(dev / name, stat.S_IFCHR | mode, os.makedev(major, minor))
        (dev / name).chmod(mode)
    mount("devpts", str(dev / "pts"), "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5")
    for name, target in (
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ):
        (dev / name).symlink_to(target)


def _guard_proc() -> None:
    """Leave of /proc/sys only net, which is the namespace's own, writable; mask what shows the machine."""
    bind_read_only("/proc/sys", "/proc/sys")
    mount("/proc/sys/net", "/proc/sys/net", flags=MS_BIND)
    mount("", "/proc/sys/net", flags=MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for name in MASKED:
        if Path(f"/proc/{name}").exists():
            mount("/dev/null", f"/proc/{name}", flags=MS_BIND)
