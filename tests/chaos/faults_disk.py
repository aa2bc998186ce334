# SPDX-License-Identifier: Apache-2.0
"""A disk that is really full: a database on a tmpfs that only its own processes see."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

from harness import wait_until
from parts import ROOT, fault

DISK_MIB = 320
SMALL = "\nshared_buffers = 64MB\nmin_wal_size = 32MB\nmax_wal_size = 64MB\n"


def may_mount(world):
    probe = ["unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return os.geteuid() == 0 and shutil.which("unshare") and subprocess.run(probe, capture_output=True).returncode == 0


class SmallDisk:
    """Postgres in a mount namespace that a sleeping process keeps; the stack's own rests meanwhile, and lends its port."""

    def __init__(self, stack):
        self.stack = stack
        # below a folder that Postgres' user can reach
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="weir-disk-", dir="/var/tmp"))
        mount = f"mount -t tmpfs -o size={DISK_MIB}m,mode=0755 tmpfs '{self.folder}' && echo ready && exec sleep infinity"
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount]
        self.keeper = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.keeper.stdout.readline() == b"ready\n"
        self.seen = pathlib.Path(f"/proc/{self.keeper.pid}/root{self.folder}")  # the folder as its processes see it

    def postgres(self, verb):
        command = ["nsenter", f"--mount=/proc/{self.keeper.pid}/ns/mnt", "env", f"WEIR_STATE={self.folder}",
                   str(ROOT / "tests/services/postgres.sh"), verb]  # fmt: skip
        done = subprocess.run(command, cwd="/", env=self.stack.env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stderr}"

    def start(self):
        """The first start writes the cluster; its settings are for larger disks."""
        self.postgres("start")
        self.postgres("stop")
        with open(self.seen / "postgres/data/postgresql.conf", "a") as file:
            file.write(SMALL)
        self.postgres("start")
        self.stack.run("migrate")

    def fill(self):
        with open(self.seen / "filler", "ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(1 << 20)) == 1 << 20:
                pass

    def repair(self):
        """There is room again; a database that had to end itself is started."""
        (self.seen / "filler").unlink(missing_ok=True)
        self.postgres("start")

    def said(self, text):
        return text in (self.seen / "postgres/server.log").read_text(errors="replace")

    def close(self):
        with contextlib.suppress(AssertionError):
            self.repair()
            self.postgres("stop")
        self.keeper.kill()
        self.keeper.wait()
        self.folder.rmdir()


@fault("disk of Postgres full", "11", needs=(may_mount, "it takes a tmpfs, which only root may mount"), anew=True)
def disk_full(world, scale):
    stack = world.stack
    world.begin_anew()
    stack.postgres("stop")
    stack.disk = disk = SmallDisk(stack)
    worst = 0.0
    try:
        disk.start()
        processors = world.running()
        with world.traffic() as traffic:
            for _ in range(2):
                world.wait_sent(traffic, 200)
                disk.fill()
                wait_until(lambda: disk.said("No space left on device"), 60, "the disk is full")
                world.wait_sent(traffic, 300)
                assert processors.is_alive()
                disk.repair()
                worst = max(worst, world.recover())
        world.verify("disk of Postgres full", 2, worst)
        world.results.pop()  # the caller notes it
    finally:
        world.stopped()
        stack.disk = None
        disk.close()
        stack.postgres("start")
    return 2, worst
