"""The command line: emu run, compare, published, report, topology, bench.

Rule    each command imports what it needs when it is given, so that --help answers at once. What an operator can
        cause ends as one clear message and an exit code, never as a traceback.
Exit    0 valid; 1 an invariant broke, or a published figure does not hold; 2 wrong input or host; 3 incomplete;
        70 a bug of emu; 128 + n by signal n.
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
    run.add_argument("--force", action="store_true", help="run what is refused as senseless, where it can do no harm")
    run.add_argument("--dry-run", action="store_true", help="print every resolved value and where it comes from")
    run.add_argument("-q", "--quiet", action="store_true", help="no progress; the report only")
    run.set_defaults(run=command_run)
    add_compare(commands)
    report = commands.add_parser("report", help="print the report of a result file, or the table of a comparison")
    report.add_argument("result", metavar="RESULT")
    report.set_defaults(run=command_report)
    policies = commands.add_parser("policies", help="list the strategies of page supply, or explain one")
    policies.add_argument("policy", metavar="POLICY", nargs="?", help="a number or name, such as S6 or grown-pool")
    policies.set_defaults(run=command_policies)
    topology = commands.add_parser("topology", help="show this host's cores and what will disturb a run")
    topology.set_defaults(run=command_topology)
    bench = commands.add_parser("bench", help="measure the primitives against bare loops, interleaved")
    bench.add_argument("names", metavar="NAME", nargs="*", help="some of the benchmarks (default: all)")
    bench.add_argument("--rounds", type=int, default=7, help="interleaved rounds (default: 7)")
    bench.add_argument("--quick", action="store_true", help="small sizes: shows that everything runs")
    bench.set_defaults(run=command_bench)
    return parser


def add_compare(commands) -> None:
    """emu compare, emu published and their options."""
    published = commands.add_parser(
        "published", help="hold published figures against what their scenarios measure here",
        description="Run the scenarios of configs/published, each variant in turns, and print the published figure, "
                    "the measured one, and whether it holds. Exit code 1 where one does not.")
    published.add_argument("ids", metavar="V1", nargs="*", help="some of them (default: all)")
    published.add_argument("--repeats", type=int, help="rounds (default: as each file says)")
    published.add_argument("-o", "--output", metavar="FOLDER", help="for the files (default: results/published-TIME)")
    published.add_argument("-q", "--quiet", action="store_true", help="no progress; the table only")
    published.set_defaults(run=command_published)
    compare = commands.add_parser(
        "compare", help="run policies, or any key's values, in turns and print one table",
        description="Run a scenario under several policies (or other values of any key) in turns, A B C A B C, "
                    "and print medians with their intervals beside the first one.")
    compare.add_argument("scenario", metavar="SCENARIO", help="a TOML file, such as configs/burst.toml")
    compare.add_argument("--policies", metavar="S1,S3",
                         help="the policies, by number or name; the first is the reference")
    compare.add_argument("--vary", metavar="KEY=V1,V2", action="append", default=[],
                         help="another key to vary; given twice, every combination")
    compare.add_argument("--repeats", type=int, default=5, help="rounds (default: 5; below 4 nothing is significant)")
    compare.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], dest="overrides",
                         help="override one key for all runs")
    compare.add_argument("-o", "--output", metavar="FILE",
                         help=f"comparison file (default: results/compare-TIME/comparison{RESULT_SUFFIX}); the runs' "
                              "files go into a folder beside it")
    compare.add_argument("--degrade", action="store_true", help="as for emu run")
    compare.add_argument("--force", action="store_true", help="as for emu run")
    compare.add_argument("-q", "--quiet", action="store_true", help="no progress; the table only")
    compare.set_defaults(run=command_compare)


def command_run(options: argparse.Namespace) -> int:
    """emu run"""
    from emu.config import explain, load_scenario, parse_override, resolve

    overrides = dict(parse_override(text) for text in options.overrides)
    if options.degrade:
        overrides["run.degrade"] = True
    if options.force:
        overrides["run.force"] = True
    scenario = load_scenario(options.scenario, overrides)
    resolved = resolve(scenario)
    if options.dry_run:
        print(explain(resolved))
        return 0

    say, stream = display(options)
    from emu.launch import Options, run_scenario
    from emu.report import Progress, report_text

    outcome = run_scenario(resolved, scenario, Options(
        output=output_path(options), command=repeat_command(options), say=say,
        progress=lambda seconds: Progress(stream, seconds)))
    print(f"emu: {outcome.problem}" if outcome.problem else f"result: {outcome.path}", file=sys.stderr, flush=True)
    try:
        print(report_text(outcome.record, color=sys.stdout.isatty()), flush=True)
    except BrokenPipeError:
        discard_stdout()
    return outcome.exit_code


def command_compare(options: argparse.Namespace) -> int:
    """emu compare"""
    if not 1 <= options.repeats <= 1000:
        raise ConfigError(f"--repeats {options.repeats}: must be from 1 to 1000; for example --repeats 5")
    from emu.config import parse_override

    overrides = dict(parse_override(text) for text in options.overrides)
    if options.degrade:
        overrides["run.degrade"] = True
    if options.force:
        overrides["run.force"] = True
    from emu.compare import Display, arms_of, compare
    from emu.report import Progress, comparison_text

    arms = arms_of(options.policies, options.vary)
    output = comparison_path(options)
    say, progress = display(options)
    comparison, code = compare(options.scenario, arms, options.repeats, overrides, output, compare_command(options),
                               invoked_as(), Display(say, lambda seconds: Progress(progress, seconds)))
    print(f"comparison: {output}", file=sys.stderr, flush=True)
    try:
        print(comparison_text(comparison, color=sys.stdout.isatty()), end="", flush=True)
    except BrokenPipeError:
        discard_stdout()
    return code


def command_published(options: argparse.Namespace) -> int:
    """emu published"""
    if options.repeats is not None and not 1 <= options.repeats <= 1000:
        raise ConfigError(f"--repeats {options.repeats}: must be from 1 to 1000; for example --repeats 3")
    from emu.compare import Display, published_table, run_published
    from emu.report import Progress

    stamp = f"published-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    folder = writable(Path(options.output or Path("results") / stamp) / f"x{RESULT_SUFFIX}").parent
    say, stream = display(options)
    found, code = run_published(options.ids, folder, options.repeats, invoked_as(),
                                Display(say, lambda seconds: Progress(stream, seconds)))
    print(published_table(found), end="", flush=True)
    print(f"comparisons: {folder}", file=sys.stderr, flush=True)
    return code or (0 if all(row.held for row in found) else 1)


def display(options: argparse.Namespace):
    """(say, stream of the progress line), silent with --quiet."""
    def say(text: str) -> None:
        if not options.quiet:
            print(f"emu: {text}", file=sys.stderr, flush=True)

    return say, None if options.quiet else sys.stderr


def comparison_path(options: argparse.Namespace) -> Path:
    """Where a comparison goes."""
    stamp = f"compare-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    return writable(Path(options.output) if options.output else Path("results") / stamp / f"comparison{RESULT_SUFFIX}")


def compare_command(options: argparse.Namespace) -> list[str]:
    """The command that repeats this comparison."""
    command = [*invoked_as("compare"), options.scenario]
    if options.policies:
        command += ["--policies", options.policies]
    for text in options.vary:
        command += ["--vary", text]
    for text in options.overrides:
        command += ["--set", text]
    command += ["--repeats", str(options.repeats)]
    return command + [f"--{flag}" for flag in ("degrade", "force") if getattr(options, flag)]


def invoked_as(command: str = "run") -> list[str]:
    """How a command of emu was called; scripts/run names itself in EMU_INVOKED_AS, and takes `emu run`'s arguments."""
    invoked = os.environ.get("EMU_INVOKED_AS")
    return [invoked] if invoked and command == "run" else ["emu", command]


