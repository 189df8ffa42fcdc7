"""Builds the engine: the C++ of ext/ as one static library, each .pyx as an extension linked to it, the protobuf code.

    python setup.py build_ext --inplace

RATELIMITD_SANITIZE=address,undefined (or thread) builds with sanitizers; RATELIMITD_DEBUG=1 without optimisation. Each
flavour has an object directory of its own under build/, so switching back costs nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
EXT = ROOT / "ext"
SANITIZE = os.environ.get("RATELIMITD_SANITIZE", "")
DEBUG = os.environ.get("RATELIMITD_DEBUG", "") == "1"
FLAVOUR = (SANITIZE.replace(",", "-") or "plain") + ("-debug" if DEBUG else "")
BUILD = ROOT / "build" / FLAVOUR
ROOMS = ("bytes", "match", "wire", "net", "limit", "scan", "waf")  # rooms of ext/ that may hold .cc files
LIBRARIES = ["-lnghttp2", "-lhs", "-lz", "-lssl", "-lcrypto", "-lpcre2-8", "-lbrotlidec", "-lxml2", "-lmaxminddb"]

# x86-64-v2 (2009) has the SSE4.2 that Vectorscan needs anyway. RATELIMITD_MARCH=native is for a build that stays on
# its machine.
MARCH = os.environ.get("RATELIMITD_MARCH", "x86-64-v2" if os.uname().machine == "x86_64" else "")
FLAGS = ["-g", "-fno-omit-frame-pointer", "-fvisibility=hidden", "-fPIC", f"-I{EXT}"]
FLAGS += ["-I/usr/include/hs", "-I/usr/include/libxml2"]
FLAGS += ["-O0"] if DEBUG else ["-O2"]
FLAGS += [f"-march={MARCH}"] if MARCH else []
FLAGS += [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=undefined"] if SANITIZE else []
CXX_FLAGS = ["-std=c++20", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers"]
CYTHON_FLAGS = ["-std=c++20", "-Wno-unused-function", "-Wno-sign-compare", "-Wno-cpp"]
LINK_FLAGS = [f"-fsanitize={SANITIZE}"] if SANITIZE else []


def compiler() -> list[str]:
    return os.environ.get("CXX", "g++").split()


def stale(target: Path, dependencies: Path) -> bool:
    """Is target older than anything its make-style dependency file names?"""
    if not target.exists() or not dependencies.exists():
        return True
    names = dependencies.read_text().replace("\\\n", " ").split(":", 1)[1].split()
    built = target.stat().st_mtime
    return any(not Path(n).exists() or Path(n).stat().st_mtime > built for n in names)


def compile_object(source: Path) -> Path:
    target = BUILD / "objects" / source.relative_to(EXT).with_suffix(".o")
    dependencies = target.with_suffix(".d")
    if stale(target, dependencies):
        target.parent.mkdir(parents=True, exist_ok=True)
        command = [
            *compiler(),
            *FLAGS,
            *CXX_FLAGS,
            "-MMD",
            "-MF",
            str(dependencies),
            "-c",
            str(source),
            "-o",
            str(target),
        ]
        print("compile", source.relative_to(ROOT), flush=True)
        subprocess.run(command, check=True)
    return target


def native_library() -> Path:
    """The C++ of every room as one static archive."""
    sources = sorted(s for room in ROOMS for s in (EXT / room).glob("*.cc"))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        objects = list(pool.map(compile_object, sources))
    archive = BUILD / "libratelimitd.a"
    newest = max((o.stat().st_mtime for o in objects), default=0)
    if not archive.exists() or archive.stat().st_mtime < newest:
        archive.unlink(missing_ok=True)
        archive.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["ar", "rcs", str(archive), *map(str, objects)], check=True)
    return archive


def generate_protos() -> None:
    """Messages and stubs of our contract as ratelimitd/v1, and the descriptors of all we serve for reflection."""
    from grpc_tools import protoc

    proto = ROOT / "proto"
    files = sorted(str(p.relative_to(proto)) for p in proto.rglob("*.proto"))
    ours = [f for f in files if f.startswith("ratelimitd/")]
    target = ROOT / "ratelimitd" / "v1"
    target.mkdir(exist_ok=True)
    (target / "__init__.py").write_text('"""Generated from proto/ratelimitd/v1."""\n')
    descriptors = ROOT / "ratelimitd" / "_descriptors.binpb"
    include = str(Path(protoc.__file__).parent / "_proto")
    common = ["protoc", f"-I{proto}", f"-I{include}"]
    for arguments in (
        [*common, f"--python_out={ROOT}", f"--pyi_out={ROOT}", f"--grpc_python_out={ROOT}", *ours],
        [*common, "--include_imports", f"--descriptor_set_out={descriptors}", *files],
    ):
        if protoc.main(arguments) != 0:
            raise SystemExit("protoc failed")


def module_name(source: Path) -> str:
    if source == EXT / "engine.pyx":
        return "ratelimitd._engine"
    return "ratelimitd._ext." + ".".join(source.relative_to(EXT).with_suffix("").parts)


def cython_root() -> Path:
    """An include root in which ext/ stands where its modules are imported from: ratelimitd/_ext."""
    root = BUILD / "include"
    package = root / "ratelimitd"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    link = package / "_ext"
    if not link.exists():
        link.symlink_to(EXT)
    return root


def extensions(archive: Path) -> list[Extension]:
    return [
        Extension(
            module_name(source),
            [str(source.relative_to(ROOT))],
            language="c++",
            extra_compile_args=FLAGS + CYTHON_FLAGS,
            extra_link_args=["-Wl,--as-needed", str(archive), *LIBRARIES, *LINK_FLAGS],
            depends=[str(archive)],
        )
        for source in sorted(EXT.rglob("*.pyx"))
    ]


def cythonize_strictly(archive: Path) -> list[Extension]:
    """cythonize, but a performance hint is an error: the interpreter lock is taken where nobody asked for it."""
    import io
    from contextlib import redirect_stderr, redirect_stdout

    from Cython.Build import cythonize

    output = io.StringIO()
    try:
        with redirect_stderr(output), redirect_stdout(output):
            modules = cythonize(
                extensions(archive),
                include_path=[str(cython_root()), str(EXT)],
                build_dir=str(BUILD / "cython"),
                compiler_directives={
                    "language_level": 3,
                    "boundscheck": False,
                    "wraparound": False,
                    "cdivision": True,
                    "initializedcheck": False,
                    "embedsignature": True,
                    "freethreading_compatible": True,
                },
                show_all_warnings=False,
            )
    finally:
        print(output.getvalue(), file=sys.stderr, end="")
    if "performance hint" in output.getvalue():
        raise SystemExit("setup.py: a Cython performance hint (see above): make the function noexcept nogil")
    return modules


class BuildExt(build_ext):
    """Compiles the protobuf code, the static library, then the extensions."""

    def finalize_options(self) -> None:
        generate_protos()
        archive = native_library()
        self.distribution.ext_modules = cythonize_strictly(archive)
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()
        self.build_temp = str(BUILD / "temp")


if __name__ == "__main__":
    setup(
        # A placeholder makes setuptools call build_ext; the real list is made there.
        ext_modules=[Extension("ratelimitd._engine", ["ext/engine.pyx"])],
        cmdclass={"build_ext": BuildExt},
    )
