"""The command line: emu run, report, topology, bench.

Rule    each command imports what it needs when it is given, so that --help answers at once. What an operator can
        cause ends as one clear message and an exit code, never as a traceback.
Exit    0 valid; 1 an invariant broke; 2 wrong input or host; 3 incomplete; 70 a bug of emu; 128 + n by signal n.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from emu import __version__
from emu.errors import ConfigError, EmuError

RESULT_SUFFIX = ".emu"
EXIT_BUG = 70


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    options = make_parser().parse_args(arguments)
    try:
        code = options.run(options)
        sys.stdout.flush()
        return code
    except EmuError as error:
        print(f"emu: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        discard_stdout()
        return 0
    except KeyboardInterrupt:
        print("emu: stopped", file=sys.stderr)
        return 130
    except Exception as error:
        if os.environ.get("EMU_DEBUG"):
            raise
        print(f"emu: internal error: {type(error).__name__}: {error}; this is a bug of emu: EMU_DEBUG=1 shows where",
              file=sys.stderr)
        return EXIT_BUG


def discard_stdout() -> None:
    """The reader of a report has gone; nothing is wrong with the run."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def make_parser() -> argparse.ArgumentParser:
    """All commands and options."""
    parser = argparse.ArgumentParser(
        prog="emu", description="Emulate kvfree_rcu() and its page supply on real, pinned processes.",
        epilog="start with: emu run configs/first.toml")
    parser.add_argument("--version", action="version", version=f"emu {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="run a scenario, print the report, write a result file",
                              description="Run a scenario file and print its report.")
    run.add_argument("scenario", metavar="SCENARIO", help="a TOML file, such as configs/first.toml")
    run.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], dest="overrides",
                     help="override one key of the scenario, for example --set run.duration_ms=3000")
    run.add_argument("-o", "--output", metavar="FILE", help=f"result file (default: results/NAME-TIME{RESULT_SUFFIX})")
    run.add_argument("--degrade", action="store_true",
                     help="go on, and mark the result, where a scheduling class is not permitted")
    run.add_argument("--dry-run", action="store_true", help="print every resolved value and where it comes from")
    run.add_argument("-q", "--quiet", action="store_true", help="no progress; the report only")
    run.set_defaults(run=command_run)
    report = commands.add_parser("report", help="print the report of a result file")
    report.add_argument("result", metavar="RESULT")
    report.set_defaults(run=command_report)
    topology = commands.add_parser("topology", help="show this host's cores and what will disturb a run")
    topology.set_defaults(run=command_topology)
    bench = commands.add_parser("bench", help="measure the primitives against bare loops, interleaved")
    bench.add_argument("names", metavar="NAME", nargs="*", help="some of the benchmarks (default: all)")
    bench.add_argument("--rounds", type=int, default=7, help="interleaved rounds (default: 7)")
    bench.add_argument("--quick", action="store_true", help="small sizes: shows that everything runs")
    bench.set_defaults(run=command_bench)
    return parser


def command_run(options: argparse.Namespace) -> int:
    """emu run"""
    from emu.config import explain, load_scenario, parse_override, resolve

    overrides = dict(parse_override(text) for text in options.overrides)
    if options.degrade:
        overrides["run.degrade"] = True
    scenario = load_scenario(options.scenario, overrides)
    resolved = resolve(scenario)
    if options.dry_run:
        print(explain(resolved))
        return 0

    def say(text: str) -> None:
        if not options.quiet:
            print(f"emu: {text}", file=sys.stderr, flush=True)

    from emu.launch import Options, run_scenario
    from emu.report import Progress, report_text

    outcome = run_scenario(resolved, scenario, Options(
        output=output_path(options), command=repeat_command(options), say=say,
        progress=lambda seconds: Progress(None if options.quiet else sys.stderr, seconds)))
    print(f"emu: {outcome.problem}" if outcome.problem else f"result: {outcome.path}", file=sys.stderr, flush=True)
    try:
        print(report_text(outcome.record, color=sys.stdout.isatty()), flush=True)
    except BrokenPipeError:
        discard_stdout()
    return outcome.exit_code


def output_path(options: argparse.Namespace) -> Path:
    """Where the result goes; its folder is made, and refused now rather than after the run."""
    if options.output:
        path = Path(options.output)
    else:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        path = Path("results") / f"{Path(options.scenario).stem}-{stamp}-{os.getpid()}{RESULT_SUFFIX}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{path.parent}: cannot be made: {error.strerror}; name another with --output") from None
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigError(f"{path}: cannot be written: not a file in a writable folder; name another with --output")
    return path


def repeat_command(options: argparse.Namespace) -> list[str]:
    """The command that repeats this run, as it was given: scripts/run names itself in EMU_INVOKED_AS."""
    invoked = os.environ.get("EMU_INVOKED_AS")
    command = [*([invoked] if invoked else ["emu", "run"]), options.scenario]
    for text in options.overrides:
        command += ["--set", text]
    return command + (["--degrade"] if options.degrade else [])


def command_report(options: argparse.Namespace) -> int:
    """emu report"""
    from emu.report import report_text
    from emu.results import read_result

    print(report_text(read_result(Path(options.result)), color=sys.stdout.isatty()))
    return 0


def command_topology(_options: argparse.Namespace) -> int:
    """emu topology"""
    from emu.host import disturbances, read_topology, topology_text

    topology = read_topology()
    print(topology_text(topology, disturbances(topology)))
    return 0


def command_bench(options: argparse.Namespace) -> int:
    """emu bench"""
    from emu.bench import run_bench

    return run_bench(options.names, rounds=options.rounds, quick=options.quick)