def output_path(options: argparse.Namespace) -> Path:
    """Where the result goes."""
    if options.output:
        return writable(Path(options.output))
    stamp = time.strftime("%Y%m%d-%H%M%S")
    return writable(Path("results") / f"{Path(options.scenario).stem}-{stamp}-{os.getpid()}{RESULT_SUFFIX}")


def writable(path: Path) -> Path:
    """The path of a result; its folder is made, and refused now rather than after the run."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{path.parent}: cannot be made: {error.strerror}; name another with --output") from None
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise ConfigError(f"{path}: cannot be written: not a file in a writable folder; name another with --output")
    return path


def repeat_command(options: argparse.Namespace) -> list[str]:
    """The command that repeats this run, as it was given: scripts/run names itself in EMU_INVOKED_AS."""
    command = [*invoked_as(), options.scenario]
    for text in options.overrides:
        command += ["--set", text]
    return command + (["--degrade"] if options.degrade else []) + (["--force"] if options.force else [])


def command_report(options: argparse.Namespace) -> int:
    """emu report"""
    from emu.report import comparison_text, report_text
    from emu.results import is_comparison, read_comparison, read_result

    path, color = Path(options.result), sys.stdout.isatty()
    if is_comparison(path):
        print(comparison_text(read_comparison(path), color=color), end="")
    else:
        print(report_text(read_result(path), color=color))
    return 0


def command_policies(options: argparse.Namespace) -> int:
    """emu policies"""
    from emu.report import policies_text, policy_text

    print(policy_text(options.policy) if options.policy else policies_text())
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

