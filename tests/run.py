#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every test, prints one line for each, and the output of those that fail.

A test is
  - a unit test: BUILD/asan/tests/ROOM/.../NAME, made from tests/ROOM/.../NAME.c
  - a script tests/**/*.py or *.sh whose first line starts with "#!"
It runs from the repository's root and exits with 0 (good), 77 (skipped; the last line it prints
says why) or anything else (failed). BUILD and TEST_DIR are in its environment; TEST_DIR is an empty
directory of its own, which is kept if the test fails. A line "# test: WORD..." among a script's
first ones says what it needs:
  machine      it boots QEMU or loads both CPUs: one such test at a time (implied in tests/e2e,
               tests/kernel, tests/net)
  light        it does not, although it lies there
  alone        no other test at the same time
  timeout=S    seconds; 300 otherwise
"""
import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

SKIPPED = 77
PYTHON = "/usr/bin/python3"  # Debian's: the one that Debian's modules are for
MACHINE_ROOMS = ("e2e", "kernel", "net")
KEPT_OUTPUT = 200  # lines of a failed test


class Test:
    def __init__(self, name, command):
        self.name = name
        self.command = command
        self.machine = False
        self.alone = False
        self.timeout = 300
        self.seconds = 0.0
        self.outcome = None  # ok, FAILED, skipped
        self.output = ""

    def read_needs(self, path):
        words = []
        with open(path, encoding="utf-8") as script:
            for line in script.readlines()[:12]:
                if match := re.match(r"# test: (.*)", line):
                    words += match[1].split()
        in_machine_room = self.name.split("/")[0] in MACHINE_ROOMS
        self.machine = (in_machine_room or "machine" in words) and "light" not in words
        self.alone = "alone" in words
        for word in words:
            if word.startswith("timeout="):
                self.timeout = int(word[len("timeout="):])


def find_tests(build):
    tests = []
    for folder, _, files in sorted(os.walk("tests")):
        for file in sorted(files):
            path = os.path.join(folder, file)
            script_name = os.path.relpath(path, "tests")
            name, extension = os.path.splitext(script_name)
            if extension == ".c":
                program = os.path.join(build, "asan", "tests", name)
                if os.path.exists(program):
                    tests.append(Test(name, [program]))
            elif extension in (".py", ".sh") and path != "tests/run.py":
                with open(path, "rb") as script:
                    if script.read(2) != b"#!":
                        continue
                interpreter = [PYTHON, "-B"] if extension == ".py" else ["bash"]
                test = Test(script_name, [*interpreter, path])
                test.read_needs(path)
                tests.append(test)
    return tests


def end_group(process):
    """Nothing that a test started outlives it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Runner:
    """Hands tests to workers. `changed` guards all fields and the tests' results."""

    def __init__(self, options, tests):
        self.options = options
        self.waiting = list(tests)
        self.changed = threading.Condition()
        self.running = []
        self.processes = {}
        self.cancelled = False
        self.width = max([len(test.name) for test in tests], default=0)

    def next_test(self):
        """The next test that may run beside those that do; None if there is none any more."""
        with self.changed:
            while self.waiting and not self.cancelled:
                for test in self.waiting:
                    if self.may_start(test):
                        self.waiting.remove(test)
                        self.running.append(test)
                        return test
                self.changed.wait()
            return None

    def may_start(self, test):
        if any(other.alone for other in self.running):
            return False
        if test.alone:
            return not self.running
        return not (test.machine and any(other.machine for other in self.running))

    def work(self):
        while test := self.next_test():
            self.run(test)
            with self.changed:
                self.running.remove(test)
                if not self.cancelled:
                    self.report(test)
                self.changed.notify_all()

    def run(self, test):
        directory = os.path.join(self.options.build, "test", test.name)
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        environment = dict(os.environ, BUILD=self.options.build, TEST_DIR=directory,
                           PYTHONDONTWRITEBYTECODE="1")
        started = time.monotonic()
        log_path = directory + ".log"
        with open(log_path, "wb") as log:
            process = subprocess.Popen(test.command, stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=subprocess.STDOUT, env=environment,
                                       start_new_session=True)
            with self.changed:
                self.processes[test] = process
            try:
                code = process.wait(test.timeout)
                note = f"exit status {code}" if code > 0 else f"signal {-code}"
            except subprocess.TimeoutExpired:
                code, note = 1, f"not done after {test.timeout} s"
            end_group(process)
            process.wait()
        test.seconds = time.monotonic() - started
        test.outcome = {0: "ok", SKIPPED: "skipped"}.get(code, "FAILED")
        with open(log_path, encoding="utf-8", errors="replace") as log:
            test.output = log.read()
        if test.outcome == "FAILED":
            test.output += f"\n[{note}; files: {directory}, {log_path}]"
        else:
            shutil.rmtree(directory, ignore_errors=True)

    def report(self, test):
        line = f"{test.outcome:7} {test.name:{self.width}} {test.seconds:6.1f} s"
        lines = test.output.rstrip().split("\n")
        if test.outcome == "skipped":
            line += "  " + lines[-1]
        print(line, flush=True)
        if test.outcome == "FAILED":
            if len(lines) > KEPT_OUTPUT:
                print(f"    | ... {len(lines) - KEPT_OUTPUT} lines before")
            for text in lines[-KEPT_OUTPUT:]:
                print("    | " + text, flush=True)

    def cancel(self):
        with self.changed:
            self.cancelled = True
            for process in self.processes.values():
                end_group(process)
            self.changed.notify_all()


def summary(tests, seconds):
    counts = {outcome: sum(test.outcome == outcome for test in tests)
              for outcome in ("ok", "FAILED", "skipped")}
    print(f"\n{seconds:.0f} s")
    print(f"{counts['ok']} passed, {counts['FAILED']} failed, {counts['skipped']} skipped")
    for test in tests:
        if test.outcome == "FAILED":
            print(f"  FAILED {test.name}: look at it again with: make test ONLY='^{test.name}$'")
    return 1 if counts["FAILED"] or not counts["ok"] else 0


def parse_arguments():
    parser = argparse.ArgumentParser(description="Runs the tests.")
    parser.add_argument("--build", default="build")
    parser.add_argument("--only", default="", help="a regular expression on the tests' names")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 2))
    return parser.parse_args()


def main():
    options = parse_arguments()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    tests = [test for test in find_tests(options.build) if re.search(options.only, test.name)]
    if not tests:
        print(f"No test's name matches '{options.only}'.", file=sys.stderr)
        return 1
    # Machine tests are the longest chain: its first link starts first.
    tests.sort(key=lambda test: (test.alone, not test.machine))
    runner = Runner(options, tests)
    started = time.monotonic()
    workers = [threading.Thread(target=runner.work) for _ in range(options.jobs)]
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    except KeyboardInterrupt:
        runner.cancel()
        for worker in workers:
            worker.join()
        print("\nCancelled.")
        return 130
    return summary(tests, time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
