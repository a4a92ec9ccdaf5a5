/* Boxes that scroll can be reached by keyboard and show on which side there is more (book.css);
   paper is white. */
"use strict";

const BOXES = ".bd-article :is(pre, table, .picture > div, div.math, .cell_output, .text_html)";

function mark(box) {
  const more = box.scrollWidth - box.clientWidth;
  const scrolls = more > 1 && getComputedStyle(box).overflowX === "auto";
  if (!scrolls) {
    if (box.dataset.more !== undefined) {
      delete box.dataset.more;
      box.removeAttribute("tabindex");
    }
    return;
  }
  const sides = [box.scrollLeft > 1 && "left", box.scrollLeft < more - 1 && "right"];
  box.dataset.more = sides.filter(Boolean).join(" ");
  box.tabIndex = 0;
}

addEventListener("DOMContentLoaded", () => {
  const sizes = new ResizeObserver((seen) => seen.forEach(({ target }) => mark(target)));
  const inner = new ResizeObserver((seen) => seen.forEach(({ target }) => mark(target.parentElement)));
  for (const box of document.querySelectorAll(BOXES)) {
    box.addEventListener("scroll", () => mark(box), { passive: true });
    sizes.observe(box);
    for (const child of box.children) inner.observe(child);
  }
});

let theme;
addEventListener("beforeprint", () => {
  theme = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
});
addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = theme;
});
