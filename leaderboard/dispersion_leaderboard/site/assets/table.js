// What the table of models and that of requests share: DataTables over all rows, which are loaded at a visitor's first
// reach for a control, and search, filters and order in the address.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);

  // Empty cells stay last whichever way a column is sorted.
  const compare = (sign) => (a, b) => {
    if (a === b) return 0;
    if (a === null || a === "") return 1;
    if (b === null || b === "") return -1;
    return (a < b ? -1 : 1) * sign;
  };
  DataTable.type("value", { order: { asc: compare(1), desc: compare(-1) } });

  const value = (filter) => (filter.type === "checkbox" ? filter.checked : filter.value);

  // What a page says of its own table:
  //   source           the script that holds the rows
  //   load             takes what the script brought; gives the rows and the columns, each with its key and whether its
  //                    large values come first
  //   things, hidden   what a row is, and what hides rows; empty, none: what stands there without any, or any that passes
  //   passes           whether a row passes the filters, given their values by name
  //   parameters, write, read    more that stands in the address; told: when the table has been drawn
  // Returned is what the page's other controls need.
  window.Board = (own) => {
    const place = $("board"), search = $("search");
    const filters = [...document.querySelectorAll("[data-filter]")];
    const board = { table: null, filters, value, apply, save, after: (action) => (event) => start().then(() => action(event)) };
    let rows = [], keys = [], falls = [];
    let starting = null, restoring = false;

    // Loads the rows and puts DataTables on the table; once.
    function start() {
      starting ??= window.loadScript(own.source).then(() => {
        const loaded = own.load();
        rows = loaded.rows;
        keys = loaded.columns.map(({ key }) => key);
        falls = loaded.columns.map((column) => column.falls);
        place.replaceChildren(place.querySelector("caption"));
        const table = board.table = new DataTable(place, {
          data: rows,
          autoWidth: false,
          pageLength: 50,
          order: [],
          layout: { topStart: null, topEnd: null, bottomStart: "info", bottomEnd: "paging" },
          language: { emptyTable: own.empty, zeroRecords: own.none, info: "_START_ to _END_ of _TOTAL_", infoEmpty: "", infoFiltered: "" },
          columns: loaded.columns.map(({ key, falls, ...column }) => ({
            type: "value",
            orderSequence: falls ? ["desc", "asc", ""] : ["asc", "desc", ""],
            cellType: key === "model" ? "th" : "td",
            createdCell: key === "model" ? (th) => th.setAttribute("scope", "row") : undefined,
            ...column,
          })),
        });
        keys.forEach((key, i) => {
          const head = table.column(i).header();
          head.dataset.key = key;
          // The library listens only to the headings that are there at first (DataTables 3.1.2).
          if (!table.column(i).visible()) table.order.listener(head, i);
        });
        table.search.fixed("filters", (_, row) => own.passes(row, Object.fromEntries(filters.map((f) => [f.dataset.filter, value(f)]))));
        // What was typed while the rows were on their way stays, where the address says nothing.
        if (ours()) restore(); else { draw(); tell(); }
        table.on("order", save);
        place.dataset.ready = "yes";
      });
      return starting;
    }

    const parameters = ["q", "sort", ...filters.map((f) => f.dataset.filter), ...(own.parameters ?? [])];
    const ours = () => parameters.some((key) => window.State.read().has(key));

    function tell() {
      const shown = board.table.rows({ search: "applied" }).count();
      const hidden = rows.length - shown;
      $("status").textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} ${own.things} shown, ` +
        (hidden ? `${hidden.toLocaleString("en")} hidden by ${own.hidden}.` : "none hidden.");
      own.told?.();
    }

    const draw = () => board.table.search(search.value.trim()).draw();

    function apply() {
      draw();
      save();
    }

    function save() {
      if (restoring) return;
      const state = new URLSearchParams();
      if (search.value.trim()) state.set("q", search.value.trim());
      for (const f of filters)
        if (value(f)) state.set(f.dataset.filter, f.type === "checkbox" ? "1" : f.value);
      const order = board.table.order().filter(([, way]) => way);
      if (order.length) state.set("sort", order.map(([i, way]) => (way === "desc" ? "-" : "") + keys[i]).join(","));
      own.write?.(state);
      window.State.write(state);
      tell();
    }

    // The address may come from anyone: what it names and is not there is left out.
    function restore() {
      restoring = true;
      const state = window.State.read();
      search.value = state.get("q") || "";
      for (const f of filters) {
        if (f.type === "checkbox") f.checked = state.get(f.dataset.filter) === "1";
        // A number field complains of anything else, and a choice that is not there leaves none.
        else f.value = f.type === "number" && !Number.isFinite(parseFloat(state.get(f.dataset.filter))) ? "" : state.get(f.dataset.filter) || "";
        if (f.selectedIndex === -1) f.value = "";
      }
      own.read?.(state);
      const order = (state.get("sort") || "").split(",")
        .map((key) => (key.startsWith("-") ? [keys.indexOf(key.slice(1)), "desc"] : [keys.indexOf(key), "asc"]))
        .filter(([i]) => i >= 0);
      board.table.order(order);
      draw();
      restoring = false;
      tell();
    }

    for (const control of [search, ...filters]) control.addEventListener("input", board.after(apply));
    // A heading that is pressed before the rows are there sorts as soon as they are.
    place.addEventListener("click", (event) => {
      const key = !board.table && event.target.closest("thead th")?.dataset.key;
      if (key) start().then(() => { board.table.order([[keys.indexOf(key), falls[keys.indexOf(key)] ? "desc" : "asc"]]).draw(); });
    });
    window.addEventListener("hashchange", () => {
      if (!board.table) { if (ours()) start(); }
      else if (ours() || !location.hash) restore();
      // A place on the page was gone to, which changes nothing of what was chosen.
      else save();
    });

    if (place.dataset.eager === "yes" || ours()) start();
    else
      for (const near of [place.closest(".scroll"), document.querySelector(".controls")])
        for (const kind of ["pointerenter", "focusin", "touchstart"])
          near.addEventListener(kind, () => start(), { once: true, passive: true });
    return board;
  };
})();
