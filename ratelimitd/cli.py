"""The commands, as a person sees them: names, flags, help. What they do is in commands/, imported when one runs.

Exit codes: 0 well (allowed), 1 failed or a bad policy, 2 usage, 3 denied.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from ratelimitd import __version__, cache, settings
from ratelimitd.errors import PolicyError, RatelimitdError, SettingsError

if TYPE_CHECKING:
    from ratelimitd.commands.admin import Port

app = typer.Typer(
    name="ratelimitd",
    help="""May this request pass? Limits rates and scans payloads, and answers over gRPC.

\b
First steps:
  ratelimitd serve                                         the starter policy on 127.0.0.1:8081
  ratelimitd call --path '/a?id=1' --ip 203.0.113.7        ask it
  ratelimitd check policy.yaml                             every error, with file:line:col
  ratelimitd test policy.yaml                              the policy's own cases, on a fake clock
  ratelimitd explain policy.yaml --request request.json    what applies to a request, and why the rest does not
  ratelimitd serve --policy policy.yaml                    edit the file while it runs""",
    epilog="Every flag of serve is also a variable: --max-keys is RATELIMITD_MAX_KEYS. COMMAND --help has examples.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"ratelimitd {__version__}")
        raise typer.Exit


@app.callback()
def _ratelimitd(
    shown: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """See `help` above."""


Json = Annotated[bool, typer.Option("--json", help="For programs.")]
_METAVARS = {int: "N", float: "SECONDS"}
PolicyFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="A policy file, or a directory with one domain per file.", show_default=False),
]
CacheDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Keeps compiled pattern databases, as serve does with its own --cache-dir. [default: auto] "
        "[RATELIMITD_CACHE_DIR]",
        show_default=False,
    ),
]


def kept_databases(given: Path | None) -> str | None:
    """Where commands other than `serve` keep them. Who has no place for them compiles anew, without a word."""
    return cache.choose(*settings.cache_settings(given))[0]


def _flags() -> list[inspect.Parameter]:
    """A parameter for each setting: settings.py is the one list of them."""
    parameters = []
    for f in settings.flags():
        kind = {tuple: list[str], str: str, int: int, float: float, bool: bool}[type(f.default)]
        default = ",".join(f.default) if isinstance(f.default, tuple) else f.default
        shown = f" [default: {default}]" if default not in ("", False) else ""
        choices = f.metadata["choices"]
        option = typer.Option(
            settings.flag(f.name),
            help=f"{f.metadata['help']}{shown} [{settings.variable(f.name)}]",
            metavar="|".join(choices) if choices else f.metadata["metavar"] or _METAVARS.get(kind),
            show_default=False,
        )
        annotation = Annotated[kind | None, option]  # type: ignore[valid-type]
        parameters.append(
            inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        )
    return parameters


class GroupedCommand(TyperCommand):
    """Shows options under the headings that settings.py gives them."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        panels = {f.name: f.metadata["panel"] for f in settings.flags()}
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                groups.setdefault(panels.get(parameter.name or "", "Help"), []).append(record)
        for panel, records in groups.items():
            with formatter.section(panel):
                formatter.write_dl(records)


def _serve(**given: Any) -> None:
    """Serve checks over gRPC. SIGTERM drains and ends it; SIGHUP, or an edit of the policy, reloads.

    \b
    ratelimitd serve
    ratelimitd serve --policy shop.yaml --listen 127.0.0.1:8081 --listen unix:/run/ratelimitd.sock
    ratelimitd serve --policy policies/ --workers 4 --admin off
    """
    given = {name: (tuple(value) or None) if isinstance(value, list) else value for name, value in given.items()}
    resolved = settings.resolve(given)
    from ratelimitd.app import serve

    raise typer.Exit(serve(resolved))


_serve.__signature__ = inspect.Signature(_flags())  # type: ignore[attr-defined]
_serve.__annotations__ = {p.name: p.annotation for p in _flags()}
app.command("serve", cls=GroupedCommand)(_serve)


