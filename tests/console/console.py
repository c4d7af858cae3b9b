#!/usr/bin/python3
"""Drives the console in headless Chromium by the WebDriver protocol (W3C): console.py URL plan|change|differences|finish [PNG].

Ends with 1, and says why, where the page does not do what an operator expects.
"""
import base64
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

LIMIT = 180  # Seconds for anything that the page is expected to come to.
KEY = "element-6066-11e4-a52e-4f735466cecf"  # Of an element's id, by the protocol.


class Browser:
    def __init__(self, profile):
        self.driver = subprocess.Popen(["/usr/bin/chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True)
        for line in self.driver.stdout:
            if found := re.search(r"started successfully on port (\d+)", line):
                break
        else:
            sys.exit("chromedriver did not start")
        self.url = f"http://127.0.0.1:{found[1]}/session"
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
                     f"--user-data-dir={profile}", "--window-size=1400,1200"]
        made = self.ask("", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"binary": "/usr/bin/chromium", "args": arguments}}}})
        self.url += "/" + made["sessionId"]

    def ask(self, path, body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=LIMIT * 2) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.read().decode()}") from error

    def find(self, css):
        return self.ask("/element", {"using": "css selector", "value": css})[KEY]

    def click(self, css):
        self.ask(f"/element/{self.find(css)}/click", {})

    def type(self, css, text):
        element = self.find(css)
        self.ask(f"/element/{element}/clear", {})
        self.ask(f"/element/{element}/value", {"text": text})

    def script(self, text):
        return self.ask("/execute/sync", {"script": text, "args": []})

    def text(self, css):
        return self.script(f"return document.querySelector({json.dumps(css)}).textContent")

    def wait(self, what, condition):
        until = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < until, f"{what}; the page says: {self.script('return document.body.innerText')}"
            time.sleep(0.1)

    def screenshot(self, file):
        with open(file, "wb") as out:
            out.write(base64.b64decode(self.ask("/screenshot")))

    def complaints(self):
        return [entry["message"] for entry in self.ask("/se/log", {"type": "browser"}) if entry["level"] == "SEVERE"]

    def close(self):
        try:
            self.ask("", method="DELETE")
        finally:
            self.driver.kill()


def enabled(browser, css):
    return browser.script(f"return !document.querySelector({json.dumps(css)}).disabled")


def change(browser):
    browser.wait("the source answers", lambda: "source answers" in browser.text("#state"))
    browser.wait("the tables are there", lambda: "app.quiet" in browser.text("#tables"))
    assert "<img src=x onerror=alert(1)>" in browser.text("#tables"), browser.text("#tables")
    assert browser.script("return document.querySelectorAll('img').length") == 0, "a table's name became markup"
    assert not enabled(browser, "[data-verb=rollback]"), "a rollback to the side that answers"
    browser.click("[data-verb=cutover]")
    assert not enabled(browser, "#yes"), "a cutover without the migration's name"
    browser.type("#name", "another")
    assert not enabled(browser, "#yes"), "a cutover with another name"
    browser.type("#name", browser.text("#migration"))
    assert enabled(browser, "#yes"), "no cutover with the right name"
    browser.click("#yes")
    outcome = lambda: browser.script("return document.getElementById('outcome').className")
    browser.wait("the outcome is told", outcome)
    for _ in range(20):  # A busy machine may have to give a hold up; whoever sits here tries again.
        if outcome() == "good":
            break
        browser.click("[data-verb=cutover]")
        browser.type("#name", browser.text("#migration"))
        browser.click("#yes")
        browser.wait("the outcome is told", outcome)
    browser.wait("the target answers", lambda: "target answers" in browser.text("#state"))
    assert not enabled(browser, "[data-verb=cutover]") and enabled(browser, "[data-verb=rollback]")
    browser.wait("the outcome is told", lambda: browser.script("return document.getElementById('outcome').className") == "good")
    browser.wait("the wait of the change is drawn", lambda: browser.script("return document.querySelectorAll('#wait-chart rect').length") >= 1)


def press(browser, what):
    browser.wait(f"{what} can be pressed", lambda: enabled(browser, f"[data-auto={what}]"))
    browser.click(f"[data-auto={what}]")
    assert enabled(browser, "#yes"), f"{what} asks for a name, and changes nobody's authority"


