// The table of models (see table.js): its columns and which are shown, the models chosen to compare, and downloads.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const { text, sort, escape, key: keyOf, columns, values, empty } = window.Cells;
  const MOST = 4;
  const boxes = [...document.querySelectorAll("[data-column]")];
  const standard = boxes.filter((box) => box.checked).map((box) => box.dataset.column);
  // Without a prototype: an address may ask for a column "constructor".
  const position = Object.create(null);
  let fields = [], rows = [], chosen = [];

  function cell(field, data, kind) {
    if (kind === "sort" || kind === "type") return sort(field, data);
    if (kind === "filter") return text(field, data);
    if (field.type !== "model") return escape(text(field, data));
    const name = escape(data[0]), key = keyOf(data);
    return `<span class="pick"><input type="checkbox" data-compare="${escape(key)}" aria-label="Compare ${name}"` +
      `${chosen.includes(key) ? " checked" : ""}><a href="${escape(data[1])}"><bdi>${name}</bdi></a></span>`;
  }

  function load() {
    ({ fields, rows } = window.LEADERBOARD);
    fields.forEach((field, i) => { position[field.key] = i; });
    const shown = new Set(["model", ...boxes.filter((box) => box.checked).map((box) => box.dataset.column)]);
    const columns = fields.map((field, i) => ({
      key: field.key,
      title: escape(field.label),
      data: i,
      className: field.type,
      visible: shown.has(field.key),
      searchable: ["model", "family", "licence", "precision", "kind", "engine"].includes(field.key),
      falls: ["number", "percent", "interval", "count", "coverage"].includes(field.type),
      render: (data, kind) => cell(field, data, kind),
    }));
    return { rows, columns };
  }

  function passes(row, value) {
    for (const name of ["family", "engine", "licence", "kind"])
      if (value[name] && row[position[name]] !== value[name]) return false;
    const size = row[position.parameters];
    if (value.min && !(size !== null && size >= value.min * 1e9)) return false;
    if (value.max && !(size !== null && size <= value.max * 1e9)) return false;
    return !(value.complete && row[position.coverage][2].length);
  }

  function write(state) {
    const visible = boxes.filter((box) => box.checked).map((box) => box.dataset.column);
    if (visible.join() !== standard.join()) state.set("cols", visible.join(","));
    if (chosen.length) state.set("compare", chosen.join(","));
  }

  function read(state) {
    const wanted = state.has("cols") ? state.get("cols").split(",") : standard;
    for (const box of boxes) {
      box.checked = wanted.includes(box.dataset.column);
      board.table.column(position[box.dataset.column]).visible(box.checked, false);
    }
    const known = new Set(rows.map((row) => keyOf(row[position.model])));
    chosen = (state.get("compare") || "").split(",").filter((key) => known.has(key)).slice(0, MOST);
    board.table.rows().invalidate("data");
    board.table.columns.adjust();
  }

  function active() {
    const found = board.filters.filter(board.value).map((f) => ({
      label: f.type === "checkbox" ? "complete only" : `${f.labels[0].dataset.chip ?? f.labels[0].textContent.trim()}: ${f.value}${f.type === "number" ? " billion" : ""}`,
      clear: () => { if (f.type === "checkbox") f.checked = false; else f.value = ""; },
    }));
    const query = $("search").value.trim();
    if (query) found.push({ label: `Search: ${query}`, clear: () => { $("search").value = ""; } });
    return found;
  }

  function told() {
    $("chips").replaceChildren(...active().map(({ label, clear }) => {
      const chip = document.createElement("button");
      chip.type = "button";
      chip.textContent = `${label} ✕`;
      chip.setAttribute("aria-label", `Remove filter ${label}`);
      chip.onclick = () => { clear(); board.apply(); $("search").focus(); };
      return chip;
    }));
    $("tray").hidden = !chosen.length;
    $("chosen").textContent = `${chosen.length} of up to ${MOST} chosen.`;
    $("compare").href = `compare.html#${new URLSearchParams({ compare: chosen.join(",") })}`;
  }

  const board = window.Board({
    source: "data/models.js",
    load,
    things: "models",
    hidden: "the filters below",
    empty: "No models",
    none: "No model passes the filters",
    passes,
    parameters: ["cols", "compare"],
    write,
    read,
    told,
  });

  function download(name, type, content) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  const visible = () => fields.map((field, i) => [field, i]).filter(([, i]) => board.table.column(i).visible());
  const shown = () => board.table.rows({ search: "applied", order: "applied" }).data().toArray();

  // A text that a spreadsheet would take for a formula is set off with an apostrophe.
  const quoted = (value) => {
    const plain = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
  };

  function csv() {
    const lines = [visible().flatMap(([field]) => columns(field))];
    for (const row of shown()) lines.push(visible().flatMap(([field, i]) => values(field, row[i])));
    download("leaderboard.csv", "text/csv", lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n");
  }

  function json() {
    const found = shown().map((row) => Object.fromEntries(visible().map(([field, i]) => [field.key, empty(row[i]) ? null : row[i]])));
    download("leaderboard.json", "application/json", JSON.stringify(found, null, 1));
  }

  for (const box of boxes)
    box.addEventListener("change", board.after(() => {
      board.table.column(position[box.dataset.column]).visible(box.checked);
      board.save();
    }));
  $("csv").addEventListener("click", board.after(csv));
  $("json").addEventListener("click", board.after(json));
  $("clear").addEventListener("click", board.after(() => {
    chosen = [];
    for (const box of document.querySelectorAll("#board [data-compare]")) box.checked = false;
    board.save();
    $("search").focus();
  }));
  $("board").addEventListener("change", (event) => {
    const key = event.target.dataset.compare;
    if (!key) return;
    chosen = chosen.filter((other) => other !== key);
    if (event.target.checked) chosen.push(key);
    for (const dropped of chosen.splice(0, chosen.length - MOST)) {
      const box = document.querySelector(`#board [data-compare="${CSS.escape(dropped)}"]`);
      if (box) box.checked = false;
    }
    board.save();
  });
})();
