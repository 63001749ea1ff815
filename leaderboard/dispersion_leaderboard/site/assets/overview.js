// The table of models: DataTables over all rows, with everything a visitor chose in the address.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const board = $("board");
  const { text, sort, escape, columns, values, empty } = window.Cells;
  const MOST = 4;
  const filters = [...document.querySelectorAll("[data-filter]")];
  const boxes = [...document.querySelectorAll("[data-column]")];
  const standard = boxes.filter((box) => box.checked).map((box) => box.dataset.column);
  // Without a prototype: an address may ask for a column "constructor".
  const position = Object.create(null);
  let table = null, fields = [], rows = [], chosen = [];
  let starting = null, restoring = false;

  // Empty cells stay last whichever way a column is sorted.
  const compare = (sign) => (a, b) => {
    if (a === b) return 0;
    if (a === null || a === "") return 1;
    if (b === null || b === "") return -1;
    return (a < b ? -1 : 1) * sign;
  };
  DataTable.type("value", { order: { asc: compare(1), desc: compare(-1) } });

  const id = (row) => row[position.model][1].slice(7, -5);

  function cell(field, data, kind) {
    if (kind === "sort" || kind === "type") return sort(field, data);
    if (kind === "filter") return text(field, data);
    if (field.type !== "model") return escape(text(field, data));
    const name = escape(data[0]), key = escape(data[1].slice(7, -5));
    return `<span class="pick"><input type="checkbox" data-compare="${key}" aria-label="Compare ${name}"` +
      `${chosen.includes(data[1].slice(7, -5)) ? " checked" : ""}><a href="${escape(data[1])}"><bdi>${name}</bdi></a></span>`;
  }

  // Loads the rows and puts DataTables on the table; once.
  function start() {
    starting ??= window.loadScript("data/models.js").then(() => {
      ({ fields, rows } = window.LEADERBOARD);
      fields.forEach((field, i) => { position[field.key] = i; });
      const caption = board.querySelector("caption");
      board.replaceChildren(caption);
      table = new DataTable(board, {
        data: rows,
        autoWidth: false,
        pageLength: 50,
        order: [],
        layout: { topStart: null, topEnd: null, bottomStart: "info", bottomEnd: "paging" },
        language: { emptyTable: "No models", zeroRecords: "No model passes the filters", info: "_START_ to _END_ of _TOTAL_",
                    infoEmpty: "", infoFiltered: "" },
        columns: fields.map((field, i) => ({
          title: escape(field.label),
          data: i,
          type: "value",
          className: field.type,
          visible: standard.includes(field.key) || field.key === "model",
          searchable: ["model", "family", "licence", "precision", "kind", "engine"].includes(field.key),
          orderSequence: ["number", "percent", "interval", "count", "coverage"].includes(field.type) ? ["desc", "asc", ""] : ["asc", "desc", ""],
          cellType: field.key === "model" ? "th" : "td",
          render: (data, kind) => cell(field, data, kind),
          createdCell: field.key === "model" ? (th) => th.setAttribute("scope", "row") : undefined,
        })),
      });
      // The library listens only to the headings that are there at first (DataTables 3.1.2).
      fields.forEach((_, i) => { if (!table.column(i).visible()) table.order.listener(table.column(i).header(), i); });
      table.search.fixed("filters", (_, row) => passes(row));
      restore();
      table.on("order", save);
      board.dataset.ready = "yes";
    });
    return starting;
  }

  function passes(row) {
    const value = Object.fromEntries(filters.map((f) => [f.dataset.filter, f.type === "checkbox" ? f.checked : f.value]));
    for (const name of ["family", "engine", "licence", "kind"])
      if (value[name] && row[position[name]] !== value[name]) return false;
    const size = row[position.parameters];
    if (value.min && !(size !== null && size >= value.min * 1e9)) return false;
    if (value.max && !(size !== null && size <= value.max * 1e9)) return false;
    return !(value.complete && row[position.coverage][2].length);
  }

  function active() {
    const found = filters.filter((f) => (f.type === "checkbox" ? f.checked : f.value)).map((f) => ({
      label: f.type === "checkbox" ? "complete only" : `${f.labels[0].dataset.chip ?? f.labels[0].textContent.trim()}: ${f.value}${f.type === "number" ? " billion" : ""}`,
      clear: () => { if (f.type === "checkbox") f.checked = false; else f.value = ""; },
    }));
    const query = $("search").value.trim();
    if (query) found.push({ label: `Search: ${query}`, clear: () => { $("search").value = ""; } });
    return found;
  }

  function tell() {
    const shown = table.rows({ search: "applied" }).count();
    const hidden = rows.length - shown;
    $("status").textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} models shown, ` +
      (hidden ? `${hidden.toLocaleString("en")} hidden by the filters below.` : "none hidden.");
    $("chips").replaceChildren(...active().map(({ label, clear }) => {
      const chip = document.createElement("button");
      chip.type = "button";
      chip.textContent = `${label} ✕`;
      chip.setAttribute("aria-label", `Remove filter ${label}`);
      chip.onclick = () => { clear(); apply(); $("search").focus(); };
      return chip;
    }));
    const tray = $("tray");
    tray.hidden = !chosen.length;
    $("chosen").textContent = `${chosen.length} of up to ${MOST} chosen.`;
    $("compare").href = `compare.html#${new URLSearchParams({ compare: chosen.join(",") })}`;
  }

  function apply() {
    table.search($("search").value.trim()).draw();
    save();
  }

  function save() {
    if (restoring) return;
    const state = new URLSearchParams();
    if ($("search").value.trim()) state.set("q", $("search").value.trim());
    for (const f of filters) {
      if (f.type === "checkbox" ? f.checked : f.value) state.set(f.dataset.filter, f.type === "checkbox" ? "1" : f.value);
    }
    const order = table.order().filter(([, way]) => way);
    if (order.length) state.set("sort", order.map(([i, way]) => (way === "desc" ? "-" : "") + fields[i].key).join(","));
    const visible = boxes.filter((box) => box.checked).map((box) => box.dataset.column);
    if (visible.join() !== standard.join()) state.set("cols", visible.join(","));
    if (chosen.length) state.set("compare", chosen.join(","));
    window.State.write(state);
    tell();
  }

  // The address may come from anyone: what it names and is not there is left out.
  function restore() {
    restoring = true;
    const state = window.State.read();
    $("search").value = state.get("q") || "";
    for (const f of filters) {
      if (f.type === "checkbox") f.checked = state.get(f.dataset.filter) === "1";
      // A number field complains of anything else, and a choice that is not there leaves none.
      else f.value = f.type === "number" && !Number.isFinite(parseFloat(state.get(f.dataset.filter))) ? "" : state.get(f.dataset.filter) || "";
      if (f.selectedIndex === -1) f.value = "";
    }
    const wanted = state.has("cols") ? state.get("cols").split(",") : standard;
    for (const box of boxes) {
      box.checked = wanted.includes(box.dataset.column);
      table.column(position[box.dataset.column]).visible(box.checked, false);
    }
    const known = new Set(rows.map(id));
    chosen = (state.get("compare") || "").split(",").filter((key) => known.has(key)).slice(0, MOST);
    const order = (state.get("sort") || "").split(",").filter(Boolean)
      .map((key) => (key.startsWith("-") ? [position[key.slice(1)], "desc"] : [position[key], "asc"]))
      .filter(([i]) => i !== undefined);
    table.order(order).search($("search").value.trim());
    table.rows().invalidate("data");
    table.columns.adjust().draw();
    restoring = false;
    tell();
  }

  function download(name, type, content) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  const visible = () => fields.map((field, i) => [field, i]).filter(([, i]) => table.column(i).visible());
  const shown = () => table.rows({ search: "applied", order: "applied" }).data().toArray();

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

  const after = (action) => (event) => start().then(() => action(event));
  $("search").addEventListener("input", after(apply));
  for (const f of filters) f.addEventListener("input", after(apply));
  for (const box of boxes)
    box.addEventListener("change", after(() => {
      table.column(position[box.dataset.column]).visible(box.checked);
      save();
    }));
  $("csv").addEventListener("click", after(csv));
  $("json").addEventListener("click", after(json));
  $("clear").addEventListener("click", after(() => {
    chosen = [];
    for (const box of board.querySelectorAll("[data-compare]")) box.checked = false;
    save();
    $("search").focus();
  }));
  board.addEventListener("change", (event) => {
    const key = event.target.dataset.compare;
    if (!key) return;
    chosen = chosen.filter((other) => other !== key);
    if (event.target.checked) chosen.push(key);
    for (const dropped of chosen.splice(0, chosen.length - MOST)) {
      const box = board.querySelector(`[data-compare="${CSS.escape(dropped)}"]`);
      if (box) box.checked = false;
    }
    save();
  });
  // A heading that is pressed before the rows are there sorts as soon as they are.
  board.addEventListener("click", (event) => {
    const key = !table && event.target.closest("th")?.dataset.key;
    if (key) start().then(() => { table.order([[position[key], fields[position[key]].type === "text" || key === "model" || key === "rank" ? "asc" : "desc"]]).draw(); });
  });
  const parameters = ["q", "sort", "cols", "compare", ...filters.map((f) => f.dataset.filter)];
  const ours = () => parameters.some((key) => window.State.read().has(key));
  window.addEventListener("hashchange", () => {
    if (!table) { if (ours()) start(); }
    else if (ours() || !location.hash) restore();
    // A place on the page was gone to, which changes nothing of what was chosen.
    else save();
  });

  if (board.dataset.eager === "yes" || ours()) start();
  else
    for (const place of [$("models-table"), document.querySelector(".controls")])
      for (const kind of ["pointerenter", "focusin", "touchstart"])
        place.addEventListener(kind, () => start(), { once: true, passive: true });
})();
