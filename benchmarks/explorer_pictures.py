"""The docs' pictures of the explorer, from a run whose code has two parts.

ssavae train mnist --latent-dim 34 --set map_dim=2 --out runs/two_part
python benchmarks/explorer_pictures.py runs/two_part mnist
"""

from __future__ import annotations

from pathlib import Path

from explorer_loop import page_of
from report import parser


def elsewhere(page, row: int) -> None:
    """Pin a row, and put it at the centre of another class."""
    page.fill("#find-row", str(row))
    page.press("#find-row", "Enter")
    page.locator(".strip [title^='as ']").last.wait_for()
    page.locator(".strip [title^='as ']").first.click()
    page.locator(".variation figcaption", has_text="at ").wait_for()
    page.locator(".neighbours .strip button").first.wait_for()


def filters(page, row: int) -> None:
    """Draw density, and let pass what is novel and wrong."""
    page.check("#density")
    page.evaluate("document.querySelector('#controls > details').open = false")
    page.click("#filtering summary")
    novelty = page.get_by_role("group", name="Filter by novelty")
    novelty.get_by_label("novelty from").fill("0.5")
    novelty.get_by_label("novelty from").press("Tab")
    page.locator("#filter-count", has_text="points pass").wait_for()
    page.fill("#find-row", str(row))
    page.press("#find-row", "Enter")
    page.locator(".variation .note").wait_for()


PICTURES = {
    "explorer": ("wide", elsewhere),
    "explorer-filters": ("wide_dark", filters),
    "explorer-phone": ("phone", elsewhere),
}


def main() -> None:
    """Draw all pictures."""
    options = parser(__doc__)
    options.add_argument("run", type=Path)
    options.add_argument("data")
    options.add_argument("--row", type=int, default=12)
    options.add_argument("--out", type=Path, default=Path("docs/images"))
    given = options.parse_args()
    for name, (size, act) in PICTURES.items():
        with page_of(given.run, given.data, size) as page:
            act(page, given.row)
            page.evaluate("document.activeElement.blur(), scrollTo(0, 0)")
            page.wait_for_timeout(1500)  # until the hatching is there
            page.screenshot(path=given.out / f"{name}.png")


if __name__ == "__main__":
    main()
