"""What is seen of a page, in short words; see .ci/check-page."""

LOOK = """
const row = (content) => [...document.querySelectorAll("#matrix tbody tr")]
  .find((row) => row.querySelector(".content").textContent === content);
const holdings = (content) => [...(row(content)?.querySelectorAll(".tick") ?? [])].map((tick) => tick.dataset.how).join(" ");
const cells = (node) => [...document.querySelector(`#nodes tbody[data-node=${node}]`).rows[0].cells];
const said = (node) => cells(node).map((cell) => cell.textContent);
const card = (name) => [...document.querySelectorAll("#cards > div")]
  .find((card) => card.querySelector("dt").textContent === name)?.querySelector("dd").textContent;
const writes = (state) => document.querySelectorAll(`#writes li[data-state=${state}]`).length;
const stale = () => document.documentElement.classList.contains("stale");
const text = (id) => document.getElementById(id).textContent;
const color = (element) => getComputedStyle(element).color;
"""


class Looker:
    """Looks at a page until it shows what it should."""

    def __init__(self, browser):
        self.browser = browser

    def until(self, what, condition, seconds=10):
        return self.browser.until(what, f"{LOOK}\nreturn {condition}", seconds=seconds)

    def now(self, expression):
        return self.browser.run(f"{LOOK}\nreturn {expression}")

    def can_be_read_by_everybody(self, what):
        """In both colours, wide and narrow; each as the page is at the moment."""
        for scheme in "dark", "light":
            self.browser.scheme(scheme)
            violations = self.browser.violations()
            assert not violations, f"{what}, {scheme}:\n" + "\n".join(violations)
        self.browser.size(390, 800)
        width = self.now("Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)")
        assert width <= 390, f"{what}: {width} pixels wide"
        violations = self.browser.violations()
        assert not violations, f"{what}, narrow:\n" + "\n".join(violations)
        self.browser.size(1280, 800)
