// The table of requests (see table.js), and the logs in it.
"use strict";
(() => {
  const { escape } = window.Cells;
  const HEADS = { model: "Model", state: "State", position: "Position", reason: "Why", since: "Since", suite: "Suite", attempts: "Attempts", key: "Request" };
  const at = Object.create(null);
  let reasons = {}, pending = 0;

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

  function load() {
    const { fields, rows } = window.QUEUE;
    ({ reasons } = window.QUEUE);
    fields.forEach((field, i) => { at[field] = i; });
    pending = rows.filter((row) => row[at.position] !== null).length;
    const columns = Object.entries(HEADS).map(([key, title]) => ({
      key,
      title,
      data: null,
      className: { reason: "why", since: "since", suite: "suite", key: "request" }[key] || "",
      searchable: ["model", "reason", "key", "suite"].includes(key),
      falls: ["since", "attempts"].includes(key),
      render: (_, kind, row) => cell(key, row, kind),
    }));
    return { rows, columns };
  }

  window.Board({
    source: "data/queue.js",
    load,
    things: "requests",
    hidden: "search and state",
    empty: "Nothing has been asked for yet.",
    none: "No request passes the filters",
    passes: (row, { state }) => !state || row[at.state] === state,
  });

  // A log comes when it is opened: thousands of them would weigh on everyone.
  document.getElementById("board").addEventListener("toggle", (event) => {
    const key = event.target.dataset.log;
    if (!key || !event.target.open) return;
    const place = event.target.querySelector("pre");
    window.loadScript(`data/logs/${key.slice(0, 2)}/${key}.js`).then(
      () => { place.textContent = window.LOGS[key]; },
      () => { place.textContent = "The log could not be loaded."; },
    );
  }, true);
})();