@app.command()
def check(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Policy files or directories.", show_default=False)
    ],
    cache_dir: CacheDir = None,
    as_json: Json = False,
) -> None:
    """Print every error of a policy, with its code, place and line. Exit 0: none; 1: some.

    \b
    ratelimitd check shop.yaml
    ratelimitd check policies/ --json
    """
    from ratelimitd.commands.check import run

    raise typer.Exit(run(files, as_json=as_json, cache_dir=kept_databases(cache_dir)))


@app.command()
def convert(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A file or a directory of its configuration.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Write a file for each domain here.", show_default=False),
    ] = None,
    headers: Annotated[bool, typer.Option("--headers", help="As with LIMIT_RESPONSE_HEADERS_ENABLED.")] = False,
    merge: Annotated[bool, typer.Option("--merge", help="As with MERGE_DOMAIN_CONFIG.")] = False,
) -> None:
    """Turn a configuration of envoyproxy/ratelimit into policies that decide the same. Exit 1: it has errors.

    \b
    ratelimitd convert config.yaml > shop.yaml
    ratelimitd convert /data/ratelimit/config --output policies/
    """
    from ratelimitd.commands.convert import run

    raise typer.Exit(run(path, output=output, headers=headers, merge=merge))


@app.command("test")
def run_tests(file: PolicyFile, cache_dir: CacheDir = None, as_json: Json = False) -> None:
    """Run the policy's own test cases on a fake clock. Exit 0: all pass; 1: one does not.

    \b
    ratelimitd test shop.yaml
    """
    from ratelimitd.commands.test import run

    raise typer.Exit(run(file, as_json=as_json, cache_dir=kept_databases(cache_dir)))


@app.command()
def explain(
    file: PolicyFile,
    request: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="A file with one request, or - for standard input.", show_default=False),
    ] = None,
    show_values: Annotated[
        bool, typer.Option("--show-values", help="With --request: the values in which rules found something.")
    ] = False,
    rule: Annotated[
        str | None,
        typer.Option(metavar="ID", help="One rule: as it is written, and as it is compiled.", show_default=False),
    ] = None,
    cache_dir: CacheDir = None,
    as_json: Json = False,
) -> None:
    """Print a policy as compiled, or which lists, limits and rules apply to a request, and why the others do not.

    \b
    ratelimitd explain shop.yaml
    ratelimitd explain shop.yaml --rule 942100
    echo '{"method": "POST", "path": "/login", "ip": "203.0.113.7"}' | ratelimitd explain shop.yaml --request -
    """
    from ratelimitd.commands.explain import run

    kept = kept_databases(cache_dir)
    raise typer.Exit(run(file, request, as_json=as_json, show_values=show_values, rule=rule, cache_dir=kept))


@app.command()
def schema() -> None:
    """Print the JSON Schema of policy files, for editors.

    \b
    ratelimitd schema > policy.schema.json
    """
    from ratelimitd.commands.schema import run

    raise typer.Exit(run())


@app.command()
def call(
    path: Annotated[str, typer.Option(metavar="PATH", help="Raw, with the query.")] = "/",
    method: Annotated[str, typer.Option(metavar="NAME", help="As the client sent it.")] = "GET",
    ip: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Who the client is: the peer the proxy saw.")
    ] = "127.0.0.1",
    host: Annotated[str, typer.Option(metavar="NAME", help="The authority.")] = "",
    scheme: Annotated[str, typer.Option(metavar="NAME", help="http or https.")] = "",
    header: Annotated[
        list[str] | None,
        typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="Repeatable.", show_default=False),
    ] = None,
    body: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Text, @FILE, or @- for standard input.", show_default=False)
    ] = None,
    partial_body: Annotated[bool, typer.Option("--partial-body", help="The body is only its beginning.")] = False,
    attribute: Annotated[
        list[str] | None,
        typer.Option("--attribute", "-a", metavar="NAME=VALUE", help="Repeatable.", show_default=False),
    ] = None,
    cost: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, max=2**32 - 1, help="Hits to charge; 0 looks without counting.", show_default=False
        ),
    ] = None,
    domain: Annotated[str, typer.Option(metavar="NAME", help="Which policy decides; empty: the default one.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide, but count nothing.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Show every limit and rule that applied.")] = False,
    repeat: Annotated[int, typer.Option(metavar="N", min=1, max=1_000_000, help="Ask this often.")] = 1,
    address: Annotated[
        str, typer.Option(metavar="ADDRESS", help="HOST:PORT or unix:PATH of the server.")
    ] = "127.0.0.1:8081",
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, max=600, help="Seconds to wait for an answer.")
    ] = 2.0,
    as_json: Json = False,
) -> None:
    """Ask a running server about one request. Exit 0: allowed; 3: denied; 1: no answer.

    \b
    ratelimitd call --method GET --path '/a?id=1' --ip 203.0.113.7
    ratelimitd call --path /login --method POST -H 'x-api-key: abc' --repeat 6
    ratelimitd call --path '/search?q=<script>alert(1)</script>' --explain --json
    """
    from ratelimitd.commands import call as command

    arguments = command.Arguments(
        path,
        method,
        ip,
        host,
        scheme,
        header or [],
        body,
        partial_body,
        attribute or [],
        cost,
        domain,
        dry_run,
        explain,
    )
    raise typer.Exit(command.run(arguments, address=address, timeout=timeout, repeat=repeat, as_json=as_json))


