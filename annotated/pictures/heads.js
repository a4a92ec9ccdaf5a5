/* Makes each `.heads` on the page a live view of its data, in place of the still picture.
   One layer at a time is drawn; words are never read as HTML. */
(() => {
  "use strict";
  const BLUE = [57, 135, 214], ORANGE = "#e0752d";
  const FAINT = 0.02; // a weight below it has no line
  const KEYS = "Keys: ↑ ↓ words, ← → heads, Page ↑ ↓ layers, Esc all words.";

  function add(parent, tag, properties = {}, attributes = {}) {
    const node = Object.assign(document.createElement(tag), properties);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    parent.append(node);
    return node;
  }

  function choice(bar, words, change) {
    const label = add(bar, "label", { textContent: `${words} ` });
    const select = add(label, "select");
    select.addEventListener("change", () => change(select.selectedIndex));
    return {
      label,
      set(names, index) {
        select.replaceChildren();
        names.forEach((textContent) => add(select, "option", { textContent }));
        select.selectedIndex = index;
      },
    };
  }

  function show(box) {
    const { looks, caption, ...state } = JSON.parse(box.dataset.heads);
    for (const look of looks) look.values = Uint8Array.from(atob(look.weights), (c) => c.charCodeAt(0));
    let hover = null; // as state.word: [side, index], the side 0 for rows, 1 for columns

    box.replaceChildren();
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", caption);
    const bar = add(box, "div", { className: "bar" });
    const kinds = choice(bar, "attention", (i) => { state.look = i; state.word = null; all(); });
    const layers = choice(bar, "layer", (i) => { state.layer = i; all(); });
    const forms = choice(bar, "drawn as", (i) => { state.form = i; all(); });
    const names = choice(bar, "a row is the token it", (i) => { state.reads = i; all(); });
    const every = add(box, "div", { className: "all" }, { role: "group", "aria-label": "heads" });
    const close = add(box, "div");
    const said = add(box, "p", { className: "said" }, { "aria-live": "polite" });
    add(box, "p", { className: "keys", textContent: KEYS });

    const look = () => looks[state.look];
    const rows = () => (look().written && !state.reads ? look().written : look().rows);
    const sides = () => [rows(), look().columns];
    const weight = (t, s, head = state.head) => {
      const { values, heads, rows: { length: T }, columns: { length: S } } = look();
      return values[((state.layer * heads + head) * T + t) * S + s] / 255;
    };

    function all() { // another attention, layer or form: everything is drawn anew
      const held = box.contains(document.activeElement) && document.activeElement.dataset.at;
      kinds.set(looks.map(({ name }) => name), state.look);
      layers.set(Array.from({ length: look().layers }, (_, i) => i + 1), state.layer);
      forms.set(["lines", "a matrix"], state.form);
      names.label.hidden = !look().written;
      names.set(["writes", "reads"], state.reads);
      every.replaceChildren();
      for (let head = 0; head < look().heads; head++) thumbnail(head);
      words();
      if (held) box.querySelector(`[data-at="${held}"]`)?.focus();
    }

    function thumbnail(head) {
      const button = add(every, "button", { type: "button", onclick: () => choose(head) }, { "data-at": `h${head}` });
      const T = look().rows.length, S = look().columns.length;
      const canvas = add(button, "canvas", { width: S, height: T }, { "aria-hidden": "true" });
      add(button, "span", { textContent: `head ${head + 1}` });
      const pixels = new ImageData(S, T);
      for (let t = 0; t < T; t++)
        for (let s = 0; s < S; s++) pixels.data.set([...BLUE, 255 * weight(t, s, head)], 4 * (t * S + s));
      canvas.getContext("2d").putImageData(pixels, 0, 0);
    }

    function words() { // the words of both sides, and room between them
      close.className = `close ${state.form ? "matrix" : "lines"}`;
      close.style.setProperty("--columns", look().columns.length);
      close.replaceChildren();
      const [left, right] = ["rows", "columns"].map((className) => document.createElement("div"));
      [left, right].forEach((list, side) => {
        list.className = side ? "columns" : "rows";
        list.setAttribute("role", "group");
        list.setAttribute("aria-label", side ? "tokens that are looked at" : "tokens that look");
        sides()[side].forEach((word, i) => {
          const button = add(list, "button", { type: "button", textContent: word }, { "data-at": `${side}.${i}` });
          button.addEventListener("click", () => single(same(state.word, side, i) ? null : [side, i]));
          button.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && point([side, i]));
          button.addEventListener("pointerleave", () => point(null));
        });
      });
      close.append(...(state.form ? [right, left] : [left, right]));
      left.insertAdjacentHTML("afterend", `<svg class="between" aria-hidden="true" preserveAspectRatio="none"></svg>`);
      const between = close.querySelector("svg");
      between.addEventListener("pointermove", (event) => state.form && point(null, cell(event)));
      between.addEventListener("pointerleave", () => point(null));
      between.addEventListener("click", (event) => state.form && single([0, cell(event)[0]]));
      draw();
    }

    function cell({ clientX, clientY }) { // the row and column under the pointer
      const { left, top, width, height } = close.querySelector("svg").getBoundingClientRect();
      const inside = (part, n) => Math.max(0, Math.min(n - 1, Math.floor(part * n)));
      return [inside((clientY - top) / height, rows().length), inside((clientX - left) / width, look().columns.length)];
    }

    const same = (word, side, i) => word && word[0] === side && word[1] === i;

    function draw(at = null) { // the weights, and what is singled out
      const word = hover ?? state.word, T = rows().length, S = look().columns.length;
      const parts = [];
      for (let t = 0; t < T; t++)
        for (let s = 0; s < S; s++) {
          const w = weight(t, s), on = !word || word[1] === (word[0] ? s : t);
          if (w >= FAINT) parts.push((state.form ? square : line)(t, s, w, on, word !== null));
        }
      if (at) parts.push(`<rect x="${at[1]}" y="${at[0]}" width="1" height="1" fill="none" stroke="${ORANGE}" stroke-width="2" vector-effect="non-scaling-stroke"/>`);
      const svg = close.querySelector("svg"), high = state.form ? T : Math.max(T, S);
      svg.setAttribute("viewBox", state.form ? `0 0 ${S} ${T}` : `0 0 10 ${high}`);
      svg.style.height = `${1.5 * high}rem`;
      svg.innerHTML = parts.join("");
      for (const button of close.querySelectorAll("button")) {
        const [side, i] = button.dataset.at.split(".").map(Number);
        const pressed = same(state.word, side, i);
        button.setAttribute("aria-pressed", Boolean(pressed));
        button.tabIndex = pressed || (i === 0 && state.word?.[0] !== side) ? 0 : -1;
        const share = word && word[0] !== side ? (side ? weight(word[1], i) : weight(i, word[1])) : 0;
        button.style.background = same(word, side, i) ? "#e0752d40" : `rgb(${BLUE} / ${share / 2})`.replaceAll(",", " ");
      }
      for (const button of every.children) {
        const chosen = button.dataset.at === `h${state.head}`;
        button.setAttribute("aria-pressed", chosen);
        button.tabIndex = chosen ? 0 : -1;
      }
      const words = sentence(word, at);
      if (said.textContent !== words) said.textContent = words;
    }

    function line(t, s, w, on, single) {
      if (!on) return "";
      const faded = single ? 0.25 + 0.75 * w : w;
      return `<line x1="0" x2="10" y1="${t + 0.5}" y2="${s + 0.5}" stroke="rgb(${BLUE})" stroke-width="${(0.5 + 6 * w).toFixed(1)}" stroke-opacity="${faded.toFixed(2)}" vector-effect="non-scaling-stroke"/>`;
    }

    function square(t, s, w, on) {
      return `<rect x="${s}" y="${t}" width="1" height="1" fill="rgb(${BLUE})" fill-opacity="${(on ? w : w / 3).toFixed(2)}"/>`;
    }

    function sentence(word, at) { // the same in words
      const [left, right] = sides(), where = `Layer ${state.layer + 1}, head ${state.head + 1}: `;
      const found = [];
      left.forEach((_, t) => right.forEach((_, s) => {
        if (at ? t === at[0] && s === at[1] : !word || word[1] === (word[0] ? s : t)) found.push([weight(t, s), t, s]);
      }));
      const most = found.sort((a, b) => b[0] - a[0]).slice(0, 4).filter(([w], i) => !i || w >= 0.005);
      if (word && !at) {
        const list = most.map(([w, t, s]) => `“${word[0] ? left[t] : right[s]}” ${w.toFixed(2)}`).join(", ");
        return `${where}“${sides()[word[0]][word[1]]}” ${word[0] ? "is looked at by" : "looks at"} ${list}.`;
      }
      return where + most.map(([w, t, s]) => `“${left[t]}” looks at “${right[s]}” ${w.toFixed(2)}`).join(", ") + ".";
    }

    function point(word, at = null) { hover = word; draw(at); }
    function single(word) { state.word = word; hover = null; draw(); }
    function choose(head) { state.head = head; draw(); }

    box.addEventListener("keydown", (event) => {
      if (event.target.tagName === "SELECT" || event.altKey || event.ctrlKey || event.metaKey) return;
      const step = { ArrowUp: -1, ArrowDown: 1, ArrowLeft: -1, ArrowRight: 1, PageUp: -1, PageDown: 1, Escape: 0 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      if (event.key === "Escape") return single(null);
      const held = event.target.dataset.at ?? "", turn = (i, n) => (i + step + n) % n;
      if (event.key.startsWith("Page")) {
        state.layer = turn(state.layer, look().layers);
        all();
      } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
        choose(turn(state.head, look().heads));
        if (held.startsWith("h")) every.children[state.head].focus();
      } else {
        const side = held.startsWith("1") ? 1 : 0, n = sides()[side].length;
        single([side, state.word?.[0] === side ? turn(state.word[1], n) : step < 0 ? n - 1 : 0]);
        close.querySelector(`[data-at="${state.word.join(".")}"]`).focus();
      }
    });
    all();
    box.dataset.live = "";
  }

  const start = () => document.querySelectorAll(".heads:not([data-live])").forEach(show);
  start();
  addEventListener("DOMContentLoaded", start);
})();
