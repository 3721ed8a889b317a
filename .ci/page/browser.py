"""A browser without a window that looks at pages of nodes; see .ci/check-page."""

import json
import os
import time
from importlib.resources import files

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select


class Browser:
    """What the tests do and see."""

    def __init__(self, work):
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        arguments = ["--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"]
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")
        for argument in [*arguments, f"--user-data-dir={work}/profile"]:
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options, Service("/usr/bin/chromedriver"))
        self.driver.set_script_timeout(60)
        self.axe = files("axe_playwright_python").joinpath("axe.min.js").read_text()
        # What it shows before it is asked for anything is no page of ours.
        self.driver.get("about:blank")
        self.driver.get_log("performance")
        self.requested = set()
        # What it has sent: the parameters of the events of Chromium's own protocol, by the id of the request.
        self.sent = []
        self.console = []
        self.complaints = []

    def quit(self):
        self.driver.quit()

    def size(self, width, height):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def scheme(self, scheme):
        features = [{"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, url):
        self.driver.get(url)

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def until(self, what, script, *arguments, seconds=10):
        """What the script returns as soon as that is something, and after how many seconds that was."""
        began = time.monotonic()
        while True:
            result = self.run(script, *arguments)
            took = time.monotonic() - began
            if result:
                return result, took
            if took > seconds:
                shown = self.run("return document.body.innerText")
                raise AssertionError(f"not within {seconds} s: {what}\n{shown}")
            time.sleep(0.03)

    def append(self, content, w):
        """Fills in the form and sends it, as a person does."""
        form = self.driver.find_element(By.ID, "form")
        Select(form.find_element(By.NAME, "w")).select_by_value(w)
        form.find_element(By.NAME, "content").send_keys(content)
        form.find_element(By.TAG_NAME, "button").click()

    def give_token(self, token):
        """Types it into the field that is shown and sends it off with the keyboard, as a person does."""
        self.driver.find_element(By.ID, "access-token").send_keys(token, Keys.ENTER)

    def press(self, identifier):
        self.driver.find_element(By.ID, identifier).click()

    def back(self):
        self.driver.back()

    def forget(self):
        """What was noted so far is none of the nodes'."""
        self.driver.get("about:blank")
        self.collect()
        self.requested.clear()
        self.console.clear()
        self.complaints.clear()
        self.sent.clear()

    def reload(self):
        self.driver.refresh()

    def in_new_tab(self, look):
        """What `look` does is done in a tab of its own, which is closed afterwards."""
        first = self.driver.current_window_handle
        self.driver.switch_to.new_window("tab")
        try:
            look()
        finally:
            self.driver.close()
            self.driver.switch_to.window(first)

    def collect(self):
        """Reads what the browser has noted since."""
        lines = self.driver.get_log("browser")
        self.console += lines
        self.complaints += [line for line in lines if line["level"] in ("WARNING", "SEVERE")]
        for line in self.driver.get_log("performance"):
            message = json.loads(line["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.requested.add(message["params"]["request"]["url"])
            if message["method"] in ("Network.requestWillBeSent", "Network.requestWillBeSentExtraInfo"):
                self.sent.append(message["params"])

    def violations(self):
        """What axe-core finds wrong, a line each."""
        if not self.run("return Boolean(window.axe)"):
            self.run(self.axe)
        found = self.driver.execute_async_script(
            "const done = arguments[0]; axe.run(document).then((r) => done(r.violations), (e) => done(String(e)))"
        )
        assert isinstance(found, list), found
        return [f"{rule['id']}: {node['failureSummary']} {node['html']}" for rule in found for node in rule["nodes"]]

    def screenshot(self, path):
        self.driver.save_screenshot(path)
