// How a cell reads, sorts and is downloaded, by the type of its field (see _fields.py, which says the same for the first rows).
"use strict";
(() => {
  const fixed = (x, digits) => x.toFixed(digits);
  const pm = (cell, scale, digits) =>
    fixed(scale * cell[0], digits) + (cell[1] === null ? "" : ` ± ${fixed(scale * cell[1], digits)}`);
  const count = (n) => {
    for (const [unit, size] of [["T", 1e12], ["B", 1e9], ["M", 1e6], ["K", 1e3]])
      if (n >= size) return n / size >= 100 ? `${fixed(n / size, 0)}${unit}` : `${fixed(n / size, 1)}${unit}`;
    return String(n);
  };
  const texts = {
    rank: ([best, worst]) => (best === worst ? `${best}` : `${best}–${worst}`),
    model: (cell) => cell[0],
    count,
    coverage: ([measured, total, missing]) =>
      `${measured}/${total}` + (missing.length ? `, misses ${missing.slice(0, 2).join(", ")}` : "") +
      (missing.length > 2 ? ` and ${missing.length - 2} more` : ""),
    number: (cell) => pm(cell, 1, 3),
    percent: (cell) => pm(cell, 100, 1),
    interval: ([p, low, high]) =>
      fixed(100 * p, 1) + (low === null ? "" : ` [${fixed(100 * low, 1)}, ${fixed(100 * high, 1)}]`),
    text: String,
  };
  const empty = (cell) => cell === null || cell === "";
  const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  const loading = new Map();

  window.Cells = {
    empty,
    text: (field, cell) => (empty(cell) ? (field.type === "rank" ? "unranked" : "–") : texts[field.type](cell)),
    // A number or a lower-case text; null where there is nothing, which sorts last either way.
    sort: (field, cell) => {
      if (empty(cell)) return null;
      if (field.type === "text") return cell.toLowerCase();
      if (field.type === "model") return cell[0].toLowerCase();
      return Array.isArray(cell) ? cell[0] : cell;
    },
    // Which model: the place of its page, without the folder and the ending that all share.
    key: (cell) => cell[1].slice(7, -5),
    escape: (text) => String(text).replace(/[&<>"']/g, (c) => escapes[c]),
    // What a cell gives a table of plain columns.
    columns: (field) =>
      ({
        rank: ["best rank", "worst rank", "tie group"],
        model: [field.label],
        coverage: ["measured", "of", "missing"],
        number: [field.label, `${field.label}, standard error`],
        percent: [field.label, `${field.label}, standard error`],
        interval: [field.label, `${field.label}, low`, `${field.label}, high`],
      })[field.type] || [field.label],
    values: (field, cell) => {
      const width = window.Cells.columns(field).length;
      if (empty(cell)) return Array(width).fill("");
      if (field.type === "model") return [cell[0]];
      if (field.type === "coverage") return [cell[0], cell[1], cell[2].join("; ")];
      return Array.isArray(cell) ? cell.map((v) => (v === null ? "" : v)) : [cell];
    },
  };

  // Scripts, not fetch: a page opened from a file may load the one and not the other.
  window.loadScript = (source) => {
    if (!loading.has(source))
      loading.set(source, new Promise((done, failed) => {
        const script = document.createElement("script");
        script.src = source;
        script.onload = done;
        script.onerror = () => failed(new Error(`cannot load ${source}`));
        document.head.append(script);
      }));
    return loading.get(source);
  };

  // The part of the address after "#"; a Space's own address is told, since the page lies in a frame there.
  window.State = {
    read: () => new URLSearchParams(location.hash.slice(1)),
    write: (parameters) => {
      const text = parameters.toString();
      history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
      if (window.parent !== window)
        window.parent.postMessage({ queryString: "", hash: text }, "https://huggingface.co");
    },
  };
})();
