// The table of requests: DataTables over all of them, with search, state and order in the address.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const board = $("board");
  const { escape } = window.Cells;
  const HEADS = { model: "Model", state: "State", position: "Position", reason: "Why", since: "Since", suite: "Suite", attempts: "Attempts", key: "Request" };
  const SHOWN = Object.keys(HEADS);
  const at = Object.create(null);
  let table = null, rows = [], reasons = {}, pending = 0;
  let starting = null, restoring = false;

  // Empty cells stay last whichever way a column is sorted.
  const compare = (sign) => (a, b) => (a === b ? 0 : a === null ? 1 : b === null ? -1 : (a < b ? -1 : 1) * sign);
  DataTable.type("value", { order: { asc: compare(1), desc: compare(-1) } });

  const why = (row) => [row[at.reason] && reasons[row[at.reason]], row[at.detail]].filter(Boolean);

  const texts = {
    position: (row) => (row[at.position] === null ? "–" : `${row[at.position]} of ${pending}`),
    reason: (row) => why(row).join(" "),
    since: (row) => row[at.since].replace("T", " ").replace("Z", ""),
    key: (row) => row[at.key].slice(0, 12),
  };
  const text = (key, row) => (texts[key] ? texts[key](row) : String(row[at[key]]));

  const markup = {
    model: (row) => {
      const name = `<bdi>${escape(row[at.model])}</bdi>`;
      return row[at.path] ? `<a href="${escape(row[at.path])}">${name}</a>` : name;
    },
    reason: (row) => {
      const [said, detail] = [row[at.reason] && reasons[row[at.reason]], row[at.detail]];
      const log = row[at.log] ? `<details data-log="${escape(row[at.key])}"><summary>Log</summary><pre tabindex="0">…</pre></details>` : "";
      const parts = (said ? `<p>${escape(said)}</p>` : "") + (said && detail ? `<p class="file"><bdi>${escape(detail)}</bdi></p>` : "") + log;
      return parts || "–";
    },
    suite: (row) => `<bdi>${escape(row[at.suite])}</bdi>`,
  };

  function cell(key, row, kind) {
    if (kind === "sort" || kind === "type") {
      if (key === "position" || key === "attempts") return row[at[key]];
      return text(key, row).toLowerCase() || null;
    }
    if (kind === "filter") return text(key, row);
    return markup[key] ? markup[key](row) : escape(text(key, row));
  }

  const ours = () => ["q", "state", "sort"].some((key) => window.State.read().has(key));

  function start() {
    starting ??= window.loadScript("data/queue.js").then(() => {
      const { fields } = window.QUEUE;
      ({ rows, reasons } = window.QUEUE);
      fields.forEach((field, i) => { at[field] = i; });
      pending = rows.filter((row) => row[at.position] !== null).length;
      board.replaceChildren(board.querySelector("caption"));
      table = new DataTable(board, {
        data: rows,
        autoWidth: false,
        pageLength: 50,
        order: [],
        layout: { topStart: null, topEnd: null, bottomStart: "info", bottomEnd: "paging" },
        language: { emptyTable: "Nothing has been asked for yet.", zeroRecords: "No request passes the filters",
                    info: "_START_ to _END_ of _TOTAL_", infoEmpty: "", infoFiltered: "" },
        columns: SHOWN.map((key) => ({
          title: HEADS[key],
          data: null,
          type: "value",
          className: { reason: "why", since: "since", suite: "suite", key: "request" }[key] || "",
          searchable: ["model", "reason", "key", "suite"].includes(key),
          orderSequence: ["since", "attempts"].includes(key) ? ["desc", "asc", ""] : ["asc", "desc", ""],
          cellType: key === "model" ? "th" : "td",
          render: (_, kind, row) => cell(key, row, kind),
          createdCell: key === "model" ? (th) => th.setAttribute("scope", "row") : undefined,
        })),
      });
      SHOWN.forEach((key, i) => { table.column(i).header().dataset.key = key; });
      table.search.fixed("state", (_, row) => !$("state").value || row[at.state] === $("state").value);
      // What was typed while the rows were on their way stays, where the address says nothing.
      if (ours()) restore(); else apply();
      table.on("order", save);
      board.dataset.ready = "yes";
    });
    return starting;
  }

  function tell() {
    const shown = table.rows({ search: "applied" }).count();
    const hidden = rows.length - shown;
    $("status").textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} requests shown, ` +
      (hidden ? `${hidden.toLocaleString("en")} hidden by search and state.` : "none hidden.");
  }

  function apply() {
    table.search($("search").value.trim()).draw();
    save();
  }

  function save() {
    if (restoring) return;
    const state = new URLSearchParams();
    if ($("search").value.trim()) state.set("q", $("search").value.trim());
    if ($("state").value) state.set("state", $("state").value);
    const order = table.order().filter(([, way]) => way);
    if (order.length) state.set("sort", order.map(([i, way]) => (way === "desc" ? "-" : "") + SHOWN[i]).join(","));
    window.State.write(state);
    tell();
  }

  // The address may come from anyone: what it names and is not there is left out.
  function restore() {
    restoring = true;
    const state = window.State.read();
    $("search").value = state.get("q") || "";
    $("state").value = state.get("state") || "";
    if ($("state").selectedIndex === -1) $("state").value = "";
    const order = (state.get("sort") || "").split(",")
      .map((key) => (key.startsWith("-") ? [SHOWN.indexOf(key.slice(1)), "desc"] : [SHOWN.indexOf(key), "asc"]))
      .filter(([i]) => i >= 0);
    table.order(order).search($("search").value.trim()).draw();
    restoring = false;
    tell();
  }

  // A log comes when it is opened: thousands of them would weigh on everyone.
  board.addEventListener("toggle", (event) => {
    const key = event.target.dataset.log;
    if (!key || !event.target.open) return;
    const place = event.target.querySelector("pre");
    window.loadScript(`data/logs/${key.slice(0, 2)}/${key}.js`).then(
      () => { place.textContent = window.LOGS[key]; },
      () => { place.textContent = "The log could not be loaded."; },
    );
  }, true);

  const after = (action) => () => start().then(action);
  $("search").addEventListener("input", after(apply));
  $("state").addEventListener("input", after(apply));
  // A heading that is pressed before the rows are there sorts as soon as they are.
  board.addEventListener("click", (event) => {
    const key = !table && event.target.closest("thead th")?.dataset.key;
    if (key) start().then(() => { table.order([[SHOWN.indexOf(key), key === "since" || key === "attempts" ? "desc" : "asc"]]).draw(); });
  });
  window.addEventListener("hashchange", () => {
    if (!table) { if (ours()) start(); }
    else if (ours() || !location.hash) restore();
    // A place on the page was gone to, which changes nothing of what was chosen.
    else save();
  });

  if (board.dataset.eager === "yes" || ours()) start();
  else
    for (const place of [$("queue-table"), document.querySelector(".controls")])
      for (const kind of ["pointerenter", "focusin", "touchstart"])
        place.addEventListener(kind, () => start(), { once: true, passive: true });
})();