def plan(browser):
    browser.wait("the plan is at its step", lambda: "step 1 of 2: shadow 100 %" in browser.text("#auto-step"))
    browser.wait("what is judged", lambda: "errors among the answers" in browser.text("#auto-rails"))
    browser.wait("what it waits for", lambda: "of 3600 s" in browser.text("#auto-watch") or "of 60 min" in browser.text("#auto-watch"))
    assert browser.text("#auto-state") == "desk: running", browser.text("#auto-state")
    press(browser, "pause")
    browser.click("#confirm [value=no]")
    press(browser, "pause")
    browser.click("#yes")
    browser.wait("it is paused", lambda: browser.text("#auto-state") == "desk: paused")
    assert "paused by the console" in browser.text("#auto-reason"), browser.text("#auto-reason")
    press(browser, "resume")
    browser.click("#yes")
    browser.wait("it goes on", lambda: browser.text("#auto-state") == "desk: running")
    percentages(browser)
    # By hand: what it goes on with then is not what it was at.
    browser.type("#shadow-percent", "3")
    browser.click("[data-verb=shadow]")
    browser.wait("it was taken over", lambda: "taken over by hand" in browser.text("#auto-reason"))
    value = lambda: browser.script("return document.getElementById('shadow-percent').value")
    browser.wait("it is in force", lambda: value() == "3")
    browser.wait("it can be resumed", lambda: enabled(browser, "[data-auto=resume]"))
    browser.click("[data-auto=resume]")
    assert not enabled(browser, "#yes"), "a plan that was taken over goes on without the migration's name"
    browser.type("#name", browser.text("#migration"))
    browser.click("#yes")
    browser.wait("it goes on", lambda: browser.text("#auto-state") == "desk: running")
    press(browser, "stop")
    browser.click("#yes")
    browser.wait("it is gone", lambda: browser.script("return document.getElementById('auto').hidden"))
    browser.wait("the outcome is told", lambda: "nothing is undone" in browser.text("#outcome"))


def percentages(browser):
    """What is no percentage is not posted: nothing would be 0, and end what is in force."""
    for wrong in ("", "101", "-1"):
        browser.type("#shadow-percent", wrong)
        browser.click("[data-verb=shadow]")
        told = browser.text("#outcome")
        assert told == "shadow: not asked for: expected a percentage from 0 to 100", f"{wrong!r}: {told}"
        browser.script("document.getElementById('outcome').textContent = ''")
    assert browser.text("#auto-state") == "desk: running", browser.text("#auto-state")


def differences(browser):
    browser.wait("the target answers", lambda: "target answers" in browser.text("#state"))
    browser.wait("history of before the page was opened",
                 lambda: browser.script("return document.querySelectorAll('#wait-chart rect').length") >= 1)
    latencies(browser)
    browser.wait("it differs", lambda: "different" in browser.text("#verification"))
    browser.click("#ask-differences button")
    browser.wait("the table is named", lambda: "app.quiet" in browser.text("#differences"))
    assert "(7)" not in browser.text("#differences"), "keys are shown though nobody asked for them"
    browser.click("#ask-differences input")
    browser.wait("the keys are shown", lambda: "(7)" in browser.text("#differences") and "(8)" in browser.text("#differences"))


def finish(browser):
    browser.wait("it can be finished", lambda: enabled(browser, "[data-verb=finish]"))
    browser.click("[data-verb=finish]")
    assert "with the target as the authority? There is no way back" in browser.text("#question"), browser.text("#question")
    assert not enabled(browser, "#yes"), "a finish without the migration's name"
    browser.type("#name", "another")
    assert not enabled(browser, "#yes"), "a finish with another name"
    browser.click("#confirm [value=no]")
    assert "target answers" in browser.text("#state"), "finished by whoever has left it"
    browser.click("[data-verb=finish]")
    browser.type("#name", browser.text("#migration"))
    browser.click("#yes")
    browser.wait("it is finished", lambda: browser.text("#state") == "finished, on the target")
    browser.wait("the outcome is told", lambda: browser.script("return document.getElementById('outcome').className") == "good")
    assert not any(enabled(browser, f"[data-verb={verb}]") for verb in ("finish", "cutover", "rollback"))


def latencies(browser):
    """The source took 1 ms all the time, the target 9, and then became the authority."""
    browser.wait("the target answers", lambda: "target answers" in browser.text("#state"))
    drawn = browser.script("""
        const kept = samples;
        samples = [["source", 1, 9], ["source", 1, 9], ["target", 9, 1], ["target", 9, 1]].map(
            ([answers, authority, follower], i) => ({ at: i, transactions: 0, rate: 0, lag: 0, answers, authority, follower }));
        show_charts(status_now);
        samples = kept;
        const style = getComputedStyle(document.documentElement), lines = {};
        for (const side of ["source", "target"]) {
            const path = document.querySelector(`#latency-chart path[stroke="${style.getPropertyValue("--" + side).trim()}"]`);
            lines[side] = path.getAttribute("d").split(/[ML]/).filter(Boolean).map(point => Number(point.split(" ")[1]));
        }
        return { lines, figure: byId("latency").textContent };""")
    for side, heights in drawn["lines"].items():
        assert len(heights) == 4 and len(set(heights)) == 1, f"the {side} is painted as the other side: {drawn}"
    assert drawn["lines"]["source"][0] > drawn["lines"]["target"][0], drawn  # Downwards.
    assert drawn["figure"] == "9.00 / 1.00 ms", drawn


def main():
    url, part = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(profile)
        try:
            browser.ask("/url", {"url": url})
            {"plan": plan, "change": change, "differences": differences, "finish": finish}[part](browser)
            if len(sys.argv) > 3:
                browser.screenshot(sys.argv[3])
            assert not browser.complaints(), browser.complaints()
        except AssertionError as failed:
            sys.exit(f"console: {failed}")
        finally:
            browser.close()


main()