Admin = Annotated[
    str, typer.Option("--admin", metavar="ADDRESS", help="HOST:PORT or unix:PATH of the server's admin port.")
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--admin-token-file",
        metavar="PATH",
        help="Holds the token that the admin port wants. [RATELIMITD_ADMIN_TOKEN_FILE]",
        show_default=False,
    ),
]
Penalty = Annotated[str, typer.Option(metavar="NAME", help="Which penalty of the policy.", show_default=False)]
OfDomain = Annotated[str, typer.Option("--domain", metavar="NAME", help="Which policy; empty: the only one.")]
BannedKey = Annotated[
    list[str], typer.Argument(metavar="KEY...", help="One for each part of the penalty's key.", show_default=False)
]
ADMIN = "127.0.0.1:6070"


def admin_port(address: str, token_file: Path | None) -> Port:
    from ratelimitd.commands.admin import Port

    return Port(address, settings.token_file(token_file))


@app.command()
def bans(
    most: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="How many to list.")] = 100,
    admin: Admin = ADMIN,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """List who is banned on a running server, those that are banned longest first.

    \b
    ratelimitd bans
    ratelimitd bans --json --admin 127.0.0.1:6070
    """
    from ratelimitd.commands.bans import run_list

    raise typer.Exit(run_list(admin_port(admin, token_file), most, as_json=as_json))


@app.command()
def ban(
    key: BannedKey,
    penalty: Penalty,
    length: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="Such as 10m, 1h or 7d.", show_default=False)
    ],
    domain: OfDomain = "",
    admin: Admin = ADMIN,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """Ban a key for a time: on every node, when they share a store.

    \b
    ratelimitd ban 203.0.113.7 --penalty brute-force --for 1h
    """
    from ratelimitd.commands.bans import run_ban

    raise typer.Exit(run_ban(admin_port(admin, token_file), domain, penalty, key, length, as_json=as_json))


@app.command()
def unban(
    key: BannedKey,
    penalty: Penalty,
    domain: OfDomain = "",
    admin: Admin = ADMIN,
    token_file: TokenFile = None,
    as_json: Json = False,
) -> None:
    """Lift a key's ban and forgive what led to it. Exit 1: nothing was known of the key.

    \b
    ratelimitd unban 203.0.113.7 --penalty brute-force
    """
    from ratelimitd.commands.bans import run_unban

    raise typer.Exit(run_unban(admin_port(admin, token_file), domain, penalty, key, as_json=as_json))


@app.command()
def version() -> None:
    """Print the version."""
    print(f"ratelimitd {__version__}")


def main() -> None:
    """The console script."""
    try:
        app()
    except SettingsError as error:
        sys.exit(_fail(error, 2))
    except PolicyError as error:
        from ratelimitd.commands.output import print_diagnostics

        print_diagnostics(error.diagnostics)
        sys.exit(1)
    except RatelimitdError as error:
        sys.exit(_fail(error, 1))
    except BrokenPipeError:  # the reader went away: `ratelimitd explain x | head`
        sys.stderr.close()
        sys.exit(1)


def _fail(error: Exception, code: int) -> int:
    for line in str(error).splitlines():
        print(f"ratelimitd: {line}", file=sys.stderr)
    return code
