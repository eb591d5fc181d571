"""A Slurm of two nodes on this machine: real daemons with an authentication key and ports of their own."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch")
WHERE = ("/usr/sbin", "/usr/bin")

CONFIG = """
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=n0 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=4000
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=4000
PartitionName=low Nodes=n0,n1 Default=YES PriorityTier=1 GraceTime=30 MaxTime=INFINITE
PartitionName=high Nodes=n0,n1 PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE
"""


def missing() -> str:
    """The first daemon that this machine lacks; empty where all are there and may be started."""
    path = os.pathsep.join(WHERE)
    lacking = [name for name in DAEMONS if shutil.which(name, path=path) is None]
    return lacking[0] if lacking else "" if os.geteuid() == 0 else "root, who starts Slurm's daemons"


REVOKED_S = 2.0


@dataclass(frozen=True, slots=True)
class Slurm:
    """`folder` holds everything that the daemons write; `environment` is that of the users' commands."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, *command: str, check: bool = True, **more: str) -> str:
        """What a command prints; `more` is added to its environment."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **more},
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip() or done.stderr.strip()

    def states(self) -> dict[str, str]:
        """The state of each job that has not ended, and why it waits."""
        lines = self.run("squeue", "--array", "--noheader", "--format=%i %T/%r").splitlines()
        return dict(line.split(maxsplit=1) for line in lines)

    def ended(self, job: str, timeout_s: float = 400.0) -> str:
        """The exit code that a job ended with, as Slurm has it. One that was queued again begins at once."""
        until_s = time.monotonic() + timeout_s
        while job in self.states():
            assert time.monotonic() < until_s, f"{self.states()}\n{self.output(job)}"
            if self._waits(job):
                self.run("scontrol", "update", f"jobid={job}", "StartTime=now")
            time.sleep(0.5)
        shown = self.run("scontrol", "show", "job", job)
        return shown.split("ExitCode=")[1].split()[0]

    def begin_again(self, job: str, timeout_s: float = 90.0) -> None:
        """Lets a job that was queued again begin at once, without the minutes that Slurm gives it."""
        until_s = time.monotonic() + timeout_s
        while not self._waits(job):
            assert time.monotonic() < until_s, self.states()
            time.sleep(0.5)
        # A node revokes what was signed in the second of the requeue, and would kill the job as it starts.
        time.sleep(REVOKED_S)
        self.run("scontrol", "update", f"jobid={job}", "StartTime=now")

    def _waits(self, job: str) -> bool:
        return self.states().get(job, "").endswith("BeginTime")

    def output(self, job: str) -> str:
        """What the job printed so far."""
        path = self.folder / f"slurm-{job}.out"
        return path.read_text() if path.exists() else ""

    def wait_for(self, job: str, pattern: str, timeout_s: float = 300.0) -> None:
        """Until the job has printed what the regular expression finds."""
        until_s = time.monotonic() + timeout_s
        while not re.search(pattern, self.output(job)):
            assert time.monotonic() < until_s, self.output(job)
            time.sleep(0.2)


@contextmanager
def started(folder: Path) -> Iterator[Slurm]:
    """The cluster, until the end of the block."""
    host, ports = socket.gethostname(), _free_ports(3)
    for name in ("state", "n0", "n1"):
        (folder / name).mkdir()
    key, config = folder / "munge.key", folder / "slurm.conf"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    config.write_text(CONFIG.format(host=host, ports=ports, folder=folder, user="root"))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], *WHERE])
    kept = {name: os.environ[name] for name in ("HOME", "PYTHONPATH") if name in os.environ}
    environment = {**kept, "PATH": path, "SLURM_CONF": str(config), "OMP_NUM_THREADS": "1"}
    slurm = Slurm(folder, environment)
    files = [
        f"--{name}={folder}/munge.{name.split('-')[0]}" for name in ("pid-file", "log-file", "seed-file")
    ]
    munge = ["munged", "--force", "--foreground", f"--key-file={key}", f"--socket={folder}/munge.socket"]
    commands = [
        [*munge, *files],
        ["slurmctld", "-D", "-i", "-f", str(config)],
        *(["slurmd", "-D", "-N", node, "-f", str(config)] for node in ("n0", "n1")),
    ]
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            daemons.append(_start(command, environment))
            time.sleep(0.5)
        _wait_for_nodes(slurm)
        yield slurm
    finally:
        for job in slurm.states():
            slurm.run("scancel", "--signal=KILL", "--full", job, check=False)
        for daemon in reversed(daemons):
            daemon.terminate()
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _start(command: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdin=quiet, stdout=quiet, stderr=quiet)


def _wait_for_nodes(slurm: Slurm) -> None:
    until_s = time.monotonic() + 30.0
    while slurm.run("sinfo", "--noheader", "--partition=low", "--format=%D %T", check=False) != "2 idle":
        assert time.monotonic() < until_s, slurm.run("sinfo", check=False)
        time.sleep(0.5)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
