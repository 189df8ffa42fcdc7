"""Builds the fuzz targets with clang and runs each for a while: `python -m tests.fuzz [--seconds 60] [TARGET ...]`.

Sanitizers judge, beside what a target itself demands. What a run finds of interest is kept in build/fuzz/found/TARGET,
where the next run goes on from; an input that breaks something is written beside it, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ratelimitd.waf.injection import InjectionError, injection_library

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "fuzz"
SOURCES = ("bytes/*.cc", "wire/*.cc", "net/tls.cc", "net/tls_identity.cc")
LIBRARIES = ("-lnghttp2", "-lz", "-lssl", "-lcrypto", "-lpcre2-8", "-lbrotlidec", "-lxml2", "-ldl")
FLAGS = (
    "-std=c++20",
    "-O1",
    "-g",
    "-fno-omit-frame-pointer",
    f"-I{ROOT / 'ext'}",
    f"-I{HERE}",
    "-I/usr/include/libxml2",
)
SANITIZERS = "address,undefined"
MARCH = ("-march=x86-64-v2",) if os.uname().machine == "x86_64" else ()
# Bytes of an input; what is slow by design gets less.
LONGEST = {"transform": 512, "pcre": 512, "inflate": 2048, "http2": 2048, "http1": 2048, "messages": 2048, "tls": 1024}
JOBS = os.cpu_count() or 1


def clang() -> str | None:
    """The newest clang++ that there is: $CLANGXX, or by name."""
    wanted = [os.environ.get("CLANGXX", ""), "clang++", *(f"clang++-{version}" for version in range(21, 13, -1))]
    return next((found for name in wanted if name and (found := shutil.which(name))), None)


def targets() -> list[str]:
    return sorted(path.stem for path in HERE.glob("*.cc"))


@dataclass(frozen=True)
class Compiler:
    command: tuple[str, ...]

    def compile(self, source: Path, sanitize: str) -> Path:
        """source as an object, made again when anything it includes is newer."""
        target = BUILD / "objects" / source.relative_to(ROOT).with_suffix(".o")
        notes = target.with_suffix(".d")
        if target.exists() and notes.exists():
            names = notes.read_text().replace("\\\n", " ").split(":", 1)[1].split()
            if all(Path(n).exists() and Path(n).stat().st_mtime <= target.stat().st_mtime for n in names):
                return target
        target.parent.mkdir(parents=True, exist_ok=True)
        how = (f"-fsanitize={sanitize}", "-fno-sanitize-recover=all", "-MMD", "-MF", str(notes))
        subprocess.run([*self.command, *FLAGS, *MARCH, *how, "-c", str(source), "-o", str(target)], check=True)
        return target

    def build(self, names: list[str]) -> None:
        """Every target as a program in build/fuzz."""
        rooms = sorted(source for some in SOURCES for source in (ROOT / "ext").glob(some))
        with ThreadPoolExecutor(JOBS) as pool:
            objects = list(pool.map(lambda s: self.compile(s, f"fuzzer-no-link,{SANITIZERS}"), rooms))
            mains = list(pool.map(lambda n: self.compile(HERE / f"{n}.cc", f"fuzzer-no-link,{SANITIZERS}"), names))
        archive = BUILD / "libfuzzed.a"
        archive.unlink(missing_ok=True)
        subprocess.run(["ar", "rcs", str(archive), *map(str, objects)], check=True)
        for name, main in zip(names, mains, strict=True):
            link = [f"-fsanitize=fuzzer,{SANITIZERS}", str(main), str(archive), *LIBRARIES, "-o", str(BUILD / name)]
            subprocess.run([self.command[-1], *link], check=True)


def run(name: str, seconds: int) -> str:
    """What went wrong; empty when nothing did."""
    found = BUILD / "found" / name
    found.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST.get(name, 4096)}", "-timeout=5", "-rss_limit_mb=1024"]
    where = [f"-artifact_prefix={found.parent}/{name}-", found, HERE / "corpus" / name]
    done = subprocess.run(
        [BUILD / name, *limits, "-print_final_stats=1", *where],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    said = done.stdout.decode(errors="replace")
    runs = next((line.split()[-1] for line in said.splitlines() if "number_of_executed_units" in line), "?")
    print(f"  {name}: {runs} runs, {'ok' if done.returncode == 0 else 'BROKEN'}", flush=True)
    return "" if done.returncode == 0 else "\n".join(said.splitlines()[-60:])


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(targets())}")
    arguments.add_argument("--seconds", type=int, default=60, help="of each target")
    chosen = arguments.parse_args()
    if unknown := set(chosen.targets) - set(targets()):
        arguments.error(f"no such target: {', '.join(sorted(unknown))}")
    names = chosen.targets or targets()
    compiler = clang()
    if compiler is None:
        print("FUZZERS SKIPPED: there is no clang++ (Debian: apt-get install clang)", file=sys.stderr)
        return 0
    try:
        os.environ["RATELIMITD_LIBINJECTION"] = injection_library()
    except InjectionError as error:
        print(f"FUZZER injection SKIPPED: {error}", file=sys.stderr)
        names = [name for name in names if name != "injection"]
    ccache = shutil.which("ccache")
    Compiler((*([ccache] if ccache else []), compiler)).build(names)
    with ThreadPoolExecutor(JOBS) as pool:
        broken = [said for said in pool.map(lambda name: run(name, chosen.seconds), names) if said]
    for said in broken:
        print(f"\n{said}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
