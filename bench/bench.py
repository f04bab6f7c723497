#!/usr/bin/env python3
"""bench.py DIRECTORY [SUBJECT...] [--quick] [--two-cpus] [--json FILE] [--plot [--plot-to DIRECTORY]]

What an event costs, for each contender: the programs in DIRECTORY (of a release build) are run with little and with
much work, and the difference is divided by the number of events more. Counted are user instructions (valgrind's
callgrind) and system calls (strace -f); CPU time of the process, the kernel's part included, is measured several times,
the contenders in turn. Prints tables in Markdown and one line at the end.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import platform
import queue
import re
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
FLOORS = ("epoll", "io_uring")
PEERS = ("libev", "libuv", "libevent")

# A row of a table: the program bench/<program>, and what it and the client are told for little and for much work.
Row = collections.namedtuple("Row", "contender label program little much little_client much_client events")
# thread: instructions of the first thread only.
Section = collections.namedtuple("Section", "subject title rows thread", defaults=(False,))


class Failed(Exception):
    pass


# ------------------------------------------------------------------------------------------------------------- subjects


def row(contender, mode, subject, events, little, much, little_client="", much_client=""):
    label = f"{contender} {mode}".strip()
    words = (little, much, little_client, much_client)
    return Row(contender, label, f"{subject}_{contender}", *(word.split() for word in words), events)


def echo(quick):
    modes = [("epoll", "try"), ("io_uring", "try"), ("libev", "try"), ("libuv", "try"), ("libuv", "write"),
             ("libevent", "try"), ("loop", "try"), ("loop", "deadline"), ("loop", "write"), ("loop", "ops"),
             ("loop", "wait")]
    sizes = [(1, 500, 3500, 64), (50, 20, 120, 64), (1000, 1, 21, 64), (1, 500, 3500, 16384), (50, 20, 120, 16384),
             (1000, 1, 21, 16384)]
    for connections, little, much, size in [sizes[1]] if quick else sizes:
        def one(contender, mode):
            work = [f"{connections} {rounds} {size}" for rounds in (little, much)]
            return row(contender, mode, "echo", (much - little) * connections, f"{mode} {work[0]}",
                       f"{mode} {work[1]}", f"echo {work[0]}", f"echo {work[1]}")
        yield Section("echo", f"one round trip of {size} bytes, {connections} at a time", [one(*mode) for mode in modes])


def served(subject, title, connections, little, much, without=()):
    """A row of the program `server` for each contender; little, much: rounds of the client."""
    def one(contender):
        if subject == "churn":
            arguments = [f"churn {connections * rounds}" for rounds in (little, much)]
        else:
            arguments = [f"{subject} {connections}"] * 2
        client = "churn" if subject == "churn" else "http"
        return row(contender, "", "server", (much - little) * connections, *arguments,
                   f"{client} {connections} {little}", f"{client} {connections} {much}")
    rows = [one(contender) for contender in (*FLOORS, *PEERS, "loop") if contender not in without]
    return Section(subject, f"{title}, {connections} at a time", rows)


def http(quick):
    yield served("http", "one request", 1000, 1, 5 if quick else 21)


def deadline(quick):
    yield served("deadline", "one request that moves a deadline", 1000, 1, 5 if quick else 21, ("io_uring",))


def churn(quick):
    for connections in (1, 50):
        yield served("churn", "connect, one request, close", connections, 100 // connections,
                     (600 if quick else 2100) // connections)


def idle(quick):
    little, much = (500, 2000) if quick else (1000, 6000)
    rows = [row(contender, "", "server", much - little, f"idle {little}", f"idle {much}", f"idle {little} 1",
                f"idle {much} 1") for contender in (*FLOORS, *PEERS, "loop")]
    yield Section("idle", f"a connection that comes, does nothing and goes; memory of one of {much}", rows)


def pipes(quick):
    for count, active in ((100, 1), (1000, 1), (9900, 1), (100, 100), (1000, 100), (9900, 100)):
        if quick and count == 1000:
            continue
        little, much = 2000, 12000 if quick else 102000
        rows = [row(contender, "", "pipes", much - little, f"{count} {active} {little}", f"{count} {active} {much}")
                for contender in (*FLOORS, *PEERS, "loop")]
        yield Section("pipes", f"one event, {active} of {count} pipes active", rows)


def timers(quick):
    count = 100000 if quick else 1000000
    phases = [("start", "", "start")] + [(phase, "start", f"start {phase}") for phase in
                                         ("later", "random", "stop", "fire")]
    for phase, little, much in phases:
        rows = [row(contender, "", "timers", count, f"{count} {little}", f"{count} {much}")
                for contender in (*PEERS, "loop")]
        yield Section("timers", f"{phase}: one of {count}", rows)


def wake(quick):
    little, much = 1000, 3000 if quick else 11000
    modes = [("libev", "async"), ("libuv", "async"), ("libevent", "async"), ("loop", "async"), ("loop", "post")]
    rows = [row(contender, mode, "wake", much - little, f"{mode} {little}", f"{mode} {much}")
            for contender, mode in modes]
    yield Section("wake", "one round trip between two threads", rows)


def post(quick):
    little, much = 1000, 101000 if quick else 1001000
    rows = [row(contender, "", "post", much - little, f"{little}", f"{much}") for contender in
            ("epoll", *PEERS, "loop")]
    yield Section("post", "one task; instructions of the loop's thread only", rows, True)


def start(quick):
    rows = [row(contender, "", "start", 1000, "100", "1100") for contender in (*PEERS, "loop")]
    yield Section("start", "one loop made and freed", rows)


def close(quick):
    for number in (1000,) if quick else (1000, 10000):
        rows = [row(contender, "", "close", number, f"{number} keep", f"{number}", *[f"echo {number} 0"] * 2)
                for contender in (*PEERS, "loop")]
        yield Section("close", f"one of {number} connections that are closed in one turn", rows)


def maxevents(quick):
    for ready in (1, 12, 100, 497, 1000):
        rows = []
        for size in (1, 16, 64, 256, 512, 1024, 4096):
            more = 1000 if quick else 10000
            rows.append(row("epoll", "", "maxevents", more, f"{ready} {size} 100", f"{ready} {size} {100 + more}")
                        ._replace(label=f"room for {size}", contender="room"))
        yield Section("maxevents", f"one epoll_wait, {ready} ready", rows)


SUBJECTS = {subject.__name__: subject for subject in
            (echo, http, churn, deadline, pipes, timers, wake, post, idle, start, close, maxevents)}

# -------------------------------------------------------------------------------------------------------------- running


class Runner:
    def __init__(self, programs, two_cpus):
        self.programs = programs
        self.cpus = sorted(os.sched_getaffinity(0))
        self.two_cpus = two_cpus
        self.seen = {}  # what was counted: several rows have the same run with little work

    def run(self, row, much, cpu, counter=""):
        """The output of one run, pinned to a CPU. counter: a command to put before the program that is measured."""
        arguments = row.much if much else row.little
        client = row.much_client if much else row.little_client
        command = [str(self.programs / row.program), *arguments]
        environment = dict(os.environ, BENCH_COUNT=counter)
        pin = str(cpu)
        if client:
            command = [str(HERE / "run.sh"), str(self.programs / "client"), *client, "--", *command]
            if self.two_cpus and not counter:
                environment["BENCH_CLIENT_CPU"] = str(self.cpus[0] if cpu != self.cpus[0] else self.cpus[-1])
        else:
            command = counter.split() + command
            if self.two_cpus and not counter:
                pin = ",".join(map(str, self.cpus[-2:]))
        done = subprocess.run(["taskset", "-c", pin, *command], env=environment, capture_output=True, text=True,
                              check=False)
        if done.returncode == 77:
            return None
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def count(self, row, much, cpu, thread):
        """Instructions, and calls by name, of one run; None where the contender is refused by the system."""
        key = (row.program, *(row.much if much else row.little), *(row.much_client if much else row.little_client))
        if key in self.seen:
            return self.seen[key]
        with tempfile.TemporaryDirectory() as directory:
            out = f"{directory}/out"
            valgrind = f"valgrind --tool=callgrind --fair-sched=try --log-file={directory}/log --callgrind-out-file="
            valgrind += f"{out} --separate-threads=yes" if thread else "/dev/null"
            if self.run(row, much, cpu, valgrind) is None:
                return None
            self.run(row, much, cpu, f"strace -f -c -U name,calls -o {directory}/strace")
            if thread:
                text = pathlib.Path(f"{out}-01").read_text(encoding="utf-8")
                instructions = int(re.search(r"^(?:summary|totals): (\d+)", text, re.M).group(1))
            else:
                text = pathlib.Path(f"{directory}/log").read_text(encoding="utf-8")
                instructions = int(re.search(r"Collected : (\d+)", text).group(1))
            calls = collections.Counter()
            for line in pathlib.Path(f"{directory}/strace").read_text(encoding="utf-8").splitlines():
                words = line.split()
                if len(words) == 2 and words[1].isdigit() and words[0] != "total":
                    calls[words[0]] = int(words[1])
        self.seen[key] = instructions, calls
        return self.seen[key]

    def count_row(self, row, cpu, thread):
        little = self.count(row, False, cpu, thread)
        much = self.count(row, True, cpu, thread)
        if little is None or much is None:
            return None
        calls = {name: (much[1][name] - little[1][name]) / row.events for name in sorted({*little[1], *much[1]})}
        calls = {name: number for name, number in calls.items() if abs(number) >= 0.005}
        return {"instructions": (much[0] - little[0]) / row.events,
                "calls": (sum(much[1].values()) - sum(little[1].values())) / row.events,
                "calls_by_name": calls}

    def time_row(self, row):
        """ns of CPU time for one event, and bytes of memory if the program tells."""
        times = []
        for much in (False, True):
            output = self.run(row, much, self.cpus[-1])
            if output is None:
                return None
            times.append(int(re.search(r"^cpu (\d+) ns", output, re.M).group(1)))
        memory = re.search(r"^memory (\d+)", output, re.M)
        return (times[1] - times[0]) / row.events, int(memory.group(1)) if memory else None


def measure(sections, runner, repeats):
    """Counts in parallel, one run on each CPU; then measures times, one run after the other, the contenders in turn."""
    results = {}
    free = queue.Queue()
    for cpu in runner.cpus:
        free.put(cpu)

    def count(section, row):
        cpu = free.get()
        try:
            return runner.count_row(row, cpu, section.thread)
        finally:
            free.put(cpu)

    with concurrent.futures.ThreadPoolExecutor(len(runner.cpus)) as pool:
        # One section after the other: the next one begins with runs that this one has counted, as in timers.
        for section in sections:
            if section.subject == "maxevents":
                results.update({(section.title, row.label): {} for row in section.rows})
                continue
            for row, result in zip(section.rows, pool.map(lambda row: count(section, row), section.rows)):
                if result is not None:
                    results[section.title, row.label] = result
    for section in sections:
        rows = [row for row in section.rows if (section.title, row.label) in results]
        for _ in range(repeats):
            for row in rows:
                ns, memory = runner.time_row(row)
                result = results[section.title, row.label]
                result.setdefault("cpu_ns", []).append(ns)
                if memory is not None:
                    result.setdefault("memory", []).append(memory)
    return results


# ------------------------------------------------------------------------------------------------------------- printing


def ratio(result, other):
    return f"{result['instructions'] / other['instructions']:.2f}" if other and other["instructions"] > 0 else ""


def verdict(result, other):
    """One takes less time than another only if all its times are below all of the other's."""
    if other is None or result is other:
        return ""
    if max(result["cpu_ns"]) < min(other["cpu_ns"]):
        return "less"
    return "more" if min(result["cpu_ns"]) > max(other["cpu_ns"]) else "="


