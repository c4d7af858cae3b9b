#!/usr/bin/env python3
"""What stands beside the program is of use: the systemd unit, the completion for bash, the container file.

    configs_test.py SEGUE
"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONFIGS = os.path.join(ROOT, "configs")
SEGUE = ""


def read(name):
    with open(os.path.join(CONFIGS, name), encoding="utf-8") as file:
        return file.read()


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def help_of(*verb):
    """Refuses an empty one, which would hide from whoever compares with it."""
    done = run(SEGUE, *verb, "--help")
    assert done.returncode == 0, (verb, done)
    return done.stdout


def verbs():
    listed = re.search(r"^Verbs:\n((?:  .*\n)+)", help_of(), re.MULTILINE)
    return re.findall(r"^  ([a-z]+)\b", listed[1], re.MULTILINE)


def options_of(*verb):
    return set(re.findall(r"^\s+(?:-\w,)?(--[a-z-]+)", help_of(*verb), re.MULTILINE))


class Unit(unittest.TestCase):
    @unittest.skipUnless(shutil.which("systemd-analyze"), "there is no systemd-analyze here")
    def test_systemd_understands_it(self):
        unit = read("segue.service")
        self.assertIn("\nExecStart=/usr/bin/segue ", unit)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "segue.service")
            with open(path, "w", encoding="utf-8") as file:
                file.write(unit.replace("/usr/bin/segue", SEGUE))
            verified = run("systemd-analyze", "verify", path)
        self.assertEqual((verified.returncode, verified.stderr), (0, ""))


class Completion(unittest.TestCase):
    def complete(self, *words):
        """What is offered for the last of the words."""
        script = ("source {}; PATH={}:$PATH; COMP_WORDS=(segue {}); COMP_CWORD={}; _segue; printf '%s\\n' \"${{COMPREPLY[@]}}\""
                  .format(os.path.join(CONFIGS, "segue.bash-completion"), os.path.dirname(SEGUE),
                          " ".join(f"'{word}'" for word in words), len(words)))
        done = run("bash", "-c", script, cwd=CONFIGS)
        self.assertEqual(done.stderr, "")
        return set(done.stdout.split())

    def test_every_verb_is_offered(self):
        self.assertGreater(len(verbs()), 15)
        for before in ([], ["--json"], ["--config", "segue.example.toml"]):
            with self.subTest(before=before):
                self.assertLessEqual(set(verbs()), self.complete(*before, ""))
        self.assertEqual(self.complete("cut"), {"cutover"})

    def test_every_option_of_every_verb_is_offered(self):
        for verb in verbs():
            with self.subTest(verb=verb):
                offered = self.complete("--config", "segue.example.toml", verb, "--")
                options = options_of(verb)
                self.assertIn("--help", options)
                self.assertLessEqual(options | {"--config", "--json"}, offered)
        self.assertIn("--deadline", options_of("cutover"))
        self.assertIn("--dry-run", self.complete("auto", "auto.example.toml", "--"))
        self.assertEqual(self.complete("rollback", "--fo"), {"--force"})

    def test_what_an_argument_can_be_is_offered(self):
        self.assertEqual(self.complete("mirror", ""), {"async", "sync"})
        self.assertLessEqual({"pause", "resume", "stop", "status", "auto.example.toml"}, self.complete("auto", ""))
        self.assertIn("unlogged_table", self.complete("explain", "un"))


class Container(unittest.TestCase):
    KNOWN = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "ENTRYPOINT", "CMD", "ENV", "ARG", "LABEL"}

    def instructions(self):
        text = re.sub(r"^#.*\n", "", read("Containerfile"), flags=re.MULTILINE).replace("\\\n", " ")
        return [line.split(None, 1) for line in text.splitlines() if line.strip()]

    def test_its_instructions_can_be_followed(self):
        stages = set()
        for word, rest in self.instructions():
            with self.subTest(word=word, rest=rest):
                self.assertIn(word, self.KNOWN)
                if word == "FROM":
                    stages.add((rest.split(" AS ") + [""])[1])
                elif word == "COPY" and rest.startswith("--from="):
                    self.assertIn(rest.split()[0][len("--from="):], stages)
                elif word == "COPY":
                    for source in rest.split()[:-1]:
                        self.assertTrue(glob.glob(os.path.join(ROOT, source)), source)
                elif word == "RUN":
                    self.assertEqual(run("sh", "-n", "-c", rest).stderr, "")
                elif word in ("ENTRYPOINT", "CMD"):
                    self.assertIsInstance(json.loads(rest), list)
        self.assertEqual(self.instructions()[0][0], "FROM")

    def test_what_it_relies_on_is_there(self):
        # It leaves out what is for running and testing.
        packages = read("packages.txt")
        self.assertIn("\n# Running", packages)
        self.assertNotIn("postgresql-15", packages[:packages.index("\n# Running")].split())
        started = [json.loads(rest) for word, rest in self.instructions() if word in ("ENTRYPOINT", "CMD")]
        self.assertEqual(started, [["segue", "--config", "/etc/segue/segue.toml"], ["run"]])


if __name__ == "__main__":
    SEGUE = os.path.abspath(sys.argv.pop(1))
    unittest.main()