def table(section, results):
    found = {row.label: results[section.title, row.label] for row in section.rows
             if (section.title, row.label) in results}
    by_name = {row.contender: found[row.label] for row in reversed(section.rows) if row.label in found}
    floor, libev = by_name.get("epoll"), by_name.get("libev")
    counted = section.subject != "maxevents"
    heads = ["instructions", "system calls", "/ libev", "/ floor"] if counted else []
    heads += ["CPU ns", "spread"] + (["to libev"] if libev else [])
    if any("memory" in result for result in found.values()):
        heads.append("bytes")
    lines = [f"{section.subject}: {section.title}", "", f"| | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    for label, result in found.items():
        cells = []
        if counted:
            cells += [f"{result['instructions']:.0f}", f"{abs(result['calls']):.2f}"]
            cells += [ratio(result, libev), ratio(result, floor)]
        times = result["cpu_ns"]
        cells += [f"{statistics.median(times):.0f}", f"{min(times):.0f}–{max(times):.0f}"]
        if libev:
            cells.append(verdict(result, libev))
        if "memory" in result:
            cells.append(f"{statistics.median(result['memory']):.0f}")
        lines.append(f"| {label} | {' | '.join(cells)} |")
    if section.subject in ("churn", "http"):
        lines.append("")
        for label, result in found.items():
            names = ", ".join(f"{name} {number:.2f}" for name, number in result["calls_by_name"].items())
            lines.append(f"- {label}: {names or 'less than one in a hundred'}")
    return "\n".join(lines)


def text_sizes(programs):
    """Bytes of .text of each contender's libraries."""
    def size(path):
        output = subprocess.run(["size", "-A", path], capture_output=True, text=True, check=True).stdout
        return int(re.search(r"^\.text\s+(\d+)", output, re.M).group(1))
    sizes = {}
    for contender in PEERS:
        program = programs / f"start_{contender}"
        if program.exists():
            output = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
            name = contender if contender != "libev" else "libev.so"
            sizes[contender] = sum(size(path) for path in re.findall(r"=> (\S+)", output)
                                   if pathlib.Path(path).name.startswith(name))
    library = programs.parent / "libloop.so"
    if library.exists():
        sizes["loop"] = size(library)
    return sizes


def machine(programs):
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    compiler = programs / "compiler"

    def version(command):
        output = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
        return output.split("\n", 1)[0]

    return {
        "kernel": f"{platform.system()} {platform.release()}",
        "cpu": f"{model.group(1) if model else platform.machine()}, {len(os.sched_getaffinity(0))} CPUs",
        "compiler": compiler.read_text(encoding="utf-8").strip() if compiler.exists() else "unknown",
        "counted by": f"{version('valgrind')}, {version('strace')}",
        "load at the start": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


# ------------------------------------------------------------------------------------------------------------- plotting


def plot(subject, sections, results, directory):
    """One SVG: for each section a panel of instructions (or of CPU time, where nothing is counted)."""
    counted = subject != "maxevents"
    panels = []
    for number, section in enumerate(sections):
        bars = []
        for row in section.rows:
            result = results.get((section.title, row.label))
            if result is not None:
                value = result["instructions"] if counted else statistics.median(result["cpu_ns"])
                color = "0x1f6f8b" if row.contender == "loop" else "0xa0a8b0"
                bars.append(f'{len(bars)} "{row.label}" {value} {color}')
        data = "\n".join(bars)
        panels.append(f'$data{number} << END\n{data}\nEND\nset title "{section.title}" noenhanced\n'
                      f"plot $data{number} using 1:3:4:xtic(2) with boxes lc rgb variable")
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    script = f"""set terminal svg size {420 * columns},{300 * lines} font "sans,11" background "white"
set output "{directory / (subject + '.svg')}"
set multiplot layout {lines},{columns}
set style fill solid
set boxwidth 0.7
set yrange [0:*]
set ylabel "{'instructions' if counted else 'CPU ns'}"
set xtics rotate by -35 nomirror noenhanced
set ytics nomirror
set border 3
set grid ytics lc rgb "#e0e0e0"
unset key
"""
    subprocess.run(["gnuplot"], input=script + "\n".join(panels) + "\nunset multiplot\n", text=True, check=True)


# ----------------------------------------------------------------------------------------------------------------- main


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=" ".join(SUBJECTS) + "; all unless told")
    parser.add_argument("--quick", action="store_true", help="less of everything, within 5 minutes")
    parser.add_argument("--two-cpus", action="store_true", help="times with client and server on a CPU of their own")
    parser.add_argument("--json", type=pathlib.Path, help="where to write all that was found")
    parser.add_argument("--plot", action="store_true", help="draw one SVG for each subject")
    parser.add_argument("--plot-to", type=pathlib.Path, default=pathlib.Path("docs/bench"))
    options = parser.parse_intermixed_args()
    for subject in options.subjects:
        if subject not in SUBJECTS:
            parser.error(f"there is no subject '{subject}'; there are {', '.join(SUBJECTS)}")
    began = time.monotonic()
    about = machine(options.directory)
    runner = Runner(options.directory.resolve(), options.two_cpus)
    sections = [section._replace(rows=[row for row in section.rows if (runner.programs / row.program).exists()])
                for subject in options.subjects or SUBJECTS for section in SUBJECTS[subject](options.quick)]
    for what, value in about.items():
        print(f"{what}: {value}", flush=True)
    results = {}
    for subject in options.subjects or SUBJECTS:
        mine = [section for section in sections if section.subject == subject]
        results.update(measure(mine, runner, 3 if options.quick else 5))
        for section in mine:
            print(f"\n{table(section, results)}", flush=True)
        if subject == "start":
            about["text"] = text_sizes(runner.programs)
            print("\nbytes of .text: " + ", ".join(f"{name} {size}" for name, size in about["text"].items()))
        if options.plot:
            options.plot_to.mkdir(parents=True, exist_ok=True)
            plot(subject, mine, results, options.plot_to)
    seconds = time.monotonic() - began
    about["seconds"] = round(seconds)
    if options.json:
        found = [{"subject": section.subject, "section": section.title, "contender": row.contender,
                  "label": row.label, **results[section.title, row.label]} for section in sections for row in section.rows
                 if (section.title, row.label) in results]
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"about": about, "results": found}, indent=1) + "\n", encoding="utf-8")
    ratios = []
    for section in sections:
        found = {row.label: results[section.title, row.label] for row in section.rows
                 if (section.title, row.label) in results}
        ours = [found[label] for label in ("loop", "loop try", "loop async") if label in found]
        peers = [found[row.label] for row in section.rows if row.contender == "libev" and row.label in found]
        ratios += [mine["instructions"] / peer["instructions"] for mine in ours for peer in peers]
    against = ""
    if ratios:
        median = statistics.median(ratios)
        against = f"; loop's instructions / libev's: {median:.2f} in the median of {len(ratios)} tables"
    print(f"\nbench: {len(results)} rows in {seconds:.0f} s{against}")


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"bench: {failure}")
